//! What the agent costs, beside the floor of the same work in the same run: `cargo bench -p envd`.
//! Needs root. Each figure is the median of runs that alternate with those of its floor.
//!
//! Goals: a command's first byte within 1.5 times a bare spawn and pipe; uploads, downloads and
//! output at 0.7 times what a raw TCP connection moves to and from the same file.

#[path = "../../crates/envd/tests/support/mod.rs"]
mod support;

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use support::http::{connect, read_chunk, read_head, send_head};
use support::rpc::envelope;
use support::{Envd, json};

const EXECS: usize = 300;
const TRANSFERS: usize = 7;
const BYTES: usize = 256 << 20;
/// Seen by the agent and by the floor under the same name.
const FILE: &str = "/dev/shm/envd-bench";

fn main() {
    let envd = Envd::boot();
    let pid = envd.pid();
    println!(
        "binary    {:>9.2} MiB (goal 5)",
        size_mib(&format!("/proc/{pid}/exe"))
    );
    println!(
        "idle RSS  {:>9.2} MiB (goal 10)",
        envd.status_kib("VmRSS") as f64 / 1024.0
    );
    exec(&envd);
    transfers(&envd);
    let _ = std::fs::remove_file(FILE);
}

fn size_mib(path: &str) -> f64 {
    std::fs::metadata(path).expect("there").len() as f64 / 1048576.0
}

fn exec(envd: &Envd) {
    let mut socket = BufReader::new(connect(envd.port));
    let body = envelope(
        0,
        br#"{"process":{"cmd":"/bin/echo","args":["x"]},"stdin":false}"#,
    );
    let (mut floor, mut cost) = (Vec::new(), Vec::new());
    for _ in 0..EXECS {
        floor.push(spawn_and_pipe());
        cost.push(start_to_first_byte(&mut socket, &body));
    }
    let (floor, cost) = (median(floor), median(cost));
    let ratio = cost.as_secs_f64() / floor.as_secs_f64();
    println!(
        "exec      {:>9.0} µs, floor {:.0} µs: {ratio:.2} (goal 1.5)",
        micros(cost),
        micros(floor)
    );
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The standard library spawns without further wishes by posix_spawn.
fn spawn_and_pipe() -> Duration {
    let begun = Instant::now();
    let mut child = Command::new("/bin/echo")
        .arg("x")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("spawned");
    let mut byte = [0; 1];
    child
        .stdout
        .as_mut()
        .expect("a pipe")
        .read_exact(&mut byte)
        .expect("a byte");
    let elapsed = begun.elapsed();
    child.wait().expect("ended");
    elapsed
}

fn start_to_first_byte(socket: &mut BufReader<TcpStream>, body: &[u8]) -> Duration {
    let begun = Instant::now();
    let headers = [("content-type", "application/connect+json")];
    send_head(
        socket.get_mut(),
        "POST",
        "/process.Process/Start",
        &headers,
        Some(body.len()),
    );
    socket.get_mut().write_all(body).expect("sent");
    assert_eq!(read_head(socket).0, 200);
    let mut elapsed = None;
    while let Some(chunk) = read_chunk(socket) {
        if elapsed.is_none() && String::from_utf8_lossy(&chunk).contains("stdout") {
            elapsed = Some(begun.elapsed());
        }
    }
    elapsed.expect("some output")
}

fn transfers(envd: &Envd) {
    let content = vec![7; BYTES];
    let mut times: [Vec<Duration>; 7] = Default::default();
    for _ in 0..TRANSFERS {
        times[0].push(raw_upload(&content));
        times[1].push(upload(envd, &content));
        times[2].push(raw_download());
        times[3].push(download(envd));
        times[4].push(raw_output());
        times[5].push(relayed_output());
        times[6].push(output(envd));
    }
    let [raw_up, up, raw_down, down, raw_out, relayed, out] = times.map(median);
    for (name, time, what, floor) in [
        ("upload", up, "raw TCP", raw_up),
        ("download", down, "raw TCP", raw_down),
        ("output", out, "raw TCP", raw_down),
        ("output", out, "a pipe into raw TCP", relayed),
    ] {
        println!(
            "{name:<9} {:>9.0} MB/s, {what} {:.0} MB/s: {:.2} (goal 0.7)",
            speed(time),
            speed(floor),
            speed(time) / speed(floor)
        );
    }
    println!("the process alone: {:.0} MB/s", speed(raw_out));
}

fn speed(time: Duration) -> f64 {
    BYTES as f64 / 1e6 / time.as_secs_f64()
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}

/// A connection whose other end `serve` has.
fn raw(serve: impl FnOnce(TcpStream) + Send + 'static) -> (TcpStream, std::thread::JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("bound");
    let server = std::thread::spawn(move || serve(listener.accept().expect("accepted").0));
    (TcpStream::connect(address).expect("connected"), server)
}

fn copy(mut from: impl Read, mut to: impl Write) {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let length = from.read(&mut buffer).expect("read");
        if length == 0 {
            return;
        }
        to.write_all(&buffer[..length]).expect("written");
    }
}

