//! The life of a process from its start to its end: its output, its limit, its cgroup.

use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

use rustix::process::{WaitId, WaitIdOptions};
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

use super::cgroup::Cgroup;
use super::end::End;
use super::handle::Process;
use super::output::Kind;
use super::registry::Processes;

/// Where output of one kind is read.
pub type Source = (Kind, Rc<AsyncFd<OwnedFd>>);

/// Follows a process to its end.
pub async fn supervise(
    processes: Rc<Processes>,
    process: Rc<Process>,
    sources: Vec<Source>,
    deadline: Option<Instant>,
) {
    run(&process, sources, deadline).await;
    let life = Rc::clone(&process.life);
    life.output.compact();
    let end = processes
        .oom_log
        .explain(&process, wait(&process.pidfd, WaitIdOptions::NOWAIT));
    *life.end.borrow_mut() = Some(end);
    processes.has_ended(&life);
    // Reaped only now: as long as the process can be named, no other gets its pid.
    reap(&process.pidfd);
    life.ended.set();
    life.output.notify();
    let cgroup = process.cgroup.clone();
    // Its descriptors are closed; only what it printed is kept.
    drop((process, life));
    remove(cgroup).await;
}

/// Reads the output until the process has exited and nobody holds its output open any more. When the
/// deadline comes first, everything is killed.
async fn run(process: &Process, sources: Vec<Source>, deadline: Option<Instant>) {
    let life = &process.life;
    let exited = async {
        let _ = process.pidfd.readable().await;
        process.has_exited();
    };
    let mut sources = sources.into_iter();
    let (first, second) = (sources.next(), sources.next());
    let read = async |source: Option<Source>| {
        if let Some((kind, source)) = source {
            life.output.read_until_end(kind, &source).await;
        }
    };
    let all = async { tokio::join!(read(first), read(second), exited) };
    let Some(deadline) = deadline else {
        all.await;
        return;
    };
    tokio::pin!(all);
    tokio::select! {
        _ = &mut all => return,
        () = tokio::time::sleep_until(deadline) => {}
    }
    // Followers look at `expired` first: the stream says why before the kill shows.
    life.expired.set(true);
    life.output.notify();
    let (killed, _) = tokio::join!(process.kill(), all);
    if let Err(error) = killed {
        eprintln!("envd: {}", error.message);
    }
}

/// Removes a process's cgroup when the last of its descendants is gone.
async fn remove(cgroup: Option<Rc<Cgroup>>) {
    let Some(cgroup) = cgroup else { return };
    let removed = match cgroup.emptied().await {
        Ok(()) => cgroup.remove(),
        Err(error) => Err(error),
    };
    if let Err(error) = removed {
        eprintln!(
            "envd: Cannot remove the cgroup {}: {error}",
            cgroup.path().display()
        );
    }
}

/// Lets the kernel forget a process that has exited.
pub fn reap(pidfd: &AsyncFd<OwnedFd>) {
    wait(pidfd, WaitIdOptions::empty());
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
