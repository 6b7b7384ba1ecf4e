//! The killing of a process with all its descendants.

use std::collections::HashSet;
use std::io;
use std::time::Duration;

use rustix::process::{Pid, Signal};

use super::cgroup::Cgroup;

/// A process in an uninterruptible system call may outlive its kill for longer than anyone waits.
const PATIENCE: Duration = Duration::from_secs(10);
const ROUND: Duration = Duration::from_millis(5);

/// Kills everything that descends from `leader`; returns when nothing of it is left.
pub async fn kill_all(leader: u32, cgroup: Option<&Cgroup>) -> io::Result<()> {
    let killed = match cgroup {
        Some(cgroup) => tokio::time::timeout(PATIENCE, async {
            cgroup.kill()?;
            cgroup.emptied().await
        }),
        None => return kill_tree(leader).await,
    };
    killed.await.unwrap_or_else(|_| {
        Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "processes do not die",
        ))
    })
}

/// Without a cgroup: kills the session of `leader` and its descendants, again and again until a look
/// at all processes finds none of them alive. What left both the session and the tree is not found.
async fn kill_tree(leader: u32) -> io::Result<()> {
    let give_up = tokio::time::Instant::now() + PATIENCE;
    loop {
        let family = family(leader);
        if family.is_empty() {
            return Ok(());
        }
        for pid in family {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                // It may have ended since it was seen.
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
        if tokio::time::Instant::now() >= give_up {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "processes do not die",
            ));
        }
        // There is no event for the end of processes that are not our children.
        tokio::time::sleep(ROUND).await;
    }
}

/// The live processes of the session or the tree below `leader`, itself included.
pub fn family(leader: u32) -> Vec<u32> {
    let all = all_processes();
    let mut family = HashSet::from([leader]);
    loop {
        let before = family.len();
        family.extend(
            all.iter()
                .filter(|p| p.session == leader || family.contains(&p.parent))
                .map(|p| p.pid)
                .collect::<Vec<_>>(),
        );
        if family.len() == before {
            break;
        }
    }
    all.iter()
        .filter(|process| process.alive && family.contains(&process.pid))
        .map(|process| process.pid)
        .collect()
}

#[derive(Debug, PartialEq, Eq)]
struct ProcessLine {
    pid: u32,
    parent: u32,
    session: u32,
    alive: bool,
}

fn all_processes() -> Vec<ProcessLine> {
    let Ok(entries) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries.flatten().filter(|entry| {
        entry
            .file_name()
            .as_encoded_bytes()
            .iter()
            .all(u8::is_ascii_digit)
    });
    pids.filter_map(|entry| parse_stat(&std::fs::read_to_string(entry.path().join("stat")).ok()?))
        .collect()
}

/// Reads `/proc/PID/stat`, see proc(5). The command's name may hold anything, parentheses too.
fn parse_stat(line: &str) -> Option<ProcessLine> {
    let (pid, rest) = line.split_once(" (")?;
    let (_, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    Some(ProcessLine {
        pid: pid.parse().ok()?,
        alive: !matches!(*fields.first()?, "Z" | "X"),
        parent: fields.get(1)?.parse().ok()?,
        session: fields.get(3)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_names_with_anything_in_them() {
        let line = "42 (a) S (b) S 7 42 40 0 -1 4194304";
        assert_eq!(
            parse_stat(line),
            Some(ProcessLine {
                pid: 42,
                parent: 7,
                session: 40,
                alive: true
            })
        );
        assert_eq!(parse_stat("42 (x"), None);
    }

    #[test]
    fn finds_itself() {
        assert!(family(std::process::id()).contains(&std::process::id()));
    }
}