fn raw_upload(content: &[u8]) -> Duration {
    let begun = Instant::now();
    let (mut socket, server) = raw(|socket| copy(socket, File::create(FILE).expect("made")));
    socket.write_all(content).expect("sent");
    drop(socket);
    server.join().expect("served");
    begun.elapsed()
}

fn upload(envd: &Envd, content: &[u8]) -> Duration {
    let begun = Instant::now();
    envd.write(FILE, content);
    begun.elapsed()
}

fn raw_download() -> Duration {
    let begun = Instant::now();
    let (socket, server) = raw(|socket| copy(File::open(FILE).expect("there"), socket));
    copy(socket, std::io::sink());
    server.join().expect("served");
    begun.elapsed()
}

fn download(envd: &Envd) -> Duration {
    let begun = Instant::now();
    let mut socket = connect(envd.port);
    send_head(
        &mut socket,
        "GET",
        &format!("/files?path={FILE}"),
        &[("connection", "close")],
        Some(0),
    );
    let mut reader = BufReader::new(socket);
    assert_eq!(read_head(&mut reader).0, 200);
    copy(reader, std::io::sink());
    begun.elapsed()
}

/// What prints `BYTES` zeros, in pieces that cost it little.
const PRODUCER: [&str; 5] = ["dd", "if=/dev/zero", "bs=64K", "count=4096", "status=none"];

fn spawn_producer() -> Child {
    Command::new(PRODUCER[0])
        .args(&PRODUCER[1..])
        .stdout(Stdio::piped())
        .spawn()
        .expect("spawned")
}

fn raw_output() -> Duration {
    let begun = Instant::now();
    let mut child = spawn_producer();
    copy(child.stdout.take().expect("a pipe"), std::io::sink());
    child.wait().expect("ended");
    begun.elapsed()
}

/// The same three at work as with the agent: the process, what reads its pipe, the client.
fn relayed_output() -> Duration {
    let begun = Instant::now();
    let (socket, server) = raw(|socket| {
        let mut child = spawn_producer();
        copy(child.stdout.take().expect("a pipe"), socket);
        child.wait().expect("ended");
    });
    copy(socket, std::io::sink());
    server.join().expect("served");
    begun.elapsed()
}

/// Not decoded: what a client does with the stream is not the agent's.
fn output(envd: &Envd) -> Duration {
    let begun = Instant::now();
    let process = json!({ "cmd": PRODUCER[0], "args": PRODUCER[1..] });
    let request = json!({ "process": process, "stdin": false }).to_string();
    let body = envelope(0, request.as_bytes());
    let mut socket = connect(envd.port);
    let headers = [
        ("content-type", "application/connect+json"),
        ("connection", "close"),
    ];
    send_head(
        &mut socket,
        "POST",
        "/process.Process/Start",
        &headers,
        Some(body.len()),
    );
    socket.write_all(&body).expect("sent");
    copy(socket, std::io::sink());
    begun.elapsed()
}
