//! From start to end, however it comes.

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};

use serde_json::json;
use support::{Place, cgroup_root, children_that_run, is_running, send_signal, wait_until};

#[test]
fn the_exit_status_is_recorded_and_nothing_is_left() {
    for code in [0, 7, 255] {
        let place = Place::new(&format!("echo out; echo err >&2; exit {code}"));
        let vm = place.run();
        assert_eq!(vm.wait(), 0);
        assert_eq!(
            place.record(),
            json!({"state": "exited", "kind": "exit", "code": code, "oom": false})
        );
        assert_eq!(place.console(), "out\nerr\n");
        assert_eq!(
            fs::metadata(place.path("exit.json")).unwrap().mode() & 0o777,
            0o600
        );
        place.assert_clean();
    }
}

#[test]
fn the_parent_cgroup_goes_with_the_last_vm() {
    let first = Place::new("read line < fifo");
    let mut second = Place::new("exit 0");
    let (parent, _) = first.spec["cgroup"]
        .as_str()
        .unwrap()
        .split_once('/')
        .unwrap();
    second.spec["cgroup"] = json!(format!("{parent}/other"));
    let fifo = first.path("vm/fifo");
    Command::new("mkfifo").arg(&fifo).status().unwrap();
    fs::set_permissions(&fifo, fs::Permissions::from_mode(0o666)).unwrap();
    let vm = first.run();
    second.run_to_end();
    assert!(!cgroup_root().join(parent).join("other").exists());
    assert!(first.cgroup().exists());
    fs::write(&fifo, "end\n").unwrap();
    vm.wait();
    assert!(!cgroup_root().join(parent).exists());
}

#[test]
fn the_signal_is_recorded() {
    let crash = Place::new("exec perl -e 'unpack(\"p\", pack(\"Q\", 1))'");
    assert_eq!(
        crash.run_to_end(),
        json!({"state": "exited", "kind": "signal", "signal": "SIGSEGV", "oom": false})
    );
    let killed = Place::new("exec sleep 1000");
    let vm = killed.run();
    send_signal("KILL", vm.vmm());
    vm.wait();
    assert_eq!(
        killed.record(),
        json!({"state": "exited", "kind": "signal", "signal": "SIGKILL", "oom": false})
    );
    killed.assert_clean();
}

#[test]
fn everything_that_the_vmm_started_ends_with_it() {
    let place = Place::new(
        "setsid sleep 1000 & setsid sh -c 'sleep 1000 & sleep 1000' & echo ready; read line < fifo",
    );
    Command::new("mkfifo")
        .arg(place.path("vm/fifo"))
        .status()
        .unwrap();
    fs::set_permissions(place.path("vm/fifo"), fs::Permissions::from_mode(0o666)).unwrap();
    let vm = place.run();
    wait_until("five processes", || {
        fs::read_to_string(place.cgroup().join("cgroup.procs"))
            .unwrap()
            .lines()
            .count()
            == 5
    });
    fs::write(place.path("vm/fifo"), "end\n").unwrap();
    assert_eq!(vm.wait(), 0);
    assert_eq!(place.record()["code"], 0);
    place.assert_clean();
}

#[test]
fn whatever_is_in_the_cgroup_ends_with_the_vm() {
    let place = Place::new("read line < fifo");
    Command::new("mkfifo")
        .args(["-m", "666"])
        .arg(place.path("vm/fifo"))
        .status()
        .unwrap();
    let vm = place.run();
    let mut other = Command::new("sleep").arg("1000").spawn().unwrap();
    fs::write(place.cgroup().join("cgroup.procs"), other.id().to_string()).unwrap();
    fs::write(place.path("vm/fifo"), "end\n").unwrap();
    assert_eq!(vm.wait(), 0);
    let ended = other.try_wait().unwrap();
    other.kill().unwrap();
    other.wait().unwrap();
    assert!(
        ended.is_some_and(|status| status.signal() == Some(9)),
        "{ended:?}"
    );
    place.assert_clean();
}

#[test]
fn sigterm_to_the_shim_kills_the_vm_and_is_recorded() {
    let place = Place::new("trap '' TERM INT HUP; sleep 1000 & echo ready; wait");
    let vm = place.run();
    place.wait_for_console("ready");
    vm.signal("HUP"); // means nothing to it
    vm.signal("TERM");
    assert_eq!(vm.wait(), 0);
    assert_eq!(place.record()["signal"], "SIGKILL");
    place.assert_clean();
}

#[test]
fn the_vm_dies_with_a_killed_shim_and_the_next_one_starts_in_its_place() {
    let place = Place::new("setsid sleep 1000 & echo ready; exec sleep 1000");
    for _ in 0..3 {
        let vm = place.run();
        place.wait_for_console("ready");
        vm.signal("KILL");
        wait_until("the VM's end", || !is_running(vm.vmm()));
        wait_until("its children's end", || {
            children_that_run(place.root.path()).is_empty()
        });
        assert!(!place.path("exit.json").exists());
    }
    let vm = place.run();
    place.connect().write("{\"kill\":true}\n");
    vm.wait();
    assert_eq!(place.record()["signal"], "SIGKILL");
    place.assert_clean();
}

