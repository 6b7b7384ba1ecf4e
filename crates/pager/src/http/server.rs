//! Accepts connections; one thread each, at most `MAX_CONNECTIONS` of them.

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::request::{self, Request};
use super::response::Response;
use crate::failure::{Code, Failure};

const MAX_CONNECTIONS: usize = 32;
const STACK_BYTES: usize = 256 << 10;
/// A client that does not send or take for so long is gone.
const IO_TIMEOUT: Duration = Duration::from_secs(10);

/// Answers requests until the process ends.
pub fn serve<H>(listener: &UnixListener, handle: H)
where
    H: Fn(&Request) -> Response + Send + Sync + 'static,
{
    let handle = Arc::new(handle);
    let connections = Arc::new(AtomicUsize::new(0));
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else {
            // Out of descriptors, most likely: let some connection end first.
            thread::sleep(Duration::from_millis(10));
            continue;
        };
        let slot = Slot::take(&connections);
        if slot.is_none() {
            refuse(&mut stream);
            continue;
        }
        let handle = Arc::clone(&handle);
        let connection = thread::Builder::new()
            .name("api".into())
            .stack_size(STACK_BYTES)
            .spawn(move || {
                let _slot = slot;
                converse(&mut stream, handle.as_ref());
            });
        // Without a thread the stream was dropped: the client sees the connection end.
        drop(connection);
    }
}

/// Counts a connection as long as it lives.
struct Slot(Arc<AtomicUsize>);

impl Slot {
    fn take(connections: &Arc<AtomicUsize>) -> Option<Self> {
        let slot = Self(Arc::clone(connections));
        let before = connections.fetch_add(1, Ordering::Relaxed);
        (before < MAX_CONNECTIONS).then_some(slot)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn converse(stream: &mut UnixStream, handle: &impl Fn(&Request) -> Response) {
    let timeouts = stream
        .set_read_timeout(Some(IO_TIMEOUT))
        .and_then(|()| stream.set_write_timeout(Some(IO_TIMEOUT)));
    if timeouts.is_err() {
        return;
    }
    let response = match request::read(stream) {
        Ok(Some(request)) => handle(&request),
        Ok(None) => return,
        Err(failure) => failure.into(),
    };
    // A client that went away changes nothing: what it asked for is done.
    let _ = response.write(stream).and_then(|()| stream.flush());
    let _ = stream.shutdown(Shutdown::Write);
}

fn refuse(stream: &mut UnixStream) {
    let failure = Failure::new(
        Code::Capacity,
        format!("Cannot answer: {MAX_CONNECTIONS} requests run already"),
    );
    let _ = stream
        .set_write_timeout(Some(Duration::from_millis(100)))
        .and_then(|()| Response::from(failure).write(stream));
}
