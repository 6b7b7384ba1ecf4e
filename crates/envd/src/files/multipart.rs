//! A parser of `multipart/form-data` (RFC 7578) that takes bytes as they arrive and holds no more
//! of them than a delimiter or the headers of one part.

use bytes::{Bytes, BytesMut};
use memchr::memmem::{self, Finder};

use crate::http::query::percent_decode;

const MAX_BOUNDARY: usize = 200;
const MAX_PART_HEADERS: usize = 16 * 1024;
const MAX_PADDING: usize = 256;

/// What the parser found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A part begins.
    Part(Part),
    /// Some of its content; never empty.
    Data(Bytes),
    /// It ends.
    PartEnd,
}

/// The name of a part, and the file name it was given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Part {
    pub name: String,
    pub filename: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum State {
    Preamble,
    AfterDelimiter,
    Headers,
    Content,
    Done,
}

/// The parser.
#[derive(Debug)]
pub struct Parser {
    /// CR LF, two dashes and the boundary.
    delimiter: Finder<'static>,
    buffered: BytesMut,
    state: State,
}

impl Parser {
    /// A parser for the body that a Content-Type header describes.
    pub fn from_content_type(content_type: &str) -> Result<Self, String> {
        let boundary = parameter(content_type, "boundary").filter(|boundary| !boundary.is_empty());
        let boundary = boundary.ok_or("the Content-Type has no boundary")?;
        if boundary.len() > MAX_BOUNDARY {
            return Err(format!("the boundary is longer than {MAX_BOUNDARY} bytes"));
        }
        Ok(Parser {
            delimiter: Finder::new(&format!("\r\n--{boundary}")).into_owned(),
            // The first delimiter may be the body's first line.
            buffered: BytesMut::from("\r\n"),
            state: State::Preamble,
        })
    }

    pub fn push(&mut self, bytes: &[u8]) {
        self.buffered.extend_from_slice(bytes);
    }

    /// The next event in what was pushed; `None` until more is.
    pub fn next_event(&mut self) -> Result<Option<Event>, String> {
        loop {
            match self.state {
                State::Preamble => match self.delimiter.find(&self.buffered) {
                    Some(at) => self.skip_delimiter(at),
                    None => {
                        let keep = self.delimiter.needle().len() - 1;
                        let skip = self.buffered.len().saturating_sub(keep);
                        drop(self.buffered.split_to(skip));
                        return Ok(None);
                    }
                },
                State::AfterDelimiter => {
                    let padding = self
                        .buffered
                        .iter()
                        .take_while(|byte| matches!(byte, b' ' | b'\t'))
                        .count();
                    if padding > MAX_PADDING {
                        return Err("a delimiter line is too long".to_owned());
                    }
                    let Some(end) = self.buffered.get(padding..padding + 2) else {
                        return Ok(None);
                    };
                    self.state = match end {
                        b"\r\n" => State::Headers,
                        b"--" if padding == 0 => State::Done,
                        _ => return Err("a delimiter is followed by other text".to_owned()),
                    };
                    // The line's end stays: headers are then always between two of them.
                    drop(self.buffered.split_to(padding));
                }
                State::Headers => {
                    let Some(end) = memmem::find(&self.buffered, b"\r\n\r\n") else {
                        if self.buffered.len() > MAX_PART_HEADERS {
                            return Err(format!(
                                "the headers of a part are larger than {MAX_PART_HEADERS} bytes"
                            ));
                        }
                        return Ok(None);
                    };
                    if end > MAX_PART_HEADERS {
                        return Err(format!(
                            "the headers of a part are larger than {MAX_PART_HEADERS} bytes"
                        ));
                    }
                    let headers = self.buffered.split_to(end + 4);
                    let part = part(&headers)?;
                    self.state = State::Content;
                    return Ok(Some(Event::Part(part)));
                }
                State::Content => return Ok(self.content()),
                State::Done => {
                    self.buffered.clear();
                    return Ok(None);
                }
            }
        }
    }

