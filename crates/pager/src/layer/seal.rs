//! Makes a layer of a memory file that a VMM wrote: at identity offsets, sparse, holding what it
//! dirtied. A hole inherits the parent; a page that was written becomes the layer's, and when it is
//! zeros, nil. Only what has data is read.

use std::fs::File;
use std::io;
use std::ops::Range;

use rustix::fs::{FallocateFlags, fallocate};

use super::checksum::{Checksum, for_each_chunk};
use super::header::Header;
use super::mapping::{BLOCK_BYTES, BuildId, Mapping, Run};
use super::runs::Runs;
use crate::files::page::{PAGE_BYTES, is_zero};

/// A run of zeros is given back to the file system from this length on; shorter ones would cost
/// more in extents than they hold.
const PUNCH_BYTES: u64 = 64 << 10;

/// What sealing found.
#[derive(Debug)]
pub struct Sealed {
    /// The layer's header.
    pub header: Header,
    /// Of the memory file.
    pub checksum: Checksum,
    /// Bytes of pages with data.
    pub data_bytes: u64,
    /// Bytes of pages that were written as zeros.
    pub zero_bytes: u64,
}

/// Reads `memory`, which must be as long as the guest's memory, over `parent` (`None`: over zeros).
/// `given_back` are ranges, in order, that read as zeros where the file has a hole, for the guest
/// gave those pages back to the host.
pub fn seal(
    memory: &File,
    size: u64,
    parent: Option<&Header>,
    build: &BuildId,
    given_back: &[Range<u64>],
) -> io::Result<Sealed> {
    let mut runs = Runs::default();
    let mut checksum = Checksum::default();
    for_each_chunk(memory, size, |start, chunk| {
        for (index, page) in chunk.chunks_exact(PAGE_BYTES).enumerate() {
            let offset = start + index as u64 * BLOCK_BYTES;
            let zeros = is_zero(page);
            if !zeros {
                checksum.add_data(offset, page);
            }
            runs.push(offset, zeros);
        }
        Ok(())
    })?;
    for run in runs.as_slice() {
        if run.storage_offset.is_none() && run.length >= PUNCH_BYTES {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            fallocate(memory, flags, run.offset, run.length)?;
        }
    }
    let below = parent.map_or_else(|| Mapping::zeros(size), |parent| parent.mapping.clone());
    let zeroed = given_back.iter().map(|range| Run {
        offset: range.start,
        length: range.end - range.start,
        storage_offset: None,
    });
    let mapping = below
        .overlay(build, zeroed)
        .overlay(build, runs.as_slice().iter().copied());
    Ok(Sealed {
        header: child_of(parent, build, mapping),
        checksum,
        data_bytes: runs.data_bytes(),
        zero_bytes: runs.zero_bytes(),
    })
}

/// The header of a layer over `parent`, or of one that stands alone.
pub fn child_of(parent: Option<&Header>, build: &BuildId, mapping: Mapping) -> Header {
    Header {
        generation: parent.map_or(0, |parent| parent.generation + 1),
        build_id: build.clone(),
        base_build_id: parent.map_or_else(|| build.clone(), |parent| parent.base_build_id.clone()),
        mapping,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::super::mapping::Holder;
    use super::*;

    const SIZE: u64 = 1 << 20;

    fn page(file: &File, page: u64, byte: u8) {
        file.write_all_at(&[byte; PAGE_BYTES], page * BLOCK_BYTES)
            .unwrap();
    }

    #[test]
    fn a_hole_inherits_and_a_written_zero_does_not() {
        let parent = Header {
            generation: 4,
            build_id: BuildId::new("parent").unwrap(),
            base_build_id: BuildId::new("base").unwrap(),
            mapping: Mapping::whole(BuildId::new("base").unwrap(), SIZE),
        };
        let memory = tempfile::tempfile().unwrap();
        memory.set_len(SIZE).unwrap();
        page(&memory, 1, 9);
        page(&memory, 2, 0);
        (40..80).for_each(|number| page(&memory, number, 0));
        page(&memory, 101, 3);
        let build = BuildId::new("child").unwrap();
        let given_back = 100 * BLOCK_BYTES..103 * BLOCK_BYTES;
        let sealed = seal(&memory, SIZE, Some(&parent), &build, &[given_back]).unwrap();
        let holder = |page: u64| {
            sealed
                .header
                .mapping
                .look_up(page * BLOCK_BYTES)
                .unwrap()
                .holder
        };
        let name = |page: u64| match holder(page) {
            Holder::Zeros => "zeros",
            Holder::Build { index, .. } => sealed.header.mapping.builds()[index as usize].as_str(),
        };
        let pages = [0, 1, 2, 3, 39, 40, 79, 80, 99, 100, 101, 102, 103];
        let names = [
            "base", "child", "zeros", "base", "base", "zeros", "zeros", "base", "base", "zeros",
            "child", "zeros", "base",
        ];
        assert_eq!(pages.map(name), names);
        assert_eq!(sealed.header.generation, 5);
        assert_eq!(sealed.header.base_build_id, parent.base_build_id);
        assert_eq!(
            (sealed.data_bytes, sealed.zero_bytes),
            (2 * BLOCK_BYTES, 41 * BLOCK_BYTES)
        );
        assert_eq!(
            sealed.checksum.to_string(),
            Checksum::of(&memory).unwrap().to_string()
        );

        let alone = seal(&memory, SIZE, None, &build, &[]).unwrap().header;
        assert_eq!((alone.generation, &alone.base_build_id), (0, &build));
        assert_eq!(alone.mapping.look_up(0).unwrap().holder, Holder::Zeros);
    }
}
