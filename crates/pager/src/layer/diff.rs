//! The pages of a live process that differ from its parent layer. The process maps a flat image
//! privately; what it wrote is no file page any more (`/proc/PID/pagemap`). Of these, a page is
//! dropped only when it equals the parent's, never for being zeros.

use std::fs::File;
use std::ops::Range;

use super::CHUNK_BYTES;
use super::chain::Chain;
use super::checksum::Checksum;
use super::header::Header;
use super::mapping::{BLOCK_BYTES, BuildId, Holder};
use super::runs::Runs;
use super::seal::child_of;
use crate::failure::Failure;
use crate::files::extents::data_extents;
use crate::files::new_file::NewFile;
use crate::files::page::{PAGE_BYTES, is_zero};
use crate::process::image::Image;
use crate::process::memory::ProcessMemory;
use crate::process::pagemap::Pagemap;

/// What a diff found.
#[derive(Debug)]
pub struct Diff {
    /// The new layer's header.
    pub header: Header,
    /// Of the new memory file.
    pub checksum: Checksum,
    /// Pages that the process wrote, in bytes.
    pub touched_bytes: u64,
    /// Bytes of pages with data.
    pub data_bytes: u64,
    /// Bytes of pages that are zeros now.
    pub zero_bytes: u64,
}

/// Writes the layer of what process `pid` changed since `parent`, of which it maps `image`. Nobody
/// must write the memory meanwhile: the guest is stopped.
pub fn diff(
    pid: u32,
    image: &File,
    parent: &Header,
    chain: &Chain,
    build: &BuildId,
    output: &NewFile,
) -> Result<Diff, Failure> {
    let size = parent.mapping.size();
    let failed = |what: &str, error| Failure::io(format_args!("{what} process {pid}"), error);
    let mapped = Image::find(pid, image, size)?;
    let memory = ProcessMemory::open(pid).map_err(|error| failed("open", error))?;
    let mut pagemap = Pagemap::open(pid).map_err(|error| failed("open the page map of", error))?;
    output
        .file()
        .set_len(size)
        .map_err(|error| output.failed(error))?;

    let mut runs = Runs::default();
    let mut checksum = Checksum::default();
    let mut touched_bytes = 0;
    let mut live = vec![0; CHUNK_BYTES];
    let mut before = vec![0; CHUNK_BYTES];
    let beyond_image = beyond_image(parent, chain, image)?;
    for part in mapped.parts() {
        let touched = pagemap
            .changed(part.address, part.address + part.length)
            .map_err(|error| failed("read the page map of", error))?;
        touched_bytes += touched
            .iter()
            .map(|range| range.end - range.start)
            .sum::<u64>();
        let touched = touched.into_iter().map(|range| part.offsets(&range));
        for candidates in union(touched, &beyond_image, part.offset..part.end()) {
            for chunk in chunks(candidates) {
                let length = (chunk.end - chunk.start) as usize;
                let (live, before) = (&mut live[..length], &mut before[..length]);
                memory
                    .read(part.address_of(chunk.start), live)
                    .map_err(|error| failed("read the memory of", error))?;
                chain
                    .read(chunk.start, before)
                    .map_err(|error| Failure::io("read the parent layers", error))?;
                keep_changed(chunk.start, live, before, output, &mut runs, &mut checksum)?;
            }
        }
    }
    memory
        .still_alive()
        .map_err(|error| failed("read", error))?;
    let mapping = parent
        .mapping
        .overlay(build, runs.as_slice().iter().copied());
    Ok(Diff {
        header: child_of(Some(parent), build, mapping),
        checksum,
        touched_bytes,
        data_bytes: runs.data_bytes(),
        zero_bytes: runs.zero_bytes(),
    })
}

/// Where the parent is not what the image holds: those pages were injected, or had to be, and are
/// compared whether the process is seen to have touched them or not.
fn beyond_image(parent: &Header, chain: &Chain, image: &File) -> Result<Vec<Range<u64>>, Failure> {
    let own = chain.image_index(&parent.base_build_id, image)?;
    let mut beyond = Vec::new();
    for entry in chain.mapping().entries() {
        match entry.holder {
            Holder::Build {
                index,
                storage_offset,
            } if Some(index) == own && storage_offset == entry.offset => {}
            Holder::Build { .. } => beyond.push(entry.offset..entry.end()),
            // Zeros over a hole of the image were not injected, and reading them would fill the hole's cache.
            Holder::Zeros => {
                for extent in data_extents(image, entry.offset, entry.end()) {
                    beyond.push(extent.map_err(|error| Failure::io("read the image", error))?);
                }
            }
        }
    }
    Ok(beyond)
}

/// The ranges of both lists that lie in `within`, joined and in order.
fn union(
    left: impl Iterator<Item = Range<u64>>,
    right: &[Range<u64>],
    within: Range<u64>,
) -> Vec<Range<u64>> {
    let right = right
        .iter()
        .map(|range| range.start.max(within.start)..range.end.min(within.end))
        .filter(|range| range.start < range.end);
    let mut all: Vec<_> = left.chain(right).collect();
    all.sort_unstable_by_key(|range| range.start);
    let mut joined: Vec<Range<u64>> = Vec::with_capacity(all.len());
    for range in all {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

fn chunks(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let end = range.end;
    range
        .step_by(CHUNK_BYTES)
        .map(move |start| start..end.min(start + CHUNK_BYTES as u64))
}

fn keep_changed(
    offset: u64,
    live: &[u8],
    before: &[u8],
    output: &NewFile,
    runs: &mut Runs,
    checksum: &mut Checksum,
) -> Result<(), Failure> {
    use std::os::unix::fs::FileExt;
    let write = |from: usize, to: usize| {
        output
            .file()
            .write_all_at(&live[from..to], offset + from as u64)
            .map_err(|error| output.failed(error))
    };
    let mut pending: Option<usize> = None;
    let pages = live
        .chunks_exact(PAGE_BYTES)
        .zip(before.chunks_exact(PAGE_BYTES));
    for (index, (page, parent)) in pages.enumerate() {
        let at = index * PAGE_BYTES;
        let zeros = is_zero(page);
        let changed = page != parent;
        if changed {
            runs.push(offset + index as u64 * BLOCK_BYTES, zeros);
        }
        if changed && !zeros {
            checksum.add_data(offset + at as u64, page);
            pending.get_or_insert(at);
        } else if let Some(start) = pending.take() {
            write(start, at)?;
        }
    }
    pending.map_or(Ok(()), |start| write(start, live.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn union_joins_what_overlaps_or_touches_and_cuts_to_the_part() {
        let joined = union(
            [10..20, 30..40].into_iter(),
            &[0..12, 20..25, 39..60],
            5..50,
        );
        assert_eq!(joined, [5..25, 30..50]);
    }
}
