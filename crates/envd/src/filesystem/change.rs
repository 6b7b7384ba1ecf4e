//! Changes of entries: directories made, entries moved and removed. All of this blocks.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::directories::{self, Owner};
use super::remove_tree::remove_tree;
use crate::connect::{Code, Error};

/// Makes the directory at `path` and its parents; it must not be there.
pub fn make_directory(path: &Path, owner: Owner) -> Result<(), Error> {
    let shown = path.display();
    if let Ok(metadata) = fs::metadata(path) {
        return Err(match metadata.is_dir() {
            true => Error::new(
                Code::AlreadyExists,
                format!("the directory '{shown}' exists already"),
            ),
            false => Error::invalid(format!("'{shown}' exists and is not a directory")),
        });
    }
    match directories::make(path, owner) {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::new(
            Code::AlreadyExists,
            format!("the directory '{shown}' exists already"),
        )),
        Err(error) => Err(failed(&format!("make the directory '{shown}'"), &error)),
    }
}

/// Renames an entry; missing parents of the destination are made.
pub fn rename(source: &Path, destination: &Path, owner: Owner) -> Result<(), Error> {
    let what = format!("move '{}' to '{}'", source.display(), destination.display());
    fs::symlink_metadata(source).map_err(|error| failed(&what, &error))?;
    directories::make_parent(destination, owner).map_err(|error| failed(&what, &error))?;
    fs::rename(source, destination).map_err(|error| failed(&what, &error))
}

/// Removes an entry and all below it; a missing one is success.
pub fn remove(path: &Path) -> Result<(), Error> {
    let what = format!("remove '{}'", path.display());
    let removed = fs::symlink_metadata(path).and_then(|metadata| {
        if is_root(&metadata)? {
            // Also by another name, such as /tmp/..
            Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it is the root",
            ))
        } else if metadata.is_dir() {
            remove_tree(path)
        } else {
            fs::remove_file(path)
        }
    });
    match removed {
        Err(error)
            if !matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Err(failed(&what, &error))
        }
        _ => Ok(()),
    }
}

fn is_root(metadata: &Metadata) -> io::Result<bool> {
    let root = fs::metadata("/")?;
    Ok((metadata.dev(), metadata.ino()) == (root.dev(), root.ino()))
}

fn failed(what: &str, error: &io::Error) -> Error {
    match error.raw_os_error() {
        None => Error::invalid(format!("Cannot {what}: {error}")),
        Some(libc::EBUSY | libc::EXDEV) => Error::new(
            Code::FailedPrecondition,
            format!("Cannot {what}: {}", crate::connect::error::reason(error)),
        ),
        _ => Error::from_io(what, error),
    }
}
