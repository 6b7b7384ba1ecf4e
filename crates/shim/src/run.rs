//! `wrenn-shim run`: starts the VM, says so, and stays with it.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{chdir, dup2_stdout, setsid};

use crate::cgroup::Cgroup;
use crate::console::Console;
use crate::control::{ControlSocket, State};
use crate::exit;
use crate::failure::{Failure, Step};
use crate::supervise::Vm;
use crate::{launch, spec, sys};

/// Runs the VM of the spec at `path`; fails only when it could not be started.
pub fn run(path: &Path) -> ExitCode {
    match start(path) {
        Ok(vm) => {
            announce(&State::Running { pid: vm.pid() });
            vm.supervise();
            ExitCode::SUCCESS
        }
        Err(failure) => {
            announce(&State::Failed(&failure));
            ExitCode::FAILURE
        }
    }
}

/// A step that fails undoes those before it: each made a value that cleans up when it is dropped.
fn start(path: &Path) -> Result<Vm, Failure> {
    let spec = spec::load(path)?;
    let signals = leave_the_agent()?;
    let control = ControlSocket::bind(&spec.control_socket)?;
    exit::remove_record(&spec.exit_record)
        .step(|| format!("remove {}", spec.exit_record.display()))?;
    let console = Console::create(&spec.console, spec.console_max_bytes)?;
    let cgroup = Cgroup::create(&spec)?;
    let (vmm, output) = launch::start(&spec, cgroup.as_ref(), &signals)?;
    Ok(Vm {
        vmm,
        output,
        console,
        cgroup,
        control,
        signals,
        exit_record: spec.exit_record,
    })
}

/// Keeps nothing that ties the shim to whoever started it: session, directory, descriptors, signals.
/// Returns the signals that ask it to end.
fn leave_the_agent() -> Result<SignalFd, Failure> {
    let _ = setsid(); // fails for a process that leads a session already
    umask(Mode::from_bits_truncate(0o077));
    chdir("/").step(|| "enter /".to_owned())?;
    sys::close_from(3).step(|| "close descriptors".to_owned())?;
    let ends: SigSet = [Signal::SIGTERM, Signal::SIGINT].into_iter().collect();
    let mut blocked = ends;
    blocked.add(Signal::SIGHUP);
    blocked.thread_block().step(|| "block signals".to_owned())?;
    SignalFd::with_flags(&ends, SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK)
        .step(|| "watch signals".to_owned())
}

/// Prints the state and closes standard output. The agent may be gone: it comes back by the control socket.
fn announce(state: &State<'_>) {
    let mut output = io::stdout();
    let _ = output
        .write_all(&state.line())
        .and_then(|()| output.flush());
    if let Ok(null) = File::options().write(true).open("/dev/null") {
        let _ = dup2_stdout(null);
    }
}
