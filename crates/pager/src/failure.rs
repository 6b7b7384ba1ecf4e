//! What a request can fail with: a code of the platform's error catalogue (`docs/reference/errors.md`)
//! and a message that says what could not be done, with which value.

use std::fmt::{self, Display};
use std::io;

use crate::layer::header::HeaderError;

/// The codes that the pager uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// The request is malformed or names a path outside of the roots.
    InvalidRequest,
    /// A file, process or session does not exist.
    NotFound,
    /// The file to be written, or the session, exists.
    AlreadyExists,
    /// The process or the layers are not in a state that allows this.
    InvalidState,
    /// A header or a layer's bytes are not what they should be.
    IncompatibleSnapshot,
    /// Larger than a request may be.
    TooLarge,
    /// The file system or the kernel cannot do it.
    Unsupported,
    /// As much as may run at once runs.
    Capacity,
    /// The file system has no space left.
    StorageFull,
    /// Anything else: an I/O error, a defect.
    Internal,
}

impl Code {
    /// Its name on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::NotFound => "not_found",
            Self::AlreadyExists => "already_exists",
            Self::InvalidState => "invalid_state",
            Self::IncompatibleSnapshot => "incompatible_snapshot",
            Self::TooLarge => "too_large",
            Self::Unsupported => "unsupported",
            Self::Capacity => "capacity",
            Self::StorageFull => "storage_full",
            Self::Internal => "internal",
        }
    }

    /// The HTTP status that goes with it.
    pub fn status(self) -> u16 {
        match self {
            Self::InvalidRequest => 400,
            Self::NotFound => 404,
            Self::AlreadyExists | Self::InvalidState | Self::IncompatibleSnapshot => 409,
            Self::TooLarge => 413,
            Self::Unsupported => 501,
            Self::Capacity => 503,
            Self::StorageFull => 507,
            Self::Internal => 500,
        }
    }
}

/// Why something could not be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// For programs.
    pub code: Code,
    /// For people: "Cannot X: reason".
    pub message: String,
}

impl Failure {
    /// A failure with its whole message.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
        }
    }

    /// The kernel refused: `what` was to be done ("write /x/mem").
    pub fn io(what: impl Display, error: impl Into<io::Error>) -> Self {
        let error = error.into();
        let code = match error.raw_os_error() {
            Some(libc::ENOENT | libc::ESRCH | libc::ENOTDIR) => Code::NotFound,
            Some(libc::EEXIST) => Code::AlreadyExists,
            Some(libc::ENOSPC | libc::EDQUOT | libc::EFBIG) => Code::StorageFull,
            Some(libc::EXDEV | libc::ELOOP) => Code::InvalidRequest,
            _ => Code::Internal,
        };
        Self::new(code, format!("Cannot {what}: {error}"))
    }
}

impl Display for Failure {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl From<HeaderError> for Failure {
    fn from(error: HeaderError) -> Self {
        Self::new(Code::IncompatibleSnapshot, error.to_string())
    }
}
