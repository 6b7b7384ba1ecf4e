//! Who follows a process, comes back to it, leaves it, or does not read.

use std::time::{Duration, Instant};

use super::{PATIENCE, input, selector, signal};
use crate::support::rpc::shell;
use crate::support::{Envd, json, wait_for};

#[test]
fn list_shows_live_processes_with_their_use() {
    let envd = Envd::boot();
    let request = json!({ "process": { "cmd": "/bin/bash", "args": ["-c", "while :; do :; done"], "envs": { "A": "b" }, "cwd": "/" }, "tag": "spin", "stdin": false });
    let mut stream = envd.start(request);
    let pid = stream.pid();
    let busy = wait_for(|| {
        let list = envd.call("process.Process/List", json!({}));
        let process = &list["processes"][0];
        assert_eq!(
            (process["pid"].as_u64(), process["tag"].as_str()),
            (Some(pid), Some("spin"))
        );
        assert_eq!(
            process["config"],
            json!({ "cmd": "/bin/bash", "args": ["-c", "while :; do :; done"], "envs": { "A": "b" }, "cwd": "/" })
        );
        let number = |name: &str| {
            process[name]
                .as_str()
                .expect("a string")
                .parse::<u64>()
                .expect("a number")
        };
        number("cpuUsec") > 10_000 && number("memoryBytes") > 500_000
    });
    assert!(busy);
    envd.call("process.Process/SendSignal", signal(pid, "SIGNAL_SIGKILL"));
    assert_eq!(
        envd.call("process.Process/List", json!({}))["processes"],
        json!([])
    );
}

#[test]
fn connect_follows_by_pid_and_tag() {
    let envd = Envd::boot();
    let mut request = shell("read line; echo got $line");
    request["stdin"] = json!(true);
    request["tag"] = json!("reader");
    let mut first = envd.start(request);
    let pid = first.pid();
    let mut by_tag = envd.stream(
        "process.Process/Connect",
        &[],
        &json!({ "process": { "tag": "reader" } }),
    );
    assert_eq!(by_tag.pid(), pid);
    let mut by_pid = envd.stream("process.Process/Connect", &[], &selector(pid));
    assert_eq!(by_pid.pid(), pid);
    envd.call("process.Process/SendInput", input(pid, "x\n"));
    for stream in [first, by_tag, by_pid] {
        let ran = stream.finish();
        assert_eq!((ran.out().as_str(), ran.exit_code()), ("got x\n", 0));
    }
    // For a while the end is remembered.
    let late = envd
        .stream("process.Process/Connect", &[], &selector(pid))
        .finish();
    assert_eq!(
        (late.pid, late.out().as_str(), late.exit_code()),
        (pid, "", 0)
    );
    assert_eq!(
        envd.stream("process.Process/Connect", &[], &selector(4_000_000))
            .finish()
            .error(),
        "not_found"
    );
    assert_eq!(
        envd.stream("process.Process/Connect", &[], &json!({}))
            .finish()
            .error(),
        "invalid_argument"
    );
}

#[test]
fn connect_replays_what_was_missed() {
    let envd = Envd::boot();
    let mut stream = envd.start(shell("seq 200000; echo end; touch /tmp/printed"));
    let pid = stream.pid();
    drop(stream); // nobody reads: the process does not wait
    assert!(wait_for(|| envd
        .get("/files?path=/tmp/printed", &[])
        .status
        == 200));
    let replay = |offset: u64| {
        envd.stream(
            "process.Process/Connect",
            &[],
            &json!({ "process": { "pid": pid }, "stdoutOffset": offset.to_string() }),
        )
        .finish()
    };
    let all = replay(0);
    assert_eq!(all.exit_code(), 0);
    let first = all.first_offset.expect("some output");
    assert!(first > 0, "what did not fit is forgotten");
    let whole: String = (1..=200_000)
        .map(|number| format!("{number}\n"))
        .chain(["end\n".to_owned()])
        .collect();
    assert_eq!(all.out(), whole[first as usize..]);
    let part = replay(whole.len() as u64 - 4);
    assert_eq!(
        (part.out().as_str(), part.first_offset),
        ("end\n", Some(whole.len() as u64 - 4))
    );
}

#[test]
fn a_client_that_leaves_kills_nothing() {
    let envd = Envd::boot();
    let mut stream = envd.start(shell("sleep 1; echo survived > /tmp/mark"));
    stream.pid();
    drop(stream);
    assert!(wait_for(
        || envd.get("/files?path=/tmp/mark", &[]).status == 200
    ));
}

#[test]
fn silence_is_broken_by_keepalives() {
    let envd = Envd::boot();
    let stream = envd.stream(
        "process.Process/Start",
        &[("keepalive-ping-interval", "1")],
        &shell("sleep 2.5"),
    );
    assert_eq!(stream.finish().keepalives, 2);
}

#[test]
fn a_stalled_reader_blocks_its_process_and_nobody_else() {
    let envd = Envd::boot();
    let mut stalled = envd.start(shell(
        "yes | head -c 50000000 | tee /dev/null; echo done >&2",
    ));
    let pid = stalled.pid();
    std::thread::sleep(Duration::from_millis(500));
    let begun = Instant::now();
    assert_eq!(envd.run("echo quick").out(), "quick\n");
    assert!(begun.elapsed() < PATIENCE);
    let listed = envd.call("process.Process/List", json!({}));
    assert_eq!(
        listed["processes"][0]["pid"].as_u64(),
        Some(pid),
        "it waits for its reader"
    );
    assert!(envd.status_kib("VmRSS") < 16 * 1024);
    let ran = stalled.finish();
    assert_eq!((ran.stdout.len(), ran.exit_code()), (50_000_000, 0));
}
