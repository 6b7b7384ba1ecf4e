//! inotify(7): its instance, its watches, its events.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

/// An event as the kernel reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEvent {
    /// The watched directory's number.
    pub directory: i32,
    pub what: ReadFlags,
    /// The entry in the directory; `None`: the directory itself.
    pub name: Option<OsString>,
}

pub fn open() -> io::Result<OwnedFd> {
    Ok(inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?)
}

/// Watches the directory at `path`. A directory that is watched already has the same number again.
pub fn add(instance: impl AsFd, path: &Path, follow: bool) -> io::Result<i32> {
    let mut flags = WatchFlags::CREATE
        | WatchFlags::MODIFY
        | WatchFlags::ATTRIB
        | WatchFlags::DELETE
        | WatchFlags::MOVE
        | WatchFlags::DELETE_SELF
        | WatchFlags::MOVE_SELF
        | WatchFlags::ONLYDIR;
    if !follow {
        flags |= WatchFlags::DONT_FOLLOW;
    }
    Ok(inotify::add_watch(instance, path, flags)?)
}

/// Ends the watch of a directory; it may have ended by itself.
pub fn remove(instance: impl AsFd, directory: i32) {
    let _ = inotify::remove_watch(instance, directory);
}

/// Events that are read at a time: more than the kernel keeps, so that all from before the call are
/// among them, but not without end while others go on making them.
pub const MAX_READ: usize = 20_000;

/// The events that are there, at most `MAX_READ`.
pub fn read(instance: impl AsFd) -> Vec<RawEvent> {
    let mut buffer = [MaybeUninit::uninit(); 16 * 1024];
    let mut reader = Reader::new(instance, &mut buffer);
    let mut events = Vec::new();
    while events.len() < MAX_READ {
        match reader.next() {
            Ok(event) => events.push(RawEvent {
                directory: event.wd(),
                what: event.events(),
                name: event
                    .file_name()
                    .map(|name| OsString::from_vec(name.to_bytes().to_vec())),
            }),
            Err(Errno::INTR) => {}
            Err(_) => break,
        }
    }
    events
}

/// A watched directory: its number, and its name below the root of the watch.
pub type Found = Vec<(i32, PathBuf)>;

/// Watches the directory at `root` and, if `recursive`, all below it. Blocks. Also on an error the
/// directories that are watched so far are told.
pub fn scan(instance: &OwnedFd, root: &Path, recursive: bool) -> (Found, Option<io::Error>) {
    let mut found = Found::new();
    match add(instance, root, true) {
        Ok(directory) => found.push((directory, PathBuf::new())),
        Err(error) => return (found, Some(error)),
    }
    let mut at = 0;
    while recursive && at < found.len() {
        let parent = found[at].1.clone();
        at += 1;
        for name in subdirectories(&root.join(&parent)) {
            let relative = parent.join(name);
            match add(instance, &root.join(&relative), false) {
                Ok(directory) => found.push((directory, relative)),
                Err(error) if has_vanished(&error) => {}
                Err(error) => return (found, Some(error)),
            }
        }
    }
    (found, None)
}

/// Whether an error only says that a directory is no longer there, or may not be looked into.
pub fn has_vanished(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP | libc::EACCES)
    )
}

fn subdirectories(path: &Path) -> Vec<OsString> {
    let Ok(entries) = fs::read_dir(path) else {
        return Vec::new();
    };
    let directories = entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    directories.map(|entry| entry.file_name()).collect()
}
