//! Files that become visible whole or not at all: written under a temporary name, flushed, renamed,
//! and the directory flushed. A file that is not published is removed.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{
    AtFlags, Mode, OFlags, RenameFlags, fchmod, fsync, openat, renameat, renameat_with, unlinkat,
};
use rustix::io;

use super::roots::Roots;
use crate::failure::Failure;

static COUNTER: AtomicU64 = AtomicU64::new(0);

/// What to do with a file that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// A layer's file never changes: fail.
    Refuse,
    /// A record: the new one takes its place.
    Replace,
}

/// A file that is being written.
#[derive(Debug)]
pub struct NewFile {
    path: PathBuf,
    directory: OwnedFd,
    temporary: OsString,
    name: OsString,
    file: File,
    state: State,
}

#[derive(Debug, PartialEq)]
enum State {
    Temporary,
    Renamed,
    Kept,
}

impl NewFile {
    /// Makes an empty file beside `path`.
    pub fn create(roots: &Roots, path: &Path) -> Result<Self, Failure> {
        let (directory, name) = roots.parent(path)?;
        Self::create_in(directory, name, path)
    }

    /// Makes an empty file in an open directory; `path` is for messages.
    pub fn create_in(directory: OwnedFd, name: OsString, path: &Path) -> Result<Self, Failure> {
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let mut temporary = OsString::from(".");
        temporary.push(&name);
        temporary.push(format!(".{}.{count}.tmp", std::process::id()));
        let flags =
            OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = openat(&directory, &temporary, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|error| Failure::io(format_args!("create {}", path.display()), error))?;
        Ok(Self {
            path: path.to_owned(),
            directory,
            temporary,
            name,
            file: File::from(file),
            state: State::Temporary,
        })
    }

    /// Where its bytes go.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The path that it will have.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What to say of an error in writing it.
    pub fn failed(&self, error: impl Into<std::io::Error>) -> Failure {
        Failure::io(format_args!("write {}", self.path.display()), error)
    }

    /// An empty file on the same file system that is gone when it is closed.
    pub fn scratch(&self) -> std::io::Result<File> {
        unnamed_file(&self.directory)
    }

    fn rename(&mut self, existing: Existing) -> io::Result<()> {
        match existing {
            Existing::Replace => renameat(
                &self.directory,
                &self.temporary,
                &self.directory,
                &self.name,
            )?,
            Existing::Refuse => renameat_with(
                &self.directory,
                &self.temporary,
                &self.directory,
                &self.name,
                RenameFlags::NOREPLACE,
            )?,
        }
        self.state = State::Renamed;
        Ok(())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        let name = match self.state {
            State::Temporary => &self.temporary,
            State::Renamed => &self.name,
            State::Kept => return,
        };
        // Nothing can be done about a file that cannot be removed; it is in the caller's temporary directory.
        let _ = unlinkat(&self.directory, name, AtFlags::empty());
    }
}

/// An empty file in `directory` that has no name any more. Not `O_TMPFILE`, which not every file system has.
pub fn unnamed_file(directory: impl AsFd) -> std::io::Result<File> {
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    let name = OsString::from(format!(".unnamed.{}.{count}.tmp", std::process::id()));
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = openat(&directory, &name, flags, Mode::RUSR | Mode::WUSR)?;
    unlinkat(&directory, &name, AtFlags::empty())?;
    Ok(File::from(file))
}

/// Makes the files visible, read-only, in the order given: all of them, or none. `durable`: they
/// are on the disk when this returns.
pub fn publish(mut files: Vec<NewFile>, existing: Existing, durable: bool) -> Result<(), Failure> {
    for new in &files {
        fchmod(&new.file, Mode::RUSR | Mode::RGRP | Mode::ROTH)
            .map_err(|error| new.failed(error))?;
        if durable {
            fsync(&new.file).map_err(|error| new.failed(error))?;
        }
    }
    for new in &mut files {
        if let Err(error) = new.rename(existing) {
            return Err(new.failed(error));
        }
    }
    if durable {
        for new in &files {
            fsync(&new.directory).map_err(|error| new.failed(error))?;
        }
    }
    for new in &mut files {
        new.state = State::Kept;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{FileExt, PermissionsExt};

    use super::*;
    use crate::failure::Code;

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn files_are_published_together_or_not_at_all() {
        let directory = tempfile::tempdir().unwrap();
        let roots = Roots::open(&[directory.path().to_owned()]).unwrap();
        let write = |name: &str| {
            let new = NewFile::create(&roots, &directory.path().join(name)).unwrap();
            new.file().write_all_at(name.as_bytes(), 0).unwrap();
            new
        };
        drop(write("dropped"));
        assert_eq!(names(directory.path()), [""; 0]);
        publish(vec![write("a"), write("b")], Existing::Refuse, true).unwrap();
        assert_eq!(names(directory.path()), ["a", "b"]);
        let mode = fs::metadata(directory.path().join("a"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o444);

        let failure = publish(vec![write("c"), write("b")], Existing::Refuse, true).unwrap_err();
        assert_eq!(failure.code, Code::AlreadyExists);
        assert_eq!(names(directory.path()), ["a", "b"], "c is taken back");
        publish(vec![write("b")], Existing::Replace, false).unwrap();
        assert_eq!(names(directory.path()), ["a", "b"]);
    }
}