    /// Whether the last delimiter was seen: a body without it was cut.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    fn content(&mut self) -> Option<Event> {
        match self.delimiter.find(&self.buffered) {
            Some(0) => {
                self.skip_delimiter(0);
                Some(Event::PartEnd)
            }
            Some(at) => Some(Event::Data(self.buffered.split_to(at).freeze())),
            None => {
                let keep = self.delimiter.needle().len() - 1;
                let length = self.buffered.len().saturating_sub(keep);
                (length > 0).then(|| Event::Data(self.buffered.split_to(length).freeze()))
            }
        }
    }

    fn skip_delimiter(&mut self, at: usize) {
        drop(self.buffered.split_to(at + self.delimiter.needle().len()));
        self.state = State::AfterDelimiter;
    }
}

/// Reads the headers of a part; only Content-Disposition matters.
fn part(headers: &[u8]) -> Result<Part, String> {
    let text = String::from_utf8_lossy(headers);
    let disposition = text
        .split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("content-disposition"))
        .map(|(_, value)| value)
        .ok_or("a part has no Content-Disposition")?;
    let extended = parameter(disposition, "filename*").and_then(|value| {
        let (charset, rest) = value.split_once('\'')?;
        let (_language, encoded) = rest.split_once('\'')?;
        charset
            .eq_ignore_ascii_case("utf-8")
            .then(|| percent_decode(encoded))
    });
    let filename =
        extended.or_else(|| parameter(disposition, "filename").map(|name| unescape(&name)));
    let name = parameter(disposition, "name")
        .map(|name| unescape(&name))
        .unwrap_or_default();
    Ok(Part {
        name,
        filename: filename.filter(|name| !name.is_empty()),
    })
}

/// Undoes what browsers write for the characters that would break a quoted name
/// (<https://html.spec.whatwg.org/#multipart-form-data>).
fn unescape(name: &str) -> String {
    name.replace("%22", "\"")
        .replace("%0D", "\r")
        .replace("%0A", "\n")
}

/// The value of a header parameter: a token, or a quoted string with `\"` and `\\` escapes.
fn parameter(header: &str, wanted: &str) -> Option<String> {
    let mut rest = &header[header.find(';')? + 1..];
    loop {
        let equals = rest.find('=')?;
        let name = rest[..equals].trim_matches([' ', '\t', ';']);
        let value = rest[equals + 1..].trim_start_matches([' ', '\t']);
        let (value, behind) = match value.strip_prefix('"') {
            Some(quoted) => quoted_string(quoted),
            None => {
                let end = value.find(';').unwrap_or(value.len());
                (value[..end].trim_end().to_owned(), &value[end..])
            }
        };
        if name.eq_ignore_ascii_case(wanted) {
            return Some(value);
        }
        rest = behind.trim_start_matches([' ', '\t', ';']);
    }
}

