//! `/files`, against the real agent.

mod access;
mod downloads;
mod metadata;
#[path = "../support/mod.rs"]
mod support;
mod uploads;

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use support::Response;

const RAW: (&str, &str) = ("content-type", "application/octet-stream");
const FORM: (&str, &str) = ("content-type", "multipart/form-data; boundary=XX");

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    GzDecoder::new(bytes)
        .read_to_end(&mut decoded)
        .expect("gzip");
    decoded
}

/// A form with parts (name, file name, content).
fn form(parts: &[(&str, Option<&str>, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, filename, content) in parts {
        let filename = filename.map_or(String::new(), |filename| {
            format!("; filename=\"{filename}\"")
        });
        body.extend(
            format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"{filename}\r\n\r\n")
                .bytes(),
        );
        body.extend(*content);
        body.extend(b"\r\n");
    }
    body.extend(b"--XX--\r\n");
    body
}

fn error(response: &Response) -> (u16, String) {
    let body = response.json();
    assert_eq!(
        body["code"].as_u64(),
        Some(response.status.into()),
        "code repeats the status"
    );
    (
        response.status,
        body["message"].as_str().expect("a message").to_owned(),
    )
}

/// Bytes in which every position is recognizable.
fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 7) as u8)
        .collect()
}
