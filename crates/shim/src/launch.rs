//! From a spec to a running VMM: everything between fork and exec.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::sys::signalfd::SignalFd;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, chdir, dup2_stderr, dup2_stdin, dup2_stdout, execve, pipe2, setsid};

use crate::cgroup::Cgroup;
use crate::failure::{Failure, Step};
use crate::spec::{Spec, TAP_FD};
use crate::sys::{self, Ended};
use crate::{jail, jailer, privileges, tap};

const START: &str = "start the VMM";
/// On the status pipe: every step is done, only exec is left. A pipe that closes without it belonged to a
/// process that was killed earlier.
const READY: u8 = b'\n';
const MAX_WORDS_BYTES: usize = 1024;

/// The VMM; dropped before it was reaped, it is killed.
pub struct Vmm {
    pid: Pid,
    pidfd: OwnedFd,
    reaped: bool,
}

impl Vmm {
    /// Its process id on the host.
    pub fn pid(&self) -> i32 {
        self.pid.as_raw()
    }

    /// Sends SIGKILL; has no effect on a VMM that has ended.
    pub fn kill(&self) {
        let _ = sys::pidfd_kill(self.pidfd.as_fd());
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> nix::Result<Ended> {
        self.reaped = true;
        sys::wait_for_end(self.pidfd.as_fd())
    }
}

/// Becomes readable when it has ended.
impl AsFd for Vmm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Drop for Vmm {
    fn drop(&mut self) {
        if !self.reaped {
            self.kill();
            let _ = sys::wait_for_end(self.pidfd.as_fd());
        }
    }
}

/// Starts the VMM of `spec`; returns it and its console when it was executed.
///
/// It is the first process of a PID namespace: with it dies whatever it started, also when the shim is killed.
pub fn start(
    spec: &Spec,
    cgroup: Option<&Cgroup>,
    signals: &SignalFd,
) -> Result<(Vmm, File), Failure> {
    let pipe = || pipe2(OFlag::O_CLOEXEC).step(|| "make a pipe".to_owned());
    let (console_reader, console_writer) = pipe()?;
    let (status_reader, status_writer) = pipe()?;
    unshare(CloneFlags::CLONE_NEWPID).step(|| "make a PID namespace".to_owned())?;
    let Some(pid) = sys::fork().step(|| "fork".to_owned())? else {
        drop((console_reader, status_reader));
        let mut status = File::from(status_writer);
        let Err(failure) = become_vmm(spec, cgroup, &console_writer, &mut status);
        let _ = status.write_all(&serde_json::to_vec(&failure).unwrap_or_default());
        sys::exit_now(1);
    };
    drop((console_writer, status_writer));
    let pidfd = sys::pidfd_open(pid).step(|| format!("open process {pid}"))?;
    let vmm = Vmm {
        pid,
        pidfd,
        reaped: false,
    };
    fcntl(&console_reader, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))
        .step(|| "prepare the console".to_owned())?;
    let mut console = File::from(console_reader);
    wait_for_exec(File::from(status_reader), signals, &mut console)?;
    if spec.jailer.is_some() {
        jailer::seal(pid)?;
    }
    Ok((vmm, console))
}

/// The status pipe is closed on exec; before that, it carries a failure. A jailer has only the console to tell one.
fn wait_for_exec(mut status: File, signals: &SignalFd, console: &mut File) -> Result<(), Failure> {
    let mut told = Vec::new();
    loop {
        let mut fds = [
            PollFd::new(status.as_fd(), PollFlags::POLLIN),
            PollFd::new(signals.as_fd(), PollFlags::POLLIN),
        ];
        match poll(&mut fds, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            result => result.step(|| START.to_owned())?,
        };
        if fds[1].any().unwrap_or(true) {
            return Err(Failure::new(START, "the shim was told to end"));
        }
        let mut bytes = [0; 4096];
        let count = status.read(&mut bytes).step(|| START.to_owned())?;
        if count == 0 {
            break;
        }
        told.extend_from_slice(&bytes[..count]);
    }
    let failure = match told.split_first() {
        Some((&READY, [])) => return Ok(()),
        Some((&READY, failure)) => failure,
        _ => &told,
    };
    Err(serde_json::from_slice(failure).unwrap_or_else(|_| {
        let mut words = [0; MAX_WORDS_BYTES];
        let count = console.read(&mut words).unwrap_or(0);
        match String::from_utf8_lossy(&words[..count]).trim() {
            "" => Failure::new(START, "its process was killed before exec"),
            words => Failure::new(START, format!("its process ended before exec: {words}")),
        }
    }))
}

