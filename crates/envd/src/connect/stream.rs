//! Streams: server streams (one request message, many answers) and client streams (the reverse).
//! Whatever goes wrong is told in the end-of-stream message of a 200: clients judge a stream with
//! another status by the status alone.

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response};
use serde_json::json;

use super::call::{Call, MAX_MESSAGE};
use super::frame::{Decoder, END_OF_STREAM, encode};
use super::{Error, json};
use crate::http::body::{Body, Sender, media_type_is, next_data};

const MEDIA_TYPE: &str = "application/connect+json";

/// Where a server stream's messages go. Sending waits until the connection has taken the message.
pub struct Messages(Sender);

impl Messages {
    pub async fn send(&mut self, message: &[u8]) {
        self.0.send(encode(0, message)).await;
    }

    /// Sends bytes that are an envelope already.
    pub async fn send_frame(&mut self, frame: Bytes) {
        self.0.send(frame).await;
    }
}

/// Answers with a server stream that `handler` fills. When the client goes away `handler` is dropped.
pub fn serve<Req, Handler>(request: Request<Incoming>, handler: Handler) -> Response<Body>
where
    Req: serde::de::DeserializeOwned + 'static,
    Handler: AsyncFnOnce(Call, Req, &mut Messages) -> Result<(), Error> + 'static,
{
    if !media_type_is(request.headers(), MEDIA_TYPE) {
        return super::unary::unsupported_media_type();
    }
    stream_response(Body::produced(async move |sender| {
        let mut messages = Messages(sender);
        let result = async {
            let mut incoming = ClientMessages::new(request)?;
            let message = incoming
                .next()
                .await?
                .ok_or_else(|| Error::invalid("the request has no message"))?;
            handler(incoming.call, json::parse(&message)?, &mut messages).await
        }
        .await;
        messages.send_frame(end(result)).await;
    }))
}

/// Answers a client stream: `handler` takes the messages, then one empty message ends the call.
pub fn collect<Handler>(request: Request<Incoming>, handler: Handler) -> Response<Body>
where
    Handler: AsyncFnOnce(&mut ClientMessages) -> Result<(), Error> + 'static,
{
    if !media_type_is(request.headers(), MEDIA_TYPE) {
        return super::unary::unsupported_media_type();
    }
    stream_response(Body::produced(async move |sender| {
        let mut messages = Messages(sender);
        let result = async {
            let mut incoming = ClientMessages::new(request)?;
            super::unary::within(incoming.call.deadline, handler(&mut incoming)).await
        }
        .await;
        if result.is_ok() {
            messages.send(b"{}").await;
        }
        messages.send_frame(end(result)).await;
    }))
}

fn stream_response(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

fn end(result: Result<(), Error>) -> Bytes {
    match result {
        Ok(()) => encode(END_OF_STREAM, b"{}"),
        Err(error) => encode(
            END_OF_STREAM,
            json!({ "error": error.to_json() }).to_string().as_bytes(),
        ),
    }
}

/// The messages that a client sends.
pub struct ClientMessages {
    pub call: Call,
    body: Incoming,
    decoder: Decoder,
}

impl ClientMessages {
    fn new(request: Request<Incoming>) -> Result<Self, Error> {
        let (parts, body) = request.into_parts();
        Ok(ClientMessages {
            call: Call::from_headers(&parts.headers)?,
            body,
            decoder: Decoder::new(MAX_MESSAGE),
        })
    }

    /// The next message, `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        loop {
            if let Some(message) = self.decoder.next_message()? {
                return Ok(Some(message));
            }
            match next_data(&mut self.body).await {
                Some(Ok(data)) => self.decoder.push(&data),
                Some(Err(_)) => return Err(Error::invalid("the request ended early")),
                None if self.decoder.is_empty() => return Ok(None),
                None => return Err(Error::invalid("the request ends inside a message")),
            }
        }
    }
}