/// The string up to its closing quote, and what is behind that.
fn quoted_string(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return (value, &text[at + 1..]),
            '\\' if text[at + 1..].starts_with(['"', '\\']) => {
                value.extend(characters.next().map(|(_, escaped)| escaped))
            }
            other => value.push(other),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TYPE: &str = "multipart/form-data; boundary=XX";

    /// Parses `body` in pieces; the content of each part in one.
    fn parse(body: &[u8], piece: usize) -> Result<Vec<(Part, Vec<u8>)>, String> {
        let mut parser = Parser::from_content_type(TYPE)?;
        let mut parts: Vec<(Part, Vec<u8>)> = Vec::new();
        for bytes in body.chunks(piece.max(1)) {
            parser.push(bytes);
            while let Some(event) = parser.next_event()? {
                match event {
                    Event::Part(part) => parts.push((part, Vec::new())),
                    Event::Data(data) => {
                        parts.last_mut().expect("a part").1.extend_from_slice(&data)
                    }
                    Event::PartEnd => {}
                }
            }
        }
        if parser.is_done() {
            Ok(parts)
        } else {
            Err("cut".to_owned())
        }
    }

    fn wire(parts: &[(&str, &[u8])]) -> Vec<u8> {
        let mut body = Vec::new();
        for (disposition, content) in parts {
            body.extend_from_slice(
                format!("--XX\r\nContent-Disposition: {disposition}\r\n\r\n").as_bytes(),
            );
            body.extend_from_slice(content);
            body.extend_from_slice(b"\r\n");
        }
        body.extend_from_slice(b"--XX--\r\n");
        body
    }

    #[test]
    fn reads_parts_at_any_fragmentation() {
        let body = wire(&[
            (
                "form-data; name=\"file\"; filename=\"a/b é.txt\"",
                b"one\r\n--X\r\n",
            ),
            ("form-data; name=file", b""),
        ]);
        for piece in 1..body.len() {
            let parts = parse(&body, piece).expect("valid");
            assert_eq!(parts.len(), 2);
            assert_eq!(
                parts[0].0,
                Part {
                    name: "file".into(),
                    filename: Some("a/b é.txt".into())
                }
            );
            assert_eq!(parts[0].1, b"one\r\n--X\r\n");
            assert_eq!((parts[1].0.filename.as_ref(), parts[1].1.len()), (None, 0));
        }
    }

    #[test]
    fn reads_names_in_every_spelling() {
        for (disposition, filename) in [
            (r#"form-data; name="file"; filename="a\"b\\c""#, "a\"b\\c"),
            (
                r#"form-data; name="file"; filename="a%22b%20c""#,
                "a\"b%20c",
            ),
            (
                r#"form-data; filename*=UTF-8''a%20%C3%A9; filename="x"; name=file"#,
                "a é",
            ),
            (r#"form-data;name=file ;filename=plain"#, "plain"),
            (r#"form-data; name="file"; filename="unclosed"#, "unclosed"),
        ] {
            let parts = parse(&wire(&[(disposition, b"")]), 7).expect(disposition);
            assert_eq!(
                parts[0].0,
                Part {
                    name: "file".into(),
                    filename: Some(filename.into())
                },
                "{disposition}"
            );
        }
    }

    #[test]
    fn skips_preamble_padding_and_epilogue() {
        let body = b"hello\r\n--XX \t\r\ncontent-disposition: form-data; name=a\r\n\r\nv\r\n--XX--bye\r\n--XX\r\n";
        assert_eq!(parse(body, 3).expect("valid").len(), 1);
    }

    #[test]
    fn refuses_broken_bodies() {
        for body in [
            "",
            "--XX\r\n",
            "--XXtail\r\n",
            "--XX\r\nContent-Type: a\r\n\r\n",
            "--XX\r\nContent-Disposition: form-data; name=a\r\n\r\nv\r\n--XX",
        ] {
            assert!(parse(body.as_bytes(), 5).is_err(), "{body:?}");
        }
        let endless = [b"--XX\r\n".to_vec(), vec![b'a'; MAX_PART_HEADERS + 1]].concat();
        assert!(parse(&endless, 1000).is_err());
        for content_type in [
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "multipart/form-data; boundary=\"\"",
        ] {
            assert!(Parser::from_content_type(content_type).is_err());
        }
        assert!(
            Parser::from_content_type("multipart/form-data; charset=utf-8; boundary=\"a b\"")
                .is_ok()
        );
    }

    proptest! {
        #[test]
        fn content_survives(contents in prop::collection::vec(prop::collection::vec(prop::sample::select(b"\r\n-Xab".to_vec()), 0..60), 0..5), piece in 1usize..40) {
            // A content that holds the delimiter could not be sent with this boundary.
            prop_assume!(contents.iter().all(|content| memmem::find(&[b"\r\n", &content[..]].concat(), b"\r\n--XX").is_none()));
            let parts: Vec<(&str, &[u8])> = contents.iter().map(|content| ("form-data; name=file", &content[..])).collect();
            let parsed: Vec<Vec<u8>> = parse(&wire(&parts), piece).expect("valid").into_iter().map(|(_, content)| content).collect();
            prop_assert_eq!(parsed, contents);
        }

        #[test]
        fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..300), piece in 1usize..50) {
            let _ = parse(&[b"--XX\r\n".to_vec(), body].concat(), piece);
        }

        #[test]
        fn no_header_makes_it_panic(header in ".*") {
            let _ = parameter(&header, "filename");
        }
    }
}
