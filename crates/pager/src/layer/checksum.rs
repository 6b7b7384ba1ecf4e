//! The checksum of a layer's bytes: CRC-32 over {offset u64 little-endian, 4096 bytes} of every page
//! that is not all zeros, in order. So it names the content, whatever the holes are: a copy that fills
//! holes with zeros has the same one.

use std::fmt;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use super::CHUNK_BYTES;
use super::mapping::BLOCK_BYTES;
use crate::files::extents::data_extents;
use crate::files::page::{PAGE_BYTES, is_zero};

/// A checksum in the making.
#[derive(Clone, Debug, Default)]
pub struct Checksum(crc32fast::Hasher);

impl Checksum {
    /// Takes in the page at `offset`, which must be beyond all before; a page of zeros counts as absent.
    pub fn add(&mut self, offset: u64, page: &[u8]) {
        if !is_zero(page) {
            self.add_data(offset, page);
        }
    }

    /// Takes in a page that is known to hold data.
    pub fn add_data(&mut self, offset: u64, page: &[u8]) {
        self.0.update(&offset.to_le_bytes());
        self.0.update(page);
    }

    /// Reads a whole file.
    pub fn of(file: &File) -> io::Result<Self> {
        let mut checksum = Self::default();
        for_each_chunk(file, file.metadata()?.len(), |offset, chunk| {
            for (index, page) in chunk.chunks(PAGE_BYTES).enumerate() {
                checksum.add(offset + index as u64 * BLOCK_BYTES, page);
            }
            Ok(())
        })?;
        Ok(checksum)
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "crc32:{:08x}", self.0.clone().finalize())
    }
}

/// Reads what a file holds up to `length`, without its holes, in pieces of at most `CHUNK_BYTES`.
pub fn for_each_chunk(
    file: &File,
    length: u64,
    mut visit: impl FnMut(u64, &[u8]) -> io::Result<()>,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK_BYTES];
    for extent in data_extents(file, 0, length) {
        let extent = extent?;
        let mut at = extent.start;
        while at < extent.end {
            let chunk = &mut buffer[..CHUNK_BYTES.min((extent.end - at) as usize)];
            file.read_exact_at(chunk, at)?;
            visit(at, chunk)?;
            at += chunk.len() as u64;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_of_the_content_not_of_the_holes() {
        let sparse = tempfile::tempfile().unwrap();
        sparse.set_len(64 * BLOCK_BYTES).unwrap();
        sparse
            .write_all_at(&[7; PAGE_BYTES], 5 * BLOCK_BYTES)
            .unwrap();
        let full = tempfile::tempfile().unwrap();
        full.write_all_at(&[0; 64 * PAGE_BYTES], 0).unwrap();
        full.write_all_at(&[7; PAGE_BYTES], 5 * BLOCK_BYTES)
            .unwrap();
        let sum = |file: &File| Checksum::of(file).unwrap().to_string();
        assert_eq!(sum(&sparse), sum(&full));
        assert!(sum(&full).starts_with("crc32:"));
        full.write_all_at(&[8], 5 * BLOCK_BYTES + 17).unwrap();
        assert_ne!(sum(&sparse), sum(&full));
        let moved = tempfile::tempfile().unwrap();
        moved.write_all_at(&[0; 64 * PAGE_BYTES], 0).unwrap();
        moved
            .write_all_at(&[7; PAGE_BYTES], 6 * BLOCK_BYTES)
            .unwrap();
        assert_ne!(sum(&sparse), sum(&moved));
    }
}
