//! The fault thread of one VM.

use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::io::{self, IoSliceMut};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, ReadWriteFlags, preadv2};

use super::io_pool::{Completion, IoPool, Job, Mailbox, Purpose};
use super::layout::Layout;
use super::peer::Peer;
use super::replay::{Piece, Replay};
use super::stats::{Stats, add};
use super::tracker::{PageState, Tracker};
use super::uffd::{Event, EventBuffer, Install, MESSAGES_AT_ONCE, Uffd};
use super::working_set::Extent;
use crate::files::page::PAGE_BYTES;
use crate::layer::chain::Chain;
use crate::layer::mapping::{BLOCK_BYTES, Holder};

/// Zeros are mapped up to the next border of so many bytes.
const ZERO_RUN_BYTES: u64 = 2 << 20;
/// A page is tried again after this while the memory is changing.
const CHANGING_PAUSE: Duration = Duration::from_micros(100);
/// A disk that does not answer for so long does not answer.
const COLD_DEADLINE: Duration = Duration::from_secs(30);
const NO_MEMORY_PAUSE: Duration = Duration::from_millis(50);
const NO_MEMORY_TRIES: u32 = 10;
/// Reads of events before pages are installed again: a VMM that gives pages back without end must
/// not keep others waiting.
const READS_AT_ONCE: usize = 16;

/// Everything about one VM that is served.
#[derive(Debug)]
pub struct Server {
    /// The VMM.
    pub peer: Arc<Peer>,
    /// Its memory's userfaultfd.
    pub uffd: Uffd,
    /// Where its memory is.
    pub layout: Layout,
    /// Where its memory's bytes are, holes taken out.
    pub chain: Chain,
    /// What became of its pages.
    pub tracker: Arc<Tracker>,
    /// What is counted.
    pub stats: Arc<Stats>,
    /// Where cold bytes arrive.
    pub mailbox: Arc<Mailbox>,
    /// Who reads them.
    pub pool: Arc<IoPool>,
    /// What is installed ahead.
    pub replay: Option<Replay>,
}

/// What happens between two rounds of the loop.
#[derive(Default)]
struct Pending {
    /// Pages that threads wait for, by offset.
    faults: VecDeque<u64>,
    /// Pages that the pool reads, and since when.
    cold: HashMap<u64, Instant>,
    /// The memory is gone: nobody can wait for a page any more. The process ends, now or later.
    gone: bool,
    no_memory: u32,
}

/// What woke the loop.
struct Ready {
    ended: bool,
    mail: bool,
}

/// What became of a page that a thread waits for.
#[derive(PartialEq)]
enum Served {
    Now,
    Later,
    Retry,
}

impl Server {
    /// Serves until the VMM ends. `Err`: why it cannot be served any more; it still lives.
    pub fn run(&mut self) -> Result<(), String> {
        let mut pending = Pending::default();
        let mut buffer = EventBuffer::default();
        loop {
            let ready = self.wait(&pending)?;
            if ready.ended {
                return Ok(());
            }
            if !pending.gone {
                self.drain(&mut buffer, &mut pending)?;
            }
            if ready.mail {
                if self.mailbox.stopped() {
                    return Err("the session was deleted".into());
                }
                for completion in self.mailbox.take() {
                    self.complete(completion, &mut pending)?;
                }
            }
            self.serve_faults(&mut pending)?;
            if pending.faults.is_empty() && !pending.gone {
                self.replay_piece(&mut pending)?;
            }
            pending.check_deadlines()?;
        }
    }

