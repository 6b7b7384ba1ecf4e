//! What the VMM sees of the host: namespaces of its own, and a root with only what the spec names.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, chown, symlink};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};
use nix::sys::stat::{Mode, SFlag, mknod, umask};
use nix::unistd::{chdir, pivot_root, sethostname};

use crate::failure::{Failure, Step};
use crate::spec::Spec;
use crate::sys;

const SYSTEM: &str = "/usr";
/// Where programs and libraries are looked for: links into `/usr`, or directories on older hosts.
const SYSTEM_LINKS: [&str; 4] = ["/lib", "/lib64", "/bin", "/sbin"];
/// Where device nodes are, on a file system of their own.
pub const DEVICES: &str = "/dev";
const COMMON_DEVICES: [&str; 3] = ["/dev/null", "/dev/zero", "/dev/urandom"];
const TMPFS_LIMITS: &str = "mode=0755,size=64k,nr_inodes=1024";

const READ_ONLY_SYSTEM: u64 =
    libc::MOUNT_ATTR_RDONLY | libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV;
const WRITABLE_DATA: u64 =
    libc::MOUNT_ATTR_NOSUID | libc::MOUNT_ATTR_NODEV | libc::MOUNT_ATTR_NOEXEC;

/// Joins the network namespace, or a new and empty one.
pub fn enter_network(namespace: Option<&Path>) -> Result<(), Failure> {
    let Some(path) = namespace else {
        return unshare(CloneFlags::CLONE_NEWNET).step(|| "make a network namespace".to_owned());
    };
    let step = || format!("join network namespace {}", path.display());
    setns(File::open(path).step(step)?, CloneFlags::CLONE_NEWNET).step(step)
}

/// Leaves the host's mounts, host name and IPC objects for the VM's own; ends in its root directory.
pub fn enter(spec: &Spec) -> Result<(), Failure> {
    leave_host(spec)?;
    let contents = Contents::find(spec)?;
    enter_empty_root(&spec.directory)?;
    let root = Path::new("/");
    contents.put(root, &[])?;
    for path in [root, Path::new(DEVICES)] {
        let step = || format!("make {} read-only", path.display());
        let directory = File::open(path).step(step)?;
        sys::set_mount_attributes(directory.as_fd(), libc::MOUNT_ATTR_RDONLY).step(step)?;
    }
    Ok(())
}

/// From here on mounts, host name and IPC objects are the VM's own; the mounts are still copies of the host's.
pub fn leave_host(spec: &Spec) -> Result<(), Failure> {
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS)
        .step(|| "make namespaces".to_owned())?;
    sethostname(&spec.name).step(|| format!("set the host name to {}", spec.name))?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
        .step(|| "make the mounts private".to_owned())?;
    umask(Mode::empty());
    Ok(())
}

/// All that the VMM sees of the host, taken before the host's tree is left or covered.
pub struct Contents<'a> {
    spec: &'a Spec,
    entries: Vec<Entry>,
    devices: Vec<Device>,
}

impl<'a> Contents<'a> {
    pub fn find(spec: &'a Spec) -> Result<Self, Failure> {
        let mut entries = find_system()?;
        entries.extend(find_mounts(spec)?);
        let devices = find_devices(spec)?;
        Ok(Self {
            spec,
            entries,
            devices,
        })
    }

    /// Makes it appear below `root`, with a file system for devices; of these `others_devices` are left to
    /// somebody else.
    pub fn put(&self, root: &Path, others_devices: &[&str]) -> Result<(), Failure> {
        for entry in &self.entries {
            entry.put(root)?;
        }
        let directory = below(root, Path::new(DEVICES));
        let step = || format!("make {DEVICES}");
        make_mount_point(&directory, true).step(step)?;
        let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
        mount_tmpfs(&directory, flags, TMPFS_LIMITS).step(step)?;
        for device in &self.devices {
            if !others_devices
                .iter()
                .any(|path| device.path == Path::new(path))
            {
                device.make(root, self.spec)?;
            }
        }
        Ok(())
    }
}

/// Something of the host, taken before its tree is left behind.
enum Entry {
    Mount {
        path: PathBuf,
        tree: OwnedFd,
        is_directory: bool,
    },
    Link {
        path: PathBuf,
        target: PathBuf,
    },
}

impl Entry {
    /// A copy of the mount at `path` that has `attributes` before anybody can use it.
    fn mount(path: &Path, attributes: u64) -> Result<Self, Failure> {
        let step = || format!("bind {}", path.display());
        let tree = sys::clone_mount(path).step(step)?;
        sys::set_mount_attributes(tree.as_fd(), attributes).step(step)?;
        let is_directory = fs::metadata(path).step(step)?.is_dir();
        Ok(Self::Mount {
            path: path.to_owned(),
            tree,
            is_directory,
        })
    }

