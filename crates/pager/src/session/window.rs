//! A layer's file as the source of large copies. The mapping is never read by this process's own
//! code: only the kernel reads it, on behalf of UFFDIO_COPY, where a file that was cut short is an
//! error and no signal.

use std::fs::File;
use std::io;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use crate::layer::mapping::BLOCK_BYTES;

/// Most that is asked about at once.
pub const MAX_QUESTION_BYTES: u64 = 2 << 20;

/// A file in the address space.
#[derive(Debug)]
pub struct Window {
    base: *mut libc::c_void,
    length: usize,
}

// SAFETY: the value only carries an address range; nothing is dereferenced.
unsafe impl Send for Window {}

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

    /// Whether the range (in whole pages, at most `MAX_QUESTION_BYTES`) is in the page cache.
    pub fn is_resident(&self, offset: u64, length: u64) -> bool {
        let mut pages = [0_u8; (MAX_QUESTION_BYTES / BLOCK_BYTES) as usize];
        let count = (length / BLOCK_BYTES) as usize;
        if count > pages.len() || offset + length > self.length as u64 {
            return false;
        }
        let address = self.address_of(offset) as *mut libc::c_void;
        // SAFETY: the range is inside of the mapping, and the kernel writes one byte per page, for which
        // there is room.
        let result = unsafe { libc::mincore(address, length as usize, pages.as_mut_ptr()) };
        result == 0 && pages[..count].iter().all(|page| page & 1 == 1)
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
    fn a_written_page_is_resident_and_one_beyond_the_end_is_not() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[1; 8192], 0).unwrap();
        let window = Window::open(&file).unwrap();
        assert!(window.is_resident(0, 8192));
        assert!(!window.is_resident(4096, 8192));
    }
}
