//! Out of memory: which ends the kernel's OOM killer brought about, from the kernel's own log.
//! Kernel source: `dump_oom_summary` in mm/oom_kill.c.
//!
//! The memory controller would count kills by cgroup, but a removed memory cgroup stays in the kernel
//! for as long as any page of its cache does: a small guest that has run thousands of commands would
//! be full of them. So processes get cgroups without it, and the log is followed instead.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::fs::{Mode, OFlags, SeekFrom};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

use super::end::End;
use super::handle::Process;
use crate::watched::watched;

/// What a shell reports for a command that SIGKILL ended.
const KILLED_CHILD: i32 = 128 + libc::SIGKILL;
/// Kills that are remembered.
const MAX_VICTIMS: usize = 64;
/// Records that are read in one go.
const MAX_RECORDS: usize = 1000;

/// The OOM killer's recent victims.
pub struct OomLog {
    /// `/dev/kmsg`, where the agent may read it.
    kernel: Option<AsyncFd<OwnedFd>>,
    victims: RefCell<VecDeque<(Instant, Victim)>>,
}

impl OomLog {
    /// Opens the log at its end.
    pub fn open() -> Rc<Self> {
        let open = || -> std::io::Result<AsyncFd<OwnedFd>> {
            let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
            let log = rustix::fs::open("/dev/kmsg", flags, Mode::empty())?;
            rustix::fs::seek(&log, SeekFrom::End(0))?;
            watched(log, Interest::READABLE)
        };
        let kernel = open()
            .inspect_err(|error| eprintln!("envd: no reports of memory shortage: {error}"))
            .ok();
        Rc::new(OomLog {
            kernel,
            victims: RefCell::default(),
        })
    }

    /// Notes victims as the kernel reports them. Runs as long as the agent.
    pub async fn follow(self: Rc<Self>) {
        let Some(kernel) = &self.kernel else { return };
        loop {
            match kernel.readable().await {
                Ok(mut ready) => ready.clear_ready(),
                Err(_) => return,
            }
            while self.catch_up() {
                tokio::task::yield_now().await;
            }
        }
    }

    /// Adds to `end` that, and what, the kernel killed: the process itself, or while it ran a child
    /// whose end it passed on.
    pub fn explain(&self, process: &Process, mut end: End) -> End {
        let was_killed = end.signal == Some(libc::SIGKILL) && !process.killed_by_us.get();
        let lost_a_child = end.exit_code == KILLED_CHILD;
        if !was_killed && !lost_a_child {
            return end;
        }
        self.catch_up();
        let victims = self.victims.borrow();
        let victim = victims.iter().rev().find(|(at, victim)| {
            *at >= process.started && (victim.pid == process.life.pid || lost_a_child)
        });
        if let Some((_, victim)) = victim {
            end.oom = true;
            end.error = Some(format!(
                "{} (out of memory: the kernel killed '{}')",
                end.status, victim.command
            ));
        }
        end
    }

    /// Reads what is new. Says whether there may be more.
    fn catch_up(&self) -> bool {
        let Some(kernel) = &self.kernel else {
            return false;
        };
        // Each read gives one record.
        let mut record = [0; 8192];
        for _ in 0..MAX_RECORDS {
            match rustix::io::read(kernel, &mut record) {
                Ok(0) => return false,
                Ok(length) => self.note(&String::from_utf8_lossy(&record[..length])),
                // EPIPE: records were overwritten, the next read goes on behind them.
                Err(Errno::INTR | Errno::PIPE) => {}
                Err(_) => return false,
            }
        }
        true
    }

    fn note(&self, record: &str) {
        let Some(victim) = parse(record) else { return };
        let mut victims = self.victims.borrow_mut();
        if victims.len() >= MAX_VICTIMS {
            victims.pop_front();
        }
        victims.push_back((Instant::now(), victim));
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Victim {
    command: String,
    pid: u32,
}

/// Reads a record such as
/// `6,800,1234,-;oom-kill:constraint=CONSTRAINT_NONE,...,task_memcg=/,task=python3,pid=42,uid=0`.
fn parse(record: &str) -> Option<Victim> {
    // Of the priority's number the upper bits say who wrote it: the kernel is 0. Users may write too.
    let (priority, _) = record.split_once(',')?;
    if priority.parse::<u32>().ok()? >= 8 {
        return None;
    }
    let summary = record.split_once(";oom-kill:")?.1.lines().next()?;
    // The command may hold commas; what is around it may not.
    let (_, rest) = summary.split_once(",task=")?;
    let (rest, _uid) = rest.rsplit_once(",uid=")?;
    let (command, pid) = rest.rsplit_once(",pid=")?;
    Some(Victim {
        command: command.to_owned(),
        pid: pid.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_summary() {
        let summary = "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/,task=a,b,pid=42,uid=1000\n";
        let victim = parse(&format!("6,805,91230456,-;{summary}")).expect("a summary");
        assert_eq!(
            victim,
            Victim {
                command: "a,b".into(),
                pid: 42
            }
        );
        assert_eq!(parse("6,1,2,-;Linux version 6"), None);
        assert_eq!(
            parse(&format!("12,805,91230456,-;{summary}")),
            None,
            "a user wrote it"
        );
    }
}
