//! One JSON answer.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::json;

use crate::failure::Failure;

/// An answer.
#[derive(Debug)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// JSON; empty for 204.
    pub body: Vec<u8>,
}

impl Response {
    /// 200 with `value`.
    pub fn ok(value: &impl Serialize) -> Self {
        Self::json(200, value)
    }

    /// 204.
    pub fn empty() -> Self {
        Self {
            status: 204,
            body: Vec::new(),
        }
    }

    /// `value` with a status.
    pub fn json(status: u16, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self { status, body },
            Err(_) => Self {
                status: 500,
                body: Vec::new(),
            },
        }
    }

    /// Writes it; the connection ends with it.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let head = format!(
            "HTTP/1.1 {} {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            self.status,
            reason(self.status),
            self.body.len()
        );
        out.write_all(head.as_bytes())?;
        out.write_all(&self.body)
    }
}

impl From<Failure> for Response {
    fn from(failure: Failure) -> Self {
        let error = json!({ "error": { "code": failure.code.name(), "message": failure.message } });
        Self::json(failure.code.status(), &error)
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        204 => "No Content",
        _ => "Error",
    }
}
