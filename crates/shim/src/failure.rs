//! Why a VM could not be started, as the agent reads it.

use std::io;

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

/// The step that failed and the kernel's reason.
#[derive(Debug, Serialize, Deserialize)]
pub struct Failure {
    /// The step, such as `open TAP tap0`.
    pub what: String,
    /// Name of the kernel's error, such as `EBUSY`; absent when the kernel was not asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub errno: Option<String>,
    /// The reason in words.
    pub message: String,
}

impl Failure {
    /// A failure that the shim found itself.
    pub fn new(what: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            errno: None,
            message: message.into(),
        }
    }
}

/// Names the step in which an error occurred.
pub trait Step<T> {
    /// Turns the error into a [`Failure`] of the step `what`.
    fn step(self, what: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T> Step<T> for Result<T, Errno> {
    fn step(self, what: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|errno| Failure {
            what: what(),
            errno: Some(format!("{errno:?}")),
            message: errno.desc().to_owned(),
        })
    }
}

impl<T> Step<T> for io::Result<T> {
    fn step(self, what: impl FnOnce() -> String) -> Result<T, Failure> {
        match self {
            Ok(value) => Ok(value),
            Err(error) => match error.raw_os_error() {
                Some(code) => Err(Errno::from_raw(code)).step(what),
                None => Err(Failure::new(what(), error.to_string())),
            },
        }
    }
}
