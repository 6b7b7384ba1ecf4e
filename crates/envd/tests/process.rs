//! The calls of `process.Process`, against the real agent.

mod support;

use std::io::Write;
use std::time::{Duration, Instant};

use support::rpc::{envelope, shell};
use support::{Envd, Event, Setup, Value, json, wait_for};

const PATIENCE: Duration = Duration::from_secs(20);

fn selector(pid: u64) -> Value {
    json!({ "process": { "pid": pid } })
}

fn signal(pid: u64, signal: &str) -> Value {
    json!({ "process": { "pid": pid }, "signal": signal })
}

fn input(pid: u64, bytes: &str) -> Value {
    use base64::Engine;
    json!({ "process": { "pid": pid }, "input": { "stdin": base64::engine::general_purpose::STANDARD.encode(bytes) } })
}

#[test]
fn start_sends_start_output_and_end() {
    let envd = Envd::boot();
    let mut stream = envd.start(shell("echo out; echo err >&2; exit 3"));
    assert_eq!(stream.status, 200);
    assert!(stream.pid() > 0);
    let ran = stream.finish();
    assert_eq!(
        (ran.out().as_str(), ran.stderr.as_slice()),
        ("out\n", &b"err\n"[..])
    );
    assert_eq!(
        ran.end,
        json!({ "exitCode": 3, "exited": true, "status": "exit status 3", "error": "exit status 3" })
    );
    assert_eq!(ran.last, json!({}));
    assert_eq!(
        envd.run("true").end,
        json!({ "exited": true, "status": "exit status 0" })
    );
}

#[test]
fn a_signal_is_told_in_the_end() {
    let envd = Envd::boot();
    let ran = envd.run("kill -KILL $$");
    assert_eq!(
        ran.end,
        json!({ "exitCode": -1, "exited": false, "status": "signal: killed", "error": "signal: killed" })
    );
    assert_eq!(
        envd.run("kill -TERM $$").end["status"],
        "signal: terminated"
    );
}

#[test]
fn errors_before_the_start_come_in_the_end_frame() {
    let envd = Envd::boot();
    for (process, user, code, message) in [
        (
            json!({ "cmd": "/bin/true", "cwd": "/missing" }),
            None,
            "invalid_argument",
            "cwd '/missing' does not exist",
        ),
        (
            json!({ "cmd": "/bin/true", "cwd": "/bin/true" }),
            None,
            "invalid_argument",
            "cwd '/bin/true' does not exist",
        ),
        (
            json!({ "cmd": "missing" }),
            None,
            "invalid_argument",
            "Cannot start 'missing': No such file or directory",
        ),
        (
            json!({ "cmd": "/etc/passwd" }),
            None,
            "invalid_argument",
            "Cannot start '/etc/passwd': Permission denied",
        ),
        (
            json!({ "cmd": "" }),
            None,
            "invalid_argument",
            "Cannot start a process: cmd is empty",
        ),
        (
            json!({ "cmd": "/bin/true" }),
            Some("nobody-here"),
            "unauthenticated",
            "invalid username: 'nobody-here'",
        ),
    ] {
        let authorization = user.map(|user: &str| {
            use base64::Engine;
            format!(
                "Basic {}",
                base64::engine::general_purpose::STANDARD.encode(format!("{user}:"))
            )
        });
        let headers: Vec<(&str, &str)> = authorization
            .iter()
            .map(|value| ("authorization", value.as_str()))
            .collect();
        let mut stream = envd.stream(
            "process.Process/Start",
            &headers,
            &json!({ "process": process }),
        );
        assert_eq!(stream.status, 200);
        assert_eq!(
            stream.next(),
            Event::End(json!({ "error": { "code": code, "message": message } }))
        );
    }
    // Nothing is left of the children that failed.
    assert!(wait_for(
        || envd.call("process.Process/List", json!({}))["processes"] == json!([])
    ));
}

