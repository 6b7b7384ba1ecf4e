//! Memory layers: what they say of a guest's memory, and the work on their bytes.

pub mod chain;
pub mod checksum;
pub mod diff;
pub mod header;
pub mod inject;
pub mod mapping;
pub mod rewrite;
pub mod runs;
pub mod seal;
pub mod verify;

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;

use crate::failure::{Code, Failure};
use crate::files::new_file::NewFile;
use crate::files::roots::Roots;
use header::{Header, MAX_HEADER_BYTES};

/// How much is read, compared or copied at once: fits the second-level cache of a server's core.
pub const CHUNK_BYTES: usize = 512 << 10;

/// Reads a header file.
pub fn read_header(roots: &Roots, path: &Path) -> Result<Header, Failure> {
    let file = roots.read(path)?;
    let mut bytes = Vec::new();
    file.take(MAX_HEADER_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Failure::io(format_args!("read {}", path.display()), error))?;
    Header::decode(&bytes).map_err(|error| {
        let message = format!("{error} ({})", path.display());
        Failure::new(Code::IncompatibleSnapshot, message)
    })
}

/// Makes a header file, not yet published.
pub fn write_header(roots: &Roots, path: &Path, header: &Header) -> Result<NewFile, Failure> {
    let new = NewFile::create(roots, path)?;
    new.file()
        .write_all_at(&header.encode(), 0)
        .map_err(|error| new.failed(error))?;
    Ok(new)
}

/// Length of a file that was opened as `path`.
pub fn length_of(file: &File, path: &Path) -> Result<u64, Failure> {
    let metadata = file
        .metadata()
        .map_err(|error| Failure::io(format_args!("read {}", path.display()), error))?;
    Ok(metadata.len())
}
