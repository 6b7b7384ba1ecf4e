//! The start of a process.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use rustix::termios::Winsize;
use tokio::io::Interest;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::command::{Command, c_path};
use super::follower::Follower;
use super::handle::{Life, Process};
use super::input::Input;
use super::messages::{PtySize, StartRequest};
use super::output::{Kind, Output};
use super::spawn::{Failure, REPORT, Spawned, Spec, Step, spawn};
use super::supervise::{Source, reap, supervise};
use super::{cgroup::Cgroup, pty};
use crate::app::App;
use crate::connect::Error;
use crate::users::User;
use crate::watched::{watched, watched_nonblocking};

/// Starts a process; the follower gets its output from the first byte. After `deadline` it is killed.
pub async fn start(
    app: &App,
    user: User,
    request: StartRequest,
    deadline: Option<Instant>,
) -> Result<(Rc<Life>, Follower), Error> {
    let directory = app.resolve(request.process.cwd.as_deref().unwrap_or_default(), &user)?;
    let command = {
        let settings = app.settings.borrow();
        let environments = [
            &settings.platform_environment,
            &settings.environment,
            &request.process.envs,
        ];
        Command::new(
            &request.process.cmd,
            &request.process.args,
            &user,
            &environments,
        )?
    };
    let channels = Channels::open(&request, &user)
        .map_err(|error| Error::from_io("open the process's channels", &error))?;
    let cgroup = app.processes.new_cgroup();
    let mut spec = Spec {
        programs: command.programs,
        arguments: command.arguments,
        environment: command.environment,
        directory: c_path(&directory)?,
        uid: user.uid,
        gid: user.gid,
        groups: user.groups.clone(),
        stdin: channels.stdin.as_fd(),
        stdout: channels.stdout.as_fd(),
        stderr: channels.stderr.as_fd(),
        terminal: request.pty.is_some(),
        cgroup: cgroup.as_ref().map(Cgroup::directory),
        open_files: app.processes.open_files,
    };
    let mut spawned = spawn(&spec);
    if let (Err(error), true) = (&spawned, spec.cgroup.is_some()) {
        eprintln!("envd: Cannot start a process in a cgroup: {error}");
        // A process without a cgroup is better than none.
        spec.cgroup = None;
        spawned = spawn(&spec);
    }
    let in_cgroup = spec.cgroup.is_some();
    let cgroup = cgroup.filter(|_| in_cgroup);
    let Spawned { pid, pidfd, report } =
        spawned.map_err(|error| Error::from_io("start a process", &error))?;
    let internal = |error: io::Error| Error::from_io("follow a process", &error);
    let Channels {
        stdin,
        stdout,
        stderr,
        input,
        sources,
    } = channels;
    // The child has its own copies; as long as these are open its output does not end.
    drop((stdin, stdout, stderr));
    let pidfd = watched(pidfd, Interest::READABLE).map_err(internal)?;
    if let Some(failure) = failure(report).await.map_err(internal)? {
        let _ = pidfd.readable().await;
        reap(&pidfd);
        return Err(explain(
            failure,
            &request,
            &user,
            &directory.display().to_string(),
        ));
    }
    let life = Life::new(
        pid,
        request.tag,
        Output::new(Rc::clone(&app.processes.budget)),
    );
    let follower = life.output.follow([Some(0); 3]);
    let process = Process::new(Rc::clone(&life), request.process, pidfd, cgroup, input);
    app.processes.add(&process);
    tokio::task::spawn_local(supervise(
        Rc::clone(&app.processes),
        process,
        sources,
        deadline,
    ));
    Ok((life, follower))
}

/// What a process can write ahead, in bytes.
const STDOUT_PIPE: usize = 256 * 1024;

/// What connects a process with the agent.
struct Channels {
    stdin: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
    input: Input,
    sources: Vec<Source>,
}

