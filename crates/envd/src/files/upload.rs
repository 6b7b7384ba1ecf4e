//! `POST /files`: one file as the raw body, or several as the parts of a form.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE};
use hyper::{HeaderMap, Request, Response};
use serde_json::{Value, json};

use super::encoding::{Decoder, Encoding, of_upload};
use super::metadata::{self, Metadata};
use super::multipart::{Event, Parser};
use super::signature::Operation;
use super::writer::{Destination, Writer};
use crate::app::App;
use crate::connect::unary::json_response;
use crate::filesystem::directories::Owner;
use crate::http::body::{Body, media_type_is, next_data};
use crate::http::error::HttpError;
use crate::http::query::Query;
use crate::paths;
use crate::users::User;

/// What of a refused body is still read, so that the client gets to read the refusal.
const DRAIN: u64 = 64 * 1024 * 1024;
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// Answers `POST /files`.
pub async fn answer(app: &Rc<App>, request: Request<Incoming>) -> Response<Body> {
    let (parts, mut body) = request.into_parts();
    let query = Query::parse(parts.uri.query());
    match receive(app, &parts.headers, &query, &mut body).await {
        Ok(written) => {
            app.watches.catch_up();
            json_response(200, Value::Array(written).to_string().into())
        }
        Err(error) => {
            drain(&mut body).await;
            error.response()
        }
    }
}

async fn receive(
    app: &Rc<App>,
    headers: &HeaderMap,
    query: &Query,
    body: &mut Incoming,
) -> Result<Vec<Value>, HttpError> {
    let user = super::authorize(app, headers, query, Operation::Write)?;
    let upload = Upload {
        app,
        path: query.non_empty("path"),
        metadata: metadata::from_headers(headers)?,
        // Only the size of the raw body is the size of the file, and that only without coding.
        expected: headers
            .get(CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok()?.parse().ok()),
        user,
    };
    let encoding = of_upload(headers)?;
    let source = Source {
        body,
        decoder: Decoder::new(encoding),
        undecoded: Bytes::new(),
        ended: false,
    };
    if media_type_is(headers, "multipart/form-data") {
        let content_type = headers
            .get(CONTENT_TYPE)
            .map(|value| String::from_utf8_lossy(value.as_bytes()))
            .unwrap_or_default();
        let parser = Parser::from_content_type(&content_type).map_err(HttpError::bad_request)?;
        upload.form(parser, source).await
    } else if media_type_is(headers, "application/octet-stream") {
        upload.raw(source, encoding).await
    } else {
        Err(HttpError::bad_request(
            "Content-Type has to be multipart/form-data or application/octet-stream",
        ))
    }
}

struct Upload<'a> {
    app: &'a Rc<App>,
    path: Option<&'a str>,
    user: User,
    metadata: Metadata,
    expected: Option<u64>,
}

impl Upload<'_> {
    async fn raw(
        &self,
        mut source: Source<'_>,
        encoding: Encoding,
    ) -> Result<Vec<Value>, HttpError> {
        let path = self
            .path
            .ok_or_else(|| HttpError::bad_request("the query parameter 'path' is missing"))?;
        let path = super::resolve(self.app, path, &self.user)?;
        let expected = self.expected.filter(|_| encoding == Encoding::Identity);
        let mut writer = Writer::new(self.destination(&path, expected));
        while let Some(bytes) = source.next().await? {
            writer.write(self.app, &bytes).await?;
        }
        writer.finish(self.app, &self.metadata).await?;
        Ok(vec![self.description(&path)])
    }

    async fn form(
        &self,
        mut parser: Parser,
        mut source: Source<'_>,
    ) -> Result<Vec<Value>, HttpError> {
        let mut written: Vec<PathBuf> = Vec::new();
        let mut current: Option<(PathBuf, Writer)> = None;
        while let Some(bytes) = source.next().await? {
            parser.push(&bytes);
            while let Some(event) = parser.next_event().map_err(HttpError::bad_request)? {
                match event {
                    Event::Part(part) if part.name == "file" => {
                        let path = self.path.or(part.filename.as_deref());
                        let path = path.ok_or_else(|| {
                            HttpError::bad_request("a part has no file name and the query no path")
                        })?;
                        let path = super::resolve(self.app, path, &self.user)?;
                        if written.contains(&path) {
                            return Err(HttpError::bad_request(format!(
                                "'{}' is uploaded twice",
                                path.display()
                            )));
                        }
                        let writer = Writer::new(self.destination(&path, None));
                        current = Some((path, writer));
                    }
                    Event::Part(_) => current = None,
                    Event::Data(data) => {
                        if let Some((_, writer)) = &mut current {
                            writer.write(self.app, &data).await?;
                        }
                    }
                    Event::PartEnd => {
                        if let Some((path, writer)) = current.take() {
                            writer.finish(self.app, &self.metadata).await?;
                            written.push(path);
                        }
                    }
                }
            }
        }
        if !parser.is_done() {
            return Err(HttpError::bad_request(
                "the form ends before its last delimiter",
            ));
        }
        Ok(written.iter().map(|path| self.description(path)).collect())
    }

    fn destination(&self, path: &std::path::Path, expected: Option<u64>) -> Destination {
        Destination {
            path: path.to_owned(),
            owner: Owner {
                uid: self.user.uid,
                gid: self.user.gid,
            },
            expected,
        }
    }

    fn description(&self, path: &std::path::Path) -> Value {
        let mut description =
            json!({ "name": paths::name(path), "path": path.to_string_lossy(), "type": "file" });
        if !self.metadata.is_empty() {
            description["metadata"] = json!(self.metadata);
        }
        description
    }
}

/// A request's body, decoded.
struct Source<'a> {
    body: &'a mut Incoming,
    decoder: Decoder,
    undecoded: Bytes,
    ended: bool,
}

impl Source<'_> {
    async fn next(&mut self) -> Result<Option<Bytes>, HttpError> {
        let damaged = |error: std::io::Error| {
            HttpError::bad_request(format!("Cannot decode the gzip body: {error}"))
        };
        while !self.ended {
            if self.undecoded.is_empty() {
                match next_data(self.body).await {
                    Some(data) => {
                        self.undecoded =
                            data.map_err(|_| HttpError::bad_request("the request ended early"))?
                    }
                    None => {
                        self.ended = true;
                        let decoder = std::mem::replace(&mut self.decoder, Decoder::Identity);
                        return Ok(Some(decoder.finish().map_err(damaged)?));
                    }
                }
            }
            let piece = self
                .undecoded
                .split_to(self.decoder.piece(self.undecoded.len()));
            let decoded = self.decoder.decode(piece).map_err(damaged)?;
            if !decoded.is_empty() {
                return Ok(Some(decoded));
            }
        }
        Ok(None)
    }
}

async fn drain(body: &mut Incoming) {
    let reading = async {
        let mut read = 0;
        while let Some(Ok(data)) = next_data(body).await {
            read += data.len() as u64;
            if read > DRAIN {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(DRAIN_TIME, reading).await;
}
