//! Bodies: answers that are ready, answers that are produced while they are sent, and the reading
//! of requests.

use std::cell::RefCell;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use hyper::HeaderMap;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};
use hyper::header::CONTENT_TYPE;

use super::connections::RequestGuard;

/// The body of every answer.
pub struct Body {
    kind: Kind,
    /// Dropped with the body: the request counts as being answered until then.
    _busy: Option<RequestGuard>,
}

enum Kind {
    Full(Option<Bytes>),
    Produced {
        producer: Pin<Box<dyn Future<Output = Result<(), io::Error>>>>,
        slot: Slot,
        length: Option<u64>,
        ended: bool,
    },
}

type Slot = Rc<RefCell<Option<Bytes>>>;

impl Body {
    fn of(kind: Kind) -> Self {
        Body { kind, _busy: None }
    }

    /// Keeps `busy` until the body has been sent.
    pub fn holding(mut self, busy: RequestGuard) -> Self {
        self._busy = Some(busy);
        self
    }

    pub fn empty() -> Self {
        Body::of(Kind::Full(None))
    }

    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Body::of(Kind::Full(
            Some(bytes.into()).filter(|bytes| !bytes.is_empty()),
        ))
    }

    /// A body that `producer` sends piece by piece. It runs only as fast as the connection takes the
    /// pieces, and is dropped with the connection.
    pub fn produced<Producer>(producer: Producer) -> Self
    where
        Producer: AsyncFnOnce(Sender) + 'static,
    {
        Self::fallible(None, async move |sender| {
            producer(sender).await;
            Ok(())
        })
    }

    /// As `produced`; an error cuts the connection, so that the client sees a broken answer instead
    /// of a short one. `length` becomes the Content-Length.
    pub fn fallible<Producer>(length: Option<u64>, producer: Producer) -> Self
    where
        Producer: AsyncFnOnce(Sender) -> Result<(), io::Error> + 'static,
    {
        let slot = Slot::default();
        let sender = Sender(Rc::clone(&slot));
        Body::of(Kind::Produced {
            producer: Box::pin(producer(sender)),
            slot,
            length,
            ended: false,
        })
    }
}

/// Where a producer puts the pieces of its body.
pub struct Sender(Slot);

impl Sender {
    /// Waits until the connection has room for `piece`.
    pub async fn send(&mut self, piece: Bytes) {
        // An empty piece of a chunked body would end it.
        if piece.is_empty() {
            return;
        }
        let mut piece = Some(piece);
        // The producer is polled only by `poll_frame` below, which empties the slot right after:
        // no waker has to be kept.
        poll_fn(|_| {
            let mut slot = self.0.borrow_mut();
            if slot.is_some() {
                return Poll::Pending;
            }
            match piece.take() {
                Some(bytes) => {
                    *slot = Some(bytes);
                    Poll::Pending
                }
                None => Poll::Ready(()),
            }
        })
        .await;
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        match &mut self.kind {
            Kind::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Kind::Produced { ended: true, .. } => Poll::Ready(None),
            Kind::Produced {
                producer,
                slot,
                ended,
                ..
            } => {
                let progress = producer.as_mut().poll(context);
                if let Some(bytes) = slot.borrow_mut().take() {
                    // The producer goes on at the next poll, which follows once this piece is taken.
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                match progress {
                    Poll::Pending => Poll::Pending,
                    Poll::Ready(result) => {
                        *ended = true;
                        Poll::Ready(result.err().map(Err))
                    }
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Full(bytes) => bytes.is_none(),
            Kind::Produced { ended, .. } => *ended,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Full(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Kind::Produced {
                length: Some(length),
                ..
            } => SizeHint::with_exact(*length),
            Kind::Produced { length: None, .. } => SizeHint::default(),
        }
    }
}

/// Why a request's body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadError {
    /// It is larger than allowed.
    TooLarge,
    /// The connection broke inside it.
    Cut,
}

/// The whole body of a request, at most `max` bytes.
pub async fn read_all(mut body: Incoming, max: usize) -> Result<Bytes, ReadError> {
    let mut whole = BytesMut::new();
    while let Some(data) = next_data(&mut body).await {
        let data = data.map_err(|_| ReadError::Cut)?;
        if whole.len() + data.len() > max {
            return Err(ReadError::TooLarge);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// The next piece of a request's body; trailers are skipped.
pub async fn next_data(body: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
    loop {
        let frame = poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await?;
        match frame {
            Ok(frame) => {
                if let Ok(data) = frame.into_data() {
                    return Some(Ok(data));
                }
            }
            Err(error) => return Some(Err(error)),
        }
    }
}

/// Whether Content-Type is `expected`, whatever its parameters.
pub fn media_type_is(headers: &HeaderMap, expected: &str) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.split(';').next())
        .is_some_and(|media_type| media_type.trim().eq_ignore_ascii_case(expected))
}
