//! What must not bring the agent down, or make it grow.

mod support;

use std::io::{BufReader, Read, Write};
use std::time::Duration;

use support::http::{connect, read_head, send_head};
use support::rpc::shell;
use support::{Envd, json, wait_for};

const RAW: (&str, &str) = ("content-type", "application/octet-stream");

/// What the agent may hold when it is idle, in KiB.
const IDLE_KIB: u64 = 10 * 1024;

#[test]
fn an_idle_agent_is_small() {
    let envd = Envd::boot();
    assert!(
        envd.status_kib("VmRSS") < IDLE_KIB,
        "{} KiB",
        envd.status_kib("VmRSS")
    );
    assert!(envd.open_files() < 16);
}

#[test]
fn ten_thousand_processes_are_started_and_reaped() {
    let envd = Envd::boot();
    let workers: Vec<_> = (0..4)
        .map(|_| {
            let port = envd.port;
            std::thread::spawn(move || {
                let body = support::rpc::envelope(
                    0,
                    json!({ "process": { "cmd": "/bin/true" }, "stdin": false })
                        .to_string()
                        .as_bytes(),
                );
                let mut socket = BufReader::new(connect(port));
                for _ in 0..2500 {
                    let headers = [("content-type", "application/connect+json")];
                    send_head(
                        socket.get_mut(),
                        "POST",
                        "/process.Process/Start",
                        &headers,
                        Some(body.len()),
                    );
                    socket.get_mut().write_all(&body).expect("sent");
                    assert_eq!(read_head(&mut socket).0, 200);
                    let mut answer = Vec::new();
                    while let Some(chunk) = support::http::read_chunk(&mut socket) {
                        answer.extend(chunk);
                    }
                    assert!(String::from_utf8_lossy(&answer).contains("exit status 0"));
                }
            })
        })
        .collect();
    workers
        .into_iter()
        .for_each(|worker| worker.join().expect("all ran"));
    assert_eq!(
        envd.call("process.Process/List", json!({}))["processes"],
        json!([])
    );
    let zombies = envd.run("ps -eo stat= | grep -c ^Z");
    assert_eq!(zombies.out(), "0\n");
    assert!(envd.open_files() < 40, "{} descriptors", envd.open_files());
    assert!(
        envd.status_kib("VmRSS") < 2 * IDLE_KIB,
        "{} KiB",
        envd.status_kib("VmRSS")
    );
}

#[test]
fn many_processes_live_at_the_same_time() {
    let envd = Envd::boot();
    let mut streams: Vec<_> = (0..300)
        .map(|_| envd.start(json!({ "process": { "cmd": "sleep", "args": ["300"] } })))
        .collect();
    streams
        .iter_mut()
        .for_each(|stream| assert!(stream.pid() > 0));
    assert_eq!(
        envd.call("process.Process/List", json!({}))["processes"]
            .as_array()
            .expect("a list")
            .len(),
        300
    );
    let root = [("authorization", "Basic cm9vdDo=")];
    assert_eq!(
        envd.stream("process.Process/Start", &root, &shell("pkill -x sleep"))
            .finish()
            .exit_code(),
        0
    );
    for stream in streams {
        assert_eq!(stream.finish().end["status"], "signal: terminated");
    }
}

#[test]
fn a_flood_of_output_that_nobody_reads() {
    let envd = Envd::boot();
    let pids: Vec<u64> = (0..40)
        .map(|_| {
            envd.start(shell(
                "head -c 20000000 /dev/zero; head -c 20000000 /dev/zero >&2",
            ))
            .pid()
        })
        .collect();
    assert!(wait_for(
        || envd.call("process.Process/List", json!({}))["processes"] == json!([])
    ));
    // All kept output together is bounded, and that of those that ended last is still there.
    assert!(
        envd.status_kib("VmRSS") < 48 * 1024,
        "{} KiB",
        envd.status_kib("VmRSS")
    );
    let late = |pid: &u64| {
        envd.stream(
            "process.Process/Connect",
            &[],
            &json!({ "process": { "pid": pid }, "stdoutOffset": "0" }),
        )
        .finish()
    };
    let ends: Vec<_> = pids.iter().map(late).collect();
    assert!(ends.iter().all(|end| end.exit_code() == 0));
    assert!(
        ends.iter()
            .any(|end| end.first_offset.is_some_and(|offset| offset > 19_000_000))
    );
}

