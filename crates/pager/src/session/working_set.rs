//! The pages that a guest asks for first, in order, as a file next to a layer:
//!
//! ```text
//! 0    magic "WRNWSET\1"   8
//! 8    extent count u32, 0 u32
//! 16   extents             {offset u64, length u64}, in the order of their first touch
//! …    CRC-32 of all before u32
//! ```

use crate::failure::{Code, Failure};
use crate::layer::mapping::BLOCK_BYTES;

const MAGIC: &[u8; 8] = b"WRNWSET\x01";
const FIXED_BYTES: usize = 16;
const EXTENT_BYTES: usize = 16;
const MAX_EXTENTS: usize = 65_536;
/// No working set is longer.
pub const MAX_FILE_BYTES: u64 = (FIXED_BYTES + MAX_EXTENTS * EXTENT_BYTES + 4) as u64;

/// A run of pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Where it begins in memory.
    pub offset: u64,
    /// Its bytes.
    pub length: u64,
}

/// Joins pages that follow each other in both orders, of touch and of place.
pub fn extents_of(touches: impl Iterator<Item = u64>) -> Vec<Extent> {
    let mut extents: Vec<Extent> = Vec::new();
    for offset in touches {
        match extents.last_mut() {
            Some(last) if last.offset + last.length == offset => last.length += BLOCK_BYTES,
            _ => extents.push(Extent {
                offset,
                length: BLOCK_BYTES,
            }),
        }
    }
    extents
}

/// The file's bytes.
pub fn encode(extents: &[Extent]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FIXED_BYTES + extents.len() * EXTENT_BYTES + 4);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&(extents.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    for extent in extents {
        bytes.extend_from_slice(&extent.offset.to_le_bytes());
        bytes.extend_from_slice(&extent.length.to_le_bytes());
    }
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

/// Reads what `encode` wrote.
pub fn decode(bytes: &[u8]) -> Result<Vec<Extent>, Failure> {
    let malformed = || {
        let message = "Cannot read the working set: it is damaged or not one";
        Failure::new(Code::IncompatibleSnapshot, message)
    };
    let (body, crc) = bytes.split_last_chunk::<4>().ok_or_else(malformed)?;
    let count = body.get(8..12).ok_or_else(malformed)?;
    let count = u32::from_le_bytes([count[0], count[1], count[2], count[3]]) as usize;
    let whole = body.starts_with(MAGIC)
        && count <= MAX_EXTENTS
        && body.len() == FIXED_BYTES + count * EXTENT_BYTES
        && crc32fast::hash(body) == u32::from_le_bytes(*crc);
    if !whole {
        return Err(malformed());
    }
    body[FIXED_BYTES..]
        .as_chunks::<8>()
        .0
        .chunks_exact(2)
        .map(|pair| {
            let extent = Extent {
                offset: u64::from_le_bytes(pair[0]),
                length: u64::from_le_bytes(pair[1]),
            };
            let aligned = extent.offset.is_multiple_of(BLOCK_BYTES)
                && extent.length.is_multiple_of(BLOCK_BYTES);
            let sane =
                aligned && extent.length > 0 && extent.offset.checked_add(extent.length).is_some();
            sane.then_some(extent).ok_or_else(malformed)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pages_are_joined_where_they_follow_each_other() {
        let pages = [5, 6, 7, 3, 4, 9, 8].map(|page| page * BLOCK_BYTES);
        let extents: Vec<_> = extents_of(pages.into_iter())
            .iter()
            .map(|extent| (extent.offset / BLOCK_BYTES, extent.length / BLOCK_BYTES))
            .collect();
        assert_eq!(extents, [(5, 3), (3, 2), (9, 1), (8, 1)]);
    }

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded_and_nothing_else(pages in proptest::collection::vec(0..1000_u64, 0..60), at in any::<prop::sample::Index>(), change in 1..=255_u8) {
            let extents = extents_of(pages.into_iter().map(|page| page * BLOCK_BYTES));
            let mut bytes = encode(&extents);
            prop_assert_eq!(decode(&bytes), Ok(extents));
            let at = at.index(bytes.len());
            bytes[at] ^= change;
            prop_assert!(decode(&bytes).is_err());
        }

        #[test]
        fn no_bytes_make_it_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode(&bytes);
            bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
            let _ = decode(&bytes);
        }
    }
}
