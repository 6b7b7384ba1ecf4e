//! System calls that the libraries do not wrap safely.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::errno::Errno;
use nix::unistd::{ForkResult, Pid};

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// By itself, with this status.
    Exited(i32),
    /// By the signal of this number.
    Signaled(i32),
}

/// Forks; `None` in the child.
pub fn fork() -> nix::Result<Option<Pid>> {
    // SAFETY: the shim has one thread, so no lock can be held across the fork.
    match unsafe { nix::unistd::fork() }? {
        ForkResult::Parent { child } => Ok(Some(child)),
        ForkResult::Child => Ok(None),
    }
}

/// Ends the process without running destructors: those belong to its parent.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: always sound; it only ends the process.
    unsafe { libc::_exit(status) }
}

/// A descriptor of a child that has not been reaped, closed on exec.
pub fn pidfd_open(pid: Pid) -> nix::Result<OwnedFd> {
    // SAFETY: the system call takes two integers.
    owned(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) })
}

/// Sends SIGKILL to the process of `pidfd`.
pub fn pidfd_kill(pidfd: BorrowedFd<'_>) -> nix::Result<()> {
    let no_info = std::ptr::null::<libc::siginfo_t>();
    // SAFETY: a null siginfo is allowed and means the default.
    let result = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            libc::SIGKILL,
            no_info,
            0,
        )
    };
    Errno::result(result).map(drop)
}

/// Waits for the end of the child of `pidfd` and reaps it.
pub fn wait_for_end(pidfd: BorrowedFd<'_>) -> nix::Result<Ended> {
    loop {
        // SAFETY: siginfo_t is plain data, for which all zeros is a value.
        let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
        let id = pidfd.as_raw_fd().unsigned_abs();
        // SAFETY: `info` outlives the call.
        let result = unsafe { libc::waitid(libc::P_PIDFD, id, &raw mut info, libc::WEXITED) };
        match Errno::result(result) {
            Err(Errno::EINTR) => continue,
            Err(errno) => return Err(errno),
            Ok(_) => {
                // SAFETY: waitid succeeded, so the SIGCHLD fields are filled in.
                let status = unsafe { info.si_status() };
                return Ok(if info.si_code == libc::CLD_EXITED {
                    Ended::Exited(status)
                } else {
                    Ended::Signaled(status)
                });
            }
        }
    }
}

/// Closes every descriptor from `first` on.
pub fn close_from(first: RawFd) -> nix::Result<()> {
    close_range(first, 0)
}

/// Marks every descriptor from `first` on to be closed on exec.
pub fn close_from_on_exec(first: RawFd) -> nix::Result<()> {
    close_range(first, libc::CLOSE_RANGE_CLOEXEC)
}

fn close_range(first: RawFd, flags: libc::c_uint) -> nix::Result<()> {
    // SAFETY: closing is the purpose; the callers hold no owned descriptor in the range that they use
    // afterwards (`close_from` is called before any is made).
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, flags) };
    Errno::result(result).map(drop)
}

/// Gives every signal its default action and unblocks all.
pub fn reset_signals() {
    const SIGNALS: libc::c_int = 64;
    const SET_BYTES: usize = 8;
    let default = [0u64; 4]; // handler SIG_DFL, no flags, no restorer, empty mask
    let none = 0u64;
    for signal in 1..=SIGNALS {
        // By the system call, for the C library keeps two signals to itself, which may have been ignored by
        // whoever started the shim. SIGKILL and SIGSTOP are refused, harmlessly.
        // SAFETY: `default` is a kernel sigaction without a handler.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                default.as_ptr(),
                std::ptr::null::<u64>(),
                SET_BYTES,
            )
        };
    }
    // SAFETY: a signal set of the kernel is 64 bits.
    unsafe {
        libc::syscall(
            libc::SYS_rt_sigprocmask,
            libc::SIG_SETMASK,
            &raw const none,
            std::ptr::null::<u64>(),
            SET_BYTES,
        )
    };
}