    /// Sleeps until there is something to do.
    fn wait(&self, pending: &Pending) -> Result<Ready, String> {
        let mut fds = [
            PollFd::new(&self.peer, PollFlags::IN),
            PollFd::from_borrowed_fd(self.mailbox.bell(), PollFlags::IN),
            PollFd::new(&self.uffd, PollFlags::IN),
        ];
        // The descriptor of a memory that is gone says nothing more.
        let watched = if pending.gone { 2 } else { 3 };
        let timeout = self.timeout(pending).map(|timeout| Timespec {
            tv_sec: timeout.as_secs() as i64,
            tv_nsec: timeout.subsec_nanos().into(),
        });
        match poll(&mut fds[..watched], timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(format!("poll: {error}")),
        }
        if fds[2]
            .revents()
            .intersects(PollFlags::ERR | PollFlags::NVAL)
        {
            return Err("the userfaultfd cannot be polled".into());
        }
        Ok(Ready {
            ended: !fds[0].revents().is_empty(),
            mail: !fds[1].revents().is_empty(),
        })
    }

    fn timeout(&self, pending: &Pending) -> Option<Duration> {
        if pending.gone {
            return None;
        }
        if !pending.faults.is_empty() {
            return Some(CHANGING_PAUSE);
        }
        if self.replay.as_ref().is_some_and(Replay::is_ready) {
            return Some(Duration::ZERO);
        }
        (!pending.cold.is_empty()).then_some(Duration::from_secs(1))
    }

    /// Reads all events. What takes pages away is noted at once, so before any page is installed.
    fn drain(&self, buffer: &mut EventBuffer, pending: &mut Pending) -> Result<(), String> {
        for _ in 0..READS_AT_ONCE {
            let events = self
                .uffd
                .read(buffer)
                .map_err(|error| format!("read of the userfaultfd: {error}"))?;
            let all = events.len() < MESSAGES_AT_ONCE;
            for event in events {
                match event {
                    Event::Fault { address } => self.note_fault(address, pending)?,
                    Event::Remove { start, end } => self.note_removal(start, end),
                    Event::Unexpected(what) => return Err(what),
                }
            }
            if all {
                break;
            }
        }
        Ok(())
    }

    fn note_fault(&self, address: u64, pending: &mut Pending) -> Result<(), String> {
        add(&self.stats.faults, 1);
        let page = address / BLOCK_BYTES * BLOCK_BYTES;
        let offset = self
            .layout
            .offset_of(page)
            .ok_or_else(|| format!("a fault at {address:#x}, which is not the guest's memory"))?;
        // Several threads may wait for one page; a page that is being read will wake them all.
        if !pending.faults.contains(&offset) && !pending.cold.contains_key(&offset) {
            pending.faults.push_back(offset);
        }
        Ok(())
    }

    fn note_removal(&self, start: u64, end: u64) {
        for (from, to) in self.layout.offsets(start, end) {
            self.tracker.set(from, to - from, PageState::Removed);
            add(&self.stats.removed_bytes, to - from);
        }
    }

    fn serve_faults(&self, pending: &mut Pending) -> Result<(), String> {
        for _ in 0..pending.faults.len() {
            let Some(offset) = pending.faults.pop_front() else {
                break;
            };
            if !pending.gone && self.serve(offset, pending)? == Served::Retry {
                pending.faults.push_back(offset);
            }
        }
        Ok(())
    }

    /// Serves a page that a thread waits for.
    fn serve(&self, offset: u64, pending: &mut Pending) -> Result<Served, String> {
        // A page that is known and missing again was taken away, whether its event was read by this
        // pager, by one that died with it, or never sent: it is zeros. If it is there after all (its
        // fault was read twice), the kernel says so and changes nothing.
        if self.tracker.get(offset) != PageState::Untouched {
            return self.install_zeros(offset, BLOCK_BYTES, pending);
        }
        let entry = *self.chain.mapping().look_up(offset).ok_or("no such page")?;
        let served = match entry.holder.advance(offset - entry.offset) {
            Holder::Zeros => {
                let border = (offset / ZERO_RUN_BYTES + 1) * ZERO_RUN_BYTES;
                let limit = entry.end().min(border) - offset;
                self.install_zeros(offset, limit, pending)?
            }
            Holder::Build {
                index,
                storage_offset,
            } => {
                let file = self.chain.file(index);
                let mut page = [0; PAGE_BYTES];
                match read_cached(file, storage_offset, &mut page) {
                    Ok(true) => self.install_page(offset, &page, pending)?,
                    Ok(false) => {
                        self.read_cold(file, storage_offset, offset, pending);
                        Served::Later
                    }
                    Err(error) => return Err(unreadable(offset, &error)),
                }
            }
        };
        if served != Served::Retry {
            self.tracker.touch(offset);
        }
        Ok(served)
    }

