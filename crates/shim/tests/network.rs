//! The VM's network namespace and TAP.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sched::{CloneFlags, setns};
use serde_json::json;
use support::{Place, command, wait_until};

/// A network namespace with a persistent TAP `tap0` that is up.
struct Network {
    name: String,
}

impl Network {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let network = Self {
            name: format!(
                "shimtest-{}-{}",
                std::process::id(),
                COUNT.fetch_add(1, Ordering::Relaxed)
            ),
        };
        command("ip", &["netns", "add", &network.name]);
        network.ip(&["tuntap", "add", "tap0", "mode", "tap"]);
        network.ip(&["link", "set", "tap0", "up"]);
        network
    }

    fn ip(&self, arguments: &[&str]) -> String {
        command("ip", &[&["-n", &self.name], arguments].concat())
    }

    fn path(&self) -> String {
        format!("/run/netns/{}", self.name)
    }

    fn place(&self, script: &str) -> Place {
        let mut place = Place::new(script);
        place.spec["network_namespace"] = json!(self.path());
        place.spec["tap"] = json!("tap0");
        place.spec["env"]["TAP"] = json!("{tap_fd}");
        place.spec["argv"] = json!(["/usr/bin/sh", "-c", script, "sh", "{tap_fd}"]);
        place
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        command("ip", &["netns", "delete", &self.name]);
        assert!(!fs::exists(self.path()).unwrap());
    }
}

/// Writes one frame: 10 bytes of virtio-net header, then 60 of an Ethernet frame from 02:fc:00:00:00:05.
const SEND_FRAME: &str = r"{ head -c 10 /dev/zero; printf '\377\377\377\377\377\377\002\374\000\000\000\005\210\265'; head -c 46 /dev/zero; } > frame; cat frame >&$1; echo sent; exec sleep 1000";

#[test]
fn the_tap_descriptor_carries_frames_out_of_the_vm() {
    let network = Network::new();
    let place = network.place(SEND_FRAME);
    let vm = place.run();
    place.wait_for_console("sent");
    let received = || {
        let devices = vm.proc("net/dev");
        let line = devices
            .lines()
            .find_map(|line| line.trim().strip_prefix("tap0:"))
            .unwrap();
        line.split_whitespace()
            .take(2)
            .map(|field| field.parse::<u32>().unwrap())
            .collect::<Vec<_>>()
    };
    wait_until("a frame of 60 bytes on tap0", || received() == [60, 1]);
    assert!(
        network
            .ip(&["-d", "link", "show", "tap0"])
            .contains("vnet_hdr on")
    );
}

#[test]
fn the_tap_descriptor_carries_frames_into_the_vm() {
    let network = Network::new();
    let place = network.place("echo ready; while dd bs=4096 count=1 <&$1 2>/dev/null | od -An -tx1 -v | tr -d ' \\n'; do echo; done");
    network.ip(&["address", "add", "192.0.2.1/24", "dev", "tap0"]);
    let _vm = place.run();
    place.wait_for_console("ready");
    let path = network.path();
    let send = move || {
        setns(fs::File::open(path).unwrap(), CloneFlags::CLONE_NEWNET).unwrap(); // of this thread only
        UdpSocket::bind("192.0.2.1:0")
            .unwrap()
            .send_to(b"x", "192.0.2.9:9")
            .unwrap();
    };
    std::thread::spawn(send).join().unwrap();
    // Before the datagram the kernel asks who has that address.
    wait_until("an ARP request for 192.0.2.9", || {
        place.console().lines().any(|frame| {
            frame.contains("ffffffffffff")
                && frame.contains("08060001")
                && frame.ends_with("c0000209")
        })
    });
}

#[test]
fn the_vm_is_in_the_namespace_and_the_next_one_can_have_its_tap() {
    let network = Network::new();
    for _ in 0..3 {
        let place = network.place("exec sleep 1000");
        let vm = place.run();
        assert!(vm.proc("net/dev").contains("tap0:"));
        place.connect().write("{\"kill\":true}\n");
        vm.wait();
        place.assert_clean();
    }
    assert!(network.ip(&["link", "show", "tap0"]).contains("NO-CARRIER"));
}

#[test]
fn a_vm_without_a_network_has_only_a_loopback_interface_that_is_down() {
    let place = Place::new("exec sleep 1000");
    let vm = place.run();
    let devices = vm.proc("net/dev");
    assert_eq!(
        devices
            .lines()
            .skip(2)
            .map(|line| line.split(':').next().unwrap().trim())
            .collect::<Vec<_>>(),
        ["lo"]
    );
}

#[test]
fn a_tap_that_is_not_there_is_not_made() {
    let network = Network::new();
    let mut place = network.place("exec sleep 1000");
    place.spec["tap"] = json!("tap7");
    let failed = place.start();
    assert_eq!(failed.state["state"], "failed");
    assert_eq!(failed.state["what"], "open TAP tap7");
    assert_eq!(failed.wait(), 1);
    place.assert_clean();
    assert!(!network.ip(&["link", "show"]).contains("tap7"));
}

#[test]
fn a_tap_that_another_vm_has_is_busy() {
    let network = Network::new();
    let (first, second) = (
        network.place("exec sleep 1000"),
        network.place("exec sleep 1000"),
    );
    let vm = first.run();
    let failed = second.start();
    assert_eq!(failed.state["what"], "open TAP tap0");
    assert_eq!(failed.state["errno"], "EBUSY");
    assert_eq!(failed.wait(), 1);
    second.assert_clean();
    assert!(support::is_running(vm.vmm()));
}
