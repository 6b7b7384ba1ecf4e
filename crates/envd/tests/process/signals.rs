//! Signals, and what they leave behind.

use super::{selector, signal};
use crate::support::rpc::shell;
use crate::support::{Envd, Setup, wait_for};

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
