//! What is fuzzed: every parser of bytes that come from outside, with what has to hold whatever the
//! bytes are. Called by the fuzz targets (`crates/envd/fuzz`) and, on a corpus, by `tests/corpus.rs`.

use std::path::Path;

use crate::connect::{frame, json};
use crate::files::conditions::Validators;
use crate::files::encoding::{Decoder, Encoding};
use crate::files::multipart::{Event, Parser};
use crate::files::range::{Wanted, wanted};
use crate::files::signature::{Operation, check, sign};
use crate::filesystem::messages as filesystem;
use crate::http::query::Query;
use crate::process::messages as process;
use crate::timestamp::Timestamp;
use crate::{init, paths};

/// Envelopes in pieces; the first byte says how long a piece is.
pub fn connect_frames(data: &[u8]) {
    const MAX: usize = 4096;
    let Some((piece, data)) = data.split_first() else {
        return;
    };
    let mut decoder = frame::Decoder::new(MAX);
    for bytes in data.chunks(usize::from(*piece).max(1)) {
        decoder.push(bytes);
        loop {
            match decoder.next_message() {
                Ok(Some(message)) => assert!(message.len() <= MAX),
                Ok(None) => break,
                Err(_) => return,
            }
        }
    }
}

/// The JSON of every request; the first byte says of which.
pub fn json_messages(data: &[u8]) {
    let Some((which, body)) = data.split_first() else {
        return;
    };
    match which % 11 {
        0 => drop(json::parse::<process::StartRequest>(body)),
        1 => drop(json::parse::<process::ConnectRequest>(body)),
        2 => drop(json::parse::<process::UpdateRequest>(body)),
        3 => drop(json::parse::<process::SendInputRequest>(body)),
        4 => drop(json::parse::<process::StreamInputRequest>(body)),
        5 => drop(
            json::parse::<process::SendSignalRequest>(body)
                .map(|request| request.signal.signal().is_ok()),
        ),
        6 => drop(json::parse::<filesystem::PathRequest>(body)),
        7 => drop(json::parse::<filesystem::ListDirRequest>(body)),
        8 => drop(json::parse::<filesystem::WatchRequest>(body)),
        9 => drop(json::parse::<filesystem::WatcherId>(body)),
        _ => init::parse_any(body),
    }
}

/// A form in pieces; the first byte says how long a piece is. Parts begin and end in turn, and what
/// is given out is never more than what came in.
pub fn multipart(data: &[u8]) {
    let Some((piece, data)) = data.split_first() else {
        return;
    };
    let Ok(mut parser) = Parser::from_content_type("multipart/form-data; boundary=XX") else {
        return;
    };
    let (mut inside, mut content) = (false, 0);
    for bytes in data.chunks(usize::from(*piece).max(1)) {
        parser.push(bytes);
        while let Ok(Some(event)) = parser.next_event() {
            match event {
                Event::Part(_) => assert!(!std::mem::replace(&mut inside, true)),
                Event::Data(data) => {
                    assert!(inside && !data.is_empty());
                    content += data.len();
                }
                Event::PartEnd => assert!(std::mem::replace(&mut inside, false)),
            }
        }
    }
    assert!(content <= data.len());
}

/// A Content-Type header.
pub fn content_type(data: &[u8]) {
    drop(Parser::from_content_type(&String::from_utf8_lossy(data)));
}

/// A path, as it comes in a request: what is relative stays below the root, and what is below home is
/// found by its letters alone.
pub fn path(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Ok(resolved) = paths::resolve(&text, Path::new("/home/user"), Some(Path::new("/work")))
    else {
        return;
    };
    assert!(resolved.is_absolute());
    assert!(!resolved.as_os_str().as_encoded_bytes().contains(&0));
    if !text.starts_with('/') {
        assert!(
            !resolved
                .components()
                .any(|component| component == std::path::Component::ParentDir)
        );
    }
}

/// A query string with a signature: only the right one opens, and only for what it was made for.
pub fn signature(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let query = Query::parse(Some(&text));
    let (token, headers) = ("a secret token", hyper::HeaderMap::new());
    let passes = check(Some(token), &headers, &query, Operation::Read).is_ok();
    let (path, user) = (
        query.get("path").unwrap_or_default(),
        query.get("username").unwrap_or_default(),
    );
    let expected = sign(
        path,
        Operation::Read,
        user,
        token,
        query.non_empty("signature_expiration"),
    );
    let given = query
        .get("signature")
        .unwrap_or_default()
        .trim_end_matches('=');
    assert!(!passes || given == expected);
}

/// Range, date and entity tag headers, and timestamps; the first two bytes are the file's size.
pub fn headers(data: &[u8]) {
    let [a, b, rest @ ..] = data else { return };
    let total = u64::from(u16::from_le_bytes([*a, *b]));
    let text = String::from_utf8_lossy(rest);
    if let Wanted::Part { first, length } = wanted(Some(&text), total) {
        assert!(length > 0 && first + length <= total);
    }
    if let Some(time) = Timestamp::parse(&text) {
        assert!(time.nanoseconds < 1_000_000_000);
    }
    let mut headers = hyper::HeaderMap::new();
    if let Ok(value) = hyper::header::HeaderValue::from_bytes(rest) {
        for name in [
            "if-match",
            "if-none-match",
            "if-modified-since",
            "if-unmodified-since",
            "if-range",
        ] {
            headers.insert(name, value.clone());
        }
    }
    let validators = Validators::new(1, total, 2, 3);
    validators.check(&headers);
    validators.range_holds(&headers);
}

/// A gzip body: what is held while it is decoded stays bounded.
pub fn gzip(data: &[u8]) {
    let mut decoder = Decoder::new(Encoding::Gzip);
    for piece in data.chunks(decoder.piece(usize::MAX)) {
        match decoder.decode(bytes::Bytes::copy_from_slice(piece)) {
            Ok(decoded) => assert!(decoded.len() <= 2 << 20),
            Err(_) => return,
        }
    }
    drop(decoder.finish());
}

/// A function that takes any bytes, and its name.
pub type EntryPoint = (&'static str, fn(&[u8]));

/// All of them.
pub const ENTRY_POINTS: [EntryPoint; 8] = [
    ("connect_frames", connect_frames),
    ("json_messages", json_messages),
    ("multipart", multipart),
    ("content_type", content_type),
    ("path", path),
    ("signature", signature),
    ("headers", headers),
    ("gzip", gzip),
];
