//! A cgroup (v2) for each process: it holds all descendants, whatever sessions they make, so that a
//! kill reaches every one of them and the end of the last can be waited for.
//! Kernel documentation: Documentation/admin-guide/cgroup-v2.rst.

use std::cell::Cell;
use std::fs;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use memchr::memmem;
use rustix::fs::{Mode, OFlags};
use tokio::io::Interest;

use crate::watched::watched;

/// `f_type` of a cgroup v2 mount.
const CGROUP2_MAGIC: i64 = 0x6367_7270;

/// The agent's own part of the cgroup tree.
pub struct Cgroups {
    base: PathBuf,
    made: Cell<u64>,
}

impl Cgroups {
    /// Takes a part below `root`; fails where that is no writable cgroup v2 tree.
    pub fn new(root: &Path) -> io::Result<Self> {
        if rustix::fs::statfs(root)?.f_type != CGROUP2_MAGIC {
            return Err(io::Error::new(
                io::ErrorKind::Unsupported,
                "not a cgroup v2 mount",
            ));
        }
        let base = root.join(format!("envd-{}", std::process::id()));
        match fs::create_dir(&base) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        Ok(Cgroups {
            base,
            made: Cell::new(0),
        })
    }

    /// Makes an empty cgroup.
    pub fn create(&self) -> io::Result<Cgroup> {
        let number = self.made.get();
        self.made.set(number + 1);
        let path = self.base.join(number.to_string());
        fs::create_dir(&path)?;
        let directory = rustix::fs::open(
            &path,
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        )?;
        Ok(Cgroup {
            path,
            directory,
            removed: Cell::new(false),
        })
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.base);
    }
}

/// The cgroup of one process and its descendants.
pub struct Cgroup {
    path: PathBuf,
    directory: OwnedFd,
    removed: Cell<bool>,
}

impl Cgroup {
    /// For CLONE_INTO_CGROUP.
    pub fn directory(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Kills all processes in it.
    pub fn kill(&self) -> io::Result<()> {
        match fs::write(self.path.join("cgroup.kill"), "1") {
            // It was removed, so it was empty.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV)) => {
                Ok(())
            }
            result => result,
        }
    }

    /// Waits until no process is left in it.
    pub async fn emptied(&self) -> io::Result<()> {
        match self.wait_until_empty().await {
            // It was removed, so it was empty.
            Err(error) if matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV)) => {
                Ok(())
            }
            result => result,
        }
    }

    async fn wait_until_empty(&self) -> io::Result<()> {
        let events = fs::File::open(self.path.join("cgroup.events"))?;
        // The kernel announces changes of this file as "priority" readiness.
        let events = watched(events.into(), Interest::PRIORITY)?;
        loop {
            let mut text = [0; 128];
            let length = rustix::io::pread(&events, &mut text, 0)?;
            if memmem::find(&text[..length], b"populated 1").is_none() {
                return Ok(());
            }
            events.ready(Interest::PRIORITY).await?.clear_ready();
        }
    }

    /// All processes in it and below.
    pub fn pids(&self) -> Vec<u32> {
        let mut pids = Vec::new();
        self.visit(&mut |directory| {
            let text = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
            pids.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()));
        });
        pids
    }

    /// CPU time of all processes that were ever in it, in microseconds.
    pub fn cpu_usec(&self) -> Option<u64> {
        let text = fs::read_to_string(self.path.join("cpu.stat")).ok()?;
        text.lines()
            .find_map(|line| line.strip_prefix("usage_usec ")?.parse().ok())
    }

    /// Removes it and what its processes made below it. It has to be empty.
    pub fn remove(&self) -> io::Result<()> {
        if self.removed.get() {
            return Ok(());
        }
        let mut directories = Vec::new();
        self.visit(&mut |directory| directories.push(directory.to_owned()));
        for directory in directories.iter().rev() {
            fs::remove_dir(directory)?;
        }
        self.removed.set(true);
        Ok(())
    }

    /// Calls `see` for this cgroup and all below it, parents first.
    fn visit(&self, see: &mut dyn FnMut(&Path)) {
        let mut pending = vec![self.path.clone()];
        while let Some(directory) = pending.pop() {
            see(&directory);
            let Ok(entries) = fs::read_dir(&directory) else {
                continue;
            };
            pending.extend(
                entries
                    .flatten()
                    .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
                    .map(|entry| entry.path()),
            );
        }
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = self.remove();
    }
}
