//! Timeouts of processes and of streams.

use std::time::{Duration, Instant};

use super::selector;
use crate::support::rpc::shell;
use crate::support::{Envd, json, wait_for};

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