#[test]
fn a_flood_of_connections() {
    let envd = Envd::boot();
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, raised);
    // More than are served at a time: the longest idle ones make room.
    let mut silent: Vec<_> = (0..5000).map(|_| connect(envd.port)).collect();
    assert_eq!(envd.get("/health", &[]).status, 204);
    let mut byte = [0; 1];
    assert!(
        matches!(silent[0].read(&mut byte), Ok(0)),
        "the first one was closed"
    );
    assert!(envd.open_files() < 4200);
    drop(silent);
    assert!(wait_for(|| envd.open_files() < 20));
    assert_eq!(envd.run("echo still").out(), "still\n");
}

#[test]
fn slow_clients_hold_no_threads() {
    let envd = Envd::boot();
    envd.write("big", &vec![b'x'; 4_000_000]);
    // Downloads that nobody reads and uploads that never go on, more than there are threads.
    let stuck: Vec<_> = (0..200)
        .map(|number| {
            let mut socket = connect(envd.port);
            if number % 2 == 0 {
                send_head(&mut socket, "GET", "/files?path=big", &[], Some(0));
            } else {
                send_head(
                    &mut socket,
                    "POST",
                    &format!("/files?path=up{number}"),
                    &[RAW],
                    Some(10_000_000),
                );
                socket.write_all(&vec![b'y'; 600_000]).expect("sent");
            }
            socket
        })
        .collect();
    std::thread::sleep(Duration::from_millis(500));
    envd.write("small", b"through");
    assert_eq!(envd.read("small"), b"through");
    assert_eq!(
        envd.call("filesystem.Filesystem/Stat", json!({ "path": "small" }))["entry"]["size"],
        "7"
    );
    drop(stuck);
}

#[test]
fn garbage_is_answered_or_dropped() {
    let envd = Envd::boot();
    for garbage in [
        &b"\0\0\0\0\r\n\r\n"[..],
        b"GET\r\n\r\n",
        b"POST /files HTTP/1.1\r\nTransfer-Encoding: nonsense\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ] {
        let mut socket = connect(envd.port);
        socket.write_all(garbage).expect("sent");
        let _ = socket.shutdown(std::net::Shutdown::Write);
        let _ = socket.read_to_end(&mut Vec::new());
    }
    let mut endless = connect(envd.port);
    let _ = endless.write_all(b"GET / HTTP/1.1\r\nX: ");
    for _ in 0..1000 {
        if endless.write_all(&[b'a'; 1024]).is_err() {
            break;
        }
    }
    let mut many = connect(envd.port);
    let headers: String = (0..300).map(|number| format!("H{number}: x\r\n")).collect();
    many.write_all(format!("GET /health HTTP/1.1\r\n{headers}\r\n").as_bytes())
        .expect("sent");
    assert_eq!(read_head(&mut BufReader::new(many)).0, 431);
    assert!(envd.status_kib("VmRSS") < 2 * IDLE_KIB);
    assert_eq!(envd.get("/health", &[]).status, 204);
}

#[test]
fn large_transfers_need_little_memory() {
    let envd = Envd::boot();
    let content = vec![b'z'; 64 << 20];
    envd.write("/tmp/large", &content);
    assert!(envd.read("/tmp/large") == content);
    let zipped = envd.get("/files?path=/tmp/large", &[("accept-encoding", "gzip")]);
    assert!(zipped.body.len() < content.len() / 100);
    assert!(
        envd.status_kib("VmHWM") < 16 * 1024,
        "{} KiB",
        envd.status_kib("VmHWM")
    );
}
