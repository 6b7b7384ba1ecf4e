//! The VMM at the other end of a socket: who it is, when it ends, and its end by us.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::sockopt::socket_peercred;
use rustix::process::{
    Pid, PidfdFlags, PidfdGetfdFlags, Signal, pidfd_getfd, pidfd_open, pidfd_send_signal,
};

use super::uffd::is_userfaultfd;
use crate::process::memory::process_id;

const SO_PEERPIDFD: libc::c_int = 77;
const KCMP_FILE: libc::c_int = 0;

/// A VMM.
#[derive(Debug)]
pub struct Peer {
    pid: Pid,
    uid: u32,
    pidfd: OwnedFd,
}

impl AsFd for Peer {
    /// The pidfd: readable when the VMM has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Peer {
    /// Who connected.
    pub fn of(stream: &UnixStream) -> io::Result<Self> {
        let credentials = socket_peercred(stream)?;
        // Linux 6.5 gives the very process that connected; before, its number must do.
        let pidfd = peer_pidfd(stream)
            .or_else(|_| Ok::<_, io::Error>(pidfd_open(credentials.pid, PidfdFlags::empty())?))?;
        Ok(Self {
            pid: credentials.pid,
            uid: credentials.uid.as_raw(),
            pidfd,
        })
    }

    /// The process that a descriptor file names, if it is still the same one.
    pub fn find(pid: u32, started: u64) -> io::Result<Self> {
        let id = process_id(pid).ok_or(io::ErrorKind::NotFound)?;
        let pidfd = pidfd_open(id, PidfdFlags::empty())?;
        if start_time(id)? != started {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Self {
            pid: id,
            uid: 0,
            pidfd,
        })
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid.as_raw_nonzero().get().unsigned_abs()
    }

    /// Its user id.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// When it started, in clock ticks since boot: with the process id, this names it for ever.
    pub fn started(&self) -> io::Result<u64> {
        start_time(self.pid)
    }

    /// Kills it; one that has ended is success.
    pub fn kill(&self) {
        // The only other error is one of permission, which root does not get.
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
    }

    /// Waits for its end.
    pub fn wait(&self, timeout: Duration) -> bool {
        let timeout = Timespec {
            tv_sec: timeout.as_secs() as i64,
            tv_nsec: timeout.subsec_nanos().into(),
        };
        let mut fds = [PollFd::new(&self.pidfd, PollFlags::IN)];
        matches!(poll(&mut fds, Some(&timeout)), Ok(1))
    }

    /// The VMM's own copy of our descriptor `fd`, by number: from it a later pager takes over.
    pub fn number_of(&self, fd: BorrowedFd<'_>) -> Option<i32> {
        let own = rustix::process::getpid();
        let entries = fs::read_dir(format!("/proc/{}/fd", self.pid())).ok()?;
        let process = self.pid().to_string();
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|number| is_userfaultfd(&process, *number))
            .find(|number| same_file(own, fd.as_raw_fd(), self.pid, *number))
    }

    /// A copy of the VMM's descriptor `number`.
    pub fn take(&self, number: i32) -> io::Result<OwnedFd> {
        Ok(pidfd_getfd(&self.pidfd, number, PidfdGetfdFlags::empty())?)
    }
}

/// Field 22 of `/proc/PID/stat`, counted after the name, which may hold anything.
pub(super) fn start_time(pid: Pid) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero()))?;
    stat.rsplit_once(')')
        .and_then(|(_, rest)| rest.split_ascii_whitespace().nth(19)?.parse().ok())
        .ok_or_else(|| io::ErrorKind::InvalidData.into())
}

fn peer_pidfd(stream: &UnixStream) -> io::Result<OwnedFd> {
    let mut fd: libc::c_int = -1;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: the kernel writes one int, for which there is room.
    let result = unsafe {
        libc::getsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_PEERPIDFD,
            (&raw mut fd).cast(),
            &mut length,
        )
    };
    if result != 0 || fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn same_file(left: Pid, left_fd: i32, right: Pid, right_fd: i32) -> bool {
    let (left, right) = (left.as_raw_nonzero().get(), right.as_raw_nonzero().get());
    // SAFETY: kcmp(2) takes numbers and reads no memory of ours.
    unsafe { libc::syscall(libc::SYS_kcmp, left, right, KCMP_FILE, left_fd, right_fd) == 0 }
}
