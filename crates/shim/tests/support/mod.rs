//! Runs the real shim as the agent does. Needs root. The payload is a shell script: `/usr` is all that a
//! VMM sees of the host, and every host has a shell there.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test file uses its part"
)]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

pub const UID: u32 = 65534;
const PATIENCE: Duration = Duration::from_secs(30);

/// A place for one VM: its spec, its files, a cgroup name that no other test uses.
pub struct Place {
    pub root: tempfile::TempDir,
    pub spec: Value,
    cgroup_parent: PathBuf,
}

impl Place {
    /// The VM will execute `script`.
    pub fn new(script: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        assert_eq!(
            fs::metadata("/proc/self").unwrap().uid(),
            0,
            "the shim's tests need root"
        );
        let name = format!(
            "shimtest-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let root = tempfile::Builder::new().prefix(&name).tempdir().unwrap();
        let at = |entry: &str| root.path().join(entry);
        fs::create_dir(at("vm")).unwrap();
        chown(at("vm"), Some(UID), Some(UID)).unwrap();
        let spec = json!({
            "name": name, "argv": ["/usr/bin/sh", "-c", script], "env": {"PATH": "/usr/bin"}, "uid": UID, "gid": UID,
            "directory": at("vm"), "mounts": [], "devices": [], "cgroup": format!("{name}/vm"),
            "control_socket": at("shim.sock"), "exit_record": at("exit.json"),
            "console": at("console"), "console_max_bytes": 65536,
        });
        Self {
            root,
            spec,
            cgroup_parent: cgroup_root().join(&name),
        }
    }

    pub fn path(&self, entry: &str) -> PathBuf {
        self.root.path().join(entry)
    }

    /// Starts the shim and reads its first line.
    pub fn start(&self) -> Shim {
        self.write_spec();
        self.start_as_it_is()
    }

    pub fn write_spec(&self) {
        fs::write(self.path("spec.json"), self.spec.to_string()).unwrap();
    }

    pub fn start_as_it_is(&self) -> Shim {
        self.start_through(Command::new(env!("CARGO_BIN_EXE_wrenn-shim")))
    }

    /// Starts the shim by a command that ends with its program.
    pub fn start_through(&self, mut command: Command) -> Shim {
        let mut process = command
            .arg("run")
            .arg(self.path("spec.json"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = String::new();
        let mut output = process.stdout.take().unwrap();
        output.read_to_string(&mut said).unwrap(); // the shim closes it
        let state = serde_json::from_str(said.strip_suffix('\n').unwrap()).unwrap();
        Shim { process, state }
    }

    /// Starts the VM, which must succeed.
    pub fn run(&self) -> Shim {
        let shim = self.start();
        assert_eq!(shim.state["state"], "running", "{}", shim.state);
        shim
    }

    /// Starts the VM and waits for its end; returns its exit record.
    pub fn run_to_end(&self) -> Value {
        self.run().wait();
        self.record()
    }

    pub fn record(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path("exit.json")).unwrap()).unwrap()
    }

    pub fn console(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.path("console")).unwrap()).into_owned()
    }

    /// Waits until the VM has written `text`.
    pub fn wait_for_console(&self, text: &str) {
        let path = self.path("console");
        let has_text = || fs::read_to_string(&path).is_ok_and(|console| console.contains(text));
        wait_until(&format!("{text:?} on the console"), has_text);
    }

    /// Mounts of this process's namespace that a VM's shim could have made.
    pub fn mounts(&self) -> Vec<String> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let ours = |line: &&str| {
            line.starts_with("wrenn ") || line.contains(self.root.path().to_str().unwrap())
        };
        mounts.lines().filter(ours).map(str::to_owned).collect()
    }

    pub fn connect(&self) -> Client {
        Client::new(UnixStream::connect(self.path("shim.sock")).unwrap())
    }

    pub fn cgroup(&self) -> PathBuf {
        self.cgroup_parent.join("vm")
    }

    /// Fails when anything of the VM is left but its files and its shim, which is about to end.
    pub fn assert_clean_but_for_the_shim(&self) {
        assert!(
            !self.cgroup().exists(),
            "cgroup {} is left",
            self.cgroup().display()
        );
        assert!(!self.path("shim.sock").exists(), "control socket is left");
    }

    /// Fails when anything of the VM is left but its files.
    pub fn assert_clean(&self) {
        self.assert_clean_but_for_the_shim();
        let children = children_that_run(self.root.path());
        assert!(children.is_empty(), "processes are left: {children:?}");
        assert_eq!(self.mounts(), Vec::<String>::new());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // After a failed test (or a killed shim) the cgroup may be there, with processes.
        let _ = fs::write(self.cgroup().join("cgroup.kill"), "1");
        let deadline = Instant::now() + PATIENCE;
        while self.cgroup().exists()
            && fs::remove_dir(self.cgroup()).is_err()
            && Instant::now() < deadline
        {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = fs::remove_dir(&self.cgroup_parent);
    }
}

