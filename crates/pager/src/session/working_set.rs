//! The pages that a guest asks for first, in order, as a file next to a layer:
//!
//! ```text
//! 0    magic "WRNWSET\1"   8
//! 8    extent count u32, 0 u32
//! 16   extents             {offset u64, length u64}, in the order of their first touch
//! …    CRC-32 of all before u32
//! ```
//!
//! It is a guess of what a guest will need, and never a part of its memory: one that is missing, damaged
//! or of another memory is told in a line, and everything goes on without it.

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::path::Path;

use crate::failure::{Code, Failure};
use crate::files::roots::Roots;
use crate::layer::mapping::BLOCK_BYTES;

const MAGIC: &[u8; 8] = b"WRNWSET\x01";
const FIXED_BYTES: usize = 16;
const EXTENT_BYTES: usize = 16;
/// As many pages a working set has: 256 MiB, more than is worth to be replayed. So many extents too.
pub const MAX_PAGES: usize = 65_536;
/// No working set is longer.
const MAX_FILE_BYTES: u64 = (FIXED_BYTES + MAX_PAGES * EXTENT_BYTES + 4) as u64;
/// Of the pages that were replayed and that nobody waited for, one in so many is left out of the next set.
const FORGOTTEN: usize = 8;

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

/// What is replayed the next time: the pages that threads waited for, in that order, then those of the
/// set that was given. Whether these were used, nobody can tell; so their last eighth is left out. A
/// page of it that is needed is waited for then, and comes to the front; one that is not is forgotten.
pub fn merge(touches: impl Iterator<Item = u64>, given: &[Extent]) -> Vec<Extent> {
    let mut pages: Vec<u64> = touches.collect();
    let mut known: HashSet<u64> = pages.iter().copied().collect();
    let unasked: Vec<u64> = given
        .iter()
        .flat_map(|extent| {
            (extent.offset..extent.offset + extent.length).step_by(BLOCK_BYTES as usize)
        })
        .filter(|page| known.insert(*page))
        .collect();
    let kept = unasked.len() - unasked.len().div_ceil(FORGOTTEN);
    pages.extend(&unasked[..kept]);
    pages.truncate(MAX_PAGES);
    extents_of(pages.into_iter())
}

/// Reads the set of a memory of `size` bytes for a session; nothing when it is none.
pub fn read(roots: &Roots, path: &Path, size: u64, session: &str) -> Vec<Extent> {
    read_file(roots, path)
        .and_then(|bytes| decode(&bytes))
        .and_then(|extents| inside(extents, size))
        .unwrap_or_else(|failure| {
            let (path, why) = (path.display(), failure.message);
            // Not eprintln, which panics when nobody listens.
            let _ = writeln!(
                io::stderr(),
                "session {session} goes on without the working set {path}: {why}"
            );
            Vec::new()
        })
}

fn read_file(roots: &Roots, path: &Path) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    roots
        .read(path)?
        .take(MAX_FILE_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::io(format_args!("read {}", path.display()), error))?;
    Ok(bytes)
}

