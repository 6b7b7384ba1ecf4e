//! Starts pagers and VMMs, and ends them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::vmm::PAGE;

/// What the first word of a page of the test memories is: never 0.
pub fn word_of(page: u64) -> u64 {
    (page + 1).wrapping_mul(0x0101_0101_0101_0101) | 1
}

/// A directory with a root for layers and the pager's own.
pub struct Place {
    directory: TempDir,
    run: TempDir,
}

impl Place {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("layers")).unwrap();
        // In production it is a tmpfs too.
        let run = tempfile::tempdir_in("/dev/shm").unwrap();
        Self { directory, run }
    }

    pub fn layer(&self, name: &str) -> PathBuf {
        self.directory.path().join("layers").join(name)
    }

    /// The pager's run directory.
    pub fn run(&self) -> &Path {
        self.run.path()
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Makes a memory file with data in the given pages, and seals it as a whole memory.
    pub fn base(&self, pager: &Pager, pages: u64, has_data: impl Fn(u64) -> bool) -> Value {
        self.memory("base", pages, has_data);
        let sealed = pager.ok(
            "POST",
            "/v1/layers/seal",
            &json!({ "layer": self.target("base") }),
        );
        assert_eq!(sealed["generation"], 0);
        self.layers("base", &["base"])
    }

    /// Makes a memory file as a VMM would write it.
    pub fn memory(&self, name: &str, pages: u64, has_data: impl Fn(u64) -> bool) {
        let file = File::create(self.layer(&format!("{name}.mem"))).unwrap();
        file.set_len(pages * PAGE as u64).unwrap();
        for page in (0..pages).filter(|page| has_data(*page)) {
            let bytes: Vec<u8> = word_of(page)
                .to_ne_bytes()
                .iter()
                .copied()
                .cycle()
                .take(PAGE)
                .collect();
            file.write_all_at(&bytes, page * PAGE as u64).unwrap();
        }
        file.sync_all().unwrap();
    }

    /// Where build `name` is written.
    pub fn target(&self, name: &str) -> Value {
        json!({
            "build_id": name,
            "memory": self.layer(&format!("{name}.mem")),
            "header": self.layer(&format!("{name}.mem.header")),
        })
    }

    /// The memory whose newest layer is `newest`.
    pub fn layers(&self, newest: &str, builds: &[&str]) -> Value {
        let builds: BTreeMap<_, _> = builds
            .iter()
            .map(|build| (build, self.layer(&format!("{build}.mem"))))
            .collect();
        json!({ "header": self.layer(&format!("{newest}.mem.header")), "builds": builds })
    }
}

/// A running pager.
pub struct Pager {
    child: Child,
    socket: PathBuf,
}

impl Pager {
    pub fn start(place: &Place) -> Self {
        Self::start_with_roots(place, &[place.path("layers")])
    }

    pub fn start_with_roots(place: &Place, roots: &[PathBuf]) -> Self {
        let socket = place.path("pager.sock");
        let mut command = Command::new(env!("CARGO_BIN_EXE_wrenn-pager"));
        command
            .arg("--socket")
            .arg(&socket)
            .arg("--run-directory")
            .arg(place.run());
        for root in roots {
            command.arg("--root").arg(root);
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut ready)
            .unwrap();
        assert_eq!(ready, "{\"state\":\"ready\"}\n");
        Self { child, socket }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and the end of it.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends a request; the status and the JSON that came back.
    pub fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(90)))
            .unwrap();
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let request = format!(
            "{method} {path} HTTP/1.1\r\nhost: pager\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let value = if body.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(body).unwrap()
        };
        (status, value)
    }

    /// A request that must succeed.
    pub fn ok(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, value) = self.ask(method, path, body);
        assert!(status < 300, "{method} {path}: {status} {value}");
        value
    }

    /// A request that must fail; its code and message.
    pub fn refused(&self, path: &str, body: &Value) -> (String, String) {
        let (status, value) = self.ask("POST", path, body);
        assert!(status >= 400, "POST {path}: {status} {value}");
        let text = |name: &str| value["error"][name].as_str().unwrap().to_owned();
        (text("code"), text("message"))
    }

    pub fn session(&self, id: &str) -> Value {
        self.ok("GET", &format!("/v1/sessions/{id}"), &Value::Null)
    }

    pub fn count(&self, id: &str, counter: &str) -> u64 {
        self.session(id)["counts"][counter].as_u64().unwrap()
    }

    /// Waits until a session is over, as the host agent does; its last status.
    pub fn wait_for_end(&self, id: &str) -> Value {
        self.wait_for(id, |state| state == "ended" || state == "failed")
    }

    pub fn wait_for(&self, id: &str, wanted: impl Fn(&str) -> bool) -> Value {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut revision = 0;
        loop {
            let path = format!("/v1/sessions?after={revision}&wait_ms=1000");
            let all = self.ok("GET", &path, &Value::Null);
            revision = all["revision"].as_u64().unwrap();
            let sessions = all["sessions"].as_array().unwrap();
            let session = sessions.iter().find(|session| session["id"] == id).unwrap();
            if wanted(session["state"].as_str().unwrap()) {
                return session.clone();
            }
            assert!(Instant::now() < deadline, "session {id}: {session}");
        }
    }

    pub fn delete(&self, id: &str) {
        self.ok("DELETE", &format!("/v1/sessions/{id}"), &Value::Null);
    }

    /// Makes a session over `layers`.
    pub fn listen(&self, place: &Place, id: &str, layers: &Value, working_set: Option<&Path>) {
        let spec = json!({
            "id": id,
            "socket": place.layer(&format!("{id}.sock")),
            "uid": 0,
            "gid": 0,
            "layers": layers,
            "working_set": working_set,
            "connect_timeout_ms": 20_000,
        });
        assert_eq!(self.ok("POST", "/v1/sessions", &spec)["state"], "listening");
    }
}