#[test]
fn processes_run_as_the_user_with_all_groups() {
    let envd = Envd::boot();
    let ran = envd.run("id -un; id -Gn | tr ' ' '\\n' | sort | tr '\\n' ' '; pwd; umask; ulimit -n; cat /proc/self/oom_score_adj");
    let lines: Vec<String> = ran.out().lines().map(str::to_owned).collect();
    assert_eq!(lines[0], "user");
    assert!(
        lines[1].contains("games") && lines[1].contains("user"),
        "{lines:?}"
    );
    assert!(
        lines[1].ends_with("/home/user") || lines[2] == "/home/user",
        "{lines:?}"
    );
    assert!(ran.out().contains("0022\n"));
    assert!(
        ran.out().ends_with("\n0\n") || ran.out().ends_with("\n0"),
        "{}",
        ran.out()
    );
    let root = envd.stream(
        "process.Process/Start",
        &[("authorization", "Basic cm9vdDo=")],
        &shell("id -u; pwd"),
    );
    assert_eq!(root.finish().out(), "0\n/root\n");
}

#[test]
fn ignored_signals_and_descriptors_are_not_inherited() {
    let envd = Envd::boot();
    let ran = envd.run("grep -E 'Sig(Ign|Blk)' /proc/self/status; ls /proc/self/fd | wc -l");
    assert_eq!(
        ran.out(),
        "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n4\n"
    );
}

#[test]
fn the_environment_is_layered() {
    let envd = Envd::boot();
    envd.init(json!({ "envVars": { "FROM_SANDBOX": "1", "BOTH": "sandbox" }, "sandboxId": "sb1", "templateId": "tpl1" }));
    let request = json!({ "process": { "cmd": "env", "envs": { "FROM_CALL": "2", "BOTH": "call" } }, "stdin": false });
    let out = envd.start(request).finish().out();
    for line in [
        "FROM_SANDBOX=1",
        "FROM_CALL=2",
        "BOTH=call",
        "HOME=/home/user",
        "USER=user",
        "LOGNAME=user",
        "E2B_SANDBOX=true",
        "E2B_SANDBOX_ID=sb1",
        "E2B_TEMPLATE_ID=tpl1",
    ] {
        assert!(out.lines().any(|known| known == line), "{line} in {out}");
    }
    assert!(out.contains("PATH=/usr/local/sbin:"));
    assert!(!envd.run("env").out().contains("FROM_CALL"));
}

#[test]
fn cwd_follows_the_path_rules() {
    let envd = Envd::boot();
    envd.run("mkdir -p ~/project/sub");
    let pwd = |cwd: Value| {
        envd.start(json!({ "process": { "cmd": "pwd", "cwd": cwd } }))
            .finish()
            .out()
    };
    assert_eq!(pwd(json!("project/sub")), "/home/user/project/sub\n");
    assert_eq!(pwd(json!("~/project")), "/home/user/project\n");
    assert_eq!(pwd(Value::Null), "/home/user\n");
    envd.init(json!({ "defaultWorkdir": "/usr" }));
    assert_eq!(pwd(json!("")), "/usr\n");
    assert_eq!(pwd(json!("project")), "/home/user/project\n");
}

#[test]
fn stdin_is_written_and_closed() {
    let envd = Envd::boot();
    let mut stream = envd.start(json!({ "process": { "cmd": "cat" } }));
    let pid = stream.pid();
    envd.call("process.Process/SendInput", input(pid, "one\n"));
    stream.read_until("one\n");
    envd.call("process.Process/SendInput", input(pid, "two"));
    envd.call("process.Process/CloseStdin", selector(pid));
    envd.call("process.Process/CloseStdin", selector(pid));
    let ran = stream.finish();
    assert_eq!((ran.out().as_str(), ran.exit_code()), ("two", 0));
    assert_eq!(
        envd.call_error("process.Process/SendInput", input(pid, "x")),
        (404, "not_found".into())
    );
    let open = envd
        .start(json!({ "process": { "cmd": "sleep", "args": ["60"] } }))
        .pid();
    envd.call("process.Process/CloseStdin", selector(open));
    assert_eq!(
        envd.call_error("process.Process/SendInput", input(open, "x"))
            .1,
        "failed_precondition"
    );
    // Without standard input there is nothing to wait for.
    assert_eq!(
        envd.start(json!({ "process": { "cmd": "cat" }, "stdin": false }))
            .finish()
            .exit_code(),
        0
    );
}

