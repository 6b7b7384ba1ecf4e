//! The other way to the VM's root: Firecracker's jailer makes the last devices, changes root and user, and executes
//! `jailed`, which executes the VMM. The chroot is a file system in memory that only the VM's mount namespace has:
//! none of it is ever on the host, so none can be left there.

use std::convert::Infallible;
use std::env;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use nix::errno::Errno;
use nix::mount::MsFlags;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, dup2_stderr, dup2_stdin, dup2_stdout};

use crate::failure::{Failure, Step};
use crate::jail::{self, Contents};
use crate::jailed::{self, Rest};
use crate::launch;
use crate::privileges;
use crate::spec::Spec;
use crate::sys;

/// The chroot is the VM's alone: one name does for all.
const ID: &str = "vm";
/// It refuses to find one of them made already.
const JAILERS_DEVICES: [&str; 4] = [
    "/dev/kvm",
    "/dev/net/tun",
    "/dev/urandom",
    "/dev/userfaultfd",
];
/// Of capability.h, what it needs: CHOWN, DAC_OVERRIDE (to write where it has chowned), SETGID, SETUID, SYS_CHROOT,
/// SYS_ADMIN (mounts), MKNOD.
const JAILERS_CAPABILITIES: [u32; 7] = [0, 1, 6, 7, 18, 21, 27];
/// Beside the copy of this program that the jailer makes.
const ROOT_BYTES: u64 = 64 * 1024;

/// Becomes the jailer of the VM of `spec`; the status pipe is its standard input, the only descriptor besides the
/// console that it leaves to what it executes.
pub fn execute(
    jailer: &Path,
    spec: &Spec,
    console: &OwnedFd,
    status: &File,
) -> Result<Infallible, Failure> {
    let program = env::current_exe().step(|| "find this program".to_owned())?;
    jail::leave_host(spec)?;
    let contents = Contents::find(spec)?;
    let step = || "mount the new root".to_owned();
    let base = &spec.directory;
    let size = fs::metadata(&program).step(step)?.len() + ROOT_BYTES;
    let limits = format!("mode=0755,size={size},nr_inodes=1024");
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    jail::mount_tmpfs(base, flags, &limits).step(step)?;
    let name = program.file_name().unwrap_or_default();
    let root = base.join(name).join(ID).join("root");
    jail::make_directory(&root).step(step)?;
    contents.put(&root, &JAILERS_DEVICES)?;

    let rest = serde_json::to_string(&Rest::of(spec))
        .map_err(io::Error::from)
        .step(|| "write what is left".to_owned())?;
    let (uid, gid) = (spec.uid.to_string(), spec.gid.to_string());
    let (jailer, program, base) = (
        jailer.to_string_lossy(),
        program.to_string_lossy(),
        base.to_string_lossy(),
    );
    let arguments: [&str; 14] = [
        &jailer,
        "--id",
        ID,
        "--exec-file",
        &program,
        "--uid",
        &uid,
        "--gid",
        &gid,
        "--chroot-base-dir",
        &base,
        "--",
        jailed::COMMAND,
        &rest,
    ];
    umask(Mode::from_bits_truncate(0o077));
    privileges::keep_for_next_program(&JAILERS_CAPABILITIES)?;
    let step = || "connect the console".to_owned();
    dup2_stdin(status).step(step)?;
    dup2_stdout(console).step(step)?;
    dup2_stderr(console).step(step)?;
    sys::close_from_on_exec(3).step(|| "close descriptors".to_owned())?;
    launch::become_program(arguments.into_iter().map(str::to_owned), &[].into())
}

/// Makes the root and the devices of the VMM, which the jailer gave to its user, read-only for good.
pub fn seal(vmm: Pid) -> Result<(), Failure> {
    let root = format!("/proc/{vmm}/root");
    for path in [root.clone() + jail::DEVICES, root] {
        match sys::make_file_system_read_only(Path::new(&path)) {
            // It has ended, and both with it.
            Err(Errno::ENOENT | Errno::ESRCH) => {}
            result => result.step(|| format!("make {path} read-only"))?,
        }
    }
    Ok(())
}
