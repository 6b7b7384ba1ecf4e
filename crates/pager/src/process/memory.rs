//! The memory of another process (`process_vm_readv(2)`).

use std::io;
use std::os::fd::OwnedFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

/// A process, held by a pidfd: its number cannot come to mean another one unnoticed.
#[derive(Debug)]
pub struct ProcessMemory {
    pid: Pid,
    pidfd: OwnedFd,
}

impl ProcessMemory {
    /// Takes hold of the process.
    pub fn open(pid: u32) -> io::Result<Self> {
        let pid = process_id(pid).ok_or(io::ErrorKind::NotFound)?;
        let pidfd = pidfd_open(pid, PidfdFlags::empty())?;
        Ok(Self { pid, pidfd })
    }

    /// Fails once the process has ended: then what was read may be another's.
    pub fn still_alive(&self) -> io::Result<()> {
        let mut ended = [PollFd::new(&self.pidfd, PollFlags::IN)];
        match poll(&mut ended, Some(&Timespec::default()))? {
            0 => Ok(()),
            _ => Err(io::Error::from_raw_os_error(libc::ESRCH)),
        }
    }

    /// Fills `buffer` from `address`.
    pub fn read(&self, address: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        while done < buffer.len() {
            let rest = &mut buffer[done..];
            let local = libc::iovec {
                iov_base: rest.as_mut_ptr().cast(),
                iov_len: rest.len(),
            };
            let remote = remote(address + done as u64, rest.len());
            // SAFETY: `local` is exactly `rest`, which is borrowed for the call; `remote` is not of this process.
            let count = unsafe {
                libc::process_vm_readv(self.pid.as_raw_nonzero().get(), &local, 1, &remote, 1, 0)
            };
            done += transferred(count)?;
        }
        Ok(())
    }

    /// Writes `bytes` at `address`; a private mapping gets pages of its own.
    pub fn write(&self, address: u64, bytes: &[u8]) -> io::Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            let rest = &bytes[done..];
            let local = libc::iovec {
                iov_base: rest.as_ptr().cast_mut().cast(),
                iov_len: rest.len(),
            };
            let remote = remote(address + done as u64, rest.len());
            // SAFETY: the kernel only reads `local`, which is exactly `rest`; `remote` is not of this process.
            let count = unsafe {
                libc::process_vm_writev(self.pid.as_raw_nonzero().get(), &local, 1, &remote, 1, 0)
            };
            done += transferred(count)?;
        }
        Ok(())
    }
}

/// A process id as the kernel numbers them; `None` for 0 and what is no id.
pub fn process_id(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

fn remote(address: u64, length: usize) -> libc::iovec {
    libc::iovec {
        iov_base: address as usize as *mut libc::c_void,
        iov_len: length,
    }
}

fn transferred(count: isize) -> io::Result<usize> {
    match usize::try_from(count) {
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        Ok(count) => Ok(count),
        Err(_) => Err(io::Error::last_os_error()),
    }
}
