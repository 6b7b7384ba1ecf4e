//! Terminals for processes.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Gid, Uid};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

/// The two ends of a new terminal.
pub struct Pty {
    /// The agent's end.
    pub controller: OwnedFd,
    /// The process's end.
    pub terminal: OwnedFd,
}

/// Opens a terminal that belongs to `uid`, so that the user can open it again by its name.
pub fn open(uid: u32, size: Winsize) -> io::Result<Pty> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let controller = rustix::pty::openpt(flags)?;
    rustix::pty::unlockpt(&controller)?;
    let terminal = rustix::pty::ioctl_tiocgptpeer(&controller, flags)?;
    rustix::fs::fchown(&terminal, Some(Uid::from_raw(uid)), None::<Gid>)?;
    resize(&controller, size)?;
    Ok(Pty {
        controller,
        terminal,
    })
}

/// Sets the size; the kernel tells the foreground processes (SIGWINCH).
pub fn resize(controller: impl AsFd, size: Winsize) -> io::Result<()> {
    Ok(rustix::termios::tcsetwinsize(controller, size)?)
}