#[test]
fn send_input_waits_for_room_and_ends_with_the_process() {
    let envd = Envd::boot();
    let mut stream = envd.start(json!({ "process": { "cmd": "sleep", "args": ["60"] } }));
    let pid = stream.pid();
    let big = "x".repeat(200 * 1024);
    let late = envd.call_raw(
        "process.Process/SendInput",
        &[("connect-timeout-ms", "300")],
        &input(pid, &big),
    );
    assert_eq!(
        (late.status, late.json()["code"].as_str()),
        (504, Some("deadline_exceeded"))
    );
    std::thread::scope(|scope| {
        let blocked =
            scope.spawn(|| envd.call_error("process.Process/SendInput", input(pid, &big)));
        std::thread::sleep(Duration::from_millis(200));
        envd.call("process.Process/SendSignal", signal(pid, "SIGNAL_SIGKILL"));
        let (_, code) = blocked.join().expect("answers");
        assert!(
            code == "not_found" || code == "failed_precondition",
            "{code}"
        );
    });
    assert_eq!(stream.finish().end["status"], "signal: killed");
}

#[test]
fn stream_input_writes_in_order() {
    use base64::Engine;
    let envd = Envd::boot();
    let mut stream = envd.start(json!({ "process": { "cmd": "cat" } }));
    let pid = stream.pid();
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let mut body = envelope(
        0,
        json!({ "start": { "process": { "pid": pid } } })
            .to_string()
            .as_bytes(),
    );
    for number in 0..50 {
        body.extend(envelope(
            0,
            json!({ "data": { "input": { "stdin": encode(&format!("{number}\n")) } } })
                .to_string()
                .as_bytes(),
        ));
        body.extend(envelope(0, br#"{"keepalive":{}}"#));
    }
    let mut answer = envd.stream_of("process.Process/StreamInput", &[], &body);
    assert_eq!(answer.next(), Event::Message(json!({})));
    assert_eq!(answer.next(), Event::End(json!({})));
    envd.call("process.Process/CloseStdin", selector(pid));
    let expected: String = (0..50).map(|number| format!("{number}\n")).collect();
    assert_eq!(stream.finish().out(), expected);
    let mut answer = envd.stream_of(
        "process.Process/StreamInput",
        &[],
        &envelope(0, br#"{"data":{}}"#),
    );
    let Event::End(end) = answer.next() else {
        panic!("no start: an error")
    };
    assert_eq!(end["error"]["code"], "invalid_argument");
}

#[test]
fn terminals_resize_and_take_input() {
    use base64::Engine;
    let envd = Envd::boot();
    let request = json!({
        "process": { "cmd": "/bin/bash", "args": ["--norc", "-i"], "envs": { "TERM": "xterm", "PS1": "> " } },
        "pty": { "size": { "cols": 91, "rows": 33 } },
    });
    let mut stream = envd.start(request);
    let pid = stream.pid();
    let typed = |text: &str| {
        let bytes = base64::engine::general_purpose::STANDARD.encode(text);
        envd.call(
            "process.Process/SendInput",
            json!({ "process": { "pid": pid }, "input": { "pty": bytes } }),
        );
    };
    typed("stty size; test -O $(tty) && echo mine\n");
    stream.read_until("33 91\r\nmine");
    envd.call(
        "process.Process/Update",
        json!({ "process": { "pid": pid }, "pty": { "size": { "cols": 120, "rows": 40 } } }),
    );
    typed("stty size\n");
    stream.read_until("40 120\r\n");
    assert_eq!(
        envd.call_error("process.Process/CloseStdin", selector(pid))
            .1,
        "failed_precondition"
    );
    // Control-C reaches the foreground process, through the terminal.
    typed("sleep 100; echo st''opped\n");
    std::thread::sleep(Duration::from_millis(300));
    typed("\u{3}");
    typed("exit 7\n");
    let ran = stream.finish();
    assert_eq!(ran.exit_code(), 7);
    let pipe = envd.start(json!({ "process": { "cmd": "cat" } })).pid();
    assert_eq!(
        envd.call_error(
            "process.Process/Update",
            json!({ "process": { "pid": pipe }, "pty": { "size": { "cols": 1, "rows": 1 } } })
        )
        .1,
        "failed_precondition"
    );
}

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
fn the_timeout_of_start_limits_the_process() {
    let envd = Envd::boot();
    let begun = Instant::now();
    let mut stream = envd.stream(
        "process.Process/Start",
        &[("connect-timeout-ms", "500")],
        &shell("sleep 100 & sleep 100"),
    );
    let pid = stream.pid();
    let mut other = envd.stream("process.Process/Connect", &[], &selector(pid));
    other.pid();
    let ran = stream.finish();
    assert_eq!(
        (ran.error(), ran.end.is_null()),
        ("deadline_exceeded", true)
    );
    assert!(begun.elapsed() >= Duration::from_millis(500));
    // Others see how it ended, and nothing of it is left.
    assert_eq!(other.finish().end["status"], "signal: killed");
    assert_eq!(envd.run("pgrep -x sleep | wc -l").out(), "0\n");
}

#[test]
fn the_timeout_holds_when_the_client_has_left() {
    let envd = Envd::boot();
    let mut stream = envd.stream(
        "process.Process/Start",
        &[("connect-timeout-ms", "700")],
        &shell("sleep 100"),
    );
    let pid = stream.pid();
    drop(stream);
    assert_eq!(
        envd.call("process.Process/List", json!({}))["processes"][0]["pid"].as_u64(),
        Some(pid)
    );
    assert!(wait_for(
        || envd.call("process.Process/List", json!({}))["processes"] == json!([])
    ));
}

#[test]
fn the_timeout_of_connect_ends_only_the_stream() {
    let envd = Envd::boot();
    let pid = envd.start(shell("sleep 100")).pid();
    let ran = envd
        .stream(
            "process.Process/Connect",
            &[("connect-timeout-ms", "200")],
            &selector(pid),
        )
        .finish();
    assert_eq!(ran.error(), "deadline_exceeded");
    assert_eq!(
        envd.call("process.Process/List", json!({}))["processes"][0]["pid"].as_u64(),
        Some(pid)
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
fn a_kill_reaches_every_descendant() {
    for without_cgroups in [false, true] {
        let envd = Envd::boot_with(Setup {
            without_cgroups,
            ..Setup::default()
        });
        // A child in its own session, one whose parent is gone, one that ignores what it can.
        let script = "sleep 300 & (sleep 300 &) ; (trap '' TERM HUP INT; sleep 300) & setsid sleep 300 & sleep 300; sleep 300";
        let mut stream = envd.start(shell(script));
        let pid = stream.pid();
        assert!(wait_for(|| envd.run("pgrep -cx sleep").out().trim() == "5"));
        envd.call("process.Process/SendSignal", signal(pid, "SIGNAL_SIGKILL"));
        // It was answered when nothing was left but zombies, which wait for the init.
        assert_eq!(
            envd.run("pgrep -cx -r R,S,D,T sleep").out(),
            "0\n",
            "without cgroups: {without_cgroups}"
        );
        assert_eq!(stream.finish().end["status"], "signal: killed");
    }
}

#[test]
fn other_signals_go_to_the_process_alone() {
    let envd = Envd::boot();
    let mut stream = envd.start(shell("trap 'echo usr1' USR1; trap 'echo term; exit 5' TERM; echo ready; while :; do sleep 0.05; done"));
    let pid = stream.pid();
    stream.read_until("ready");
    envd.call("process.Process/SendSignal", signal(pid, "SIGNAL_SIGUSR1"));
    stream.read_until("usr1");
    envd.call("process.Process/SendSignal", signal(pid, "SIGNAL_SIGTERM"));
    let ran = stream.finish();
    assert_eq!((ran.out().as_str(), ran.exit_code()), ("term\n", 5));
    assert_eq!(
        envd.call_error("process.Process/SendSignal", signal(pid, "SIGNAL_SIGTERM")),
        (404, "not_found".into())
    );
    assert_eq!(
        envd.call_error(
            "process.Process/SendSignal",
            signal(4_000_000, "SIGNAL_SIGKILL")
        ),
        (404, "not_found".into())
    );
    assert_eq!(
        envd.call_error("process.Process/SendSignal", signal(pid, "SIGNAL_SIGSEGV"))
            .1,
        "unimplemented"
    );
    assert_eq!(
        envd.call_error("process.Process/SendSignal", selector(pid))
            .1,
        "invalid_argument"
    );
}

#[test]
fn after_a_term_nobody_waits_for_grandchildren() {
    let envd = Envd::boot();
    let mut stream = envd.start(shell("sleep 300 & echo on; wait"));
    let pid = stream.pid();
    stream.read_until("on\n");
    envd.call("process.Process/SendSignal", signal(pid, "SIGNAL_SIGTERM"));
    // The sleep still holds the pipe.
    assert_eq!(stream.finish().end["status"], "signal: terminated");
    assert!(wait_for(|| envd.run("pgrep -cx sleep").out() == "1\n"));
}

#[test]
fn all_output_comes_before_the_end() {
    let envd = Envd::boot();
    // The shell exits at once; its child writes later into the same pipe.
    let ran = envd.run("(sleep 0.5; head -c 1000000 /dev/zero; echo tail) & echo first");
    assert_eq!(ran.stdout.len(), 6 + 1_000_000 + 5);
    assert_eq!(ran.exit_code(), 0);
}

#[test]
fn cgroups_are_removed_with_their_last_process() {
    let envd = Envd::boot();
    if envd.run("cat /sys/fs/cgroup/cgroup.procs").exit_code() != 0 {
        return; // this machine has no cgroup v2
    }
    let count = || {
        envd.stream(
            "process.Process/Start",
            &[("authorization", "Basic cm9vdDo=")],
            &shell("ls -d /sys/fs/cgroup/envd-*/* | grep -c '/[0-9]*$'"),
        )
        .finish()
        .out()
    };
    let mut stream = envd.start(shell("sleep 1 & echo"));
    stream.pid();
    assert!(
        wait_for(|| count() == "1\n"),
        "only that of the look itself is left: {}",
        count()
    );
    assert!(wait_for(|| envd.open_files() < 20), "{}", envd.open_files());
}

#[test]
fn requests_of_another_shape_are_refused() {
    let envd = Envd::boot();
    assert_eq!(envd.get("/process.Process/List", &[]).status, 405);
    assert_eq!(envd.post("/process.Process/Nope", &[], b"{}").status, 404);
    assert_eq!(
        envd.post(
            "/process.Process/List",
            &[("content-type", "text/plain")],
            b"{}"
        )
        .status,
        415
    );
    assert_eq!(
        envd.post(
            "/process.Process/Start",
            &[("content-type", "application/json")],
            b"{}"
        )
        .status,
        415
    );
    assert_eq!(
        envd.call_raw(
            "process.Process/List",
            &[("content-encoding", "gzip")],
            &json!({})
        )
        .status,
        501
    );
    let bad = envd.post(
        "/process.Process/List",
        &[("content-type", "application/json")],
        b"{",
    );
    assert_eq!(
        (bad.status, bad.json()["code"].as_str()),
        (400, Some("invalid_argument"))
    );
    let huge = envd.post(
        "/process.Process/List",
        &[("content-type", "application/json; charset=utf-8")],
        &vec![b' '; 5 << 20],
    );
    assert_eq!(
        (huge.status, huge.json()["code"].as_str()),
        (429, Some("resource_exhausted"))
    );
    for (body, code) in [
        (envelope(1, b"{}"), "unimplemented"),
        (envelope(0, b"{"), "invalid_argument"),
        (vec![0, 0xff, 0xff, 0xff, 0xff], "resource_exhausted"),
        (vec![0, 0, 0, 0, 9, b'{'], "invalid_argument"),
        (Vec::new(), "invalid_argument"),
    ] {
        assert_eq!(
            envd.stream_of("process.Process/Start", &[], &body)
                .finish()
                .error(),
            code
        );
    }
    // Unknown fields are skipped.
    assert_eq!(
        envd.call("process.Process/List", json!({ "new": 1 }))["processes"],
        json!([])
    );
}

#[test]
fn a_request_may_come_in_small_pieces() {
    let envd = Envd::boot();
    let mut socket = support::http::connect(envd.port);
    support::http::send_head(
        &mut socket,
        "POST",
        "/process.Process/Start",
        &[("content-type", "application/connect+json")],
        None,
    );
    for byte in envelope(0, shell("echo pieces").to_string().as_bytes()) {
        write!(socket, "1\r\n").expect("sent");
        socket.write_all(&[byte, b'\r', b'\n']).expect("sent");
    }
    write!(socket, "0\r\n\r\n").expect("sent");
    let mut reader = std::io::BufReader::new(socket);
    assert_eq!(support::http::read_head(&mut reader).0, 200);
    let mut bytes = Vec::new();
    while let Some(chunk) = support::http::read_chunk(&mut reader) {
        bytes.extend(chunk);
    }
    assert!(String::from_utf8_lossy(&bytes).contains("cGllY2VzCg=="));
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
