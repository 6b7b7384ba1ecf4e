//! Unary calls: one JSON body each way.

use std::future::Future;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use hyper::{HeaderMap, Request, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::call::{Call, MAX_MESSAGE};
use super::frame::too_large;
use super::{Code, Error, json};
use crate::http::body::{Body, ReadError, media_type_is, read_all};

/// Reads the request, runs `handler` within the call's deadline, and answers.
pub async fn answer<Req, Res, Fut>(
    request: Request<Incoming>,
    handler: impl FnOnce(Call, Req) -> Fut,
) -> Response<Body>
where
    Req: DeserializeOwned,
    Res: Serialize,
    Fut: Future<Output = Result<Res, Error>>,
{
    if !media_type_is(request.headers(), "application/json") {
        return unsupported_media_type();
    }
    match run(request, handler).await {
        Ok(message) => json_response(200, message),
        Err(error) => error_response(&error),
    }
}

async fn run<Req, Res, Fut>(
    request: Request<Incoming>,
    handler: impl FnOnce(Call, Req) -> Fut,
) -> Result<Bytes, Error>
where
    Req: DeserializeOwned,
    Res: Serialize,
    Fut: Future<Output = Result<Res, Error>>,
{
    let (call, body) = receive(request).await?;
    let message = json::parse(&body)?;
    let deadline = call.deadline;
    let result = within(deadline, handler(call, message)).await?;
    serde_json::to_vec(&result)
        .map(Bytes::from)
        .map_err(|error| Error::internal(error.to_string()))
}

/// The call's headers and its whole body.
pub async fn receive(request: Request<Incoming>) -> Result<(Call, Bytes), Error> {
    let (parts, body) = request.into_parts();
    let call = Call::from_headers(&parts.headers)?;
    refuse_compression(&parts.headers)?;
    let body = within(call.deadline, async {
        read_all(body, MAX_MESSAGE)
            .await
            .map_err(|error| match error {
                ReadError::TooLarge => too_large(MAX_MESSAGE),
                ReadError::Cut => Error::invalid("the request ended early"),
            })
    })
    .await?;
    Ok((call, body))
}

/// Runs `future` until the call's deadline.
pub async fn within<T>(
    deadline: Option<tokio::time::Instant>,
    future: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    match deadline {
        None => future.await,
        Some(deadline) => tokio::time::timeout_at(deadline, future)
            .await
            .unwrap_or_else(|_| Err(Error::deadline())),
    }
}

fn refuse_compression(headers: &HeaderMap) -> Result<(), Error> {
    match headers.get(CONTENT_ENCODING) {
        Some(encoding) if encoding != "identity" => Err(Error::new(
            Code::Unimplemented,
            format!("Content-Encoding {encoding:?} is not supported here"),
        )),
        _ => Ok(()),
    }
}

/// An error as the protocol's unary answer.
pub fn error_response(error: &Error) -> Response<Body> {
    json_response(error.code.http_status(), error.to_json().to_string().into())
}

/// The answer to a body that is not JSON, and that says what would be.
pub fn unsupported_media_type() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = hyper::StatusCode::UNSUPPORTED_MEDIA_TYPE;
    response.headers_mut().insert(
        "accept-post",
        HeaderValue::from_static("application/json, application/connect+json"),
    );
    response
}

/// A response with a JSON body.
pub fn json_response(status: u16, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::full(body));
    *response.status_mut() =
        hyper::StatusCode::from_u16(status).expect("a status of the table above");
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
