//! Puts layers into a process that maps only their base: every page that is not the image's is
//! written into its private mapping. Nobody must use the memory meanwhile: the guest does not run yet.

use std::fs::File;

use super::CHUNK_BYTES;
use super::chain::Chain;
use super::header::Header;
use super::mapping::{Entry, Holder};
use crate::failure::Failure;
use crate::files::extents::data_extents;
use crate::process::image::Image;
use crate::process::memory::ProcessMemory;

/// What was written into the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Injected {
    /// Bytes from layers.
    pub data_bytes: u64,
    /// Bytes of zeros over data of the image.
    pub zero_bytes: u64,
}

/// Makes the memory of process `pid`, which maps `image` privately, the memory of `header` and `chain`.
pub fn inject(pid: u32, image: &File, header: &Header, chain: &Chain) -> Result<Injected, Failure> {
    let failed = |what: &str, error| Failure::io(format_args!("{what} process {pid}"), error);
    let size = chain.mapping().size();
    let mapped = Image::find(pid, image, size)?;
    let memory = ProcessMemory::open(pid).map_err(|error| failed("open", error))?;
    let unreadable = |error| Failure::io("read the layers", error);
    let own = chain.image_index(&header.base_build_id, image)?;
    let mut injected = Injected::default();
    let mut buffer = vec![0; CHUNK_BYTES];
    for entry in chain.mapping().entries() {
        match entry.holder {
            Holder::Build {
                index,
                storage_offset,
            } if Some(index) == own && storage_offset == entry.offset => {}
            Holder::Build { .. } => {
                for_each_chunk(entry, |offset, length| {
                    let chunk = &mut buffer[..length];
                    chain.read(offset, chunk).map_err(unreadable)?;
                    injected.data_bytes += length as u64;
                    mapped.write(&memory, offset, chunk)
                })?;
            }
            Holder::Zeros => {
                buffer.fill(0);
                for extent in data_extents(image, entry.offset, entry.end()) {
                    let extent = extent.map_err(unreadable)?;
                    let under = entry.slice(extent.start, extent.end);
                    injected.zero_bytes += under.length;
                    for_each_chunk(&under, |offset, length| {
                        mapped.write(&memory, offset, &buffer[..length])
                    })?;
                }
            }
        }
    }
    memory
        .still_alive()
        .map_err(|error| failed("write", error))?;
    Ok(injected)
}

fn for_each_chunk(
    entry: &Entry,
    mut visit: impl FnMut(u64, usize) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let mut at = entry.offset;
    while at < entry.end() {
        let length = CHUNK_BYTES.min((entry.end() - at) as usize);
        visit(at, length)?;
        at += length as u64;
    }
    Ok(())
}
