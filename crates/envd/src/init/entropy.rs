//! Fresh randomness for the kernel: clones of one snapshot would otherwise draw the same numbers.

use std::io;

use crate::connect::json::Base64Bytes;
use crate::http::error::HttpError;
use crate::ioctl;

const ALLOWED: std::ops::RangeInclusive<usize> = 32..=512;

pub fn check(entropy: Option<&Base64Bytes>) -> Result<(), HttpError> {
    match entropy {
        Some(bytes) if !ALLOWED.contains(&bytes.0.len()) => Err(HttpError::bad_request(format!(
            "entropy has {} bytes, expected 32 to 512",
            bytes.0.len()
        ))),
        _ => Ok(()),
    }
}

/// Credits the bytes to the kernel's pool and makes the generator draw on them at once.
pub fn credit(bytes: &[u8]) -> io::Result<()> {
    let device = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/urandom")?;
    ioctl::add_entropy(&device, bytes)?;
    ioctl::reseed(&device)
}
