//! The real agent in an enclosure (see `enclosure.sh`), and a client that shows every byte.
#![allow(dead_code, unused_imports)] // each test program uses its part

pub mod http;
pub mod rpc;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub use http::{Response, request};
pub use rpc::Event;
pub use serde_json::{Value, json};

/// A running agent. When dropped it is killed with everything it started, and its cgroup has to be
/// removable.
pub struct Envd {
    child: Child,
    pub port: u16,
    cgroup: Option<PathBuf>,
}

/// What a test wants to be different.
#[derive(Default)]
pub struct Setup {
    pub without_cgroups: bool,
    /// Answer the gateway alone.
    pub without_loopback: bool,
    /// The agent's root directory, empty but for what the test put there.
    pub chroot: Option<PathBuf>,
    /// Processes have the numbers that they have on the machine.
    pub without_pid_namespace: bool,
    /// Arguments of setpriv(1).
    pub privileges: Vec<&'static str>,
    pub arguments: Vec<&'static str>,
}

impl Envd {
    pub fn boot() -> Self {
        Self::boot_with(Setup::default())
    }

    pub fn boot_with(setup: Setup) -> Self {
        assert!(
            rustix::process::geteuid().is_root(),
            "these tests need root"
        );
        let cgroup = (!setup.without_cgroups).then(make_cgroup).flatten();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/enclosure.sh");
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL"])
            .args(&setup.privileges);
        command.args([
            "unshare",
            "--mount",
            "--uts",
            "--ipc",
            "--fork",
            "--kill-child",
        ]);
        command.args((!setup.without_pid_namespace).then_some("--pid"));
        command.arg("sh").arg(script);
        command
            .arg(env!("CARGO_BIN_EXE_envd"))
            .args(["--listen", "127.0.0.1:0"]);
        if !setup.without_loopback {
            command.arg("--allow-loopback");
        }
        if cgroup.is_none() {
            command.arg("--no-cgroups");
        }
        command.args(&setup.arguments);
        command.env_clear().env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
        command.envs(cgroup.as_ref().map(|path| ("ENVD_TEST_CGROUP", path)));
        command.envs(setup.chroot.map(|path| ("ENVD_TEST_CHROOT", path)));
        command.envs(std::env::var_os("ENVD_TEST_ROOT").map(|path| ("ENVD_TEST_ROOT", path)));
        let mut child = command
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("unshare starts");
        let mut errors = BufReader::new(child.stderr.take().expect("a pipe"));
        let mut line = String::new();
        let port = loop {
            line.clear();
            assert!(
                errors.read_line(&mut line).expect("readable") > 0,
                "envd did not start"
            );
            match line.trim().rsplit_once("listening on 127.0.0.1:") {
                Some((_, port)) => break port.parse().expect("a port"),
                None => eprint!("{line}"),
            }
        };
        std::thread::spawn(move || {
            errors
                .lines()
                .map_while(Result::ok)
                .for_each(|line| eprintln!("{line}"))
        });
        Envd {
            child,
            port,
            cgroup,
        }
    }

    /// The agent's own pid on this machine.
    pub fn pid(&self) -> u32 {
        let children = |pid: u32| -> Vec<u32> {
            let text =
                fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("there");
            text.split_whitespace()
                .map(|pid| pid.parse().expect("a pid"))
                .collect()
        };
        // setpriv became unshare, which has the shell, which has the agent and maybe orphans.
        let shell = children(self.child.id())[0];
        let is_envd = |pid: &u32| {
            fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "envd")
        };
        children(shell)
            .into_iter()
            .find(is_envd)
            .expect("envd runs")
    }

    /// A line of its /proc/PID/status, in KiB.
    pub fn status_kib(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("there");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .expect("a line");
        line.trim_start_matches(':')
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .expect("a number")
    }

    /// How many descriptors it has open.
    pub fn open_files(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid()))
            .expect("there")
            .count()
    }

    pub fn get(&self, target: &str, headers: &[(&str, &str)]) -> Response {
        request(self.port, "GET", target, headers, b"")
    }

    pub fn post(&self, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        request(self.port, "POST", target, headers, body)
    }

    /// `POST /init`, which has to succeed.
    pub fn init(&self, body: Value) {
        let response = self.post("/init", &[], body.to_string().as_bytes());
        assert_eq!(response.status, 204, "{}", response.text());
    }

    /// Writes a file through the agent.
    pub fn write(&self, path: &str, content: &[u8]) {
        let response = self.post(
            &format!("/files?path={path}"),
            &[("content-type", "application/octet-stream")],
            content,
        );
        assert_eq!(response.status, 200, "{}", response.text());
    }

    pub fn read(&self, path: &str) -> Vec<u8> {
        let response = self.get(&format!("/files?path={path}"), &[]);
        assert_eq!(response.status, 200, "{}", response.text());
        response.body
    }
}

impl Drop for Envd {
    fn drop(&mut self) {
        // Where there is a pid namespace this ends everything in it; else the agent is left.
        let agent = rustix::process::Pid::from_raw(self.pid() as i32).expect("a pid");
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = rustix::process::kill_process(agent, rustix::process::Signal::KILL);
        if let Some(cgroup) = &self.cgroup {
            let removed = wait_for(|| remove_cgroups(cgroup));
            assert!(
                removed || std::thread::panicking(),
                "{} is still in use",
                cgroup.display()
            );
        }
    }
}

/// Waits up to ten seconds until something has become true; tells whether it has.
pub fn wait_for(mut condition: impl FnMut() -> bool) -> bool {
    let until = Instant::now() + Duration::from_secs(10);
    while !condition() {
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    true
}

fn make_cgroup() -> Option<PathBuf> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(Path::new);
    let root = roots
        .into_iter()
        .find(|root| root.join("cgroup.procs").exists())?;
    let path = root.join(format!(
        "envd-test-{}-{}",
        std::process::id(),
        NUMBER.fetch_add(1, Ordering::Relaxed)
    ));
    fs::create_dir(&path).ok()?;
    Some(path)
}

fn remove_cgroups(path: &Path) -> bool {
    let below = fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    below.for_each(|entry| {
        remove_cgroups(&entry.path());
    });
    fs::remove_dir(path).is_ok()
}
