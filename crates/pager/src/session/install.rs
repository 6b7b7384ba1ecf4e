//! Putting pages into a VM: the one that a thread waits for, zeros, and pieces of a working set.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::io_pool::{Job, Task};
use super::replay::Piece;
use super::serve::{Pending, Server};
use super::stats::add;
use super::tracker::PageState;
use super::uffd::Install;
use super::working_set::Extent;
use crate::files::page::PAGE_BYTES;
use crate::layer::mapping::{BLOCK_BYTES, Holder};

const NO_MEMORY_PAUSE: Duration = Duration::from_millis(50);
const NO_MEMORY_TRIES: u32 = 10;

/// What became of a page that a thread waits for.
#[derive(PartialEq)]
pub(super) enum Served {
    /// It is there.
    Now,
    /// It is being read, or nobody waits for it any more.
    Later,
    /// Nothing yet.
    Retry,
}

impl Server {
    /// Serves a page that a thread waits for.
    pub(super) fn serve(&self, offset: u64, pending: &mut Pending) -> Result<Served, String> {
        // A page that is known and missing again was taken away, whether its event was read by this
        // pager, by one that died with it, or never sent: it is zeros. If it is there after all (its
        // fault was read twice), the kernel says so and changes nothing.
        if self.tracker.get(offset) != PageState::Untouched {
            return self.install_zeros(offset, BLOCK_BYTES, pending);
        }
        let entry = *self.chain.mapping().look_up(offset).ok_or("no such page")?;
        self.tracker.touch(offset);
        match entry.holder.advance(offset - entry.offset) {
            Holder::Zeros => self.install_zeros(offset, entry.end() - offset, pending),
            Holder::Build {
                index,
                storage_offset,
            } => {
                let file = self.chain.file(index);
                let mut page = [0; PAGE_BYTES];
                match read_cached(file, storage_offset, &mut page) {
                    Ok(true) => self.install_page(offset, &page, pending),
                    Ok(false) => {
                        self.read_cold(file, storage_offset, offset, pending);
                        Ok(Served::Later)
                    }
                    Err(error) => Err(unreadable(offset, &error)),
                }
            }
        }
    }

    fn read_cold(&self, file: &Arc<File>, storage_offset: u64, offset: u64, pending: &mut Pending) {
        add(&self.stats.cold_reads, 1);
        pending.cold.insert(offset, Instant::now());
        self.pool.submit(Job {
            task: Task::Page {
                offset,
                file: Arc::clone(file),
                storage_offset,
            },
            mailbox: Arc::clone(&self.mailbox),
        });
    }

    pub(super) fn install_page(
        &self,
        offset: u64,
        page: &[u8],
        pending: &mut Pending,
    ) -> Result<Served, String> {
        let address = self.address_of(offset)?;
        let install = self.uffd.copy(address, page);
        self.judge(install, offset, BLOCK_BYTES, PageState::Installed, pending)
    }

    /// Maps zeros from `offset` on, as far as nothing has become of the pages, at most `limit` bytes
    /// and not beyond the next border of holes.
    fn install_zeros(
        &self,
        offset: u64,
        limit: u64,
        pending: &mut Pending,
    ) -> Result<Served, String> {
        let place = self.layout.place_of(offset).ok_or("no such page")?;
        let limit = limit.min(place.length).min(place.to_hole_border());
        let mut length = self.tracker.untouched(offset, limit).max(BLOCK_BYTES);
        let mut install = self.uffd.zero(place.address, length);
        if install == Install::Unregistered && length > BLOCK_BYTES {
            length = BLOCK_BYTES; // the VMM has split its mapping in between
            install = self.uffd.zero(place.address, length);
        }
        self.judge(install, offset, length, PageState::Zeroed, pending)
    }

    /// Notes what was installed of `length` bytes for which a thread waits, the first page above all.
    fn judge(
        &self,
        install: Install,
        offset: u64,
        length: u64,
        state: PageState,
        pending: &mut Pending,
    ) -> Result<Served, String> {
        match install {
            Install::Complete => self.note_installed(offset, length, state),
            Install::Partial(done) if done >= BLOCK_BYTES => {
                self.note_installed(offset, done, state)
            }
            Install::Present => {
                // Of a page that is there without our knowing, an earlier pager died before it said so.
                if self.tracker.get(offset) == PageState::Untouched {
                    self.tracker.set(offset, BLOCK_BYTES, PageState::Installed);
                }
                // Whoever put it there may not have woken this thread. ESRCH: it is gone.
                let _ = self.uffd.wake(self.address_of(offset)?, BLOCK_BYTES);
            }
            Install::Changing | Install::Partial(_) => {
                add(&self.stats.retries, 1);
                return Ok(Served::Retry);
            }
            Install::Gone => {
                pending.gone = true;
                return Ok(Served::Later);
            }
            Install::NoMemory => {
                pending.no_memory += 1;
                if pending.no_memory > NO_MEMORY_TRIES {
                    return Err(format!("no memory for the page at {offset:#x}"));
                }
                std::thread::sleep(NO_MEMORY_PAUSE);
                return Ok(Served::Retry);
            }
            // A hole that was given back after this fault: the kernel has the zeros. The thread faults there anew.
            Install::Unregistered if state == PageState::Zeroed => {
                let _ = self.uffd.wake(self.address_of(offset)?, BLOCK_BYTES);
            }
            Install::Unregistered => return Err(refused(offset, libc::ENOENT)),
            Install::Failed(errno) => return Err(refused(offset, errno)),
        }
        pending.no_memory = 0;
        Ok(Served::Now)
    }

