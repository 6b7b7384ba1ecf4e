//! Reads one request. Everything is bounded before it is kept.

use std::io::{self, Read, Write};

use crate::failure::{Code, Failure};

/// Longest request line and headers.
pub const MAX_HEAD_BYTES: usize = 16 << 10;
/// Longest body: the paths of the most builds that a header may name.
pub const MAX_BODY_BYTES: usize = 4 << 20;
const MAX_HEADERS: usize = 64;

/// A request.
#[derive(Debug, PartialEq, Eq)]
pub struct Request {
    /// `GET`, `POST`, `DELETE`, …
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// What follows `?`, or nothing.
    pub query: String,
    /// The body; empty when there is none.
    pub body: Vec<u8>,
}

impl Request {
    /// A number in the query (`?name=7`); an error when it is there and no number.
    pub fn number(&self, name: &str) -> Result<Option<u64>, Failure> {
        let value = self
            .query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name);
        let Some((_, value)) = value else {
            return Ok(None);
        };
        value.parse().map(Some).map_err(|_| {
            let message = format!("Cannot read the query: {name} is not a number");
            Failure::new(Code::InvalidRequest, message)
        })
    }
}

/// What the head of a request says.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    method: String,
    target: String,
    body_bytes: usize,
    expects_continue: bool,
    head_bytes: usize,
}

/// Reads a request from `stream`. `Ok(None)`: the client went away without one.
pub fn read(stream: &mut (impl Read + Write)) -> Result<Option<Request>, Failure> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(head) = parse_head(&bytes)? {
            break head;
        }
        if bytes.len() >= MAX_HEAD_BYTES {
            return Err(Failure::new(
                Code::TooLarge,
                "Cannot read the request: its headers are too long",
            ));
        }
        let mut chunk = [0; 2048];
        match stream.read(&mut chunk).map_err(unreadable)? {
            0 if bytes.is_empty() => return Ok(None),
            0 => return Err(unreadable(io::ErrorKind::UnexpectedEof.into())),
            count => bytes.extend_from_slice(&chunk[..count]),
        }
    };
    if head.expects_continue {
        stream
            .write_all(b"HTTP/1.1 100 Continue\r\n\r\n")
            .map_err(unreadable)?;
    }
    let mut body = bytes.split_off(head.head_bytes);
    body.truncate(head.body_bytes);
    let have = body.len();
    body.resize(head.body_bytes, 0);
    stream.read_exact(&mut body[have..]).map_err(unreadable)?;
    let (path, query) = head
        .target
        .split_once('?')
        .unwrap_or((head.target.as_str(), ""));
    Ok(Some(Request {
        path: path.to_owned(),
        query: query.to_owned(),
        method: head.method,
        body,
    }))
}

/// The head at the start of `bytes`; `None` while it is not complete.
fn parse_head(bytes: &[u8]) -> Result<Option<Head>, Failure> {
    let malformed = |why: &str| {
        Failure::new(
            Code::InvalidRequest,
            format!("Cannot read the request: {why}"),
        )
    };
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let head_bytes = match parsed.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(malformed(&error.to_string())),
    };
    let mut body_bytes = None;
    let mut expects_continue = false;
    for header in parsed.headers.iter() {
        if header.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err(malformed("the body needs a Content-Length"));
        }
        if header.name.eq_ignore_ascii_case("content-length") {
            let length = std::str::from_utf8(header.value)
                .ok()
                .filter(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
                .and_then(|text| text.parse::<usize>().ok());
            let length = length
                .filter(|_| body_bytes.is_none())
                .ok_or_else(|| malformed("its Content-Length is wrong"))?;
            if length > MAX_BODY_BYTES {
                return Err(Failure::new(
                    Code::TooLarge,
                    format!(
                        "Cannot read the request: its body has {length} bytes, more than {MAX_BODY_BYTES}"
                    ),
                ));
            }
            body_bytes = Some(length);
        }
        expects_continue |= header.name.eq_ignore_ascii_case("expect")
            && header.value.eq_ignore_ascii_case(b"100-continue");
    }
    Ok(Some(Head {
        method: parsed.method.unwrap_or_default().to_owned(),
        target: parsed.path.unwrap_or_default().to_owned(),
        body_bytes: body_bytes.unwrap_or(0),
        expects_continue,
        head_bytes,
    }))
}

fn unreadable(error: io::Error) -> Failure {
    Failure::new(
        Code::InvalidRequest,
        format!("Cannot read the request: {error}"),
    )
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A client that sends its bytes in pieces of `step`.
    struct Client<'a> {
        bytes: &'a [u8],
        step: usize,
        answered: Vec<u8>,
    }

    impl Read for Client<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.step.min(buffer.len()).min(self.bytes.len());
            buffer[..count].copy_from_slice(&self.bytes[..count]);
            self.bytes = &self.bytes[count..];
            Ok(count)
        }
    }

    impl Write for Client<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.answered.extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn read_from(bytes: &[u8], step: usize) -> (Result<Option<Request>, Failure>, Vec<u8>) {
        let mut client = Client {
            bytes,
            step,
            answered: Vec::new(),
        };
        (read(&mut client), client.answered)
    }

    fn code(bytes: &[u8]) -> Code {
        read_from(bytes, 4096).0.unwrap_err().code
    }

    #[test]
    fn a_request_is_read_however_it_is_cut() {
        let bytes =
            b"POST /v1/x?after=3&wait_ms=9 HTTP/1.1\r\nHost: pager\r\ncontent-length: 4\r\n\r\nbodyrest";
        for step in 1..bytes.len() {
            let request = read_from(bytes, step).0.unwrap().unwrap();
            assert_eq!(
                (request.method.as_str(), request.path.as_str()),
                ("POST", "/v1/x")
            );
            assert_eq!(request.body, b"body");
            assert_eq!(request.number("wait_ms"), Ok(Some(9)));
            assert_eq!(request.number("after"), Ok(Some(3)));
            assert_eq!(request.number("absent"), Ok(None));
        }
    }

    #[test]
    fn a_client_that_waits_for_leave_to_send_gets_it() {
        let bytes = b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx";
        assert_eq!(read_from(bytes, 9).1, b"HTTP/1.1 100 Continue\r\n\r\n");
    }

    #[test]
    fn what_is_too_large_or_ambiguous_is_refused() {
        assert_eq!(read_from(b"", 1).0, Ok(None));
        assert_eq!(code(b"GET / HTTP/1.1\r\n"), Code::InvalidRequest);
        assert_eq!(code(b"nonsense\r\n\r\n"), Code::InvalidRequest);
        assert_eq!(
            code(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            Code::InvalidRequest
        );
        assert_eq!(
            code(b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"),
            Code::InvalidRequest
        );
        assert_eq!(
            code(b"POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\nx"),
            Code::InvalidRequest
        );
        assert_eq!(
            code(b"POST / HTTP/1.1\r\nContent-Length: 4194305\r\n\r\n"),
            Code::TooLarge
        );
        assert_eq!(
            code(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nshort"),
            Code::InvalidRequest
        );
        let long = [b"GET /".as_slice(), &[b'a'; MAX_HEAD_BYTES]].concat();
        assert_eq!(code(&long), Code::TooLarge);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600), step in 1..50_usize) {
            let _ = read_from(&bytes, step);
        }

        #[test]
        fn no_headers_make_it_panic(headers in "[ -~\r\n:]{0,300}", step in 1..50_usize) {
            let _ = read_from(format!("POST /v1 HTTP/1.1\r\n{headers}\r\n\r\n").as_bytes(), step);
        }
    }
}
