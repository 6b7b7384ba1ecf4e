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
    unshare(CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWIPC | CloneFlags::CLONE_NEWUTS)
        .step(|| "make namespaces".to_owned())?;
    sethostname(&spec.name).step(|| format!("set the host name to {}", spec.name))?;
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>)
        .step(|| "make the mounts private".to_owned())?;

    umask(Mode::empty());
    let system = find_system()?;
    let mounts = find_mounts(spec)?;
    let devices = find_devices(spec)?;
    enter_empty_root(&spec.directory)?;
    for entry in system.into_iter().chain(mounts) {
        entry.put()?;
    }
    make_devices(&devices, spec)?;
    let root = File::open("/").step(|| "open the new root".to_owned())?;
    sys::set_mount_attributes(root.as_fd(), libc::MOUNT_ATTR_RDONLY)
        .step(|| "make the new root read-only".to_owned())
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

    /// Makes it appear in the new root, in which the process is by now.
    fn put(&self) -> Result<(), Failure> {
        match self {
            Self::Link { path, target } => {
                symlink(target, path).step(|| format!("link {}", path.display()))
            }
            Self::Mount {
                path,
                tree,
                is_directory,
            } => {
                let step = || format!("bind {}", path.display());
                make_mount_point(path, *is_directory).step(step)?;
                sys::attach_mount(tree.as_fd(), path).step(step)
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
    mount(
        Some("wrenn"),
        anywhere,
        Some("tmpfs"),
        flags,
        Some(TMPFS_LIMITS),
    )
    .step(|| "mount the new root".to_owned())?;
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

fn make_devices(devices: &[Device], spec: &Spec) -> Result<(), Failure> {
    make_mount_point(Path::new("/dev"), true).step(|| "make /dev".to_owned())?;
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    mount(
        Some("wrenn"),
        "/dev",
        Some("tmpfs"),
        flags,
        Some(TMPFS_LIMITS),
    )
    .step(|| "mount /dev".to_owned())?;
    for Device {
        path,
        kind,
        number,
        shared,
    } in devices
    {
        let step = || format!("make device {}", path.display());
        make_directory(path.parent().unwrap_or(path)).step(step)?;
        let mode = Mode::from_bits_truncate(if *shared { 0o666 } else { 0o600 });
        mknod(path, *kind, mode, *number).step(step)?;
        if !shared {
            chown(path, Some(spec.uid), Some(spec.gid)).step(step)?;
        }
    }
    let directory = File::open("/dev").step(|| "open /dev".to_owned())?;
    sys::set_mount_attributes(directory.as_fd(), libc::MOUNT_ATTR_RDONLY)
        .step(|| "make /dev read-only".to_owned())
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

fn make_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o755).create(path)
}
