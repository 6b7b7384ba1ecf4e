//! The control socket and the console.

mod support;

use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixStream;

use serde_json::json;
use support::{Place, is_running, wait_until};

#[test]
fn every_connection_hears_the_state_and_the_end() {
    let place = Place::new("exec sleep 1000");
    let vm = place.run();
    let running = json!({"state": "running", "pid": vm.vmm()});
    assert_eq!(vm.state, running);
    let mut first = place.connect();
    assert_eq!(first.read().unwrap(), running);
    drop(first);
    let (mut second, mut third) = (place.connect(), place.connect());
    assert_eq!(second.read().unwrap(), running);
    assert_eq!(third.read().unwrap(), running);
    second.write("{\"kill\":true}\n{\"kill\":true}\n");
    let exited = json!({"state": "exited", "kind": "signal", "signal": "SIGKILL", "oom": false});
    for client in [&mut second, &mut third] {
        assert_eq!(client.read().unwrap(), exited);
        assert_eq!(place.record(), exited); // written before anybody hears
        place.assert_clean_but_for_the_shim();
        assert_eq!(client.read(), None);
    }
    assert_eq!(vm.wait(), 0);
    place.assert_clean();
}

#[test]
fn the_socket_is_root_s_alone() {
    let place = Place::new("exec sleep 1000");
    let _vm = place.run();
    let metadata = fs::metadata(place.path("shim.sock")).unwrap();
    assert!(metadata.file_type().is_socket());
    assert_eq!((metadata.uid(), metadata.mode() & 0o777), (0, 0o600));
}

#[test]
fn a_kill_may_come_in_pieces() {
    let place = Place::new("exec sleep 1000");
    let vm = place.run();
    let mut client = place.connect();
    client.read().unwrap();
    for piece in ["{\"ki", "ll\":tr", "ue}"] {
        client.write(piece);
        std::thread::sleep(std::time::Duration::from_millis(20));
        assert!(is_running(vm.vmm()));
    }
    client.write("\n");
    assert_eq!(client.read().unwrap()["state"], "exited");
}

#[test]
fn what_is_no_command_ends_the_connection_and_nothing_else() {
    let place = Place::new("exec sleep 1000");
    let vm = place.run();
    let long = "x".repeat(5000);
    for text in [
        "kill\n",
        "{}\n",
        "{\"kill\":false}\n",
        "{\"kill\":true,\"force\":true}\n",
        "\n",
        &long,
    ] {
        let mut client = place.connect();
        client.read().unwrap();
        client.write(text);
        assert_eq!(client.read(), None, "{text}");
    }
    assert!(is_running(vm.vmm()));
    assert_eq!(place.connect().read().unwrap()["state"], "running");
}

#[test]
fn more_clients_than_it_serves_do_not_hurt() {
    let place = Place::new("exec sleep 1000");
    let vm = place.run();
    let mut clients: Vec<_> = (0..60).map(|_| place.connect()).collect();
    let served = clients
        .iter_mut()
        .map(|client| client.read().is_some())
        .collect::<Vec<_>>();
    assert_eq!(served, (0..60).map(|index| index < 32).collect::<Vec<_>>());
    clients[0].write("{\"kill\":true}\n");
    assert_eq!(clients[31].read().unwrap()["state"], "exited");
    assert_eq!(vm.wait(), 0);
}

#[test]
fn a_second_shim_for_a_running_vm_is_refused_and_disturbs_nothing() {
    let place = Place::new("echo ready; exec sleep 1000");
    let vm = place.run();
    place.wait_for_console("ready");
    let second = place.start();
    assert_eq!(second.state["errno"], "EADDRINUSE");
    assert_eq!(second.wait(), 1);
    assert_eq!(place.console(), "ready\n");
    assert_eq!(place.connect().read().unwrap()["pid"], vm.vmm());
}

#[test]
fn a_flood_on_the_console_stays_within_its_bound_and_delays_no_kill() {
    let mut place = Place::new("exec yes 0123456789abcde");
    place.spec["console_max_bytes"] = json!(65536);
    let vm = place.run();
    let size = |entry: &str| fs::metadata(place.path(entry)).map_or(0, |metadata| metadata.size());
    wait_until("a full half", || size("console.1") == 32768);
    let before = place.connect().read().unwrap();
    for _ in 0..200 {
        assert!(size("console") <= 32768 && size("console.1") <= 32768);
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert_eq!(before["pid"], vm.vmm());
    place.connect().write("{\"kill\":true}\n");
    assert_eq!(vm.wait(), 0);
    assert!(size("console") + size("console.1") <= 65536);
    let older = fs::read_to_string(place.path("console.1")).unwrap();
    assert!(older.lines().all(|line| line == "0123456789abcde"));
    assert_eq!(
        fs::metadata(place.path("console")).unwrap().mode() & 0o777,
        0o600
    );
}

#[test]
fn the_last_words_of_a_vm_are_kept() {
    for _ in 0..20 {
        let place = Place::new("head -c 30000 /dev/zero | tr '\\0' x; echo last words");
        place.run_to_end();
        assert_eq!(place.console().len(), 30000 + "last words\n".len());
        assert!(place.console().ends_with("last words\n"));
    }
}

#[test]
fn a_client_that_never_reads_delays_no_one() {
    let place = Place::new("exec sleep 1000");
    let vm = place.run();
    let _silent: Vec<_> = (0..5)
        .map(|_| UnixStream::connect(place.path("shim.sock")).unwrap())
        .collect();
    let mut client = place.connect();
    client.read().unwrap();
    client.write("{\"kill\":true}\n");
    assert_eq!(client.read().unwrap()["state"], "exited");
    assert_eq!(vm.wait(), 0);
}
