//! Every step that can fail says so in one line and leaves nothing.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde_json::{Value, json};
use support::{
    Place, Shim, cgroup_root, children_that_run, command, is_running, send_signal, wait_until,
};

fn assert_failed(place: &Place, shim: Shim, what: &str, errno: Option<&str>) {
    assert_eq!(shim.state["state"], "failed", "{what}: {}", shim.state);
    assert!(
        shim.state["what"].as_str().unwrap().starts_with(what),
        "{what}: {}",
        shim.state
    );
    assert_eq!(shim.state["errno"].as_str(), errno, "{}", shim.state);
    assert!(!shim.state["message"].as_str().unwrap().is_empty());
    assert_eq!(shim.wait(), 1);
    place.assert_clean();
    assert!(!place.path("exit.json").exists());
}

#[test]
fn a_step_that_fails_is_named_and_undone() {
    let missing = |place: &Place| place.path("missing").to_str().unwrap().to_owned();
    type Change = fn(&mut Value, &str);
    let cases: [(Change, &str, Option<&str>); 13] = [
        (
            |spec, missing| spec["network_namespace"] = json!(missing),
            "join network namespace",
            Some("ENOENT"),
        ),
        (
            |spec, _| spec["network_namespace"] = json!("/usr/bin/sh"),
            "join network namespace",
            Some("EINVAL"),
        ),
        (
            |spec, missing| spec["mounts"] = json!([{"path": missing, "read_only": true}]),
            "bind",
            Some("ENOENT"),
        ),
        (
            |spec, missing| spec["directory"] = json!(missing),
            "bind",
            Some("ENOENT"),
        ),
        (
            |spec, _| spec["directory"] = json!("/usr/bin/sh"),
            "mount the new root",
            Some("ENOTDIR"),
        ),
        (
            |spec, _| spec["devices"] = json!(["/dev/missing"]),
            "look up device /dev/missing",
            Some("ENOENT"),
        ),
        (
            |spec, _| spec["devices"] = json!(["/dev/pts"]),
            "look up device /dev/pts",
            None,
        ),
        (
            |spec, missing| spec["argv"] = json!([missing]),
            "execute",
            Some("ENOENT"),
        ),
        (
            |spec, _| spec["argv"] = json!(["/usr/lib"]),
            "execute /usr/lib",
            Some("EACCES"),
        ),
        (
            |spec, missing| spec["control_socket"] = json!(format!("{missing}/s")),
            "bind control socket",
            Some("ENOENT"),
        ),
        (
            |spec, missing| spec["exit_record"] = json!(format!("{missing}/e")),
            "remove",
            Some("ENOENT"),
        ),
        (
            |spec, missing| spec["console"] = json!(format!("{missing}/c")),
            "make console",
            Some("ENOENT"),
        ),
        (|spec, _| spec["tap"] = json!("tap0"), "open TAP tap0", None),
    ];
    for (change, what, errno) in cases {
        let mut place = Place::new("exec sleep 1000");
        let missing = missing(&place);
        change(&mut place.spec, &missing);
        let shim = place.start();
        assert_failed(&place, shim, what, errno);
    }
}

#[test]
fn a_spec_that_is_wrong_is_refused_with_a_reason() {
    let mut place = Place::new("exec sleep 1000");
    let shim = place.start_as_it_is();
    assert_failed(&place, shim, "read spec", Some("ENOENT"));
    for text in ["", "{", "[]", "{\"name\":1}", "\0"] {
        fs::write(place.path("spec.json"), text).unwrap();
        let shim = place.start_as_it_is();
        assert_failed(&place, shim, "read spec", None);
    }
    place.spec["unknown"] = json!(1);
    let shim = place.start();
    assert!(
        shim.state["message"]
            .as_str()
            .unwrap()
            .contains("`unknown`"),
        "{}",
        shim.state
    );
    assert_failed(&place, shim, "read spec", None);
}

