//! What became of every page, in a file of the run directory: it outlives the pager, not the host.
//!
//! ```text
//! 0        magic "WRNPAGE\1", count of touches u64
//! 4096     pages in the order of their first touch, u32 each
//! 266240   state of every page, one byte each; its highest bit: the page is among the touches
//! ```

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

use super::working_set;
use crate::layer::mapping::BLOCK_BYTES;

const MAGIC: u64 = u64::from_le_bytes(*b"WRNPAGE\x01");
/// As many first touches are recorded.
const MAX_TOUCHES: usize = working_set::MAX_PAGES;
const TOUCHES_AT: usize = 4096;
const STATES_AT: usize = TOUCHES_AT + MAX_TOUCHES * 4;
const TOUCHED: u8 = 1 << 7;

/// What became of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum PageState {
    /// Nothing yet.
    Untouched = 0,
    /// It was installed with its bytes.
    Installed = 1,
    /// It was installed as zeros.
    Zeroed = 2,
    /// The guest gave it back: it is zeros from now on.
    Removed = 3,
}

/// The states of all pages and the order of their first touch.
#[derive(Debug)]
pub struct Tracker {
    base: *mut u8,
    length: usize,
    pages: usize,
}

// SAFETY: the mapping belongs to this value alone and is only accessed through atomics.
unsafe impl Send for Tracker {}
// SAFETY: as above.
unsafe impl Sync for Tracker {}

impl Tracker {
    /// Makes the tracker of a memory of `size` bytes in an empty file.
    pub fn create(file: &File, size: u64) -> io::Result<Self> {
        let pages = page_count(size)?;
        file.set_len((STATES_AT + pages) as u64)?;
        let tracker = Self::map(file, pages)?;
        tracker.word(0).store(MAGIC, Ordering::Release);
        Ok(tracker)
    }

    /// Opens the tracker that another pager left.
    pub fn open(file: &File, size: u64) -> io::Result<Self> {
        let pages = page_count(size)?;
        if file.metadata()?.len() != (STATES_AT + pages) as u64 {
            return Err(io::Error::other("the tracker has another length"));
        }
        let tracker = Self::map(file, pages)?;
        if tracker.word(0).load(Ordering::Acquire) != MAGIC {
            return Err(io::Error::other("it is no tracker"));
        }
        // A pager may have died between recording a touch and marking its page.
        for offset in tracker.touches() {
            if offset / BLOCK_BYTES < tracker.pages as u64 {
                tracker.state(offset).fetch_or(TOUCHED, Ordering::Relaxed);
            }
        }
        Ok(tracker)
    }

    fn map(file: &File, pages: usize) -> io::Result<Self> {
        let length = STATES_AT + pages;
        let access = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new mapping at an address that the kernel chooses; the file is as long, and in a
        // directory that only the pager writes.
        let base = unsafe {
            mmap(
                std::ptr::null_mut(),
                length,
                access,
                MapFlags::SHARED,
                file,
                0,
            )?
        };
        Ok(Self {
            base: base.cast(),
            length,
            pages,
        })
    }

    /// Bytes of the memory.
    pub fn size(&self) -> u64 {
        self.pages as u64 * BLOCK_BYTES
    }

    /// What became of the page at `offset`.
    pub fn get(&self, offset: u64) -> PageState {
        match self.state(offset).load(Ordering::Relaxed) & !TOUCHED {
            0 => PageState::Untouched,
            1 => PageState::Installed,
            2 => PageState::Zeroed,
            _ => PageState::Removed,
        }
    }

    /// Says what became of the pages of a range.
    pub fn set(&self, offset: u64, length: u64, state: PageState) {
        for page in 0..length / BLOCK_BYTES {
            let byte = self.state(offset + page * BLOCK_BYTES);
            // Only the fault thread writes.
            let touched = byte.load(Ordering::Relaxed) & TOUCHED;
            byte.store(touched | state as u8, Ordering::Relaxed);
        }
    }

    /// How many bytes from `offset` on, at most `limit`, nothing has become of.
    pub fn untouched(&self, offset: u64, limit: u64) -> u64 {
        let untouched = (0..limit / BLOCK_BYTES)
            .take_while(|page| self.get(offset + page * BLOCK_BYTES) == PageState::Untouched);
        untouched.count() as u64 * BLOCK_BYTES
    }

    /// Records that the page at `offset` was asked for, once. To be called before the page is
    /// installed: whoever asked goes on at that moment, and what it does next must find it recorded.
    pub fn touch(&self, offset: u64) {
        if self.state(offset).load(Ordering::Relaxed) & TOUCHED != 0 {
            return;
        }
        let count = self.word(1).load(Ordering::Relaxed) as usize;
        if count < MAX_TOUCHES {
            self.touched(count)
                .store((offset / BLOCK_BYTES) as u32, Ordering::Relaxed);
            // The count last: a pager that takes over believes it.
            self.word(1).store(count as u64 + 1, Ordering::Release);
            self.state(offset).fetch_or(TOUCHED, Ordering::Relaxed);
        }
    }

