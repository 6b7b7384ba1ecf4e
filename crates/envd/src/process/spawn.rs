//! The creation of one process: `clone3`, the child's way to `execve`, and the report of what
//! failed on it.
//!
//! `clone3` puts the child into its cgroup as it is born (moving it later costs an RCU grace period)
//! and gives the process descriptor without a race. Between clone and exec the child uses raw
//! system calls only: it is a copy of one thread of a program with several, so no lock may be taken,
//! and glibc's own wrappers for user and group ids would signal threads that do not exist in it.

use std::ffi::{CString, c_char, c_int, c_long};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// Everything the child needs, made ready before the clone.
pub struct Spec<'a> {
    /// Programs to try in this order, as a search of PATH gives them.
    pub programs: Vec<CString>,
    pub arguments: Vec<CString>,
    pub environment: Vec<CString>,
    pub directory: CString,
    pub uid: u32,
    pub gid: u32,
    pub groups: Vec<u32>,
    pub stdin: BorrowedFd<'a>,
    pub stdout: BorrowedFd<'a>,
    pub stderr: BorrowedFd<'a>,
    /// Whether `stdin` is a terminal that becomes the controlling one.
    pub terminal: bool,
    /// Directory of the cgroup that the child is born into.
    pub cgroup: Option<BorrowedFd<'a>>,
    /// Soft and hard limit of open files.
    pub open_files: (u64, u64),
}

/// A child that is on its way to `execve`.
pub struct Spawned {
    pub pid: u32,
    pub pidfd: OwnedFd,
    /// Ends without a byte once the program runs; else carries a `Failure`.
    pub report: OwnedFd,
}

/// The step on which a child failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Prepare = 1,
    User = 2,
    Directory = 3,
    Execute = 4,
}

/// What a child reports before it gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    pub step: Step,
    pub errno: i32,
}

/// Length of a report on the pipe.
pub const REPORT: usize = 8;

impl Failure {
    /// The failure in a report; `None` when the program runs.
    pub fn decode(report: &[u8]) -> Option<Self> {
        let step = match *report.first()? {
            2 => Step::User,
            3 => Step::Directory,
            4 => Step::Execute,
            _ => Step::Prepare,
        };
        let errno = report.get(4..8).map_or(libc::EIO, |bytes| {
            i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
        });
        Some(Failure { step, errno })
    }
}

/// Starts the child. Errors are those of the clone; later ones come in the report.
pub fn spawn(spec: &Spec) -> io::Result<Spawned> {
    let (report, report_write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    let child = Child::new(spec, report_write.as_raw_fd());
    let mut pidfd: c_int = -1;
    let mut arguments = CloneArgs {
        flags: (libc::CLONE_PIDFD as u64) | spec.cgroup.map_or(0, |_| CLONE_INTO_CGROUP),
        pidfd: std::ptr::from_mut(&mut pidfd) as u64,
        exit_signal: libc::SIGCHLD as u64,
        cgroup: spec.cgroup.map_or(0, |fd| fd.as_raw_fd() as u64),
        ..CloneArgs::default()
    };
    // SAFETY: without CLONE_VM the child is a copy with its own memory, as after fork; it goes
    // straight into `Child::run`, which only makes system calls and never returns. `arguments` and
    // `pidfd` outlive the call.
    let pid = unsafe {
        libc::syscall(
            libc::SYS_clone3,
            std::ptr::from_mut(&mut arguments),
            size_of::<CloneArgs>(),
        )
    };
    match pid {
        -1 => Err(io::Error::last_os_error()),
        0 => child.run(),
        _ => {
            // SAFETY: the kernel stored a new descriptor that nobody else owns.
            let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
            Ok(Spawned {
                pid: pid as u32,
                pidfd,
                report,
            })
        }
    }
}

/// Ends the ignoring of signals in this process, except of SIGPIPE, which the Rust runtime needs.
pub fn restore_default_signals() {
    for signal in (1..=64).filter(|signal| *signal != libc::SIGPIPE) {
        let default = KernelSigaction::default();
        let mut known = KernelSigaction::default();
        // SAFETY: both structures have the kernel's layout; only ignored signals are touched, so no
        // handler of the runtime is lost. Raw, because glibc keeps two signals to itself.
        unsafe {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                std::ptr::null::<u8>(),
                &raw mut known,
                8usize,
            );
            if known.handler == libc::SIG_IGN {
                libc::syscall(
                    libc::SYS_rt_sigaction,
                    signal,
                    &raw const default,
                    std::ptr::null::<u8>(),
                    8usize,
                );
            }
        }
    }
}

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// `struct clone_args`, see clone(2).
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
    set_tid: u64,
    set_tid_size: u64,
    cgroup: u64,
}

/// The child's part: pointers and numbers only, so that it allocates nothing.
struct Child<'a> {
    spec: &'a Spec<'a>,
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    report: c_int,
}

impl<'a> Child<'a> {
    fn new(spec: &'a Spec<'a>, report: c_int) -> Self {
        let pointers = |strings: &[CString]| {
            strings
                .iter()
                .map(|string| string.as_ptr())
                .chain([std::ptr::null()])
                .collect::<Vec<_>>()
        };
        Child {
            spec,
            arguments: pointers(&spec.arguments),
            environment: pointers(&spec.environment),
            report,
        }
    }

