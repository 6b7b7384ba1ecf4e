//! Rewrites a chain of layers as one: collapsed over its base, or flattened to a whole memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::{FallocateFlags, fallocate, ioctl_ficlone};
use rustix::io::Errno;

use super::CHUNK_BYTES;
use super::chain::Chain;
use super::header::Header;
use super::mapping::{BLOCK_BYTES, BuildId, Entry, Holder, Mapping, Run};
use super::runs::Runs;
use crate::files::new_file::NewFile;
use crate::files::page::{PAGE_BYTES, is_zero};

/// What a rewrite wrote.
#[derive(Debug)]
pub struct Rewritten {
    /// Header of the new layer.
    pub header: Header,
    /// Bytes that were copied.
    pub copied_bytes: u64,
    /// Whether the base's blocks are shared (FICLONE).
    pub shared: bool,
}

/// Writes everything that is not the base's into the empty `output`: one layer over the base.
pub fn collapse(
    chain: Chain,
    header: &Header,
    build: &BuildId,
    output: &NewFile,
) -> io::Result<Rewritten> {
    let output = output.file();
    output.set_len(header.mapping.size())?;
    let base = chain
        .mapping()
        .builds()
        .iter()
        .position(|id| *id == header.base_build_id)
        .map(|index| index as u32);
    let is_base =
        |holder: Holder| matches!(holder, Holder::Build { index, .. } if Some(index) == base);
    let mut runs = Runs::default();
    let mut copied_bytes = 0;
    // What no build holds is nil already and stays so.
    for entry in chain.clone().without_holes()?.mapping().entries() {
        if let Holder::Build { index, .. } = entry.holder
            && !is_base(entry.holder)
        {
            copied_bytes += copy(chain.file(index), entry, output, &mut runs)?;
        }
    }
    let nil_where_layers_were = header
        .mapping
        .entries()
        .iter()
        .filter(|entry| !is_base(entry.holder))
        .map(|entry| Run {
            offset: entry.offset,
            length: entry.length,
            storage_offset: None,
        });
    let mapping = header
        .mapping
        .overlay(build, nil_where_layers_were)
        .overlay(build, runs.as_slice().iter().copied());
    let header = Header {
        generation: 1,
        build_id: build.clone(),
        base_build_id: header.base_build_id.clone(),
        mapping,
    };
    Ok(Rewritten {
        header,
        copied_bytes,
        shared: false,
    })
}

/// Writes the whole memory into the empty `output`: a base of its own. Shares the blocks of the old
/// base where the file system can, else copies what has data.
pub fn flatten(
    chain: Chain,
    header: &Header,
    build: &BuildId,
    output: &NewFile,
) -> io::Result<Rewritten> {
    let size = header.mapping.size();
    let base = identity_base(chain.mapping(), &header.base_build_id);
    let copy_of_base = match base {
        Some(index) => shared_copy(chain.file(index), output)?,
        None => None,
    };
    let shared = copy_of_base.is_some();
    let written = copy_of_base.as_ref().unwrap_or(output.file());
    written.set_len(size)?;
    let mut runs = Runs::default();
    let mut copied_bytes = 0;
    for entry in chain.clone().without_holes()?.mapping().entries() {
        match entry.holder {
            Holder::Build { index, .. } if !(shared && Some(index) == base) => {
                copied_bytes += copy(chain.file(index), entry, written, &mut runs)?;
                if shared {
                    punch_zeros(written, &runs, entry)?;
                }
            }
            Holder::Zeros if shared => punch(written, entry.offset, entry.length)?,
            _ => {}
        }
    }
    if let Some(written) = &copy_of_base {
        ioctl_ficlone(output.file(), written)?;
    }
    let header = Header {
        generation: 0,
        build_id: build.clone(),
        base_build_id: build.clone(),
        mapping: Mapping::whole(build.clone(), size),
    };
    Ok(Rewritten {
        header,
        copied_bytes,
        shared,
    })
}

/// The index of the base, when every entry of it is where it is in memory.
fn identity_base(mapping: &Mapping, base: &BuildId) -> Option<u32> {
    let base = mapping.builds().iter().position(|id| id == base)? as u32;
    let identity = mapping.entries().iter().all(|entry| match entry.holder {
        Holder::Build {
            index,
            storage_offset,
        } => index != base || storage_offset == entry.offset,
        Holder::Zeros => true,
    });
    identity.then_some(base)
}

/// A copy of the base to write over, where the file system can share its blocks.
///
/// It is not the memory itself, which is cloned from it in the end: around blocks that were written over, XFS sets
/// others aside for minutes, and before Linux 6.9 `SEEK_DATA` takes what is shared there for holes
/// ("xfs: fix SEEK_HOLE/DATA for regions with active COW extents"). A clone has none set aside.
fn shared_copy(base: &File, output: &NewFile) -> io::Result<Option<File>> {
    let copy = output.scratch()?;
    match ioctl_ficlone(&copy, base) {
        Ok(()) => Ok(Some(copy)),
        Err(Errno::OPNOTSUPP | Errno::NOTTY | Errno::XDEV | Errno::INVAL | Errno::NOSYS) => {
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

/// Copies the pages of an entry that are not zeros to their place in memory.
fn copy(from: &File, entry: &Entry, output: &File, runs: &mut Runs) -> io::Result<u64> {
    let Holder::Build { storage_offset, .. } = entry.holder else {
        return Ok(0);
    };
    let mut buffer = vec![0; CHUNK_BYTES.min(entry.length as usize)];
    let mut done = 0;
    let mut copied = 0;
    while done < entry.length {
        let chunk = &mut buffer[..CHUNK_BYTES.min((entry.length - done) as usize)];
        from.read_exact_at(chunk, storage_offset + done)?;
        copied += write_data(output, entry.offset + done, chunk, |offset, zeros| {
            runs.push(offset, zeros)
        })?;
        done += chunk.len() as u64;
    }
    Ok(copied)
}

/// Writes the pages of `chunk` that are not zeros, joined; tells `visit` of every page.
pub fn write_data(
    output: &File,
    offset: u64,
    chunk: &[u8],
    mut visit: impl FnMut(u64, bool),
) -> io::Result<u64> {
    let mut written = 0;
    let mut start = 0;
    for (index, page) in chunk.chunks_exact(PAGE_BYTES).enumerate() {
        let at = index * PAGE_BYTES;
        let zeros = is_zero(page);
        visit(offset + at as u64, zeros);
        if zeros {
            output.write_all_at(&chunk[start..at], offset + start as u64)?;
            written += (at - start) as u64;
            start = at + PAGE_BYTES;
        }
    }
    output.write_all_at(&chunk[start..], offset + start as u64)?;
    Ok(written + (chunk.len() - start) as u64)
}

/// Takes the base's bytes away where a layer's page over them was zeros.
fn punch_zeros(output: &File, runs: &Runs, entry: &Entry) -> io::Result<()> {
    let first = runs
        .as_slice()
        .partition_point(|run| run.offset + run.length <= entry.offset);
    for run in &runs.as_slice()[first..] {
        if run.storage_offset.is_none() {
            let from = run.offset.max(entry.offset);
            punch(output, from, run.offset + run.length - from)?;
        }
    }
    Ok(())
}

fn punch(file: &File, offset: u64, length: u64) -> io::Result<()> {
    debug_assert_eq!(offset % BLOCK_BYTES, 0);
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(fallocate(file, flags, offset, length)?)
}
