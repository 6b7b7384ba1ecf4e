//! The socket on which one VMM hands its memory over.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid, chownat, fstat, openat, unlinkat};

use super::io_pool::Mailbox;
use crate::failure::{Code, Failure};
use crate::files::roots::{Roots, path_in};

/// A bound socket; its name goes with it.
#[derive(Debug)]
pub struct VmmListener {
    directory: OwnedFd,
    name: std::ffi::OsString,
    listener: UnixListener,
}

impl VmmListener {
    /// Makes the socket at `path`, which only user `uid` may connect to. An old socket there is replaced.
    pub fn bind(roots: &Roots, path: &Path, uid: u32, gid: u32) -> Result<Self, Failure> {
        let failed =
            |error: io::Error| Failure::io(format_args!("listen at {}", path.display()), error);
        let (directory, name) = roots.parent(path)?;
        remove_socket(&directory, &name).map_err(|error| failed(error.into()))?;
        // Through the open directory: its path may be longer than a socket's can be.
        let listener = UnixListener::bind(path_in(&directory, &name)).map_err(failed)?;
        let bound = Self {
            directory,
            name,
            listener,
        };
        bound.give_to(uid, gid).map_err(failed)?;
        Ok(bound)
    }

    /// The directory may be the VMM user's, so nothing is assumed about what has the name now.
    fn give_to(&self, uid: u32, gid: u32) -> io::Result<()> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let socket = openat(&self.directory, &self.name, flags, Mode::empty())?;
        if FileType::from_raw_mode(fstat(&socket)?.st_mode) != FileType::Socket {
            return Err(io::Error::other("something else took its name"));
        }
        let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
        Ok(chownat(
            &socket,
            "",
            Some(uid),
            Some(gid),
            AtFlags::EMPTY_PATH,
        )?)
    }

    /// Waits for the VMM. `None`: it did not come in time, or the session was deleted.
    pub fn accept(&self, mailbox: &Mailbox, timeout: Duration) -> io::Result<Option<UnixStream>> {
        let deadline = Instant::now() + timeout;
        self.listener.set_nonblocking(true)?;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let timeout = Timespec {
                tv_sec: left.as_secs() as i64,
                tv_nsec: left.subsec_nanos().into(),
            };
            let mut fds = [
                PollFd::from_borrowed_fd(self.listener.as_fd(), PollFlags::IN),
                PollFd::from_borrowed_fd(mailbox.bell(), PollFlags::IN),
            ];
            match poll(&mut fds, Some(&timeout)) {
                Ok(0) => return Ok(None),
                Ok(_) if mailbox.stopped() => return Ok(None),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            match self.listener.accept() {
                Ok((stream, _)) => {
                    stream.set_nonblocking(false)?;
                    return Ok(Some(stream));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    }
}

impl Drop for VmmListener {
    fn drop(&mut self) {
        let _ = remove_socket(&self.directory, &self.name);
    }
}

fn remove_socket(directory: &OwnedFd, name: &std::ffi::OsString) -> rustix::io::Result<()> {
    let found = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW);
    match found {
        Ok(found) if FileType::from_raw_mode(found.st_mode) == FileType::Socket => {
            unlinkat(directory, name, AtFlags::empty())
        }
        // Anything else is not ours to remove; bind will say that the name is taken.
        Ok(_) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(error),
    }
}

/// Checks a session's id, which becomes a file name.
pub fn check_id(id: &str) -> Result<(), Failure> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if (1..=64).contains(&id.len()) && id.bytes().all(plain) && !id.starts_with('.') {
        return Ok(());
    }
    let message = format!("Cannot name a session {id:?}: 1 to 64 of A-Z a-z 0-9 . _ -");
    Err(Failure::new(Code::InvalidRequest, message))
}
