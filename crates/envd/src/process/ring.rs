//! The most recent output of a process, by its offset from the start of the output.

use std::borrow::Cow;
use std::io::IoSliceMut;

/// What a ring begins with, in bytes; it grows with what it has to keep.
const SMALLEST: usize = 4096;
const GROWTH: usize = 4;

/// A bounded window on the end of an endless sequence of bytes. A byte with the offset o is at
/// o % (length of the buffer).
#[derive(Debug, Default)]
pub struct Ring {
    buffer: Vec<u8>,
    start: u64,
    end: u64,
}

impl Ring {
    /// Offset of the first byte that is kept.
    pub fn start(&self) -> u64 {
        self.start
    }

    /// Offset behind the last byte.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// Memory in use, in bytes.
    pub fn held(&self) -> usize {
        self.buffer.len()
    }

    fn kept(&self) -> usize {
        (self.end - self.start) as usize
    }

    /// Room for what comes next, about `wanted` bytes; what was `filled` of it counts. It may be that
    /// of the oldest bytes, but of none from `needed` on: when those leave too little, there is `None`.
    pub fn room(
        &mut self,
        wanted: usize,
        capacity: usize,
        needed: u64,
    ) -> Option<[IoSliceMut<'_>; 2]> {
        let needed = (self.end - needed.clamp(self.start, self.end)) as usize;
        if self.held() > capacity && needed <= capacity {
            self.resize(capacity);
        } else if self.kept() > self.held() / 2 || self.held() == 0 {
            let larger = (self.held() * GROWTH).clamp(SMALLEST.min(capacity), capacity);
            self.resize(larger.max(self.held()));
        }
        let length = wanted.min(self.held() / 2);
        if self.held() - needed < length.max(1) {
            return None;
        }
        let from = self.index(self.end);
        let (before, behind) = self.buffer.split_at_mut(from);
        let behind_length = length.min(behind.len());
        Some([
            IoSliceMut::new(&mut behind[..behind_length]),
            IoSliceMut::new(&mut before[..length - behind_length]),
        ])
    }

    /// `length` bytes of the room have been filled.
    pub fn filled(&mut self, length: usize) {
        self.end += length as u64;
        self.start = self.start.max(self.end.saturating_sub(self.held() as u64));
    }

    /// Up to `max` bytes from `offset`, or from the first kept byte if that one is gone. Empty when
    /// there are none yet.
    pub fn read(&self, offset: u64, max: usize) -> (u64, Cow<'_, [u8]>) {
        let offset = offset.clamp(self.start, self.end);
        let length = ((self.end - offset) as usize).min(max);
        if length == 0 {
            return (offset, Cow::default());
        }
        let from = self.index(offset);
        let behind = &self.buffer[from..];
        let bytes = if length <= behind.len() {
            Cow::Borrowed(&behind[..length])
        } else {
            // Once a round: pieces go out whole, that no character is cut where the buffer ends.
            Cow::Owned([behind, &self.buffer[..length - behind.len()]].concat())
        };
        (offset, bytes)
    }

    /// Gives back the memory that the kept bytes do not need.
    pub fn compact(&mut self) {
        self.resize(self.kept());
    }

    /// Forgets everything and gives the memory back.
    pub fn clear(&mut self) {
        self.start = self.end;
        self.resize(0);
    }

    fn index(&self, offset: u64) -> usize {
        (offset % self.buffer.len() as u64) as usize
    }

    fn resize(&mut self, length: usize) {
        if length == self.buffer.len() {
            return;
        }
        let start = self.start.max(self.end.saturating_sub(length as u64));
        let mut resized = Ring {
            buffer: vec![0; length],
            start,
            end: self.end,
        };
        let mut offset = start;
        while offset < self.end {
            let (_, bytes) = self.read(offset, usize::MAX);
            let to = resized.index(offset);
            let piece = bytes.len().min(length - to);
            resized.buffer[to..to + piece].copy_from_slice(&bytes[..piece]);
            offset += piece as u64;
        }
        *self = resized;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Puts in what there is room for, at most `bytes`; tells how much.
    fn push(ring: &mut Ring, bytes: &[u8], capacity: usize, needed: u64) -> usize {
        let Some(mut room) = ring.room(bytes.len(), capacity, needed) else {
            return 0;
        };
        let mut length = 0;
        for slice in &mut room {
            let piece = slice.len().min(bytes.len() - length);
            slice[..piece].copy_from_slice(&bytes[length..length + piece]);
            length += piece;
        }
        ring.filled(length);
        length
    }

    fn all_from(ring: &Ring, offset: u64) -> (u64, Vec<u8>) {
        let (first, _) = ring.read(offset, 0);
        let mut bytes = Vec::new();
        loop {
            let (_, piece) = ring.read(first + bytes.len() as u64, 3);
            if piece.is_empty() {
                return (first, bytes);
            }
            bytes.extend_from_slice(&piece);
        }
    }

    proptest! {
        #[test]
        fn keeps_the_end_of_what_was_pushed(
            pieces in prop::collection::vec((prop::collection::vec(any::<u8>(), 1..20), 2usize..40), 0..30),
            offset in 0u64..400,
        ) {
            let mut ring = Ring::default();
            let mut all = Vec::new();
            for (piece, capacity) in &pieces {
                let length = push(&mut ring, piece, *capacity, u64::MAX);
                prop_assert!(length > 0, "nobody needs anything");
                all.extend_from_slice(&piece[..length]);
                prop_assert_eq!(ring.end(), all.len() as u64);
                prop_assert!(ring.held() <= *capacity);
                prop_assert!(ring.kept() >= all.len().min(*capacity / 2).min(length));
            }
            let (first, bytes) = all_from(&ring, offset);
            prop_assert_eq!(&all[first as usize..], &bytes[..]);
            prop_assert_eq!(first, offset.clamp(ring.start(), ring.end()));
            ring.compact();
            prop_assert_eq!(ring.held(), ring.kept());
            prop_assert_eq!(all_from(&ring, offset), (first, bytes));
        }

        #[test]
        fn never_forgets_what_is_needed(
            steps in prop::collection::vec((1usize..20, 2usize..40, 0u64..20), 0..60),
        ) {
            let mut ring = Ring::default();
            let (mut all, mut needed) = (Vec::new(), 0u64);
            for (length, capacity, taken) in steps {
                let piece: Vec<u8> = (0..length).map(|index| (all.len() + index) as u8).collect();
                let length = push(&mut ring, &piece, capacity, needed);
                all.extend_from_slice(&piece[..length]);
                prop_assert!(ring.start() <= needed);
                prop_assert_eq!(all_from(&ring, needed), (needed, all[needed as usize..].to_vec()));
                needed = (needed + taken).min(ring.end());
            }
        }
    }

    #[test]
    fn a_piece_across_the_end_of_the_buffer_comes_whole() {
        let mut ring = Ring::default();
        for text in ["abcd", "efgh", "ijkl"] {
            assert_eq!(push(&mut ring, text.as_bytes(), 8, u64::MAX), 4);
        }
        assert_eq!(ring.read(0, 99), (4, Cow::Borrowed(&b"efghijkl"[..])));
        ring.clear();
        assert_eq!((ring.start(), ring.end(), ring.held()), (12, 12, 0));
    }
}
