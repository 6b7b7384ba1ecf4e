//! What runs, as whom, where and with what; how its end is told.

use crate::support::rpc::shell;
use crate::support::{Envd, Event, Value, json, wait_for};

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
fn all_output_comes_before_the_end() {
    let envd = Envd::boot();
    // The shell exits at once; its child writes later into the same pipe.
    let ran = envd.run("(sleep 0.5; head -c 1000000 /dev/zero; echo tail) & echo first");
    assert_eq!(ran.stdout.len(), 6 + 1_000_000 + 5);
    assert_eq!(ran.exit_code(), 0);
}