    fn put(&self, root: &Path) -> Result<(), Failure> {
        match self {
            Self::Link { path, target } => {
                symlink(target, below(root, path)).step(|| format!("link {}", path.display()))
            }
            Self::Mount {
                path,
                tree,
                is_directory,
            } => {
                let step = || format!("bind {}", path.display());
                let at = below(root, path);
                make_mount_point(&at, *is_directory).step(step)?;
                sys::attach_mount(tree.as_fd(), &at).step(step)
            }
        }
    }
}

fn find_system() -> Result<Vec<Entry>, Failure> {
    let mut entries = vec![Entry::mount(Path::new(SYSTEM), READ_ONLY_SYSTEM)?];
    for path in SYSTEM_LINKS.map(Path::new) {
        let step = || format!("look up {}", path.display());
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error).step(step),
            Ok(metadata) if metadata.is_symlink() => {
                let target = fs::read_link(path).step(step)?;
                entries.push(Entry::Link {
                    path: path.to_owned(),
                    target,
                });
            }
            Ok(_) => entries.push(Entry::mount(path, READ_ONLY_SYSTEM)?),
        }
    }
    Ok(entries)
}

fn find_mounts(spec: &Spec) -> Result<Vec<Entry>, Failure> {
    let attributes = |read_only| {
        if read_only {
            READ_ONLY_SYSTEM
        } else {
            WRITABLE_DATA
        }
    };
    spec.all_mounts()
        .iter()
        .map(|mount| Entry::mount(&mount.path, attributes(mount.read_only)))
        .collect()
}

/// Moves to a new, empty tmpfs and lets go of the host's tree. It is mounted over `anywhere`, which only
/// has to exist.
fn enter_empty_root(anywhere: &Path) -> Result<(), Failure> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    mount_tmpfs(anywhere, flags, TMPFS_LIMITS).step(|| "mount the new root".to_owned())?;
    chdir(anywhere).step(|| "enter the new root".to_owned())?;
    // With both arguments the same, the old root is stacked on the new one and can be taken off.
    pivot_root(".", ".").step(|| "pivot to the new root".to_owned())?;
    umount2(".", MntFlags::MNT_DETACH).step(|| "detach the old root".to_owned())?;
    chdir("/").step(|| "enter the new root".to_owned())
}

/// A device node of the host. Its copy belongs to the VM's user, whatever the host's permissions are.
struct Device {
    path: PathBuf,
    kind: SFlag,
    number: u64,
    shared: bool,
}

fn find_devices(spec: &Spec) -> Result<Vec<Device>, Failure> {
    let common = COMMON_DEVICES
        .iter()
        .map(|path| (PathBuf::from(path), true));
    let own = spec.devices.iter().map(|path| (path.clone(), false));
    common
        .chain(own)
        .map(|(path, shared)| {
            let step = || format!("look up device {}", path.display());
            let metadata = fs::metadata(&path).step(step)?;
            let kind = match metadata.file_type() {
                kind if kind.is_char_device() => SFlag::S_IFCHR,
                kind if kind.is_block_device() => SFlag::S_IFBLK,
                _ => return Err(Failure::new(step(), "not a device node")),
            };
            Ok(Device {
                number: metadata.rdev(),
                path,
                kind,
                shared,
            })
        })
        .collect()
}

impl Device {
    fn make(&self, root: &Path, spec: &Spec) -> Result<(), Failure> {
        let step = || format!("make device {}", self.path.display());
        let path = below(root, &self.path);
        make_directory(path.parent().unwrap_or(&path)).step(step)?;
        let mode = Mode::from_bits_truncate(if self.shared { 0o666 } else { 0o600 });
        mknod(&path, self.kind, mode, self.number).step(step)?;
        if !self.shared {
            chown(&path, Some(spec.uid), Some(spec.gid)).step(step)?;
        }
        Ok(())
    }
}

/// An empty file system in memory; it ends with the last mount namespace that has it.
pub fn mount_tmpfs(at: &Path, flags: MsFlags, limits: &str) -> nix::Result<()> {
    mount(Some("wrenn"), at, Some("tmpfs"), flags, Some(limits))
}

fn below(root: &Path, path: &Path) -> PathBuf {
    root.join(path.strip_prefix("/").unwrap_or(path))
}

/// In a tree that was bound already it is there, and must be: nothing is made on the host.
fn make_mount_point(path: &Path, is_directory: bool) -> io::Result<()> {
    if path.try_exists()? {
        return Ok(());
    }
    if is_directory {
        return make_directory(path);
    }
    make_directory(path.parent().unwrap_or(path))?;
    File::create_new(path).map(drop)
}

/// With all above it.
pub fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(path)
}
