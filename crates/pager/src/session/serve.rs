//! The fault thread of one VM.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::install::{Served, unreadable};
use super::io_pool::{Completion, IoPool, Mailbox};
use super::layout::Layout;
use super::peer::Peer;
use super::replay::Replay;
use super::stats::{Stats, add};
use super::tracker::{PageState, Tracker};
use super::uffd::{Event, EventBuffer, MESSAGES_AT_ONCE, Uffd};
use crate::layer::chain::Chain;
use crate::layer::mapping::BLOCK_BYTES;

/// A page is tried again after this while the memory is changing.
const CHANGING_PAUSE: Duration = Duration::from_micros(100);
/// A disk that does not answer for so long does not answer.
const COLD_DEADLINE: Duration = Duration::from_secs(30);
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
pub(super) struct Pending {
    /// Pages that threads wait for, by offset.
    pub(super) faults: VecDeque<u64>,
    /// Pages that the pool reads, and since when.
    pub(super) cold: HashMap<u64, Instant>,
    /// The memory is gone: nobody can wait for a page any more. The process ends, now or later.
    pub(super) gone: bool,
    /// Tries in a row for which the kernel had no memory.
    pub(super) no_memory: u32,
}

/// What woke the loop.
struct Ready {
    ended: bool,
    mail: bool,
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

    fn complete(&mut self, completion: Completion, pending: &mut Pending) -> Result<(), String> {
        match completion {
            Completion::Run { extent, result } => {
                if let Some(replay) = &mut self.replay {
                    replay.finish_mapping(extent, result.is_ok());
                }
            }
            Completion::Page { offset, bytes } => {
                pending.cold.remove(&offset);
                let page = bytes.map_err(|error| unreadable(offset, &error))?;
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
