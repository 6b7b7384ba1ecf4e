//! Error answers of the plain HTTP routes: `{"code": <status>, "message": "..."}`.

use std::io;

use hyper::Response;
use serde_json::json;

use super::body::{Body, ReadError};
use crate::connect::error::reason;
use crate::connect::unary::json_response;

/// A refused or failed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpError {
    pub status: u16,
    pub message: String,
}

impl HttpError {
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        HttpError {
            status,
            message: message.into(),
        }
    }

    pub fn bad_request(message: impl Into<String>) -> Self {
        HttpError::new(400, message)
    }

    /// A failed system call, said as "Cannot X: reason".
    pub fn from_io(what: &str, error: &io::Error) -> Self {
        let status = match error.raw_os_error() {
            Some(libc::ENOENT) => 404,
            Some(libc::EACCES | libc::EPERM | libc::EROFS) => 403,
            Some(libc::ENOSPC | libc::EDQUOT) => 507,
            Some(
                libc::ENOTDIR
                | libc::EISDIR
                | libc::ELOOP
                | libc::ENAMETOOLONG
                | libc::EINVAL
                | libc::ENXIO
                | libc::ETXTBSY
                | libc::EOPNOTSUPP,
            ) => 400,
            Some(libc::EMFILE | libc::ENFILE | libc::ENOMEM) => 503,
            _ => 500,
        };
        HttpError::new(status, format!("Cannot {what}: {}", reason(error)))
    }

    /// A body that could not be read, of which `max` bytes are allowed.
    pub fn from_read(error: ReadError, max: usize) -> Self {
        match error {
            ReadError::TooLarge => {
                HttpError::new(413, format!("the body is larger than {max} bytes"))
            }
            ReadError::Cut => HttpError::bad_request("the request ended early"),
        }
    }

    pub fn response(&self) -> Response<Body> {
        json_response(
            self.status,
            json!({ "code": self.status, "message": self.message })
                .to_string()
                .into(),
        )
    }
}
