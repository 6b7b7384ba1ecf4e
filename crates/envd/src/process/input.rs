//! What is written to a process: its standard input or its terminal.

use std::cell::Cell;
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::sync::{Mutex, Notify};

use crate::connect::{Code, Error};

/// The way into a process.
pub enum Input {
    /// `/dev/null`, or a terminal.
    None,
    /// A pipe until it is closed. Writers queue here, so that chunks do not mix.
    Pipe(Mutex<Option<AsyncFd<OwnedFd>>>),
    Pty {
        controller: Rc<AsyncFd<OwnedFd>>,
        order: Mutex<()>,
    },
}

/// Tells writers that wait for room that the process has ended.
#[derive(Default)]
pub struct Ended {
    ended: Cell<bool>,
    changed: Notify,
}

impl Ended {
    pub fn set(&self) {
        self.ended.set(true);
        self.changed.notify_waiters();
    }

    /// Completes once the process has ended.
    pub async fn wait(&self) {
        let changed = self.changed.notified();
        if !self.ended.get() {
            changed.await;
        }
    }
}

impl Input {
    /// Writes all of `bytes` to the standard input, waiting while the pipe is full.
    pub async fn write_stdin(&self, bytes: &[u8], ended: &Ended) -> Result<(), Error> {
        let Input::Pipe(pipe) = self else {
            return Err(no_stdin());
        };
        let pipe = pipe.lock().await;
        write_all(pipe.as_ref().ok_or_else(no_stdin)?, bytes, ended).await
    }

    /// Writes all of `bytes` to the terminal.
    pub async fn write_pty(&self, bytes: &[u8], ended: &Ended) -> Result<(), Error> {
        let Input::Pty { controller, order } = self else {
            return Err(Error::new(
                Code::FailedPrecondition,
                "the process has no terminal",
            ));
        };
        let _turn = order.lock().await;
        write_all(controller, bytes, ended).await
    }

    /// Closes the standard input after what is being written; closing twice is success.
    pub async fn close_stdin(&self) -> Result<(), Error> {
        match self {
            Input::Pipe(pipe) => {
                pipe.lock().await.take();
                Ok(())
            }
            Input::None => Ok(()),
            Input::Pty { .. } => Err(Error::new(
                Code::FailedPrecondition,
                "a terminal's input cannot be closed; send the byte 0x04 instead",
            )),
        }
    }
}

fn no_stdin() -> Error {
    Error::new(
        Code::FailedPrecondition,
        "the process's standard input is closed",
    )
}

async fn write_all(
    target: &AsyncFd<OwnedFd>,
    mut bytes: &[u8],
    ended: &Ended,
) -> Result<(), Error> {
    while !bytes.is_empty() {
        match rustix::io::write(target, bytes) {
            Ok(written) => bytes = &bytes[written..],
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => tokio::select! {
                ready = target.writable() => match ready {
                    Ok(mut ready) => ready.clear_ready(),
                    Err(error) => return Err(Error::from_io("write to the process", &error)),
                },
                () = ended.wait() => return Err(Error::not_found("the process has ended")),
            },
            Err(Errno::PIPE | Errno::IO) => return Err(no_stdin()),
            Err(error) => {
                return Err(Error::from_io(
                    "write to the process",
                    &io::Error::from(error),
                ));
            }
        }
    }
    Ok(())
}
