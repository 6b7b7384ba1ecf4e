//! The file that an upload goes to. It is written in place: watchers see one new file, as they would
//! from any program, and links stay links. All of this blocks.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};

use super::metadata::{self, Metadata};
use crate::filesystem::directories::Owner;

/// An open file. Dropped before it was `keep`t, one that did not exist before is removed again.
pub struct Target {
    file: File,
    path: PathBuf,
    is_new: bool,
}

impl Target {
    /// Opens and empties the file at `path`, and gives it to `owner`. Fails with ENOSPC when
    /// `expected` bytes have no room; nothing has been changed then.
    pub fn open(path: &Path, owner: Owner, expected: Option<u64>) -> io::Result<Self> {
        if let Some(expected) = expected {
            check_room(path, expected)?;
        }
        // Without O_NONBLOCK a FIFO would block the thread until somebody reads it.
        let options = OpenOptions::new()
            .write(true)
            .mode(0o666)
            .custom_flags(libc::O_NONBLOCK)
            .clone();
        let (file, is_new) = match options.clone().create_new(true).open(path) {
            Ok(file) => (file, true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => (
                options.clone().create(true).truncate(true).open(path)?,
                false,
            ),
            Err(error) => return Err(error),
        };
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is not a regular file",
            ));
        }
        let target = Target {
            file,
            path: path.to_owned(),
            is_new,
        };
        fchown(&target.file, Some(owner.uid), Some(owner.gid))?;
        Ok(target)
    }

    pub fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)
    }

    /// Appends all of another file; inside one file system the kernel copies.
    pub fn append(&mut self, source: &mut File) -> io::Result<()> {
        io::copy(source, &mut self.file).map(drop)
    }

    /// Sets the metadata; from here on the file stays.
    pub fn keep(mut self, metadata: &Metadata) -> io::Result<()> {
        metadata::replace(&self.file, metadata)?;
        self.is_new = false;
        Ok(())
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if self.is_new {
            // Half a file is worse than none; if this fails, the error was told all the same.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Refuses early what cannot fit, instead of destroying the old content for nothing.
fn check_room(path: &Path, expected: u64) -> io::Result<()> {
    let existing = fs::metadata(path)
        .map(|metadata| metadata.blocks() * 512)
        .unwrap_or(0);
    let Some(parent) = path.parent() else {
        return Ok(());
    };
    let Ok(space) = rustix::fs::statvfs(parent) else {
        return Ok(());
    };
    // File systems without a size report none at all.
    let free = space.f_bfree.saturating_mul(space.f_frsize);
    if space.f_blocks > 0 && expected > free.saturating_add(existing) {
        return Err(io::Error::from_raw_os_error(libc::ENOSPC));
    }
    Ok(())
}