/// Runs in the child. The order matters: what needs root comes before the change of user, which clears the
/// parent-death signal, so that this is asked for again.
fn become_vmm(
    spec: &Spec,
    cgroup: Option<&Cgroup>,
    console: &OwnedFd,
    status: &mut File,
) -> Result<Infallible, Failure> {
    sys::reset_signals();
    die_with_parent(status)?;
    setsid().step(|| "start a session".to_owned())?;
    if let Some(cgroup) = cgroup {
        cgroup.join()?;
    }
    jail::enter_network(spec.network_namespace.as_deref())?;
    let tap = spec.tap.as_deref().map(tap::open).transpose()?;
    if let Some(jailer) = &spec.jailer {
        let Err(failure) = jailer::execute(jailer, spec, console, status);
        return Err(failure);
    }
    jail::enter(spec)?;
    chdir(&spec.directory).step(|| format!("enter {}", spec.directory.display()))?;
    privileges::drop_to(spec.uid, spec.gid)?;
    umask(Mode::from_bits_truncate(0o077));
    die_with_parent(status)?;

    let null = File::open("/dev/null").step(|| "open /dev/null".to_owned())?;
    let step = || "connect the console".to_owned();
    dup2_stdin(&null).step(step)?;
    dup2_stdout(console).step(step)?;
    dup2_stderr(console).step(step)?;
    sys::close_from_on_exec(3).step(|| "close descriptors".to_owned())?;
    if let Some(tap) = &tap {
        fcntl(tap, FcntlArg::F_SETFD(FdFlag::empty())).step(|| "hand over the TAP".to_owned())?;
    }
    let tap_fd = tap
        .as_ref()
        .map(|tap| tap.as_raw_fd().to_string())
        .unwrap_or_default();
    let arguments = spec.argv.iter().map(|one| one.replace(TAP_FD, &tap_fd));
    execute(arguments, &spec.env, status)
}

/// Asks for SIGKILL when the reader of `status`, the shim, ends.
pub fn die_with_parent(status: &File) -> Result<(), Failure> {
    let step = || "follow the shim's death".to_owned();
    prctl::set_pdeathsig(Signal::SIGKILL).step(step)?;
    // A parent that died before that sends no signal. In a new PID namespace getppid() is always 0, but a
    // pipe without a reader shows it.
    let mut fds = [PollFd::new(status.as_fd(), PollFlags::empty())];
    poll(&mut fds, PollTimeout::ZERO).step(step)?;
    if fds[0].any().unwrap_or(true) {
        Err(Failure::new(step(), "it died"))
    } else {
        Ok(())
    }
}

/// Says that the VMM is ready, and becomes it.
pub fn execute(
    arguments: impl Iterator<Item = String>,
    environment: &BTreeMap<String, String>,
    status: &mut File,
) -> Result<Infallible, Failure> {
    status.write_all(&[READY]).step(|| START.to_owned())?;
    become_program(arguments, environment)
}

pub fn become_program(
    arguments: impl Iterator<Item = String>,
    environment: &BTreeMap<String, String>,
) -> Result<Infallible, Failure> {
    let step = || "prepare the arguments".to_owned();
    let arguments = c_strings(arguments).step(step)?;
    let environment = c_strings(
        environment
            .iter()
            .map(|(key, value)| format!("{key}={value}")),
    )
    .step(step)?;
    execve(&arguments[0], &arguments, &environment)
        .step(|| format!("execute {}", arguments[0].to_string_lossy()))
}

fn c_strings(strings: impl Iterator<Item = String>) -> io::Result<Vec<CString>> {
    strings
        .map(|string| CString::new(string).map_err(io::Error::other))
        .collect()
}
