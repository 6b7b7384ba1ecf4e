//! A process's output on its way from pipes or terminal to those who follow it.
//!
//! Every byte goes through one bounded ring per kind of output. Followers are cursors on the rings.
//! With none, old output is forgotten and the process never waits. A follower that falls half a
//! ring behind makes the process wait, as a full pipe would; one that takes nothing at all for
//! `STALL` is cut off, so that a dead client cannot hold a process for ever.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSliceMut};
use std::os::fd::OwnedFd;
use std::rc::{Rc, Weak};
use std::time::Duration;

use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

use super::follower::{Cursor, Follower};
use super::ring::Ring;

/// Output kept per kind.
const CAPACITY: usize = 256 * 1024;
/// Output kept per kind once all processes together keep `TOTAL`.
const SMALL_CAPACITY: usize = 16 * 1024;
const TOTAL: usize = 24 * 1024 * 1024;
const STALL: Duration = Duration::from_secs(120);
/// Bytes that are read at a time: each read of a full pipe wakes its writer, which costs a turn.
const READ: usize = CAPACITY / 2;
/// Most that is still read after a process was killed, while others hold its pipes open.
const LAST_WORDS: usize = 1024 * 1024;

/// Which of a process's outputs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Stdout = 0,
    Stderr = 1,
    Pty = 2,
}

pub const KINDS: [Kind; 3] = [Kind::Stdout, Kind::Stderr, Kind::Pty];

/// The memory that all processes' output takes; shared by their outputs.
#[derive(Default)]
pub struct Budget(Cell<usize>);

/// One process's output.
pub struct Output {
    pub(super) rings: RefCell<[Ring; 3]>,
    cursors: RefCell<Vec<Weak<Cursor>>>,
    budget: Rc<Budget>,
    /// Something was added: followers look again.
    pub(super) added: Notify,
    /// A follower moved on or left: readers look again.
    pub(super) taken: Notify,
    /// Readers shall not wait for the end of the pipes any more.
    abandoned: Cell<bool>,
    abandon: Notify,
}

impl Output {
    pub fn new(budget: Rc<Budget>) -> Self {
        Output {
            rings: RefCell::default(),
            cursors: RefCell::default(),
            budget,
            added: Notify::new(),
            taken: Notify::new(),
            abandoned: Cell::new(false),
            abandon: Notify::new(),
        }
    }

    /// Follows the output from `offsets`; `None` is from now on.
    pub fn follow(self: &Rc<Self>, offsets: [Option<u64>; 3]) -> Follower {
        let rings = self.rings.borrow();
        let positions = KINDS.map(|kind| {
            let ring = &rings[kind as usize];
            Cell::new(
                offsets[kind as usize]
                    .map_or(ring.end(), |offset| offset.clamp(ring.start(), ring.end())),
            )
        });
        let cursor = Rc::new(Cursor::new(positions));
        self.cursors.borrow_mut().push(Rc::downgrade(&cursor));
        Follower::new(Rc::clone(self), cursor)
    }

    /// Wakes the followers.
    pub fn notify(&self) {
        self.added.notify_waiters();
    }

    /// Makes `read_until_end` stop at what is readable now.
    pub fn abandon(&self) {
        self.abandoned.set(true);
        self.abandon.notify_waiters();
    }

    /// Forgets what is kept, but nothing that a follower has yet to take.
    pub fn forget(&self) {
        for kind in KINDS {
            let needed = self.needed(kind);
            self.change(kind, |ring| {
                if needed >= ring.end() {
                    ring.clear();
                }
            });
        }
    }

    /// To be called when nothing more will come: gives back what memory is not needed.
    pub fn compact(&self) {
        for kind in KINDS {
            self.change(kind, Ring::compact);
        }
    }

    /// How much memory is in use, in bytes.
    pub fn held(&self) -> usize {
        self.rings.borrow().iter().map(Ring::held).sum()
    }

    /// Reads a pipe or terminal until its end.
    pub async fn read_until_end(&self, kind: Kind, source: &AsyncFd<OwnedFd>) {
        let mut last_words = LAST_WORDS;
        loop {
            match self
                .fill(kind, |room| rustix::io::readv(source, room))
                .await
            {
                // A terminal ends with EIO when its last holder closes it.
                Ok(0) | Err(Errno::IO) => return,
                Ok(length) => {
                    if self.abandoned.get() {
                        last_words = last_words.saturating_sub(length);
                        if last_words == 0 {
                            return;
                        }
                    }
                    // A flood of output must not keep other tasks from running.
                    tokio::task::consume_budget().await;
                }
                Err(Errno::AGAIN) => {
                    let abandoned = self.abandon.notified();
                    if self.abandoned.get() {
                        return;
                    }
                    tokio::select! {
                        ready = source.readable() => match ready {
                            Ok(mut ready) => ready.clear_ready(),
                            Err(_) => return,
                        },
                        () = abandoned => {}
                    }
                }
                Err(Errno::INTR) => {}
                Err(error) => {
                    eprintln!(
                        "envd: Cannot read a process's output: {}",
                        io::Error::from(error)
                    );
                    return;
                }
            }
        }
    }

