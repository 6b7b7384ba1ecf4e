//! Standard input and terminals.

use std::time::Duration;

use super::{input, selector, signal};
use crate::support::rpc::envelope;
use crate::support::{Envd, Event, json};

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
