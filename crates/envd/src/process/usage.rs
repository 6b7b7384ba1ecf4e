//! What a process and its descendants use.

use std::fs;

use super::handle::Process;
use super::kill::family;

/// CPU time and memory of a process with its descendants.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub cpu_usec: u64,
    /// Resident memory; pages that processes share are counted in each.
    pub memory_bytes: u64,
}

/// Looks at the process's cgroup, or without one at its family.
pub fn measure(process: &Process) -> Usage {
    let pids = match &process.cgroup {
        Some(cgroup) => cgroup.pids(),
        None => family(process.life.pid),
    };
    let cpu_usec = process.cgroup.as_ref().and_then(|cgroup| cgroup.cpu_usec());
    Usage {
        cpu_usec: cpu_usec.unwrap_or_else(|| pids.iter().filter_map(|pid| cpu_of(*pid)).sum()),
        memory_bytes: pids.iter().filter_map(|pid| resident_of(*pid)).sum(),
    }
}

/// User and system time, reaped children included; proc(5), fields 14 to 17.
fn cpu_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks: u64 = fields
        .split(' ')
        .skip(11)
        .take(4)
        .filter_map(|field| field.parse::<u64>().ok())
        .sum();
    Some(ticks * (1_000_000 / rustix::param::clock_ticks_per_second()))
}

fn resident_of(pid: u32) -> Option<u64> {
    let statm = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
