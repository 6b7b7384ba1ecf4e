//! One process: what it is, how it is reached, how it ended.

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::time::Duration;

use rustix::process::Signal;
use rustix::termios::Winsize;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

use super::cgroup::Cgroup;
use super::end::End;
use super::input::{Ended, Input};
use super::messages::ProcessConfig;
use super::output::Output;
use super::{kill, pty};
use crate::connect::{Code, Error};

/// How long a kill waits for the record of the end, once all processes are gone: a follower that
/// does not read delays the record.
const RECORD: Duration = Duration::from_secs(1);

/// What is known of a process, also for a while after its end.
pub struct Life {
    pub pid: u32,
    pub tag: Option<String>,
    pub output: Rc<Output>,
    pub ended: Ended,
    /// Its lifetime limit has passed.
    pub expired: Cell<bool>,
    pub end: RefCell<Option<End>>,
}

/// A process that was started through the agent, with what is held open for it until its end.
pub struct Process {
    pub life: Rc<Life>,
    pub started: Instant,
    pub config: ProcessConfig,
    pub pidfd: AsyncFd<OwnedFd>,
    pub cgroup: Option<Rc<Cgroup>>,
    pub input: Input,
    /// The process itself has exited; others may still hold its output open.
    exited: Cell<bool>,
    /// It was told to end: what others still write is not waited for.
    told_to_end: Cell<bool>,
    pub killed_by_us: Cell<bool>,
}

impl Life {
    pub fn new(pid: u32, tag: Option<String>, output: Output) -> Rc<Self> {
        Rc::new(Life {
            pid,
            tag,
            output: Rc::new(output),
            ended: Ended::default(),
            expired: Cell::new(false),
            end: RefCell::default(),
        })
    }
}

impl Process {
    pub fn new(
        life: Rc<Life>,
        config: ProcessConfig,
        pidfd: AsyncFd<OwnedFd>,
        cgroup: Option<Cgroup>,
        input: Input,
    ) -> Rc<Self> {
        Rc::new(Process {
            life,
            started: Instant::now(),
            config,
            pidfd,
            cgroup: cgroup.map(Rc::new),
            input,
            exited: Cell::new(false),
            told_to_end: Cell::new(false),
            killed_by_us: Cell::new(false),
        })
    }

    /// Sends `signal` to the process; SIGKILL goes to all its descendants too, and is done when none
    /// of them is left.
    pub async fn signal(&self, signal: Signal) -> Result<(), Error> {
        if self.life.end.borrow().is_some() {
            return Err(Error::not_found(format!(
                "the process {} has ended",
                self.life.pid
            )));
        }
        if matches!(signal, Signal::KILL | Signal::TERM) {
            self.told_to_end.set(true);
        }
        if signal == Signal::KILL {
            self.kill().await?;
        } else {
            rustix::process::pidfd_send_signal(&self.pidfd, signal).map_err(|error| {
                Error::from_io(
                    &format!("signal the process {}", self.life.pid),
                    &error.into(),
                )
            })?;
        }
        self.stop_waiting_for_output();
        if signal == Signal::KILL {
            let _ = tokio::time::timeout(RECORD, self.life.ended.wait()).await;
        }
        Ok(())
    }

    /// Kills the process and all its descendants.
    pub async fn kill(&self) -> Result<(), Error> {
        self.told_to_end.set(true);
        self.killed_by_us.set(true);
        let killed = kill::kill_all(self.life.pid, self.cgroup.as_deref()).await;
        self.stop_waiting_for_output();
        killed.map_err(|error| {
            Error::internal(format!(
                "Cannot kill the process {}: {error}",
                self.life.pid
            ))
        })
    }

    /// To be called when the process itself has exited.
    pub fn has_exited(&self) {
        self.exited.set(true);
        self.stop_waiting_for_output();
    }

    fn stop_waiting_for_output(&self) {
        if self.exited.get() && self.told_to_end.get() {
            self.life.output.abandon();
        }
    }

    /// Resizes the terminal.
    pub fn resize(&self, size: Winsize) -> Result<(), Error> {
        let Input::Pty { controller, .. } = &self.input else {
            return Err(Error::new(
                Code::FailedPrecondition,
                "the process has no terminal",
            ));
        };
        pty::resize(controller, size).map_err(|error| Error::from_io("resize the terminal", &error))
    }
}