impl Drop for Pager {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A running VMM.
pub struct Vmm {
    child: Child,
    control: BufReader<UnixStream>,
    pub base: u64,
}

impl Vmm {
    pub fn start(place: &Place) -> Self {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = place.path(&format!("control{count}"));
        let listener = UnixListener::bind(&path).unwrap();
        let child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "play_vmm", "--ignored", "--quiet"])
            .env("WRENN_TEST_VMM", &path)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let control = listener.accept().unwrap().0;
        control
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        Self {
            child,
            control: BufReader::new(control),
            base: 0,
        }
    }

    /// One whose memory the pager serves.
    pub fn served(place: &Place, pager: &Pager, id: &str, pages: u64, features: u64) -> Self {
        let mut vmm = Self::start(place);
        vmm.order_handshake(place, id, pages, features);
        vmm.answer().expect("the VMM was taken");
        pager.wait_for(id, |state| state == "serving");
        vmm
    }

    /// Maps its memory and offers it, without waiting for what becomes of it.
    pub fn order_handshake(&mut self, place: &Place, id: &str, pages: u64, features: u64) {
        self.base = self.tell(&format!("map {} {features}", pages * PAGE as u64));
        let region = json!([{ "base_host_virt_addr": self.base, "size": pages * PAGE as u64, "offset": 0, "page_size": 4096, "page_size_kib": 4096 }]);
        let socket = place.layer(&format!("{id}.sock"));
        self.order(&format!("handshake {} {region}", socket.display()));
    }

    pub fn shake_hands(&mut self, place: &Place, id: &str, regions: &Value) {
        let socket = place.layer(&format!("{id}.sock"));
        self.tell(&format!("handshake {} {regions}", socket.display()));
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Commands; the answer.
    pub fn tell(&mut self, command: &str) -> u64 {
        self.try_tell(command)
            .unwrap_or_else(|| panic!("the VMM ended at: {command}"))
    }

    /// Commands a VMM that may end over it.
    pub fn try_tell(&mut self, command: &str) -> Option<u64> {
        self.order(command);
        self.answer()
    }

    /// The answer to an order; none from a VMM that has ended.
    pub fn answer(&mut self) -> Option<u64> {
        let mut line = String::new();
        match self.control.read_line(&mut line) {
            Ok(0) => None,
            Ok(_) => Some(line.trim().parse().unwrap()),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => None,
            Err(error) => panic!("the VMM does not answer: {error}"),
        }
    }

    /// Commands without waiting.
    pub fn order(&mut self, command: &str) {
        writeln!(self.control.get_mut(), "{command}").unwrap();
    }

    /// Waits for its end, which must come by itself.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the VMM does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Vmm {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Checks that a session fails, with a reason that tells, and its VM with it.
pub fn assert_killed(pager: &Pager, vmm: &mut Vmm, id: &str, reason: &str) {
    let end = pager.wait_for_end(id);
    assert_eq!(end["state"], "failed", "{end}");
    assert!(end["reason"].as_str().unwrap().contains(reason), "{end}");
    assert_eq!(vmm.wait().signal(), Some(libc::SIGKILL));
}

/// Checks that a value comes to be what it should, in a moment: threads end a little after what they did.
pub fn settles<T: PartialEq + std::fmt::Debug>(value: impl Fn() -> T, wanted: T) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while value() != wanted && Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(value(), wanted);
}

/// How many userfaultfds a process has.
pub fn count_uffds(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .filter(|target| target.as_os_str() == "anon_inode:[userfaultfd]")
        .count()
}

/// How many entries of one kind a process has in `/proc`.
pub fn count_entries(pid: u32, kind: &str) -> usize {
    fs::read_dir(format!("/proc/{pid}/{kind}")).unwrap().count()
}

/// A field of `/proc/PID/status`, in KiB.
pub fn status_kib(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with(field))
        .unwrap_or_else(|| panic!("{field} in {status}"));
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Drops a file's pages from the page cache.
pub fn make_cold(path: &Path) {
    let file = File::open(path).unwrap();
    file.sync_all().unwrap();
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed).unwrap();
}
