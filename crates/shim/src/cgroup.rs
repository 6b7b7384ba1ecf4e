//! The VM's control group (cgroup v2): limits where the host has the controllers, and one handle on
//! every process of the VM. Kernel: Documentation/admin-guide/cgroup-v2.rst.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::failure::{Failure, Step};
use crate::spec::Spec;
use crate::sys;

const CONTROLLERS: [&str; 4] = ["cpu", "io", "memory", "pids"];
const EMPTY_WITHIN: Duration = Duration::from_secs(5);

/// How often another shim may take away the parent that this one is about to use.
const MAKE_ATTEMPTS: u32 = 100;

/// A cgroup that this shim made; dropped, it is killed and removed, and the parents that it leaves empty.
pub struct Cgroup {
    path: PathBuf,
    root: PathBuf,
}

impl Cgroup {
    /// Makes the cgroup of `spec`, if it names one, with its limits.
    pub fn create(spec: &Spec) -> Result<Option<Self>, Failure> {
        let Some(name) = &spec.cgroup else {
            return Ok(None);
        };
        let root = find_root()?;
        let path = root.join(name);
        let mut attempt = 1;
        while let Err(error) = make_with_parents(&root, Path::new(name)) {
            if error.kind() != io::ErrorKind::NotFound || attempt == MAKE_ATTEMPTS {
                return Err(error).step(|| format!("make cgroup {}", path.display()));
            }
            attempt += 1;
        }
        let cgroup = Self { path, root };
        cgroup.limit(
            "memory.max",
            spec.memory_max_bytes.map(|bytes| bytes.to_string()),
        )?;
        // One process of a VM is no use without the others.
        cgroup.limit(
            "memory.oom.group",
            spec.memory_max_bytes.map(|_| "1".to_owned()),
        )?;
        cgroup.limit("pids.max", spec.pids_max.map(|pids| pids.to_string()))?;
        cgroup.limit("cpu.max", spec.cpu_max.clone())?;
        if let Some(rate) = spec.io_max_bytes_per_second {
            let disk = disk_of(&spec.directory)
                .step(|| format!("find the disk of {}", spec.directory.display()))?;
            let value = disk.map(|disk| format!("{disk} rbps={rate} wbps={rate}"));
            cgroup.limit("io.max", value)?;
        }
        Ok(Some(cgroup))
    }

    /// Moves the calling process into it.
    pub fn join(&self) -> Result<(), Failure> {
        write(&self.path.join("cgroup.procs"), "0")
            .step(|| format!("join cgroup {}", self.path.display()))
    }

    /// Kills every process in it. Kernels before 5.14 cannot: there the VM's PID namespace does it.
    pub fn kill(&self) {
        let _ = write(&self.path.join("cgroup.kill"), "1");
    }

    /// Whether the kernel killed one of its processes for memory.
    pub fn oom_killed(&self) -> bool {
        fs::read_to_string(self.path.join("memory.events"))
            .is_ok_and(|events| counter(&events, "oom_kill") > 0)
    }

    fn limit(&self, file: &str, value: Option<String>) -> Result<(), Failure> {
        let (Some(value), path) = (value, self.path.join(file)) else {
            return Ok(());
        };
        match write(&path, &value) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            // a disk whose driver queues nothing takes no limit
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(()),
            result => result.step(|| format!("set {} to {value}", path.display())),
        }
    }

    /// Waits until the kernel reports that no process is left (`cgroup.events`: `populated 0`).
    fn wait_until_empty(&self) -> io::Result<()> {
        let events = File::open(self.path.join("cgroup.events"))?;
        let deadline = Instant::now() + EMPTY_WITHIN;
        while is_populated(&self.path)? {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(sys::io_error(Errno::ETIMEDOUT));
            }
            let timeout = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(
                &mut [PollFd::new(events.as_fd(), PollFlags::POLLPRI)],
                timeout,
            ) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(sys::io_error(errno)),
            }
        }
        Ok(())
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        self.kill();
        if let Err(error) = self
            .wait_until_empty()
            .and_then(|()| fs::remove_dir(&self.path))
        {
            eprintln!("Cannot remove cgroup {}: {error}", self.path.display());
        }
        let parents = self.path.ancestors().skip(1);
        for parent in parents.take_while(|parent| *parent != self.root) {
            if fs::remove_dir(parent).is_err() {
                return; // another VM's
            }
        }
    }
}