    /// The pages that were asked for, by offset, in order.
    pub fn touches(&self) -> impl Iterator<Item = u64> + '_ {
        let count = self.word(1).load(Ordering::Acquire) as usize;
        (0..count.min(MAX_TOUCHES))
            .map(|index| u64::from(self.touched(index).load(Ordering::Relaxed)) * BLOCK_BYTES)
    }

    /// The ranges that are zeros for the guest though the layers may hold something else.
    pub fn zeroed(&self) -> Vec<std::ops::Range<u64>> {
        let mut ranges: Vec<std::ops::Range<u64>> = Vec::new();
        for offset in (0..self.pages as u64).map(|page| page * BLOCK_BYTES) {
            if !matches!(self.get(offset), PageState::Zeroed | PageState::Removed) {
                continue;
            }
            match ranges.last_mut() {
                Some(last) if last.end == offset => last.end += BLOCK_BYTES,
                _ => ranges.push(offset..offset + BLOCK_BYTES),
            }
        }
        ranges
    }

    fn state(&self, offset: u64) -> &AtomicU8 {
        let page = (offset / BLOCK_BYTES) as usize;
        assert!(page < self.pages, "page {page} of {}", self.pages);
        // SAFETY: inside of the mapping, which lives as long as `self`; atomics may be shared.
        unsafe { AtomicU8::from_ptr(self.base.add(STATES_AT + page)) }
    }

    fn touched(&self, index: usize) -> &AtomicU32 {
        assert!(index < MAX_TOUCHES);
        // SAFETY: as in `state`; the array begins at a page, so every element is aligned.
        unsafe { AtomicU32::from_ptr(self.base.add(TOUCHES_AT + index * 4).cast()) }
    }

    fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < TOUCHES_AT / 8);
        // SAFETY: as in `state`; inside of the first page of the mapping, aligned.
        unsafe { AtomicU64::from_ptr(self.base.add(index * 8).cast()) }
    }
}

impl Drop for Tracker {
    fn drop(&mut self) {
        // SAFETY: the mapping was made by `map`, and no reference into it outlives `self`.
        let _ = unsafe { munmap(self.base.cast(), self.length) };
    }
}

/// Page numbers are 32 bits wide: 16 TiB.
fn page_count(size: u64) -> io::Result<usize> {
    u32::try_from(size / BLOCK_BYTES)
        .map(|pages| pages as usize)
        .map_err(|_| io::Error::other("the memory is too large"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 100 * BLOCK_BYTES;

    #[test]
    fn what_one_tracker_knows_the_next_one_knows() {
        let file = tempfile::tempfile().unwrap();
        let tracker = Tracker::create(&file, SIZE).unwrap();
        tracker.set(4 * BLOCK_BYTES, 2 * BLOCK_BYTES, PageState::Installed);
        tracker.set(8 * BLOCK_BYTES, BLOCK_BYTES, PageState::Zeroed);
        tracker.set(9 * BLOCK_BYTES, 2 * BLOCK_BYTES, PageState::Removed);
        tracker.touch(5 * BLOCK_BYTES);
        tracker.touch(4 * BLOCK_BYTES);
        tracker.touch(5 * BLOCK_BYTES);
        drop(tracker);
        let tracker = Tracker::open(&file, SIZE).unwrap();
        assert_eq!(tracker.get(5 * BLOCK_BYTES), PageState::Installed);
        assert_eq!(tracker.get(10 * BLOCK_BYTES), PageState::Removed);
        assert_eq!(tracker.get(11 * BLOCK_BYTES), PageState::Untouched);
        assert_eq!(tracker.untouched(0, SIZE), 4 * BLOCK_BYTES);
        assert_eq!(
            tracker.untouched(99 * BLOCK_BYTES, BLOCK_BYTES),
            BLOCK_BYTES
        );
        assert_eq!(
            tracker.touches().collect::<Vec<_>>(),
            [5 * BLOCK_BYTES, 4 * BLOCK_BYTES]
        );
        let zeroed = tracker.zeroed();
        assert_eq!(zeroed.len(), 1);
        assert_eq!(zeroed[0], 8 * BLOCK_BYTES..11 * BLOCK_BYTES);
        tracker.touch(4 * BLOCK_BYTES);
        assert_eq!(
            tracker.touches().count(),
            2,
            "an earlier pager's touches are known"
        );
        let large = tempfile::tempfile().unwrap();
        let pages = MAX_TOUCHES as u64 + 3;
        let tracker = Tracker::create(&large, pages * BLOCK_BYTES).unwrap();
        (0..pages).for_each(|page| tracker.touch(page * BLOCK_BYTES));
        assert_eq!(tracker.touches().count(), MAX_TOUCHES);
        assert!(Tracker::open(&file, SIZE + BLOCK_BYTES).is_err());
        let empty = tempfile::tempfile().unwrap();
        empty.set_len(file.metadata().unwrap().len()).unwrap();
        assert!(Tracker::open(&empty, SIZE).is_err());
    }
}