/// Takes `capability` out of the bounding set; false when the kernel knows no capability of that number.
pub fn drop_from_bounding_set(capability: u64) -> nix::Result<bool> {
    // SAFETY: the call takes integers.
    match Errno::result(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) }) {
        Ok(_) => Ok(true),
        Err(Errno::EINVAL) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// Sets the capability sets, of one bit for each capability: `permitted`, which is effective too, and
/// `inheritable`. The ambient set keeps only what is in both.
pub fn set_capabilities(permitted: u64, inheritable: u64) -> nix::Result<()> {
    const LINUX_CAPABILITY_VERSION_3: u32 = 0x2008_0522;
    let header = [LINUX_CAPABILITY_VERSION_3, 0];
    let low = |set: u64| (set & u64::from(u32::MAX)) as u32;
    let words = |shift: u32| [permitted, permitted, inheritable].map(|set| low(set >> shift));
    let sets = [words(0), words(32)];
    // SAFETY: version 3 reads a header of two and sets of six 32-bit words.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), sets.as_ptr()) };
    Errno::result(result).map(drop)
}

/// Attaches an open `/dev/net/tun` to the TAP `name` and returns the flags that the device has then.
pub fn attach_tap(tun: BorrowedFd<'_>, name: &str, flags: libc::c_int) -> nix::Result<libc::c_int> {
    // SAFETY: ifreq is plain data, for which all zeros is a value.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(Errno::ENAMETOOLONG);
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    // SAFETY: both requests read and write one ifreq.
    unsafe {
        Errno::result(libc::ioctl(
            tun.as_raw_fd(),
            libc::TUNSETIFF as libc::Ioctl,
            &raw mut request,
        ))?;
        Errno::result(libc::ioctl(
            tun.as_raw_fd(),
            libc::TUNGETIFF as libc::Ioctl,
            &raw mut request,
        ))?;
        Ok(libc::c_int::from(request.ifr_ifru.ifru_flags))
    }
}

/// A detached copy of the mount at `path`: that file or directory, without what is mounted below it.
pub fn clone_mount(path: &Path) -> nix::Result<OwnedFd> {
    let path = c_path(path)?;
    let flags = libc::OPEN_TREE_CLONE | libc::OPEN_TREE_CLOEXEC;
    // SAFETY: `path` is a C string that outlives the call.
    owned(unsafe { libc::syscall(libc::SYS_open_tree, libc::AT_FDCWD, path.as_ptr(), flags) })
}

/// Sets attributes (`MOUNT_ATTR_*`) of a mount.
pub fn set_mount_attributes(mount: BorrowedFd<'_>, attributes: u64) -> nix::Result<()> {
    let change = libc::mount_attr {
        attr_set: attributes,
        attr_clr: 0,
        propagation: 0,
        userns_fd: 0,
    };
    // SAFETY: the path is a C string, and `change` is as long as said.
    let result = unsafe {
        let size = size_of::<libc::mount_attr>();
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH,
            &raw const change,
            size,
        )
    };
    Errno::result(result).map(drop)
}

/// Attaches a detached mount at `path`.
pub fn attach_mount(mount: BorrowedFd<'_>, path: &Path) -> nix::Result<()> {
    let path = c_path(path)?;
    // SAFETY: both paths are C strings that outlive the call.
    let result = unsafe {
        let from = mount.as_raw_fd();
        libc::syscall(
            libc::SYS_move_mount,
            from,
            c"".as_ptr(),
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::MOVE_MOUNT_F_EMPTY_PATH,
        )
    };
    Errno::result(result).map(drop)
}

/// Makes the file system whose mount is at `path` read-only wherever it is mounted, also in other mount
/// namespaces. Needs Linux 5.2.
pub fn make_file_system_read_only(path: &Path) -> nix::Result<()> {
    // linux/mount.h
    const FSPICK_CLOEXEC: libc::c_uint = 1;
    const FSCONFIG_SET_FLAG: libc::c_uint = 0;
    const FSCONFIG_CMD_RECONFIGURE: libc::c_uint = 7;
    let path = c_path(path)?;
    // SAFETY: `path` is a C string that outlives the call.
    let file_system = owned(unsafe {
        libc::syscall(
            libc::SYS_fspick,
            libc::AT_FDCWD,
            path.as_ptr(),
            FSPICK_CLOEXEC,
        )
    })?;
    for (command, key) in [
        (FSCONFIG_SET_FLAG, c"ro".as_ptr()),
        (FSCONFIG_CMD_RECONFIGURE, std::ptr::null()),
    ] {
        let no_value = std::ptr::null::<libc::c_char>();
        // SAFETY: the key is a C string or, for the command without one, null; neither has a value.
        let result = unsafe {
            libc::syscall(
                libc::SYS_fsconfig,
                file_system.as_raw_fd(),
                command,
                key,
                no_value,
                0,
            )
        };
        Errno::result(result)?;
    }
    Ok(())
}

/// The processor's time-stamp counter.
#[cfg(target_arch = "x86_64")]
pub fn read_tsc() -> u64 {
    // SAFETY: every x86-64 processor has the instruction.
    unsafe { std::arch::x86_64::_rdtsc() }
}

/// Nanoseconds of `CLOCK_MONOTONIC_RAW`, which no time service adjusts.
#[cfg(target_arch = "x86_64")]
pub fn monotonic_raw_ns() -> u64 {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` outlives the call, which cannot fail for this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC_RAW, &raw mut time) };
    time.tv_sec.unsigned_abs() * 1_000_000_000 + time.tv_nsec.unsigned_abs()
}

fn c_path(path: &Path) -> nix::Result<CString> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::EINVAL)
}

fn owned(result: libc::c_long) -> nix::Result<OwnedFd> {
    let fd = Errno::result(result)?;
    let fd = RawFd::try_from(fd).map_err(|_| Errno::EBADF)?;
    // SAFETY: the kernel just returned it, and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The same error in the form of the standard library.
pub fn io_error(errno: Errno) -> io::Error {
    io::Error::from_raw_os_error(errno as i32)
}