    /// Adds what `read` puts into the room that it is given, as soon as there is room.
    async fn fill<Read>(&self, kind: Kind, read: Read) -> Result<usize, Errno>
    where
        Read: Fn(&mut [IoSliceMut<'_>]) -> Result<usize, Errno>,
    {
        loop {
            let taken = self.taken.notified();
            if let Some(result) = self.try_fill(kind, &read) {
                return result;
            }
            if tokio::time::timeout(STALL, taken).await.is_err() {
                self.cut_slowest(kind);
            }
        }
    }

    /// `None` while a follower has yet to take almost a whole ring.
    fn try_fill<Read>(&self, kind: Kind, read: Read) -> Option<Result<usize, Errno>>
    where
        Read: Fn(&mut [IoSliceMut<'_>]) -> Result<usize, Errno>,
    {
        let needed = self.needed(kind);
        let capacity = if self.budget.0.get() > TOTAL {
            SMALL_CAPACITY
        } else {
            CAPACITY
        };
        let result = self.change(kind, |ring| {
            let result = read(&mut ring.room(READ, capacity, needed)?);
            if let Ok(length) = result {
                ring.filled(length);
            }
            Some(result)
        });
        if matches!(result, Some(Ok(1..))) {
            self.added.notify_waiters();
        }
        result
    }

    /// Changes a ring, and what all together hold accordingly.
    fn change<T>(&self, kind: Kind, change: impl FnOnce(&mut Ring) -> T) -> T {
        let ring = &mut self.rings.borrow_mut()[kind as usize];
        let before = ring.held();
        let result = change(ring);
        self.budget
            .0
            .set(self.budget.0.get() + ring.held() - before);
        result
    }

    /// The smallest offset that a follower has yet to take.
    fn needed(&self, kind: Kind) -> u64 {
        let mut cursors = self.cursors.borrow_mut();
        cursors.retain(|cursor| cursor.strong_count() > 0);
        let live = cursors
            .iter()
            .filter_map(Weak::upgrade)
            .filter(|cursor| !cursor.cut.get());
        live.map(|cursor| cursor.positions[kind as usize].get())
            .min()
            .unwrap_or(u64::MAX)
    }

    fn cut_slowest(&self, kind: Kind) {
        let needed = self.needed(kind);
        for cursor in self.cursors.borrow().iter().filter_map(Weak::upgrade) {
            if cursor.positions[kind as usize].get() == needed {
                cursor.cut.set(true);
            }
        }
        self.added.notify_waiters();
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.budget.0.set(self.budget.0.get() - self.held());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::follower::PIPE_CHUNK;

    async fn push(output: &Output, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let read = |room: &mut [IoSliceMut]| {
                let mut length = 0;
                for slice in room {
                    let piece = slice.len().min(bytes.len() - length);
                    slice[..piece].copy_from_slice(&bytes[length..length + piece]);
                    length += piece;
                }
                Ok(length)
            };
            let length = output.fill(Kind::Stdout, read).await.expect("room");
            bytes = &bytes[length..];
        }
    }

    #[tokio::test]
    async fn a_process_without_followers_never_waits() {
        let output = Rc::new(Output::new(Rc::default()));
        for _ in 0..64 {
            push(&output, &[b'x'; PIPE_CHUNK]).await;
        }
        assert_eq!(output.held(), CAPACITY);
        let late = output.follow([Some(0), None, None]);
        assert_eq!(
            late.take(|chunk| chunk.offset).expect("kept"),
            (64 * PIPE_CHUNK - CAPACITY) as u64
        );
        output.forget();
        assert_eq!(output.held(), CAPACITY, "the follower has yet to take it");
        drop(late);
        output.forget();
        assert_eq!(output.budget.0.get(), 0);
    }

    #[tokio::test]
    async fn what_is_kept_takes_little_more_memory() {
        let output = Rc::new(Output::new(Rc::default()));
        output.compact();
        assert_eq!(output.held(), 0);
        push(&output, b"a few words").await;
        assert_eq!(output.budget.0.get(), 4096);
        output.compact();
        assert_eq!(output.budget.0.get(), 11);
        let late = output.follow([Some(2), None, None]);
        assert_eq!(late.take(|chunk| chunk.bytes.len()), Some(9));
    }

    #[tokio::test(start_paused = true)]
    async fn a_follower_that_takes_nothing_is_cut_off() {
        let output = Rc::new(Output::new(Rc::default()));
        let slow = output.follow([None; 3]);
        let mut taken = 0;
        for _ in 0..16 {
            push(&output, &[b'x'; PIPE_CHUNK]).await;
        }
        assert!(slow.is_cut());
        while let Some(length) = slow.take(|chunk| chunk.bytes.len()) {
            taken += length;
        }
        assert_eq!(taken, CAPACITY);
    }
}