    fn run(&self) -> ! {
        let failure = self
            .prepare()
            .err()
            .or_else(|| self.become_user().err())
            .or_else(|| self.change_directory().err());
        let failure = failure.unwrap_or_else(|| self.execute());
        let errno = failure.errno.to_ne_bytes();
        let report: [u8; REPORT] = [
            failure.step as u8,
            0,
            0,
            0,
            errno[0],
            errno[1],
            errno[2],
            errno[3],
        ];
        // SAFETY: plain system calls on a buffer of this stack frame.
        unsafe {
            libc::syscall(libc::SYS_write, self.report, report.as_ptr(), report.len());
            libc::syscall(libc::SYS_exit_group, 127);
        }
        // exit_group does not return.
        loop {
            std::hint::spin_loop();
        }
    }

    fn prepare(&self) -> Result<(), Failure> {
        let step = Step::Prepare;
        let spec = self.spec;
        // SAFETY: raw system calls on descriptors and buffers that the parent's copy keeps alive.
        unsafe {
            check(step, libc::syscall(libc::SYS_setsid))?;
            for (fd, target) in [(spec.stdin, 0), (spec.stdout, 1), (spec.stderr, 2)] {
                check(
                    step,
                    libc::syscall(libc::SYS_dup3, fd.as_raw_fd(), target, 0),
                )?;
            }
            if spec.terminal {
                check(step, libc::syscall(libc::SYS_ioctl, 0, libc::TIOCSCTTY, 0))?;
            }
            // The Rust runtime ignores SIGPIPE, and ignored signals stay ignored through exec.
            let default = KernelSigaction::default();
            check(
                step,
                libc::syscall(
                    libc::SYS_rt_sigaction,
                    libc::SIGPIPE,
                    &raw const default,
                    std::ptr::null::<u8>(),
                    8usize,
                ),
            )?;
            let none = 0u64;
            check(
                step,
                libc::syscall(
                    libc::SYS_rt_sigprocmask,
                    libc::SIG_SETMASK,
                    &raw const none,
                    std::ptr::null::<u8>(),
                    8usize,
                ),
            )?;
            libc::syscall(libc::SYS_umask, 0o022);
            // Descriptors that the agent itself was born with are not for its processes.
            libc::syscall(
                libc::SYS_close_range,
                3,
                libc::c_uint::MAX,
                libc::CLOSE_RANGE_CLOEXEC,
            );
            let limit = [spec.open_files.0, spec.open_files.1];
            check(
                step,
                libc::syscall(
                    libc::SYS_prlimit64,
                    0,
                    libc::RLIMIT_NOFILE,
                    limit.as_ptr(),
                    std::ptr::null::<u8>(),
                ),
            )?;
            // The agent is spared by the OOM killer, its processes are not. Without /proc so be it.
            let path = c"/proc/self/oom_score_adj";
            let fd = libc::syscall(
                libc::SYS_openat,
                libc::AT_FDCWD,
                path.as_ptr(),
                libc::O_WRONLY | libc::O_CLOEXEC,
                0,
            );
            if fd >= 0 {
                libc::syscall(libc::SYS_write, fd, c"0".as_ptr(), 1usize);
                libc::syscall(libc::SYS_close, fd);
            }
        }
        Ok(())
    }

    fn become_user(&self) -> Result<(), Failure> {
        let (uid, gid, groups) = (self.spec.uid, self.spec.gid, &self.spec.groups);
        // SAFETY: raw system calls; `groups` is alive. Raw, because glibc's wrappers act on all
        // threads of the parent, which this copy does not have.
        unsafe {
            check(
                Step::User,
                libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()),
            )?;
            check(
                Step::User,
                libc::syscall(libc::SYS_setresgid, gid, gid, gid),
            )?;
            check(
                Step::User,
                libc::syscall(libc::SYS_setresuid, uid, uid, uid),
            )?;
        }
        Ok(())
    }

    fn change_directory(&self) -> Result<(), Failure> {
        // SAFETY: the path is a NUL-terminated string that is alive.
        check(Step::Directory, unsafe {
            libc::syscall(libc::SYS_chdir, self.spec.directory.as_ptr())
        })
    }

    /// Tries the programs in turn; comes back with the error that matters most, as execvp does.
    fn execute(&self) -> Failure {
        let mut denied = false;
        let mut errno = libc::ENOENT;
        for program in &self.spec.programs {
            // SAFETY: the strings and the null-terminated arrays of pointers to them are alive.
            unsafe {
                libc::syscall(
                    libc::SYS_execve,
                    program.as_ptr(),
                    self.arguments.as_ptr(),
                    self.environment.as_ptr(),
                )
            };
            errno = last_errno();
            match errno {
                libc::ENOENT | libc::ENOTDIR => {}
                libc::EACCES => denied = true,
                _ => break,
            }
        }
        if denied && matches!(errno, libc::ENOENT | libc::ENOTDIR) {
            errno = libc::EACCES;
        }
        Failure {
            step: Step::Execute,
            errno,
        }
    }
}

/// The kernel's `struct sigaction`; zero is the default action.
#[repr(C)]
#[derive(Default)]
struct KernelSigaction {
    handler: usize,
    flags: u64,
    restorer: usize,
    mask: u64,
}

fn check(step: Step, result: c_long) -> Result<(), Failure> {
    if result < 0 {
        Err(Failure {
            step,
            errno: last_errno(),
        })
    } else {
        Ok(())
    }
}

fn last_errno() -> i32 {
    // SAFETY: the location of this thread's errno is always valid.
    unsafe { *libc::__errno_location() }
}
