//! `GET /metrics`: what the sandbox uses.

use std::collections::HashMap;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use hyper::Response;
use serde::Serialize;

use crate::app::App;
use crate::blocking::blocking;
use crate::connect::unary::json_response;
use crate::http::body::Body;
use crate::http::error::HttpError;

/// The answer; sizes in bytes unless their names say MiB.
#[derive(Debug, Serialize)]
struct Metrics {
    /// Seconds since 1970.
    ts: u64,
    cpu_count: u32,
    /// Of all CPUs together, since the last call, or since the start.
    cpu_used_pct: f64,
    mem_total: u64,
    mem_used: u64,
    mem_cache: u64,
    disk_used: u64,
    disk_total: u64,
    mem_total_mib: u64,
    mem_used_mib: u64,
}

/// The CPU times at the last look.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct CpuMeter {
    busy: u64,
    total: u64,
}

/// Answers `GET /metrics`.
pub async fn answer(app: &App) -> Result<Response<Body>, HttpError> {
    let failed = |what: &'static str| move |error: std::io::Error| HttpError::from_io(what, &error);
    let stat = fs::read_to_string("/proc/stat").map_err(failed("read /proc/stat"))?;
    let meminfo = fs::read_to_string("/proc/meminfo").map_err(failed("read /proc/meminfo"))?;
    let memory = parse_meminfo(&meminfo);
    let disk = blocking(|| rustix::fs::statvfs("/"))
        .await
        .map_err(|error| failed("look at the disk")(error.into()))?;
    let (cpu_count, times) = parse_stat(&stat);
    let cpu_used_pct = times.used_since(app.cpu.replace(times));
    let of = |name: &str| memory.get(name).copied().unwrap_or(0);
    let mem_total = of("MemTotal");
    let mem_used = mem_total.saturating_sub(of("MemAvailable"));
    let metrics = Metrics {
        ts: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |time| time.as_secs()),
        cpu_count,
        cpu_used_pct,
        mem_total,
        mem_used,
        mem_cache: of("Cached"),
        disk_used: (disk.f_blocks - disk.f_bfree) * disk.f_frsize,
        disk_total: disk.f_blocks * disk.f_frsize,
        mem_total_mib: mem_total >> 20,
        mem_used_mib: mem_used >> 20,
    };
    let body =
        serde_json::to_vec(&metrics).map_err(|error| HttpError::new(500, error.to_string()))?;
    Ok(json_response(200, body.into()))
}

impl CpuMeter {
    /// Percent of all CPUs, two decimals.
    fn used_since(self, before: CpuMeter) -> f64 {
        let total = self.total.saturating_sub(before.total);
        let busy = self.busy.saturating_sub(before.busy).min(total);
        if total == 0 {
            0.0
        } else {
            (busy as f64 / total as f64 * 10_000.0).round() / 100.0
        }
    }
}

/// The number of CPUs and their times, from /proc/stat; proc(5).
fn parse_stat(text: &str) -> (u32, CpuMeter) {
    let numbered = |line: &&str| {
        line.strip_prefix("cpu")
            .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
    };
    let count = text.lines().filter(numbered).count() as u32;
    // Guest time is part of user time already: the first eight are all.
    let all = text
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .take(8);
    let times: Vec<u64> = all.filter_map(|field| field.parse().ok()).collect();
    let total = times.iter().sum();
    let idle: u64 = times.iter().skip(3).take(2).sum();
    (
        count,
        CpuMeter {
            busy: total - idle,
            total,
        },
    )
}

fn parse_meminfo(text: &str) -> HashMap<&str, u64> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines
        .filter_map(|(name, value)| {
            Some((
                name,
                value.trim().strip_suffix(" kB")?.parse::<u64>().ok()? * 1024,
            ))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_tables() {
        let (count, meter) = parse_stat(
            "cpu  10 0 20 60 10 0 0 0 5 0\ncpu0 5 0 10 30 5 0 0 0\ncpu1 5 0 10 30 5 0 0 0\nintr 1\n",
        );
        assert_eq!(
            (count, meter),
            (
                2,
                CpuMeter {
                    busy: 30,
                    total: 100
                }
            )
        );
        assert_eq!(meter.used_since(CpuMeter::default()), 30.0);
        assert_eq!(meter.used_since(meter), 0.0);
        let memory = parse_meminfo("MemTotal:       1024 kB\nHugePages_Total:   0\n");
        assert_eq!(memory, HashMap::from([("MemTotal", 1 << 20)]));
    }
}