/// A shim that was started; dropped, it is killed with its VM.
pub struct Shim {
    pub process: Child,
    /// The first line that it said.
    pub state: Value,
}

impl Shim {
    /// Process id of the VMM.
    pub fn vmm(&self) -> i32 {
        self.state["pid"].as_i64().unwrap().try_into().unwrap()
    }

    /// A file of the VMM in /proc.
    pub fn proc(&self, file: &str) -> String {
        fs::read_to_string(format!("/proc/{}/{file}", self.vmm())).unwrap()
    }

    /// A line of the VMM's `/proc/PID/status`, without its name.
    pub fn status(&self, key: &str) -> String {
        let prefix = format!("{key}:");
        self.proc("status")
            .lines()
            .find_map(|line| line.strip_prefix(&prefix))
            .unwrap()
            .trim()
            .replace('\t', " ")
    }

    /// The VMM's soft and hard limit of that name.
    pub fn limit(&self, name: &str) -> String {
        let limits = self.proc("limits");
        let line = limits.lines().find_map(|line| line.strip_prefix(name));
        let fields: Vec<_> = line.unwrap().split_whitespace().take(2).collect();
        fields.join(" ")
    }

    /// Fails when the VMM has another user, or may do more than any user's process may.
    pub fn assert_has_no_privilege(&self) {
        for ids in ["Uid", "Gid"] {
            assert_eq!(self.status(ids), format!("{UID} {UID} {UID} {UID}"));
        }
        assert_eq!(self.status("Groups"), "");
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(self.status(set), "0000000000000000", "{set}");
        }
        assert_eq!(self.status("NoNewPrivs"), "1");
        assert_eq!(self.status("Umask"), "0077");
        assert_eq!(self.status("SigBlk"), "0000000000000000");
        assert_eq!(self.status("SigIgn"), "0000000000000000");
        assert_eq!(self.limit("Max core file size"), "0 0");
    }

    /// Waits for the shim; returns its exit status.
    pub fn wait(mut self) -> i32 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.code().unwrap();
            }
            assert!(
                Instant::now() < deadline,
                "waited in vain for the shim's end"
            );
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    pub fn signal(&self, signal: &str) {
        send_signal(signal, i32::try_from(self.process.id()).unwrap());
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The agent's end of the control socket.
pub struct Client {
    reader: BufReader<UnixStream>,
}

impl Client {
    pub fn new(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Self {
            reader: BufReader::new(stream),
        }
    }

    /// The next line; `None` when the shim closed the connection.
    pub fn read(&mut self) -> Option<Value> {
        let mut line = String::new();
        match self.reader.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(serde_json::from_str(&line).unwrap()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("{error}"),
        }
    }

    pub fn write(&mut self, text: &str) {
        self.reader.get_mut().write_all(text.as_bytes()).unwrap();
    }
}

pub fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn send_signal(signal: &str, pid: i32) {
    command("kill", &["-s", signal, &pid.to_string()]);
}

/// Runs a program that must succeed; returns what it printed.
pub fn command(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

pub fn is_running(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Process ids whose command line or working directory names `directory`.
pub fn children_that_run(directory: &Path) -> Vec<String> {
    let name = directory.to_str().unwrap();
    let processes = fs::read_dir("/proc")
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    processes
        .filter(|pid| pid.bytes().all(|byte| byte.is_ascii_digit()))
        .filter(|pid| {
            let arguments = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let working = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
            String::from_utf8_lossy(&arguments).contains(name) || working.starts_with(directory)
        })
        .collect()
}

pub fn cgroup_root() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    let line = mounts
        .lines()
        .find(|line| line.split(' ').nth(2) == Some("cgroup2"))
        .unwrap();
    PathBuf::from(line.split(' ').nth(1).unwrap())
}
