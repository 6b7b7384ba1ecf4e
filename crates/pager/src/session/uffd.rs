//! The ioctls of a userfaultfd that somebody else made.

use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

const UFFDIO_UNREGISTER: libc::Ioctl = 0x8010_aa01;
const UFFDIO_WAKE: libc::Ioctl = 0x8010_aa02;
const UFFDIO_COPY: libc::Ioctl = 0xc028_aa03;
const UFFDIO_ZEROPAGE: libc::Ioctl = 0xc020_aa04;

const EVENT_PAGEFAULT: u8 = 0x12;
const EVENT_FORK: u8 = 0x13;
const EVENT_REMOVE: u8 = 0x15;
const FAULT_WRITE_PROTECTED: u64 = 1 << 1;
const FAULT_MINOR: u64 = 1 << 2;

const MESSAGE_BYTES: usize = 32;
/// So many events are read at once.
pub const MESSAGES_AT_ONCE: usize = 64;

#[repr(C)]
struct Range {
    start: u64,
    length: u64,
}

#[repr(C)]
struct CopyArgument {
    destination: u64,
    source: u64,
    length: u64,
    mode: u64,
    /// Bytes that were copied, or a negative errno.
    done: i64,
}

#[repr(C)]
struct ZeroArgument {
    range: Range,
    mode: u64,
    done: i64,
}

/// What became of pages that were to be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Install {
    /// All are there, and who waited for them was woken.
    Complete,
    /// The first so many bytes; the next page was there already, or the memory is changing.
    Partial(u64),
    /// The first page was there already. Who waits for it has to be woken.
    Present,
    /// Nothing: the process is taking pages away and waits for its event to be read.
    Changing,
    /// Nothing: the process has ended.
    Gone,
    /// Nothing: the kernel has no memory.
    NoMemory,
    /// Nothing: not all of the range is registered, or it is of several mappings.
    Unregistered,
    /// Nothing, for another reason (errno).
    Failed(i32),
}

impl Install {
    /// `done` is signed: a page that was there in the middle of a range is told by `EAGAIN` and
    /// what was done before it; a memory that changes by `EAGAIN` and nothing done (-11, or 0 before 6.15).
    fn of(result: libc::c_int, errno: i32, done: i64, length: u64) -> Self {
        match (result, errno) {
            (0, _) if done == length as i64 => Self::Complete,
            (0, _) => Self::Partial(done.max(0) as u64),
            (_, libc::EAGAIN) if done > 0 => Self::Partial(done as u64),
            (_, libc::EAGAIN) => Self::Changing,
            (_, libc::EEXIST) => Self::Present,
            (_, libc::ESRCH) => Self::Gone,
            (_, libc::ENOMEM) => Self::NoMemory,
            (_, libc::ENOENT) => Self::Unregistered,
            (_, errno) => Self::Failed(errno),
        }
    }
}

/// Something that happened to the memory.
#[derive(Debug)]
pub enum Event {
    /// A thread waits for the page at this address.
    Fault {
        /// Where, to the byte or to the page.
        address: u64,
    },
    /// The process gave this range back (`MADV_DONTNEED`); it waited until the event was read.
    Remove {
        /// First byte.
        start: u64,
        /// One past the last.
        end: u64,
    },
    /// Something that a VMM does not do, or that was not asked for; why it cannot be served.
    Unexpected(String),
}

/// Room for what one `read(2)` gives.
pub struct EventBuffer {
    bytes: [u8; MESSAGE_BYTES * MESSAGES_AT_ONCE],
}

impl Default for EventBuffer {
    fn default() -> Self {
        Self {
            bytes: [0; MESSAGE_BYTES * MESSAGES_AT_ONCE],
        }
    }
}

/// A userfaultfd.
#[derive(Debug)]
pub struct Uffd(OwnedFd);

impl AsFd for Uffd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Uffd {
    /// Takes a descriptor that is a userfaultfd and nothing else: what is read from it is believed.
    pub fn new(fd: OwnedFd) -> io::Result<Self> {
        if !is_userfaultfd("self", fd.as_raw_fd()) {
            return Err(io::Error::other("the descriptor is not a userfaultfd"));
        }
        // A blocking one answers poll(2) with an error.
        fcntl_setfl(&fd, fcntl_getfl(&fd)? | OFlags::NONBLOCK)?;
        Ok(Self(fd))
    }

    /// Reads the next events: fewer than `MESSAGES_AT_ONCE` when there were no more.
    pub fn read(
        &self,
        buffer: &mut EventBuffer,
    ) -> io::Result<impl ExactSizeIterator<Item = Event>> {
        let length = match rustix::io::read(&self.0, &mut buffer.bytes[..]) {
            Ok(length) => length,
            Err(rustix::io::Errno::AGAIN) => 0,
            Err(error) => return Err(error.into()),
        };
        let messages = buffer.bytes[..length].as_chunks::<MESSAGE_BYTES>().0;
        Ok(messages.iter().map(parse))
    }

    /// Copies `source` to `address` and wakes who waits for it.
    pub fn copy(&self, address: u64, source: &[u8]) -> Install {
        self.copy_from(address, source.as_ptr() as u64, source.len() as u64)
    }

