//! Content codings: which one an answer takes, and the undoing of an upload's gzip.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use hyper::HeaderMap;
use hyper::header::{ACCEPT_ENCODING, CONTENT_ENCODING};

use crate::http::error::HttpError;

/// The coding of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Identity,
    Gzip,
}

/// The coding for an answer: gzip where it is accepted, else none; 406 when neither is.
pub fn accepted(headers: &HeaderMap) -> Result<Encoding, HttpError> {
    let (mut gzip, mut identity, mut any) = (None, None, None);
    for value in headers.get_all(ACCEPT_ENCODING) {
        for item in value.to_str().unwrap_or_default().split(',') {
            let (name, parameters) = item.split_once(';').unwrap_or((item, ""));
            let weight = parameters
                .trim()
                .strip_prefix("q=")
                .and_then(|weight| weight.trim().parse::<f32>().ok());
            let allowed = Some(weight.unwrap_or(1.0) > 0.0);
            match name.trim().to_ascii_lowercase().as_str() {
                "gzip" | "x-gzip" => gzip = allowed,
                "identity" => identity = allowed,
                "*" => any = allowed,
                _ => {}
            }
        }
    }
    if gzip.or(any) == Some(true) {
        return Ok(Encoding::Gzip);
    }
    // Without a word about it, no coding is always acceptable.
    if identity.or(any.filter(|allowed| !allowed)) == Some(false) {
        return Err(HttpError::new(
            406,
            "none of the accepted encodings is available, only gzip and identity are",
        ));
    }
    Ok(Encoding::Identity)
}

/// The coding of an upload.
pub fn of_upload(headers: &HeaderMap) -> Result<Encoding, HttpError> {
    let Some(value) = headers.get(CONTENT_ENCODING) else {
        return Ok(Encoding::Identity);
    };
    match value
        .to_str()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
        .as_str()
    {
        "" | "identity" => Ok(Encoding::Identity),
        "gzip" | "x-gzip" => Ok(Encoding::Gzip),
        other => Err(HttpError::bad_request(format!(
            "Content-Encoding '{other}' is not supported, only gzip is"
        ))),
    }
}

/// Undoes a coding piece by piece.
pub enum Decoder {
    Identity,
    Gzip {
        decoder: Box<MultiGzDecoder<Vec<u8>>>,
        fed: bool,
    },
}

/// Deflate makes at most about a thousand bytes out of one: fed in pieces of this size, the decoded
/// bytes that are held at a time stay bounded.
const PIECE: usize = 1024;

impl Decoder {
    pub fn new(encoding: Encoding) -> Self {
        match encoding {
            Encoding::Identity => Decoder::Identity,
            Encoding::Gzip => Decoder::Gzip {
                decoder: Box::new(MultiGzDecoder::new(Vec::new())),
                fed: false,
            },
        }
    }

    /// How much of the input `decode` takes at once.
    pub fn piece(&self, available: usize) -> usize {
        match self {
            Decoder::Identity => available,
            Decoder::Gzip { .. } => available.min(PIECE),
        }
    }

    /// Decodes one piece.
    pub fn decode(&mut self, piece: bytes::Bytes) -> io::Result<bytes::Bytes> {
        match self {
            Decoder::Identity => Ok(piece),
            Decoder::Gzip { decoder, fed } => {
                *fed = true;
                decoder.write_all(&piece)?;
                Ok(std::mem::take(decoder.get_mut()).into())
            }
        }
    }

    /// What is left at the end; an error if the input was cut.
    pub fn finish(self) -> io::Result<bytes::Bytes> {
        match self {
            Decoder::Gzip {
                mut decoder,
                fed: true,
            } => {
                decoder.try_finish()?;
                Ok(std::mem::take(decoder.get_mut()).into())
            }
            Decoder::Gzip { fed: false, .. } => Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the gzip body is empty",
            )),
            Decoder::Identity => Ok(bytes::Bytes::new()),
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn accept(value: &'static str) -> Result<Encoding, u16> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(value));
        accepted(&headers).map_err(|error| error.status)
    }

    #[test]
    fn chooses_what_is_accepted() {
        for (value, expected) in [
            ("", Ok(Encoding::Identity)),
            ("gzip, deflate", Ok(Encoding::Gzip)),
            ("deflate, gzip;q=0.5", Ok(Encoding::Gzip)),
            ("gzip;q=0", Ok(Encoding::Identity)),
            ("br", Ok(Encoding::Identity)),
            ("*", Ok(Encoding::Gzip)),
            ("identity", Ok(Encoding::Identity)),
            ("br, identity;q=0", Err(406)),
            ("*;q=0", Err(406)),
            ("*;q=0, identity", Ok(Encoding::Identity)),
        ] {
            assert_eq!(accept(value), expected, "{value}");
        }
        assert_eq!(accepted(&HeaderMap::new()).ok(), Some(Encoding::Identity));
    }

    #[test]
    fn decodes_bombs_in_small_steps_and_finds_damage() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&vec![0; 8 << 20]).expect("memory");
        let bomb = encoder.finish().expect("memory");
        let mut decoder = Decoder::new(Encoding::Gzip);
        let mut total = 0;
        for piece in bomb.chunks(decoder.piece(usize::MAX)) {
            let decoded = decoder
                .decode(bytes::Bytes::copy_from_slice(piece))
                .expect("valid");
            assert!(decoded.len() < 2 << 20);
            total += decoded.len();
        }
        total += decoder.finish().expect("whole").len();
        assert_eq!(total, 8 << 20);

        let mut cut = Decoder::new(Encoding::Gzip);
        cut.decode(bytes::Bytes::copy_from_slice(&bomb[..100]))
            .expect("so far");
        cut.finish().expect_err("cut");
        Decoder::new(Encoding::Gzip).finish().expect_err("empty");
        Decoder::new(Encoding::Gzip)
            .decode(bytes::Bytes::from_static(b"no gzip at all"))
            .expect_err("garbage");
    }
}
