//! Which pages of a private file mapping a process has of its own: present or swapped, and no page
//! of the file (kernel: `Documentation/admin-guide/mm/pagemap.rst`).

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

use crate::layer::mapping::BLOCK_BYTES;

const FILE_PAGE: u64 = 1 << 61;
const SWAPPED: u64 = 1 << 62;
const PRESENT: u64 = 1 << 63;
const ENTRY_BYTES: u64 = 8;
const ENTRIES_AT_ONCE: usize = 8192;

/// More than 512 regions at once come back twice: `walk_end` is then the end of an inner batch (seen on 6.18).
const REGIONS_AT_ONCE: usize = 512;
const PAGE_IS_FILE: u64 = 1 << 2;
const PAGE_IS_PRESENT: u64 = 1 << 3;
const PAGE_IS_SWAPPED: u64 = 1 << 4;
/// `_IOWR('f', 16, struct pm_scan_arg)`
const PAGEMAP_SCAN: libc::Ioctl = 0xc060_6610;

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct PageRegion {
    start: u64,
    end: u64,
    categories: u64,
}

#[repr(C)]
#[derive(Default)]
struct ScanArgument {
    size: u64,
    flags: u64,
    start: u64,
    end: u64,
    walk_end: u64,
    vec: u64,
    vec_len: u64,
    max_pages: u64,
    category_inverted: u64,
    category_mask: u64,
    category_anyof_mask: u64,
    return_mask: u64,
}

/// The page map of a process.
#[derive(Debug)]
pub struct Pagemap {
    file: File,
    can_scan: bool,
}

impl Pagemap {
    /// Opens it; uses the `PAGEMAP_SCAN` of Linux 6.7 where the kernel has it.
    pub fn open(pid: u32) -> io::Result<Self> {
        let file = File::open(format!("/proc/{pid}/pagemap"))?;
        Ok(Self {
            file,
            can_scan: true,
        })
    }

    /// The runs of changed pages in `[start, end)`, in order and joined.
    pub fn changed(&mut self, start: u64, end: u64) -> io::Result<Vec<Range<u64>>> {
        if self.can_scan {
            match self.scan(start, end) {
                Err(error)
                    if matches!(
                        error.raw_os_error(),
                        Some(libc::ENOTTY | libc::EINVAL | libc::ENOSYS)
                    ) =>
                {
                    self.can_scan = false;
                }
                result => return result,
            }
        }
        self.read(start, end)
    }

    fn scan(&self, start: u64, end: u64) -> io::Result<Vec<Range<u64>>> {
        let mut runs = Vec::new();
        let mut regions = [PageRegion::default(); REGIONS_AT_ONCE];
        let mut at = start;
        while at < end {
            let mut argument = ScanArgument {
                size: size_of::<ScanArgument>() as u64,
                start: at,
                end,
                vec: regions.as_mut_ptr() as u64,
                vec_len: REGIONS_AT_ONCE as u64,
                category_inverted: PAGE_IS_FILE,
                category_mask: PAGE_IS_FILE,
                category_anyof_mask: PAGE_IS_PRESENT | PAGE_IS_SWAPPED,
                ..ScanArgument::default()
            };
            // SAFETY: the argument has the kernel's layout and its own size in it; `vec` points to `vec_len`
            // regions that outlive the call.
            let count = unsafe { libc::ioctl(self.file.as_raw_fd(), PAGEMAP_SCAN, &mut argument) };
            let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
            for region in &regions[..count.min(REGIONS_AT_ONCE)] {
                push(&mut runs, region.start..region.end);
            }
            if count < REGIONS_AT_ONCE || argument.walk_end <= at {
                break;
            }
            at = argument.walk_end;
        }
        Ok(runs)
    }

    fn read(&self, start: u64, end: u64) -> io::Result<Vec<Range<u64>>> {
        let mut runs = Vec::new();
        let mut buffer = vec![0; ENTRIES_AT_ONCE * ENTRY_BYTES as usize];
        let mut at = start;
        while at < end {
            let entries = ENTRIES_AT_ONCE.min(((end - at) / BLOCK_BYTES) as usize);
            let chunk = &mut buffer[..entries * ENTRY_BYTES as usize];
            self.file
                .read_exact_at(chunk, at / BLOCK_BYTES * ENTRY_BYTES)?;
            for entry in chunk.as_chunks::<8>().0 {
                let entry = u64::from_ne_bytes(*entry);
                if entry & (PRESENT | SWAPPED) != 0 && entry & FILE_PAGE == 0 {
                    push(&mut runs, at..at + BLOCK_BYTES);
                }
                at += BLOCK_BYTES;
            }
        }
        Ok(runs)
    }
}

fn push(runs: &mut Vec<Range<u64>>, range: Range<u64>) {
    match runs.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ => runs.push(range),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

    use super::*;

    const PAGES: usize = 4096;

    /// A private mapping of a file with every `step`-th page written, the others read.
    fn with_mapping(step: usize, test: impl FnOnce(u64, Vec<Range<u64>>)) {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&vec![1; PAGES * 4096], 0).unwrap();
        let length = PAGES * 4096;
        let flags = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address that the kernel chooses.
        let start = unsafe {
            mmap(
                std::ptr::null_mut(),
                length,
                flags,
                MapFlags::PRIVATE,
                &file,
                0,
            )
            .unwrap()
        };
        let mut expected = Vec::new();
        for page in 0..PAGES {
            let pointer = start.cast::<u8>().wrapping_add(page * 4096);
            // SAFETY: inside of the mapping, of which nobody else knows.
            unsafe {
                if page % step == 0 {
                    pointer.write_volatile(0);
                    let address = pointer as u64;
                    push(&mut expected, address..address + 4096);
                } else {
                    assert_eq!(pointer.read_volatile(), 1);
                }
            }
        }
        test(start as u64, expected);
        // SAFETY: the mapping from above, used no more.
        unsafe { munmap(start, length).unwrap() };
    }

    #[test]
    fn both_ways_find_exactly_the_written_pages() {
        // 2,048 single pages are four full batches of regions.
        for step in [1, 2, 3, 701] {
            with_mapping(step, |start, expected| {
                let pagemap = Pagemap::open(std::process::id()).unwrap();
                let end = start + (PAGES as u64) * 4096;
                assert_eq!(pagemap.read(start, end).unwrap(), expected);
                match pagemap.scan(start, end) {
                    Ok(found) => assert_eq!(found, expected),
                    Err(error) => assert_eq!(error.raw_os_error(), Some(libc::ENOTTY)),
                }
            });
        }
    }
}