#[test]
fn the_vm_outlives_the_agent_which_finds_it_again() {
    let place = Place::new("while :; do echo tick; sleep 0.05; done");
    fs::write(place.path("spec.json"), place.spec.to_string()).unwrap();
    // An agent that reads nothing and dies at once, with its session.
    let agent = "\"$0\" run \"$1\" & exit 0";
    let mut agent = Command::new("setsid")
        .args([
            "--wait",
            "sh",
            "-c",
            agent,
            env!("CARGO_BIN_EXE_wrenn-shim"),
        ])
        .arg(place.path("spec.json"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(agent.stdout.take());
    agent.wait().unwrap();
    wait_until("the control socket", || place.path("shim.sock").exists());
    place.wait_for_console("tick");
    let mut client = place.connect();
    let running = client.read().unwrap();
    let pid = i32::try_from(running["pid"].as_i64().unwrap()).unwrap();
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let shim = stat
        .rsplit_once(')')
        .unwrap()
        .1
        .split_whitespace()
        .nth(1)
        .unwrap()
        .to_owned();
    let of_shim = fs::read_to_string(format!("/proc/{shim}/stat")).unwrap();
    assert_eq!(
        of_shim
            .rsplit_once(')')
            .unwrap()
            .1
            .split_whitespace()
            .nth(3)
            .unwrap(),
        shim,
        "it leads its own session"
    );
    client.write("{\"kill\":true}\n");
    assert_eq!(client.read().unwrap()["state"], "exited");
    wait_until("the shim's end", || !is_running(shim.parse().unwrap()));
    place.assert_clean();
}

#[test]
fn an_old_exit_record_is_gone_when_the_vm_runs() {
    let place = Place::new("exec sleep 1000");
    fs::write(place.path("exit.json"), "old").unwrap();
    let _vm = place.run();
    assert!(!place.path("exit.json").exists());
}

#[test]
fn two_hundred_vms_leave_nothing() {
    let place = Place::new("exit 3");
    let files = || {
        let mut names: Vec<_> = fs::read_dir(place.root.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    };
    assert_eq!(place.run_to_end()["code"], 3);
    let before = files();
    for _ in 0..200 {
        assert_eq!(place.run_to_end()["code"], 3);
    }
    assert_eq!(before, files());
    place.assert_clean();
    assert!(!place.cgroup().parent().unwrap().exists());
}

#[test]
fn limits_are_written_where_the_host_has_the_controllers() {
    let mut place = Place::new("exec sleep 1000");
    place.spec["memory_max_bytes"] = json!(64 * 1024 * 1024);
    place.spec["pids_max"] = json!(50);
    place.spec["cpu_max"] = json!("50000 100000");
    place.spec["io_max_bytes_per_second"] = json!(64 * 1024 * 1024);
    let _vm = place.run();
    let enabled = fs::read_to_string(cgroup_root().join("cgroup.controllers")).unwrap();
    let expected = [
        ("memory", "memory.max", "67108864\n"),
        ("pids", "pids.max", "50\n"),
        ("cpu", "cpu.max", "50000 100000\n"),
    ];
    for (controller, file, value) in expected {
        let found = fs::read_to_string(place.cgroup().join(file)).ok();
        let has_it = enabled.split_whitespace().any(|name| name == controller);
        assert_eq!(found.as_deref(), has_it.then_some(value), "{file}");
    }
    // empty where the place is on no disk that can be limited, such as a tmpfs
    let io = fs::read_to_string(place.cgroup().join("io.max")).unwrap_or_default();
    assert!(
        io.is_empty() || io.ends_with(" rbps=67108864 wbps=67108864 riops=max wiops=max\n"),
        "{io}"
    );
}

#[test]
fn a_vm_that_takes_too_much_memory_is_recorded_as_such() {
    if !fs::read_to_string(cgroup_root().join("cgroup.controllers"))
        .unwrap()
        .contains("memory")
    {
        return eprintln!("skipped: this host has no memory controller in cgroup v2");
    }
    let mut place = Place::new("exec perl -e '$x = \"x\" x (256 << 20); sleep 1000'");
    place.spec["memory_max_bytes"] = json!(32 * 1024 * 1024);
    assert_eq!(
        place.run_to_end(),
        json!({"state": "exited", "kind": "signal", "signal": "SIGKILL", "oom": true})
    );
    place.assert_clean();
}

#[test]
fn an_idle_shim_sleeps() {
    let place = Place::new("exec >&- 2>&-; exec sleep 1000"); // a closed console is readable forever
    let vm = place.run();
    let _client = place.connect().read();
    let switches = || {
        let status = fs::read_to_string(format!("/proc/{}/status", vm.process.id())).unwrap();
        status
            .lines()
            .filter(|line| line.contains("ctxt_switches"))
            .map(|line| {
                line.split_whitespace()
                    .nth(1)
                    .unwrap()
                    .parse::<u64>()
                    .unwrap()
            })
            .sum::<u64>()
    };
    std::thread::sleep(std::time::Duration::from_millis(300));
    let before = switches();
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert_eq!(switches(), before);
    let rss = fs::read_to_string(format!("/proc/{}/statm", vm.process.id())).unwrap();
    let pages: u64 = rss.split_whitespace().nth(1).unwrap().parse().unwrap();
    assert!(pages * 4 < 8192, "{} KiB resident", pages * 4);
}
