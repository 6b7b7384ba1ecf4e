//! HTTP/1.1, one request a connection.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::Value;

/// A whole answer.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

/// Sends a request and reads its answer.
pub fn request(
    port: u16,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Response {
    let mut socket = connect(port);
    send_head(&mut socket, method, target, headers, Some(body.len()));
    // A refusal may come before all of a large body is sent.
    let _ = socket.write_all(body);
    let mut reader = BufReader::new(socket);
    let (status, headers) = read_head(&mut reader);
    let mut response = Response {
        status,
        headers,
        body: Vec::new(),
    };
    let is_chunked = response.header("transfer-encoding") == Some("chunked");
    let length = response
        .header("content-length")
        .map(|length| length.parse().expect("a length"));
    if is_chunked {
        while let Some(chunk) = read_chunk(&mut reader) {
            response.body.extend(chunk);
        }
    } else if method != "HEAD" {
        let limit = if status == 204 || status == 304 {
            0
        } else {
            length.unwrap_or(u64::MAX)
        };
        reader
            .take(limit)
            .read_to_end(&mut response.body)
            .expect("readable");
    }
    response
}

pub fn connect(port: u16) -> TcpStream {
    let socket = TcpStream::connect(("127.0.0.1", port)).expect("envd listens");
    socket
        .set_read_timeout(Some(Duration::from_secs(60)))
        .expect("set");
    socket
}

/// `length`: of the body; `None` for a chunked one.
pub fn send_head(
    socket: &mut TcpStream,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    length: Option<usize>,
) {
    let mut head = format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n");
    match length {
        Some(length) => head.push_str(&format!("Content-Length: {length}\r\n")),
        None => head.push_str("Transfer-Encoding: chunked\r\n"),
    }
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    socket.write_all(head.as_bytes()).expect("sent");
}

pub fn read_head(reader: &mut impl BufRead) -> (u16, Vec<(String, String)>) {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        assert!(
            reader.read_line(&mut line).expect("a head") > 0,
            "the connection ended before an answer"
        );
        if line == "\r\n" {
            break;
        }
        lines.push(line.trim_end().to_owned());
    }
    let status = lines[0]
        .split(' ')
        .nth(1)
        .expect("a status")
        .parse()
        .expect("a number");
    let headers = lines[1..].iter().filter_map(|line| line.split_once(": "));
    (
        status,
        headers
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect(),
    )
}

/// The next chunk of a chunked body; `None` at its end. Panics when the connection breaks before.
pub fn read_chunk(reader: &mut impl BufRead) -> Option<Vec<u8>> {
    let mut line = String::new();
    reader.read_line(&mut line).expect("a chunk's size");
    let size = usize::from_str_radix(line.trim(), 16)
        .unwrap_or_else(|_| panic!("the body was cut: {line:?}"));
    let mut chunk = vec![0; size + 2];
    reader.read_exact(&mut chunk).expect("a chunk");
    chunk.truncate(size);
    (size > 0).then_some(chunk)
}
