//! `GET /files`: the content of one file.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::Incoming;
use hyper::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    HeaderMap, HeaderValue, LAST_MODIFIED, RANGE, VARY,
};
use hyper::{Request, Response, StatusCode};
use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use tokio::task::{JoinHandle, spawn_blocking};

use super::conditions::{Outcome, Validators};
use super::encoding::{Encoding, accepted};
use super::range::{Wanted, wanted};
use super::signature::Operation;
use super::{authorize, content_type, resolve};
use crate::app::App;
use crate::blocking::blocking;
use crate::http::body::{Body, Sender};
use crate::http::error::HttpError;
use crate::http::query::Query;

/// Bytes that are read at a time. A file up to this size is read while it is opened.
const CHUNK: usize = 256 * 1024;

/// Answers `GET /files`.
pub async fn answer(
    app: &Rc<App>,
    request: Request<Incoming>,
) -> Result<Response<Body>, HttpError> {
    let headers = request.headers();
    let query = Query::parse(request.uri().query());
    let user = authorize(app, headers, &query, Operation::Read)?;
    let path = resolve(app, query.get("path").unwrap_or_default(), &user)?;
    let coding = accepted(headers)?;
    // A range counts in the file's own bytes.
    let range = headers.get(RANGE).and_then(|value| value.to_str().ok());
    let coding = if range.is_some() {
        Encoding::Identity
    } else {
        coding
    };
    let opened = {
        let path = path.clone();
        blocking(move || Opened::open(&path)).await
    };
    respond(
        opened.map_err(|error| failed(&path, &error))?,
        &path,
        headers,
        range,
        coding,
    )
}

fn respond(
    opened: Opened,
    path: &Path,
    headers: &HeaderMap,
    range: Option<&str>,
    coding: Encoding,
) -> Result<Response<Body>, HttpError> {
    let validators = &opened.validators;
    let mut response = Response::new(Body::empty());
    let about = response.headers_mut();
    about.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
    about.insert(CONTENT_DISPOSITION, HeaderValue::from_static("inline"));
    about.insert(
        "x-content-type-options",
        HeaderValue::from_static("nosniff"),
    );
    about.insert(
        CONTENT_TYPE,
        HeaderValue::from_static(content_type::of(path)),
    );
    about.insert(
        LAST_MODIFIED,
        header(&httpdate::fmt_http_date(validators.modified)),
    );
    let weak = if coding == Encoding::Gzip { "W/" } else { "" };
    about.insert(ETAG, header(&format!("{weak}{}", validators.etag)));
    match validators.check(headers) {
        Outcome::NotModified => {
            about.remove(CONTENT_TYPE);
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            return Ok(response);
        }
        Outcome::Failed => {
            return Err(HttpError::new(
                412,
                "the file does not meet the request's conditions",
            ));
        }
        Outcome::Proceed => {}
    }
    if coding == Encoding::Gzip && !opened.is_empty() {
        about.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        *response.body_mut() = opened.compressed();
        return Ok(response);
    }
    let range = range.filter(|_| validators.range_holds(headers));
    // What grows while it is read, such as /proc, has no length to count from.
    let Some(length) = opened.length() else {
        *response.body_mut() = opened.plain(None);
        return Ok(response);
    };
    about.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    match wanted(range, length) {
        Wanted::Whole => *response.body_mut() = opened.plain(None),
        Wanted::Part {
            first,
            length: part,
        } => {
            about.insert(
                CONTENT_RANGE,
                header(&format!("bytes {first}-{}/{length}", first + part - 1)),
            );
            *response.body_mut() = opened.plain(Some((first, part)));
            *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        }
        Wanted::Unsatisfiable => {
            let mut refused = HttpError::new(
                416,
                format!("the range is outside of the file's {length} bytes"),
            )
            .response();
            refused
                .headers_mut()
                .insert(CONTENT_RANGE, header(&format!("bytes */{length}")));
            return Ok(refused);
        }
    }
    Ok(response)
}

fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("digits and plain letters")
}

fn failed(path: &Path, error: &io::Error) -> HttpError {
    let what = format!("read '{}'", path.display());
    match error.kind() {
        io::ErrorKind::InvalidInput if error.raw_os_error().is_none() => {
            HttpError::bad_request(format!("Cannot {what}: {error}"))
        }
        _ => HttpError::from_io(&what, error),
    }
}

/// A file that was opened, and its beginning.
struct Opened {
    file: File,
    validators: Validators,
    beginning: Vec<u8>,
    rest: Rest,
}

/// What comes behind the beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    Nothing,
    /// The file has this many bytes in all.
    UpTo(u64),
    /// More, until it ends.
    Unknown,
}

