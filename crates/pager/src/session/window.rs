//! A layer's file as the source of large copies. The mapping is never read by this process's own
//! code: only the kernel reads it, on behalf of UFFDIO_COPY, where a file that was cut short is an
//! error and no signal.

use std::fs::File;
use std::io;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// A file in the address space.
#[derive(Debug)]
pub struct Window {
    base: *mut libc::c_void,
    length: usize,
}

// SAFETY: the value only carries an address range; nothing is dereferenced.
unsafe impl Send for Window {}
// SAFETY: as above; nothing of it changes.
unsafe impl Sync for Window {}

impl Window {
    /// Maps the whole file, which reads nothing yet.
    pub fn open(file: &File) -> io::Result<Self> {
        let length = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
        // SAFETY: a new read-only mapping at an address that the kernel chooses.
        let base = unsafe {
            mmap(
                std::ptr::null_mut(),
                length,
                ProtFlags::READ,
                MapFlags::SHARED,
                file,
                0,
            )?
        };
        Ok(Self { base, length })
    }

    /// The address of a byte of the file.
    pub fn address_of(&self, offset: u64) -> u64 {
        self.base as u64 + offset
    }

    /// Reads a range (in whole pages) into the page cache and maps it, so that copying from there waits for nothing
    /// (`MADV_POPULATE_READ`, Linux 5.14).
    pub fn populate(&self, offset: u64, length: u64) -> io::Result<()> {
        if offset.saturating_add(length) > self.length as u64 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let address = self.address_of(offset) as *mut libc::c_void;
        // SAFETY: the range is inside of the mapping; the kernel reads the file and changes no bytes of ours.
        let result = unsafe { libc::madvise(address, length as usize, libc::MADV_POPULATE_READ) };
        if result == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `open`; addresses that were given out are only read by the
        // kernel, with checks.
        let _ = unsafe { munmap(self.base, self.length) };
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn what_is_in_the_file_can_be_populated_and_nothing_beyond_its_end() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[1; 8192], 0).unwrap();
        let window = Window::open(&file).unwrap();
        window.populate(0, 8192).unwrap();
        assert!(window.populate(4096, 8192).is_err());
        file.set_len(4096).unwrap();
        assert!(window.populate(0, 8192).is_err(), "it was cut short");
    }
}