impl Channels {
    fn open(request: &StartRequest, user: &User) -> io::Result<Self> {
        if let Some(terminal) = &request.pty {
            return Self::open_pty(user, winsize(terminal.size));
        }
        let (stdout_read, stdout) = pipe_with(PipeFlags::CLOEXEC)?;
        let (stderr_read, stderr) = pipe_with(PipeFlags::CLOEXEC)?;
        // Fewer turns between writer and reader; without it things are only slower.
        let _ = fcntl_setpipe_size(&stdout_read, STDOUT_PIPE);
        let (stdin, input) = if request.stdin == Some(false) {
            let null = rustix::fs::open(
                "/dev/null",
                rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC,
                rustix::fs::Mode::empty(),
            )?;
            (null, Input::None)
        } else {
            let (stdin, write) = pipe_with(PipeFlags::CLOEXEC)?;
            (
                stdin,
                Input::Pipe(Mutex::new(Some(watched_nonblocking(
                    write,
                    Interest::WRITABLE,
                )?))),
            )
        };
        let sources = vec![
            (
                Kind::Stdout,
                Rc::new(watched_nonblocking(stdout_read, Interest::READABLE)?),
            ),
            (
                Kind::Stderr,
                Rc::new(watched_nonblocking(stderr_read, Interest::READABLE)?),
            ),
        ];
        Ok(Channels {
            stdin,
            stdout,
            stderr,
            input,
            sources,
        })
    }

    fn open_pty(user: &User, size: Winsize) -> io::Result<Self> {
        let pty = pty::open(user.uid, size)?;
        let controller = Rc::new(watched_nonblocking(
            pty.controller,
            Interest::READABLE | Interest::WRITABLE,
        )?);
        Ok(Channels {
            stdout: pty.terminal.try_clone()?,
            stderr: pty.terminal.try_clone()?,
            stdin: pty.terminal,
            input: Input::Pty {
                controller: Rc::clone(&controller),
                order: Mutex::new(()),
            },
            sources: vec![(Kind::Pty, controller)],
        })
    }
}

/// A terminal's size in the kernel's form; what is missing or impossible becomes 80 × 24.
pub fn winsize(size: Option<PtySize>) -> Winsize {
    let size = size.unwrap_or_default();
    let fit = |number: u32, default: u16| {
        u16::try_from(number)
            .ok()
            .filter(|number| *number > 0)
            .unwrap_or(default)
    };
    Winsize {
        ws_col: fit(size.cols, 80),
        ws_row: fit(size.rows, 24),
        ws_xpixel: 0,
        ws_ypixel: 0,
    }
}

/// What the child reports: nothing when its program runs.
async fn failure(report: OwnedFd) -> io::Result<Option<Failure>> {
    let report = watched_nonblocking(report, Interest::READABLE)?;
    let mut buffer = [0; REPORT];
    loop {
        match rustix::io::read(&report, &mut buffer) {
            Ok(length) => return Ok(Failure::decode(&buffer[..length])),
            Err(Errno::AGAIN) => report.readable().await?.clear_ready(),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

fn explain(failure: Failure, request: &StartRequest, user: &User, directory: &str) -> Error {
    let error = io::Error::from_raw_os_error(failure.errno);
    let reason = crate::connect::error::reason(&error);
    match failure.step {
        Step::Directory if matches!(failure.errno, libc::ENOENT | libc::ENOTDIR) => {
            Error::invalid(format!("cwd '{directory}' does not exist"))
        }
        Step::Directory => Error::invalid(format!(
            "Cannot enter cwd '{directory}' as '{}': {reason}",
            user.name
        )),
        Step::Execute => {
            Error::invalid(format!("Cannot start '{}': {reason}", request.process.cmd))
        }
        Step::User => Error::internal(format!("Cannot become '{}': {reason}", user.name)),
        Step::Prepare => Error::internal(format!("Cannot prepare the process: {reason}")),
    }
}