fn inside(extents: Vec<Extent>, size: u64) -> Result<Vec<Extent>, Failure> {
    match extents
        .iter()
        .all(|extent| extent.offset + extent.length <= size)
    {
        true => Ok(extents),
        false => Err(Failure::new(
            Code::IncompatibleSnapshot,
            "Cannot use the working set: it is of a larger memory",
        )),
    }
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
        && count <= MAX_PAGES
        && body.len() == FIXED_BYTES + count * EXTENT_BYTES
        && crc32fast::hash(body) == u32::from_le_bytes(*crc);
    if !whole {
        return Err(malformed());
    }
    let mut left = MAX_PAGES as u64 * BLOCK_BYTES;
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
            let bounded = extent.length > 0 && extent.length <= left;
            if !aligned || !bounded || extent.offset.checked_add(extent.length).is_none() {
                return Err(malformed());
            }
            left -= extent.length;
            Ok(extent)
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

    fn pages_of(extents: &[Extent]) -> Vec<u64> {
        let pages = |extent: &Extent| {
            let first = extent.offset / BLOCK_BYTES;
            first..first + extent.length / BLOCK_BYTES
        };
        extents.iter().flat_map(pages).collect()
    }

    fn set(pages: impl IntoIterator<Item = u64>) -> Vec<Extent> {
        extents_of(pages.into_iter().map(|page| page * BLOCK_BYTES))
    }

    fn merged(touches: &[u64], given: &[Extent]) -> Vec<u64> {
        pages_of(&merge(touches.iter().map(|page| page * BLOCK_BYTES), given))
    }

    #[test]
    fn what_was_waited_for_comes_first_and_of_the_rest_an_eighth_goes() {
        assert!(merged(&[], &[]).is_empty());
        assert_eq!(merged(&[3, 1], &[]), [3, 1]);
        assert_eq!(merged(&[3, 20], &set(0..17)), {
            // Sixteen are left beside the one that was waited for again.
            let kept = [0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14];
            [&[3, 20], &kept[..]].concat()
        });
    }

    #[test]
    fn a_page_that_nobody_waits_for_any_more_is_forgotten() {
        let mut extents = set(0..1000);
        for _ in 0..60 {
            extents = merge([7 * BLOCK_BYTES].into_iter(), &extents);
        }
        assert_eq!(pages_of(&extents), [7]);
    }

    #[test]
    fn a_set_has_its_most_pages_and_no_more() {
        let most = MAX_PAGES as u64;
        let touches: Vec<u64> = (most..most + 1000).collect();
        let found = merged(&touches, &set(0..most));
        assert_eq!(found.len(), MAX_PAGES * 7 / 8 + 1000);
        let touches: Vec<u64> = (most..most + 30_000).collect();
        assert_eq!(merged(&touches, &set(0..most)).len(), MAX_PAGES);
        let lengths = |lengths: &[u64]| {
            let extents = lengths.iter().map(|pages| Extent {
                offset: 0,
                length: pages * BLOCK_BYTES,
            });
            decode(&encode(&extents.collect::<Vec<_>>()))
        };
        assert!(lengths(&[most - 1, 1]).is_ok());
        assert!(lengths(&[most, 1]).is_err());
        assert!(lengths(&[u64::MAX >> 12]).is_err());
    }

    #[test]
    fn a_file_that_is_no_set_of_this_memory_is_none() {
        let directory = tempfile::tempdir().unwrap();
        let roots = Roots::open(&[directory.path().to_owned()]).unwrap();
        let path = directory.path().join("working-set");
        let found = |size: u64| read(&roots, &path, size * BLOCK_BYTES, "vm");
        assert_eq!(found(20), []);
        std::fs::write(&path, encode(&set(8..16))).unwrap();
        assert_eq!(found(16), set(8..16));
        assert_eq!(found(15), []);
        std::fs::write(&path, &encode(&set(8..16))[..30]).unwrap();
        assert_eq!(found(16), []);
    }

    proptest! {
        #[test]
        fn no_page_is_twice_in_a_set(touches in proptest::collection::hash_set(0..200_u64, 0..60), given in proptest::collection::vec((0..150_u64, 1..20_u64), 0..20)) {
            let extents = given.iter().map(|(first, count)| Extent { offset: first * BLOCK_BYTES, length: count * BLOCK_BYTES });
            let extents: Vec<_> = extents.collect();
            let touches: Vec<u64> = touches.into_iter().collect();
            let found = merged(&touches, &extents);
            let unique: HashSet<u64> = found.iter().copied().collect();
            prop_assert_eq!(unique.len(), found.len());
            prop_assert_eq!(&found[..touches.len()], &touches[..]);
            let known: HashSet<u64> = pages_of(&extents).into_iter().chain(touches).collect();
            prop_assert!(unique.is_subset(&known));
        }

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
