//! The most recent output of a process, by its offset from the start of the output.

use std::collections::VecDeque;

/// A bounded window on the end of an endless sequence of bytes.
#[derive(Debug, Default)]
pub struct Ring {
    kept: VecDeque<u8>,
    end: u64,
}

impl Ring {
    /// Offset of the first byte that is kept.
    pub fn start(&self) -> u64 {
        self.end - self.kept.len() as u64
    }

    /// Offset behind the last byte.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// How many bytes are kept.
    pub fn kept(&self) -> usize {
        self.kept.len()
    }

    /// Appends `bytes`, then forgets the oldest beyond `capacity`, but none from `needed` on.
    pub fn push(&mut self, bytes: &[u8], capacity: usize, needed: u64) {
        self.kept.extend(bytes);
        self.end += bytes.len() as u64;
        let unneeded = usize::try_from(needed.saturating_sub(self.start()))
            .unwrap_or(usize::MAX)
            .min(self.kept.len());
        let excess = self.kept.len().saturating_sub(capacity);
        self.kept.drain(..excess.min(unneeded));
    }

    /// Up to `max` bytes from `offset`, or from the first kept byte if that one is gone. Empty when
    /// there are none yet.
    pub fn read(&self, offset: u64, max: usize) -> (u64, &[u8]) {
        let offset = offset.clamp(self.start(), self.end);
        let skip = (offset - self.start()) as usize;
        let (front, back) = self.kept.as_slices();
        let slice = if skip < front.len() {
            &front[skip..]
        } else {
            &back[skip - front.len()..]
        };
        (offset, &slice[..slice.len().min(max)])
    }

    /// Forgets everything and gives the memory back.
    pub fn clear(&mut self) {
        self.kept = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn all_from(ring: &Ring, offset: u64) -> (u64, Vec<u8>) {
        let (first, _) = ring.read(offset, 0);
        let mut bytes = Vec::new();
        loop {
            let (_, piece) = ring.read(first + bytes.len() as u64, 3);
            if piece.is_empty() {
                return (first, bytes);
            }
            bytes.extend_from_slice(piece);
        }
    }

    proptest! {
        #[test]
        fn keeps_the_end_of_what_was_pushed(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..20),
            capacity in 0usize..40,
            offset in 0u64..400,
        ) {
            let mut ring = Ring::default();
            for piece in &pieces {
                ring.push(piece, capacity, u64::MAX);
            }
            let all = pieces.concat();
            prop_assert_eq!(ring.end(), all.len() as u64);
            prop_assert_eq!(ring.kept(), all.len().min(capacity));
            let (first, bytes) = all_from(&ring, offset);
            prop_assert_eq!(&all[first as usize..], &bytes[..]);
            prop_assert_eq!(first, offset.clamp(ring.start(), ring.end()));
        }
    }

    #[test]
    fn never_forgets_what_is_needed() {
        let mut ring = Ring::default();
        ring.push(b"abcdef", 4, 1);
        assert_eq!(ring.start(), 1);
        ring.push(b"g", 4, 7);
        assert_eq!(all_from(&ring, 0), (3, b"defg".to_vec()));
        ring.clear();
        assert_eq!((ring.start(), ring.end()), (7, 7));
    }
}
