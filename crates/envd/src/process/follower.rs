//! One reader of a process's output: a cursor on its rings (`output.rs`).

use std::cell::Cell;
use std::rc::Rc;

use super::output::{KINDS, Kind, Output};

/// Longest chunk of a pipe's output in one event.
pub const PIPE_CHUNK: usize = 32 * 1024;
/// Longest chunk of a terminal's output in one event.
pub const PTY_CHUNK: usize = 16 * 1024;

fn max_chunk(kind: Kind) -> usize {
    if kind == Kind::Pty {
        PTY_CHUNK
    } else {
        PIPE_CHUNK
    }
}

/// How far a follower has come.
pub(super) struct Cursor {
    /// Next offset to take, per kind.
    pub(super) positions: [Cell<u64>; 3],
    /// It took nothing for too long and does not count any more.
    pub(super) cut: Cell<bool>,
}

impl Cursor {
    pub(super) fn new(positions: [Cell<u64>; 3]) -> Self {
        Cursor {
            positions,
            cut: Cell::new(false),
        }
    }
}

/// One reader of a process's output.
pub struct Follower {
    output: Rc<Output>,
    cursor: Rc<Cursor>,
}

/// A piece of output.
pub struct Chunk<'a> {
    pub kind: Kind,
    pub offset: u64,
    pub bytes: &'a [u8],
}

impl Follower {
    pub(super) fn new(output: Rc<Output>, cursor: Rc<Cursor>) -> Self {
        Follower { output, cursor }
    }

    /// How many bytes are there to be taken.
    pub fn waiting(&self) -> usize {
        let rings = self.output.rings.borrow();
        let waiting = KINDS.map(|kind| {
            let ring = &rings[kind as usize];
            let position = self.cursor.positions[kind as usize].get();
            (ring.end() - position.clamp(ring.start(), ring.end())) as usize
        });
        waiting.iter().sum()
    }

    /// What `encode` makes of the next piece that is there; `None` when all was taken.
    pub fn take<T>(&self, encode: impl FnOnce(&Chunk) -> T) -> Option<T> {
        let rings = self.output.rings.borrow();
        for kind in KINDS {
            let position = &self.cursor.positions[kind as usize];
            let max = max_chunk(kind);
            let (offset, bytes) = rings[kind as usize].read(position.get(), max);
            if bytes.is_empty() {
                continue;
            }
            let chunk = Chunk {
                kind,
                offset,
                bytes: whole_characters(&bytes, max),
            };
            let encoded = encode(&chunk);
            position.set(offset + chunk.bytes.len() as u64);
            self.output.taken.notify_waiters();
            return Some(encoded);
        }
        None
    }

    /// Whether this follower was too slow for too long.
    pub fn is_cut(&self) -> bool {
        self.cursor.cut.get()
    }

    /// Completes when something was added after this call.
    pub fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.output.added.notified()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.cursor.cut.set(true);
        self.output.taken.notify_waiters();
    }
}

/// `bytes` without the begun UTF-8 character that a cut at `max` leaves at its end: clients decode
/// chunk by chunk.
fn whole_characters(bytes: &[u8], max: usize) -> &[u8] {
    if bytes.len() < max {
        return bytes;
    }
    let begun = bytes
        .iter()
        .rev()
        .take(4)
        .position(|byte| byte & 0b1100_0000 != 0b1000_0000);
    match begun {
        Some(back) if bytes[bytes.len() - 1 - back].leading_ones() as usize > back + 1 => {
            &bytes[..bytes.len() - 1 - back]
        }
        _ => bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_between_characters() {
        let text = "aé€😀".as_bytes();
        for max in 1..=text.len() {
            let kept = whole_characters(&text[..max], max);
            assert!(std::str::from_utf8(kept).is_ok(), "{max}");
        }
        assert_eq!(
            whole_characters(&[0xff; 8], 8).len(),
            7,
            "not UTF-8: still goes on"
        );
        assert_eq!(whole_characters(&[0x80; 8], 8).len(), 8);
    }
}