impl Opened {
    fn open(path: &PathBuf) -> io::Result<Self> {
        // With O_NONBLOCK neither a FIFO nor a kernel file that waits for news holds the thread.
        let mut file = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)?;
        let metadata = file.metadata()?;
        if metadata.is_dir() {
            return Err(io::Error::from_raw_os_error(libc::EISDIR));
        }
        if !metadata.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a regular file",
            ));
        }
        let validators = Validators::new(
            metadata.ino(),
            metadata.size(),
            metadata.mtime(),
            metadata.mtime_nsec(),
        );
        let size = metadata.size();
        let (mut beginning, mut rest) = (Vec::new(), Rest::UpTo(size));
        // The kernel's files say 0 or a whole page: only their end tells how long they are.
        if size <= CHUNK as u64 {
            let limit = CHUNK as u64 + 1;
            beginning.reserve(if size == 0 { 4096 } else { size as usize + 1 });
            let ended = match (&mut file).take(limit).read_to_end(&mut beginning) {
                Ok(_) => beginning.len() < limit as usize,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
                Err(error) => return Err(error),
            };
            rest = if ended { Rest::Nothing } else { Rest::Unknown };
        }
        Ok(Opened {
            file,
            validators,
            beginning,
            rest,
        })
    }

    fn is_empty(&self) -> bool {
        self.length() == Some(0)
    }

    fn length(&self) -> Option<u64> {
        match self.rest {
            Rest::Nothing => Some(self.beginning.len() as u64),
            Rest::UpTo(size) => Some(size),
            Rest::Unknown => None,
        }
    }

    /// The bytes as they are; all, or the part (first, length).
    fn plain(self, part: Option<(u64, u64)>) -> Body {
        let Opened {
            file,
            beginning,
            rest,
            ..
        } = self;
        match rest {
            Rest::Nothing => {
                let bytes = Bytes::from(beginning);
                Body::full(part.map_or(bytes.clone(), |(first, length)| {
                    bytes.slice(first as usize..(first + length) as usize)
                }))
            }
            Rest::UpTo(size) => {
                let (first, length) = part.unwrap_or((0, size));
                Body::fallible(Some(length), async move |mut sender: Sender| {
                    let mut chunks = Chunks::new(file, first, Some(first + length));
                    while let Some(chunk) = chunks.next().await? {
                        sender.send(chunk.into()).await;
                    }
                    Ok(())
                })
            }
            Rest::Unknown => Body::fallible(None, async move |mut sender: Sender| {
                let mut chunks = Chunks::new(file, beginning.len() as u64, None);
                sender.send(beginning.into()).await;
                while let Some(chunk) = chunks.next().await? {
                    sender.send(chunk.into()).await;
                }
                Ok(())
            }),
        }
    }

    /// The bytes in gzip's form, at its fastest level.
    fn compressed(self) -> Body {
        let Opened {
            file,
            beginning,
            rest,
            ..
        } = self;
        Body::fallible(None, async move |mut sender: Sender| {
            let mut chunks = match rest {
                Rest::Nothing => None,
                Rest::UpTo(size) => Some(Chunks::new(file, 0, Some(size))),
                Rest::Unknown => Some(Chunks::new(file, beginning.len() as u64, None)),
            };
            let mut encoder =
                compress(GzEncoder::new(Vec::new(), Compression::fast()), beginning).await?;
            if let Some(chunks) = &mut chunks {
                while let Some(chunk) = chunks.next().await? {
                    sender.send(std::mem::take(encoder.get_mut()).into()).await;
                    encoder = compress(encoder, chunk).await?;
                }
            }
            sender.send(encoder.finish()?.into()).await;
            Ok(())
        })
    }
}

async fn compress(
    mut encoder: GzEncoder<Vec<u8>>,
    bytes: Vec<u8>,
) -> io::Result<GzEncoder<Vec<u8>>> {
    let work = move || {
        encoder.write_all(&bytes)?;
        Ok(encoder)
    };
    blocking(work).await
}

/// The chunks of a file; the next one is read while the one before is sent.
struct Chunks {
    file: Arc<File>,
    at: u64,
    /// Where to stop; a file that ends before was cut meanwhile. `None`: at its end.
    end: Option<u64>,
    next: Option<JoinHandle<io::Result<Vec<u8>>>>,
}

impl Chunks {
    fn new(file: File, at: u64, end: Option<u64>) -> Self {
        let mut chunks = Chunks {
            file: Arc::new(file),
            at,
            end,
            next: None,
        };
        chunks.read_ahead();
        chunks
    }

    fn read_ahead(&mut self) {
        let length =
            self.end
                .map_or(CHUNK as u64, |end| (end - self.at).min(CHUNK as u64)) as usize;
        let (file, at) = (Arc::clone(&self.file), self.at);
        self.next = (length > 0).then(|| {
            spawn_blocking(move || {
                let mut chunk = Vec::with_capacity(length);
                match rustix::io::pread(&file, spare_capacity(&mut chunk), at) {
                    Err(error) if error != Errno::AGAIN => return Err(error.into()),
                    _ => {}
                }
                Ok(chunk)
            })
        });
    }

    async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some(job) = self.next.take() else {
            return Ok(None);
        };
        let chunk = job
            .await
            .unwrap_or_else(|error| Err(io::Error::other(error)))?;
        if chunk.is_empty() {
            return if self.end.is_some() {
                Err(io::ErrorKind::UnexpectedEof.into())
            } else {
                Ok(None)
            };
        }
        self.at += chunk.len() as u64;
        self.read_ahead();
        Ok(Some(chunk))
    }
}