#[test]
fn a_spec_that_others_may_write_is_refused() {
    let place = Place::new("exec sleep 1000");
    fs::write(place.path("spec.json"), place.spec.to_string()).unwrap();
    fs::set_permissions(place.path("spec.json"), fs::Permissions::from_mode(0o620)).unwrap();
    assert_failed(&place, place.start_as_it_is(), "read spec", None);
    fs::set_permissions(place.path("spec.json"), fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::chown(place.path("spec.json"), Some(support::UID), None).unwrap();
    assert_failed(&place, place.start_as_it_is(), "read spec", None);
}

#[test]
fn a_cgroup_that_has_processes_is_not_taken_over() {
    let place = Place::new("exec sleep 1000");
    fs::create_dir_all(place.cgroup()).unwrap();
    let mut other = std::process::Command::new("sleep")
        .arg("1000")
        .spawn()
        .unwrap();
    fs::write(place.cgroup().join("cgroup.procs"), other.id().to_string()).unwrap();
    let shim = place.start();
    assert_eq!(shim.state["errno"], "EBUSY", "{}", shim.state);
    assert_eq!(shim.wait(), 1);
    assert!(!place.path("shim.sock").exists());
    assert!(other.try_wait().unwrap().is_none());
    other.kill().unwrap();
    other.wait().unwrap();
    let vm = place.run(); // an empty one is
    drop(vm);
}

#[test]
fn a_limit_that_the_kernel_refuses_is_a_failure() {
    if !fs::read_to_string(cgroup_root().join("cgroup.controllers"))
        .unwrap()
        .contains("cpu")
    {
        return eprintln!("skipped: this host has no cpu controller in cgroup v2");
    }
    let mut place = Place::new("exec sleep 1000");
    place.spec["cpu_max"] = json!("much");
    let shim = place.start();
    assert_failed(&place, shim, "set ", Some("EINVAL"));
}

/// A start that does not get beyond opening its network namespace: a FIFO without a writer.
fn stuck() -> (Place, std::process::Child) {
    let mut place = Place::new("exec sleep 1000");
    command("mkfifo", &[place.path("fifo").to_str().unwrap()]);
    place.spec["network_namespace"] = json!(place.path("fifo"));
    fs::write(place.path("spec.json"), place.spec.to_string()).unwrap();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_wrenn-shim"));
    command
        .arg("run")
        .arg(place.path("spec.json"))
        .stdout(std::process::Stdio::piped());
    let shim = command.spawn().unwrap();
    wait_until("the child in its cgroup", || child_of(&place).is_some());
    (place, shim)
}

fn child_of(place: &Place) -> Option<i32> {
    fs::read_to_string(place.cgroup().join("cgroup.procs"))
        .ok()?
        .trim()
        .parse()
        .ok()
}

#[test]
fn sigterm_ends_a_start_that_hangs() {
    let (place, shim) = stuck();
    send_signal("TERM", i32::try_from(shim.id()).unwrap());
    let output = shim.wait_with_output().unwrap();
    let state: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (state["state"].as_str(), output.status.code()),
        (Some("failed"), Some(1)),
        "{state}"
    );
    place.assert_clean();
}

#[test]
fn a_child_that_is_killed_before_exec_is_a_failed_start() {
    let (place, shim) = stuck();
    send_signal("KILL", child_of(&place).unwrap());
    let output = shim.wait_with_output().unwrap();
    let state: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (state["what"].as_str(), output.status.code()),
        (Some("start the VMM"), Some(1)),
        "{state}"
    );
    place.assert_clean();
}

#[test]
fn a_shim_that_is_killed_during_the_start_takes_its_child_with_it() {
    let (place, mut shim) = stuck();
    let child = child_of(&place).unwrap();
    shim.kill().unwrap();
    shim.wait().unwrap();
    wait_until("the child's end", || !is_running(child));
    assert!(children_that_run(place.root.path()).is_empty());
}

#[test]
fn kill_at_any_moment_of_the_start_leaves_no_process() {
    let place = Place::new("exec sleep 1000");
    fs::write(place.path("spec.json"), place.spec.to_string()).unwrap();
    for step in 0..150u64 {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_wrenn-shim"));
        let mut shim = command
            .arg("run")
            .arg(place.path("spec.json"))
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_micros(step * 100));
        shim.kill().unwrap();
        shim.wait().unwrap();
        wait_until("an end of every process", || {
            children_that_run(place.root.path()).is_empty()
        });
    }
    let vm = place.run(); // and the next one finds its way through what they left
    assert!(Path::new(&format!("/proc/{}", vm.vmm())).exists());
}

#[test]
fn without_a_command_it_says_how_it_is_used() {
    for arguments in [&[][..], &["run"], &["walk", "/x"], &["tsc-khz", "1"]] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_wrenn-shim"))
            .args(arguments)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains("usage"));
    }
}
