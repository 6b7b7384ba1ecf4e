//! Out of memory: which ends the kernel's OOM killer brought about, from the kernel's own log.
//! Kernel source: `dump_oom_summary` in mm/oom_kill.c.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;

use super::cgroup::Cgroup;
use super::end::End;
use super::handle::Process;
use crate::blocking::blocking;

/// What a shell reports for a command that SIGKILL ended.
const KILLED_CHILD: i32 = 128 + libc::SIGKILL;

/// Adds to `end` that, and what, the kernel killed among the process's descendants.
pub async fn explain(process: &Process, mut end: End) -> End {
    let counted = process.cgroup.as_deref().and_then(Cgroup::oom_kills);
    let suspicious = (end.signal == Some(libc::SIGKILL) && !process.killed_by_us.get())
        || end.exit_code == KILLED_CHILD;
    if counted == Some(0) || (counted.is_none() && !suspicious) {
        return end;
    }
    let (pid, cgroup) = (
        process.life.pid,
        process.cgroup.as_deref().map(Cgroup::name),
    );
    let victim = blocking(move || last_victim(pid, cgroup.as_deref())).await;
    if counted.is_none() && victim.is_none() {
        return end;
    }
    let command = victim.map_or_else(String::new, |command| format!(" '{command}'"));
    end.oom = true;
    end.error = Some(format!(
        "{} (out of memory: the kernel killed{command})",
        end.status
    ));
    end
}

/// The command that was killed last in the cgroup or as the process `pid`. Blocks.
fn last_victim(pid: u32, cgroup: Option<&str>) -> Option<String> {
    // Each read gives one record; at the end of the log the next would block.
    let mut log = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/kmsg")
        .ok()?;
    let mut record = [0; 8192];
    let mut found = None;
    loop {
        match log.read(&mut record) {
            Ok(0) => return found,
            Ok(length) => {
                let victim = parse(&String::from_utf8_lossy(&record[..length]));
                found = victim
                    .filter(|victim| {
                        victim.pid == pid || cgroup.is_some_and(|cgroup| victim.is_in(cgroup))
                    })
                    .map(|victim| victim.command)
                    .or(found);
            }
            // EPIPE: records were overwritten, the next read goes on behind them.
            Err(error)
                if error.kind() == ErrorKind::Interrupted
                    || error.raw_os_error() == Some(libc::EPIPE) => {}
            Err(_) => return found,
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Victim {
    command: String,
    pid: u32,
    cgroup: String,
}

impl Victim {
    fn is_in(&self, cgroup: &str) -> bool {
        self.cgroup
            .strip_prefix(cgroup)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

/// Reads a record such as
/// `6,800,1234,-;oom-kill:constraint=CONSTRAINT_NONE,...,task_memcg=/a/1,task=python3,pid=42,uid=0`.
fn parse(record: &str) -> Option<Victim> {
    let summary = record.split_once(";oom-kill:")?.1.lines().next()?;
    let (_, rest) = summary.split_once("task_memcg=")?;
    // The command may hold commas; what follows it may not.
    let (cgroup, rest) = rest.split_once(",task=")?;
    let (rest, _uid) = rest.rsplit_once(",uid=")?;
    let (command, pid) = rest.rsplit_once(",pid=")?;
    Some(Victim {
        command: command.to_owned(),
        pid: pid.parse().ok()?,
        cgroup: cgroup.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_summary() {
        let record = "6,805,91230456,-;oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,global_oom,task_memcg=/envd-12/3,task=a,b,pid=42,uid=1000\n";
        let victim = parse(record).expect("a summary");
        assert_eq!(
            victim,
            Victim {
                command: "a,b".into(),
                pid: 42,
                cgroup: "/envd-12/3".into()
            }
        );
        assert!(
            victim.is_in("/envd-12/3") && !victim.is_in("/envd-12/30") && !victim.is_in("/envd-1")
        );
        assert_eq!(parse("6,1,2,-;Linux version 6"), None);
    }
}
