//! The life of a process: its start, the reading of its output, its limit, its end.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{WaitId, WaitIdOptions};
use rustix::termios::Winsize;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::command::{Command, c_path};
use super::end::End;
use super::handle::Process;
use super::input::Input;
use super::messages::{PtySize, StartRequest};
use super::output::{Follower, Kind, Output};
use super::registry::{Processes, REMEMBERED};
use super::spawn::{Failure, REPORT, Spawned, Spec, Step, spawn};
use super::{cgroup::Cgroup, oom, pty};
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
) -> Result<(Rc<Process>, Follower), Error> {
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
        wait(&pidfd, WaitIdOptions::empty());
        return Err(explain(
            failure,
            &request,
            &user,
            &directory.display().to_string(),
        ));
    }
    let output = Rc::new(Output::new(Rc::clone(&app.processes.budget)));
    let follower = output.follow([Some(0); 3]);
    let process = Rc::new(Process::new(
        pid,
        pidfd,
        cgroup,
        output,
        input,
        request.tag,
        request.process,
    ));
    app.processes.add(&process);
    tokio::task::spawn_local(supervise(
        Rc::clone(&app.processes),
        Rc::clone(&process),
        sources,
        deadline,
    ));
    Ok((process, follower))
}

/// What connects a process with the agent.
struct Channels {
    stdin: OwnedFd,
    stdout: OwnedFd,
    stderr: OwnedFd,
    input: Input,
    sources: Vec<(Kind, Rc<AsyncFd<OwnedFd>>)>,
}

impl Channels {
    fn open(request: &StartRequest, user: &User) -> io::Result<Self> {
        if let Some(terminal) = &request.pty {
            return Self::open_pty(user, winsize(terminal.size));
        }
        let (stdout_read, stdout) = pipe_with(PipeFlags::CLOEXEC)?;
        let (stderr_read, stderr) = pipe_with(PipeFlags::CLOEXEC)?;
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

/// Follows a process to its end, and remembers it for a while.
async fn supervise(
    processes: Rc<Processes>,
    process: Rc<Process>,
    sources: Vec<(Kind, Rc<AsyncFd<OwnedFd>>)>,
    deadline: Option<Instant>,
) {
    let exited = async {
        let _ = process.pidfd.readable().await;
        process.has_exited();
    };
    let mut sources = sources.into_iter();
    let (first, second) = (sources.next(), sources.next());
    let read = async |source: Option<(Kind, Rc<AsyncFd<OwnedFd>>)>| {
        if let Some((kind, source)) = source {
            process.output.read_until_end(kind, &source).await;
        }
    };
    let life = async { tokio::join!(read(first), read(second), exited) };
    match deadline {
        None => {
            life.await;
        }
        Some(deadline) => {
            tokio::pin!(life);
            let in_time = tokio::select! {
                _ = &mut life => true,
                () = tokio::time::sleep_until(deadline) => false,
            };
            if !in_time {
                // Followers look at `expired` first: the stream says why before the kill shows.
                process.expired.set(true);
                process.output.notify();
                let (killed, _) = tokio::join!(process.kill(), life);
                if let Err(error) = killed {
                    eprintln!("envd: {}", error.message);
                }
            }
        }
    }
    let end = oom::explain(&process, wait(&process.pidfd, WaitIdOptions::NOWAIT)).await;
    *process.end.borrow_mut() = Some(end);
    processes.has_ended(&process);
    // Reaped only now: as long as the process can be named, no other gets its pid.
    wait(&process.pidfd, WaitIdOptions::empty());
    process.ended.set();
    process.output.notify();
    let forget = async {
        tokio::time::sleep(REMEMBERED).await;
        processes.forget_old();
    };
    tokio::join!(forget, remove_cgroup(&process));
}

/// Removes the process's cgroup when the last of its descendants is gone.
async fn remove_cgroup(process: &Process) {
    let Some(cgroup) = &process.cgroup else {
        return;
    };
    let removed = match cgroup.emptied().await {
        Ok(()) => cgroup.remove(),
        Err(error) => Err(error),
    };
    if let Err(error) = removed {
        eprintln!("envd: Cannot remove the cgroup {}: {error}", cgroup.name());
    }
}

/// How a process that has exited ended; with NOWAIT it stays a zombie, else it is reaped.
fn wait(pidfd: &AsyncFd<OwnedFd>, option: WaitIdOptions) -> End {
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | option;
    match rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), options) {
        Ok(Some(status)) => End::from_status(&status),
        other => {
            eprintln!("envd: Cannot wait for a process: {other:?}");
            End::unknown()
        }
    }
}