    fn note_installed(&self, offset: u64, length: u64, state: PageState) {
        self.tracker.set(offset, length, state);
        let counter = match state {
            PageState::Zeroed => &self.stats.zero_bytes,
            _ => &self.stats.demand_bytes,
        };
        add(counter, length);
    }

    /// Installs one piece of the working set, or has it mapped first.
    pub(super) fn replay_piece(&mut self, pending: &mut Pending) -> Result<(), String> {
        let Some(replay) = &mut self.replay else {
            return Ok(());
        };
        if replay.is_done() {
            // The windows go with it.
            self.replay = None;
            return Ok(());
        }
        let Some(piece) = replay.next(&self.chain, &self.layout, &self.tracker) else {
            return Ok(());
        };
        let Piece { entry, address, .. } = piece;
        let install = match entry.holder {
            Holder::Zeros => self.uffd.zero(address, entry.length),
            Holder::Build {
                index,
                storage_offset,
            } => {
                let Ok(window) = replay.window(&self.chain, index) else {
                    // No address space for it: faults will do.
                    self.replay = None;
                    return Ok(());
                };
                if !piece.mapped {
                    let task = Task::Run {
                        extent: Extent {
                            offset: entry.offset,
                            length: entry.length,
                        },
                        window: Arc::clone(window),
                        storage_offset,
                    };
                    replay.start_mapping();
                    self.pool.submit(Job {
                        task,
                        mailbox: Arc::clone(&self.mailbox),
                    });
                    return Ok(());
                }
                let source = window.address_of(storage_offset);
                self.uffd.copy_from(address, source, entry.length)
            }
        };
        let done = match install {
            Install::Complete => entry.length,
            Install::Partial(done) => done,
            Install::Present => {
                self.tracker
                    .set(entry.offset, BLOCK_BYTES, PageState::Installed);
                let _ = self.uffd.wake(address, BLOCK_BYTES);
                replay.put_back(&piece, BLOCK_BYTES);
                return Ok(());
            }
            Install::Changing => 0,
            Install::Gone => {
                pending.gone = true;
                0
            }
            Install::NoMemory => {
                // What is not needed yet must not take the memory of what is.
                self.replay = None;
                return Ok(());
            }
            // A hole that was given back: the kernel has the zeros.
            Install::Unregistered if entry.holder == Holder::Zeros => return Ok(()),
            Install::Unregistered => return Err(refused(entry.offset, libc::ENOENT)),
            Install::Failed(errno) => return Err(refused(entry.offset, errno)),
        };
        let state = match entry.holder {
            Holder::Zeros => PageState::Zeroed,
            Holder::Build { .. } => PageState::Installed,
        };
        self.tracker.set(entry.offset, done, state);
        add(&self.stats.replayed_bytes, done);
        replay.put_back(&piece, done);
        Ok(())
    }

    fn address_of(&self, offset: u64) -> Result<u64, String> {
        let place = self.layout.place_of(offset).ok_or("no such page")?;
        Ok(place.address)
    }
}

/// Reads a page if that needs no waiting; false when it does.
fn read_cached(file: &File, offset: u64, page: &mut [u8; PAGE_BYTES]) -> io::Result<bool> {
    let read = preadv2(
        file,
        &mut [IoSliceMut::new(page)],
        offset,
        ReadWriteFlags::NOWAIT,
    );
    match read {
        Ok(PAGE_BYTES) => Ok(true),
        Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
        // A part of the page is cached, or the file system cannot tell: the pool reads it.
        Ok(_) | Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Why a page could not be read.
pub(super) fn unreadable(offset: u64, error: &io::Error) -> String {
    format!("the page at {offset:#x} cannot be read from its layer: {error}")
}

fn refused(offset: u64, errno: i32) -> String {
    let error = io::Error::from_raw_os_error(errno);
    format!("the page at {offset:#x} cannot be installed: {error}")
}