    /// Copies from an address of this process. The kernel checks it as it copies: where nothing can
    /// be read, for the file behind a mapping was cut short, it answers `EFAULT`.
    pub fn copy_from(&self, address: u64, source: u64, length: u64) -> Install {
        let mut argument = CopyArgument {
            destination: address,
            source,
            length,
            mode: 0,
            done: 0,
        };
        // SAFETY: the argument has the kernel's layout; the kernel reads `source` with checks and writes only
        // to the address space of the userfaultfd, into pages that are missing there.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), UFFDIO_COPY, &mut argument) };
        Install::of(result, errno(), argument.done, length)
    }

    /// Maps zeros at `address` and wakes who waits for them.
    pub fn zero(&self, address: u64, length: u64) -> Install {
        let mut argument = ZeroArgument {
            range: Range {
                start: address,
                length,
            },
            mode: 0,
            done: 0,
        };
        // SAFETY: the argument has the kernel's layout; only missing pages of the other process are written.
        let result = unsafe { libc::ioctl(self.0.as_raw_fd(), UFFDIO_ZEROPAGE, &mut argument) };
        Install::of(result, errno(), argument.done, length)
    }

    /// Wakes who waits for a page of the range: it faults again if the page is not there.
    pub fn wake(&self, address: u64, length: u64) -> io::Result<()> {
        self.on_range(UFFDIO_WAKE, address, length)
    }

    /// Gives a range back to the kernel: missing pages there are zeros, without us.
    pub fn unregister(&self, address: u64, length: u64) -> io::Result<()> {
        self.on_range(UFFDIO_UNREGISTER, address, length)
    }

    fn on_range(&self, request: libc::Ioctl, start: u64, length: u64) -> io::Result<()> {
        let mut range = Range { start, length };
        // SAFETY: both requests take a range of the other address space and write nothing here.
        match unsafe { libc::ioctl(self.0.as_raw_fd(), request, &mut range) } {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Whether descriptor `number` of a process (`self` or an id) is a userfaultfd.
pub fn is_userfaultfd(process: &str, number: i32) -> bool {
    fs::read_link(format!("/proc/{process}/fd/{number}"))
        .is_ok_and(|target| target.as_os_str() == "anon_inode:[userfaultfd]")
}

/// `struct uffd_msg`: event u8, 7 bytes reserved, then what belongs to the event.
fn parse(message: &[u8; MESSAGE_BYTES]) -> Event {
    let word = |at: usize| {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(&message[at..at + 8]);
        u64::from_ne_bytes(bytes)
    };
    match message[0] {
        EVENT_PAGEFAULT if word(8) & (FAULT_WRITE_PROTECTED | FAULT_MINOR) == 0 => {
            Event::Fault { address: word(16) }
        }
        EVENT_PAGEFAULT => Event::Unexpected(format!(
            "a fault of a kind that was not asked for (flags {:#x})",
            word(8)
        )),
        EVENT_REMOVE => Event::Remove {
            start: word(8),
            end: word(16),
        },
        EVENT_FORK => {
            let fd = word(8) as u32 as i32;
            if fd > 2 {
                // SAFETY: reading the event made this descriptor, for us alone: the messages come from a userfaultfd.
                drop(unsafe { OwnedFd::from_raw_fd(fd) });
            }
            Event::Unexpected("the VMM forked".into())
        }
        other => Event::Unexpected(format!("event {other:#x} is unknown")),
    }
}

fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signed_result_tells_a_present_page_from_a_changing_memory() {
        let of = |errno, done| Install::of(-1, errno, done, 16384);
        assert_eq!(Install::of(0, 0, 16384, 16384), Install::Complete);
        assert_eq!(of(libc::EAGAIN, 12288), Install::Partial(12288));
        assert_eq!(of(libc::EAGAIN, -11), Install::Changing);
        assert_eq!(of(libc::EAGAIN, 0), Install::Changing, "before 6.15");
        assert_eq!(of(libc::EEXIST, -17), Install::Present);
        assert_eq!(of(libc::ESRCH, -3), Install::Gone);
        assert_eq!(of(libc::ENOENT, -2), Install::Unregistered);
        assert_eq!(of(libc::EFAULT, -14), Install::Failed(libc::EFAULT));
        assert_eq!(of(libc::ENOMEM, -12), Install::NoMemory);
    }

    #[test]
    fn messages_are_read_as_the_kernel_lays_them_out() {
        let mut message = [0; MESSAGE_BYTES];
        message[0] = EVENT_PAGEFAULT;
        message[16..24].copy_from_slice(&0x7f00_1000_u64.to_ne_bytes());
        assert!(matches!(
            parse(&message),
            Event::Fault {
                address: 0x7f00_1000
            }
        ));
        message[8] = 2;
        assert!(matches!(parse(&message), Event::Unexpected(_)));
        message[0] = EVENT_REMOVE;
        message[8..16].copy_from_slice(&0x1000_u64.to_ne_bytes());
        message[16..24].copy_from_slice(&0x3000_u64.to_ne_bytes());
        assert!(matches!(
            parse(&message),
            Event::Remove {
                start: 0x1000,
                end: 0x3000
            }
        ));
        message[0] = 0x14;
        assert!(matches!(parse(&message), Event::Unexpected(_)));
    }

    #[test]
    fn another_descriptor_is_refused() {
        let file = tempfile::tempfile().unwrap();
        assert!(Uffd::new(file.into()).is_err());
    }
}
