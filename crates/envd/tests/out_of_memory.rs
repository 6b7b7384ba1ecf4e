//! Reports of the kernel's OOM killer, with a real one: a memory limit around the agent.

mod support;

use std::fs;
use std::path::PathBuf;

use support::{Envd, Setup, wait_for};

/// A memory limit on the agent and what it starts: by cgroup v1, where the machine has that.
struct Limit(PathBuf);

impl Limit {
    fn around(envd: &Envd, bytes: u64) -> Option<Self> {
        let path = PathBuf::from(format!(
            "/sys/fs/cgroup/memory/envd-test-oom-{}",
            std::process::id()
        ));
        fs::create_dir(&path).ok()?;
        let limit = Limit(path);
        fs::write(limit.0.join("memory.limit_in_bytes"), bytes.to_string()).ok()?;
        fs::write(limit.0.join("cgroup.procs"), envd.pid().to_string()).ok()?;
        Some(limit)
    }
}

impl Drop for Limit {
    fn drop(&mut self) {
        assert!(
            wait_for(|| fs::remove_dir(&self.0).is_ok()) || std::thread::panicking(),
            "{} is in use",
            self.0.display()
        );
    }
}

#[test]
fn the_end_names_what_the_kernel_killed() {
    let limit;
    // The kernel's messages have the machine's process numbers, as in a sandbox.
    let envd = Envd::boot_with(Setup {
        without_pid_namespace: true,
        ..Setup::default()
    });
    limit = Limit::around(&envd, 64 << 20);
    if limit.is_none() {
        eprintln!("this machine has no memory cgroup (v1): tested in a VM only");
        return;
    }
    let ran = envd
        .start(
            support::json!({ "process": { "cmd": "tail", "args": ["/dev/zero"] }, "stdin": false }),
        )
        .finish();
    assert_eq!(
        (ran.end["oom"].as_bool(), ran.end["status"].as_str()),
        (Some(true), Some("signal: killed"))
    );
    assert_eq!(
        ran.end["error"],
        "signal: killed (out of memory: the kernel killed 'tail')"
    );
    // A shell passes on how its child ended.
    let shell = envd.run("tail /dev/zero; exit $?");
    assert_eq!(
        (shell.exit_code(), shell.end["oom"].as_bool()),
        (137, Some(true))
    );
    assert_eq!(
        shell.end["error"],
        "exit status 137 (out of memory: the kernel killed 'tail')"
    );
    // A kill by other means is none.
    let killed = envd.run("kill -KILL $$");
    assert_eq!(
        (killed.end.get("oom"), killed.end["error"].as_str()),
        (None, Some("signal: killed"))
    );
    let passed_on = envd.run("(exit 137)");
    assert_eq!(
        (passed_on.exit_code(), passed_on.end.get("oom")),
        (137, None),
        "the kills from before do not count"
    );
    drop(envd);
    drop(limit);
}
