//! A running VM: its console, its control socket, and its end.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signalfd::SignalFd;

use crate::cgroup::Cgroup;
use crate::console::Console;
use crate::control::{Client, ControlSocket, Heard, State, has_room};
use crate::exit::{self, Exit};
use crate::launch::Vmm;
use crate::sys::Ended;

const CONSOLE_CHUNK_BYTES: usize = 64 * 1024;
const MAX_PIPE_BYTES: usize = 1024 * 1024; // default of /proc/sys/fs/pipe-max-size

/// The VM and everything that the shim holds for it.
pub struct Vm {
    pub vmm: Vmm,
    /// Read end of the VMM's standard output and error.
    pub output: File,
    pub console: Console,
    pub cgroup: Option<Cgroup>,
    pub control: ControlSocket,
    pub signals: SignalFd,
    pub exit_record: PathBuf,
}

impl Vm {
    /// The VMM's process id.
    pub fn pid(&self) -> i32 {
        self.vmm.pid()
    }

    /// Serves until the VM has ended; then records and tells how, and removes what was made for it.
    pub fn supervise(mut self) {
        let greeting = State::Running { pid: self.pid() }.line();
        let mut clients = Vec::new();
        self.serve(&mut clients, &greeting);
        self.finish(clients, &greeting);
    }

    /// Returns when the VMM has ended, or when it can no longer be watched.
    fn serve(&mut self, clients: &mut Vec<Client>, greeting: &[u8]) {
        let mut has_output = true;
        loop {
            let ready = match self.wait(clients, has_output) {
                Ok(ready) => ready,
                Err(Errno::EINTR) => continue,
                Err(errno) => {
                    eprintln!("Cannot watch the VM: {errno}");
                    return self.kill();
                }
            };
            if ready.vmm {
                return;
            }
            if ready.signals
                && self
                    .signals
                    .read_signal()
                    .is_ok_and(|signal| signal.is_some())
            {
                self.kill();
            }
            if ready.output {
                has_output = self.read_output() != Output::Ended;
            }
            let mut is_ready = ready.clients.into_iter();
            clients.retain_mut(|client| match is_ready.next() {
                Some(true) => self.obey(client.hear()),
                _ => true,
            });
            if ready.control {
                self.admit(clients, greeting);
            }
        }
    }

    fn wait(&self, clients: &[Client], has_output: bool) -> nix::Result<Ready> {
        let watched = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let own: [BorrowedFd<'_>; 3] =
            [self.vmm.as_fd(), self.signals.as_fd(), self.control.as_fd()];
        let mut fds: Vec<_> = own
            .into_iter()
            .chain(clients.iter().map(AsFd::as_fd))
            .map(watched)
            .collect();
        // A pipe that its writers closed is readable forever.
        fds.extend(has_output.then(|| watched(self.output.as_fd())));
        poll(&mut fds, PollTimeout::NONE)?;
        let mut ready = fds.iter().map(|fd| fd.any().unwrap_or(true));
        let mut next = || ready.next().unwrap_or(false);
        Ok(Ready {
            vmm: next(),
            signals: next(),
            control: next(),
            clients: clients.iter().map(|_| next()).collect(),
            output: next(),
        })
    }

    /// One read at a time, so that a flood does not keep the agent waiting.
    fn read_output(&mut self) -> Output {
        let mut bytes = vec![0; CONSOLE_CHUNK_BYTES];
        match self.output.read(&mut bytes) {
            Ok(0) => Output::Ended,
            Ok(count) => {
                self.console.write(&bytes[..count]);
                Output::Some
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) =>
            {
                Output::None
            }
            Err(_) => Output::Ended,
        }
    }

    /// Whether the client is kept.
    fn obey(&self, heard: Heard) -> bool {
        if heard == Heard::Kill {
            self.kill();
        }
        heard != Heard::Gone
    }

    fn admit(&self, clients: &mut Vec<Client>, greeting: &[u8]) {
        while let Some(stream) = self.control.accept() {
            if has_room(clients) {
                clients.extend(Client::greet(stream, greeting));
            }
        }
    }

    fn kill(&self) {
        self.vmm.kill();
        if let Some(cgroup) = &self.cgroup {
            cgroup.kill();
        }
    }

    /// Whoever hears of the end finds everything clean: the record is written before the socket goes, and
    /// the clients are told last.
    fn finish(mut self, mut clients: Vec<Client>, greeting: &[u8]) {
        let ended = self.vmm.wait().unwrap_or(Ended::Signaled(libc::SIGKILL));
        let exit = Exit::new(ended, self.cgroup.as_ref().is_some_and(Cgroup::oom_killed));
        drop(self.cgroup.take());
        // As much as a pipe can hold: whoever still has its other end could write forever.
        for _ in 0..MAX_PIPE_BYTES / CONSOLE_CHUNK_BYTES {
            if self.read_output() != Output::Some {
                break;
            }
        }
        let line = State::Exited(&exit).line();
        if let Err(error) = exit::write_record(&self.exit_record, &line) {
            eprintln!("Cannot write {}: {error}", self.exit_record.display());
        }
        self.admit(&mut clients, greeting);
        drop(self.control);
        for client in clients {
            client.say_last(&line);
        }
    }
}

#[derive(PartialEq, Eq)]
enum Output {
    Some,
    None,
    Ended,
}

struct Ready {
    vmm: bool,
    signals: bool,
    control: bool,
    clients: Vec<bool>,
    output: bool,
}