/// The whole disk that holds `path`, as `major:minor`, which is what io.max asks for; none for a file system that is on
/// several, or in memory.
fn disk_of(path: &Path) -> io::Result<Option<String>> {
    let device = fs::metadata(path)?.dev();
    let name = format!("{}:{}", libc::major(device), libc::minor(device));
    let entry = Path::new("/sys/dev/block").join(&name);
    if !entry.exists() {
        return Ok(None);
    }
    if !entry.join("partition").exists() {
        return Ok(Some(name));
    }
    let whole = fs::read_to_string(entry.canonicalize()?.join("../dev"))?;
    Ok(Some(whole.trim().to_owned()))
}

fn find_root() -> Result<PathBuf, Failure> {
    let step = || "find the cgroup v2 mount".to_owned();
    let mounts = fs::read_to_string("/proc/self/mounts").step(step)?;
    parse_root(&mounts)
        .ok_or_else(|| Failure::new(step(), "no file system of type cgroup2 is mounted"))
}

/// The first mount of type `cgroup2` in the text of `/proc/self/mounts`.
fn parse_root(mounts: &str) -> Option<PathBuf> {
    mounts.lines().find_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let (path, kind) = (fields.next()?, fields.next()?);
        (kind == "cgroup2").then(|| PathBuf::from(path))
    })
}

/// The value of `key` in a flat keyed file, such as `memory.events`; 0 when it is not there.
fn counter(text: &str, key: &str) -> u64 {
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .find_map(|(name, value)| (name == key).then(|| value.parse().ok())?)
        .unwrap_or(0)
}

/// Lets children of `parent` have limits. What a controller needs, the host may not have.
fn enable_controllers(parent: &Path) {
    let available = fs::read_to_string(parent.join("cgroup.controllers")).unwrap_or_default();
    for controller in available
        .split_whitespace()
        .filter(|name| CONTROLLERS.contains(name))
    {
        let _ = write(
            &parent.join("cgroup.subtree_control"),
            &format!("+{controller}"),
        );
    }
}

/// Makes the cgroup `name`; not found: a shim that ended has just removed a parent that was empty.
fn make_with_parents(root: &Path, name: &Path) -> io::Result<()> {
    let mut ancestor = root.to_owned();
    for part in name
        .parent()
        .iter()
        .flat_map(|parents| parents.components())
    {
        enable_controllers(&ancestor);
        ancestor.push(part);
        make_directory(&ancestor)?;
    }
    enable_controllers(&ancestor);
    make_fresh(&root.join(name))
}

/// An empty cgroup that a shim left when it was killed is removed first: its counters are another VM's.
fn make_fresh(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            fs::remove_dir(path)?;
            fs::create_dir(path)
        }
        result => result,
    }
}

fn make_directory(path: &Path) -> io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        result => result,
    }
}

fn is_populated(path: &Path) -> io::Result<bool> {
    Ok(counter(
        &fs::read_to_string(path.join("cgroup.events"))?,
        "populated",
    ) > 0)
}

/// Writes without creating: a missing file means a missing controller.
fn write(path: &Path, value: &str) -> io::Result<()> {
    OpenOptions::new()
        .write(true)
        .open(path)?
        .write_all(value.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_root_takes_the_cgroup2_mount_beside_version_1() {
        let mounts = "proc /proc proc rw 0 0\ncgroup /sys/fs/cgroup/cpu cgroup rw,cpu 0 0\ncgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0\n";
        assert_eq!(
            parse_root(mounts),
            Some(PathBuf::from("/sys/fs/cgroup/unified"))
        );
        assert_eq!(
            parse_root("cgroup /sys/fs/cgroup/cpu cgroup rw 0 0\n\nodd\n"),
            None
        );
    }

    #[test]
    fn counter_finds_the_whole_key() {
        let events = "low 0\noom 7\noom_kill 2\noom_group_kill 1\n";
        assert_eq!(counter(events, "oom_kill"), 2);
        assert_eq!(counter("oom_group_kill 4\n", "oom_kill"), 0);
        assert_eq!(counter("oom_kill many\n", "oom_kill"), 0);
    }
}
