//! Device and file system requests that no safe wrapper exists for: random(4), ioctl_fs of linux/fs.h.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// `struct rand_pool_info` with room for the largest buffer that is accepted.
#[repr(C)]
struct RandPoolInfo {
    entropy_bits: libc::c_int,
    buffer_bytes: libc::c_int,
    buffer: [u8; 512],
}

/// Adds `bytes` to the pool of `device` (`/dev/urandom`) and credits eight bits for each.
pub fn add_entropy(device: &File, bytes: &[u8]) -> io::Result<()> {
    let mut info = RandPoolInfo {
        entropy_bits: 0,
        buffer_bytes: 0,
        buffer: [0; 512],
    };
    let length = bytes.len().min(info.buffer.len());
    info.buffer[..length].copy_from_slice(&bytes[..length]);
    info.entropy_bits = (length * 8) as libc::c_int;
    info.buffer_bytes = length as libc::c_int;
    // SAFETY: the kernel reads the two numbers and `buffer_bytes` bytes behind them, all in `info`.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), RNDADDENTROPY, &raw const info) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Makes the generator take a new key from the pool.
pub fn reseed(device: &File) -> io::Result<()> {
    // SAFETY: the call takes no argument.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), RNDRESEEDCRNG) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Makes the file system of `file` consistent on its disk and stops all writes to it.
pub fn freeze(file: &File) -> io::Result<()> {
    // SAFETY: the call takes no argument.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), FIFREEZE) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Lets the writes go on.
pub fn thaw(file: &File) -> io::Result<()> {
    // SAFETY: the call takes no argument.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), FITHAW) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// `_IOWR('X', 119, int)`
const FIFREEZE: libc::Ioctl = 0xC004_5877;
/// `_IOWR('X', 120, int)`
const FITHAW: libc::Ioctl = 0xC004_5878;
/// `_IOW('R', 0x03, int[2])`
const RNDADDENTROPY: libc::Ioctl = 0x4008_5203;
/// `_IO('R', 0x07)`
const RNDRESEEDCRNG: libc::Ioctl = 0x5207;
