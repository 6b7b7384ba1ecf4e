//! Whether a file system reports holes exactly. A page that was not written must be a hole, and one
//! that was written must be data, zeros included: on this rests which pages a layer inherits. A tmpfs
//! with huge pages, for one, reports whole huge pages as data. The same of a clone of a file that was written over while it
//! shared its blocks, which is what a whole memory is (`layer::rewrite::flatten`).

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;

use rustix::fs::{fstat, ioctl_ficlone};

use super::extents::data_extents;
use super::new_file::unnamed_file;
use super::page::{PAGE_BYTES, ZERO_PAGE};
use crate::failure::{Code, Failure};
use crate::layer::mapping::BLOCK_BYTES;

const TEST_BYTES: u64 = 8 << 20;

/// Remembers the answer per file system.
#[derive(Debug, Default)]
pub struct HoleChecks {
    exact: Mutex<HashMap<u64, bool>>,
}

impl HoleChecks {
    /// Whether the file system of `directory` is exact; tested at the first question.
    pub fn is_exact(&self, directory: impl AsFd) -> io::Result<bool> {
        let device = fstat(&directory)?.st_dev;
        let mut exact = self
            .exact
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some(&known) = exact.get(&device) {
            return Ok(known);
        }
        let answer = reports_holes_exactly(directory)?;
        exact.insert(device, answer);
        Ok(answer)
    }

    /// Refuses a file system that is not exact.
    pub fn require(&self, directory: impl AsFd, path: &Path) -> Result<(), Failure> {
        let exact = self.is_exact(directory).map_err(|error| {
            Failure::io(format_args!("test holes at {}", path.display()), error)
        })?;
        if exact {
            return Ok(());
        }
        let message = format!(
            "Cannot make an incremental layer at {}: its file system does not report holes exactly (a tmpfs needs huge=never)",
            path.display()
        );
        Err(Failure::new(Code::Unsupported, message))
    }
}

/// The question without memory: writes single pages, some of them zeros, into files that have no
/// name any more, and compares.
pub fn reports_holes_exactly(directory: impl AsFd) -> io::Result<bool> {
    let file = unnamed_file(&directory)?;
    file.set_len(TEST_BYTES)?;
    let pages: Vec<u64> = (0..TEST_BYTES / BLOCK_BYTES)
        .filter(|page| page % 97 == 1 || page % 512 == 511 || page % 1024 == 4)
        .collect();
    for (count, page) in pages.iter().enumerate() {
        let content = if count % 3 == 0 {
            &ZERO_PAGE
        } else {
            &[0xa5; PAGE_BYTES]
        };
        file.write_all_at(content, page * BLOCK_BYTES)?;
    }
    // What is only in the page cache is reported by other code than what has its blocks.
    if !has_exactly(&file, &pages)? {
        return Ok(false);
    }
    file.sync_all()?;
    Ok(has_exactly(&file, &pages)? && clone_is_exact(directory, &file, &pages)?)
}

fn clone_is_exact(directory: impl AsFd, file: &File, pages: &[u64]) -> io::Result<bool> {
    let (written, clone) = (unnamed_file(&directory)?, unnamed_file(&directory)?);
    if ioctl_ficlone(&written, file).is_err() {
        return Ok(true); // there are no clones here
    }
    for page in pages.iter().step_by(2) {
        written.write_all_at(&[0x5a; PAGE_BYTES], page * BLOCK_BYTES)?;
    }
    ioctl_ficlone(&clone, &written)?;
    has_exactly(&clone, pages)
}

fn has_exactly(file: &File, pages: &[u64]) -> io::Result<bool> {
    let mut found = Vec::new();
    for extent in data_extents(file, 0, TEST_BYTES) {
        let extent = extent?;
        found.extend(extent.start / BLOCK_BYTES..extent.end / BLOCK_BYTES);
    }
    Ok(found == pages)
}

#[cfg(test)]
mod tests {
    use super::super::roots::open_directory;
    use super::*;

    #[test]
    fn the_file_system_of_temporary_files_is_exact_and_the_test_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let checks = HoleChecks::default();
        let opened = open_directory(directory.path()).unwrap();
        assert!(checks.is_exact(&opened).unwrap());
        assert!(checks.require(&opened, directory.path()).is_ok());
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