    fn read_cold(&self, file: &Arc<File>, storage_offset: u64, offset: u64, pending: &mut Pending) {
        add(&self.stats.cold_reads, 1);
        pending.cold.insert(offset, Instant::now());
        self.pool.submit(Job {
            file: Arc::clone(file),
            storage_offset,
            purpose: Purpose::Page { offset },
            mailbox: Arc::clone(&self.mailbox),
        });
    }

    fn complete(&mut self, completion: Completion, pending: &mut Pending) -> Result<(), String> {
        match completion.purpose {
            Purpose::Warm { offset, length } => {
                if let Some(replay) = &mut self.replay {
                    replay.finish_warming(Extent { offset, length }, completion.result.is_ok());
                }
            }
            Purpose::Page { offset } => {
                pending.cold.remove(&offset);
                let page = completion
                    .result
                    .map_err(|error| unreadable(offset, &error))?;
                // It may have been taken away while it was read.
                let untouched = self.tracker.get(offset) == PageState::Untouched;
                let served = if untouched && !pending.gone {
                    self.install_page(offset, &page, pending)?
                } else {
                    Served::Retry
                };
                if served == Served::Retry {
                    pending.faults.push_back(offset);
                }
            }
        }
        Ok(())
    }

    fn install_page(
        &self,
        offset: u64,
        page: &[u8],
        pending: &mut Pending,
    ) -> Result<Served, String> {
        let address = self.address_of(offset)?;
        let install = self.uffd.copy(address, page);
        self.judge(install, offset, BLOCK_BYTES, PageState::Installed, pending)
    }

    /// Maps zeros from `offset` on, as far as nothing has become of the pages, at most `limit` bytes.
    fn install_zeros(
        &self,
        offset: u64,
        limit: u64,
        pending: &mut Pending,
    ) -> Result<Served, String> {
        let place = self.layout.place_of(offset).ok_or("no such page")?;
        let length = self
            .tracker
            .untouched(offset, limit.min(place.length))
            .max(BLOCK_BYTES);
        let install = self.uffd.zero(place.address, length);
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

    /// Installs one piece of the working set, or sends it to be read.
    fn replay_piece(&mut self, pending: &mut Pending) -> Result<(), String> {
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
                if !piece.warm && !window.is_resident(storage_offset, entry.length) {
                    replay.start_warming();
                    self.pool.submit(Job {
                        file: Arc::clone(self.chain.file(index)),
                        storage_offset,
                        purpose: Purpose::Warm {
                            offset: entry.offset,
                            length: entry.length,
                        },
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

impl Pending {
    fn check_deadlines(&self) -> Result<(), String> {
        let late = self
            .cold
            .iter()
            .find(|(_, since)| since.elapsed() > COLD_DEADLINE);
        match late {
            Some((offset, _)) => Err(format!(
                "the page at {offset:#x} was not read from the disk in {COLD_DEADLINE:?}"
            )),
            None => Ok(()),
        }
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

fn unreadable(offset: u64, error: &io::Error) -> String {
    format!("the page at {offset:#x} cannot be read from its layer: {error}")
}

fn refused(offset: u64, errno: i32) -> String {
    let error = io::Error::from_raw_os_error(errno);
    format!("the page at {offset:#x} cannot be installed: {error}")
}
