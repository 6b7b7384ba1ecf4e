//! A pager that is killed, and the one after it.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use wrenn_pager::session::descriptor::{Descriptor, RunDirectory};
use wrenn_pager::session::handshake;
use wrenn_pager::session::peer::Peer;
use wrenn_pager::session::tracker::Tracker;
use wrenn_pager::session::uffd::EventBuffer;

use super::harness::{Pager, Place, Vmm, make_cold, settles, word_of};
use super::vmm::{EVENT_REMOVE, PAGE};

const PAGES: u64 = 4096;

fn setup() -> (Place, Pager, Value) {
    let place = Place::new();
    let pager = Pager::start(&place);
    let layers = place.base(&pager, PAGES, |_| true);
    (place, pager, layers)
}

fn expected_sum(pages: impl Iterator<Item = u64>) -> u64 {
    pages.fold(0, |sum, page| sum.wrapping_add(word_of(page)))
}

fn freeze(pager: &Pager) {
    let pid = Pid::from_raw(pager.pid() as i32).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    let tasks = format!("/proc/{}/task", pager.pid());
    let all_stopped = || {
        fs::read_dir(&tasks).unwrap().all(|task| {
            let stat = fs::read_to_string(task.unwrap().path().join("stat")).unwrap();
            stat.contains(") T ")
        })
    };
    settles(all_stopped, true);
}

#[test]
fn faults_that_a_dead_pager_left_are_served_by_the_next() {
    let (place, pager, layers) = setup();
    pager.listen(&place, "vm", &layers, None);
    let mut vmm = Vmm::served(&place, &pager, "vm", PAGES, EVENT_REMOVE);
    assert_eq!(vmm.tell("touch 9"), word_of(9));
    freeze(&pager);
    vmm.tell("touch-later 100 1 1");
    vmm.tell("touch-later 200 1 1");
    std::thread::sleep(Duration::from_millis(20));
    pager.kill();
    vmm.tell("touch-later 300 1 1");
    let pager = Pager::start(&place);
    assert_eq!(pager.session("vm")["state"], "serving");
    assert_eq!(pager.session("vm")["pid"], vmm.pid());
    assert_eq!(vmm.tell("join"), expected_sum([100, 200, 300].into_iter()));
    assert_eq!(pager.count("vm", "takeovers"), 1);
    // The first touches of both pagers are one record, of which no page is missing and none is double.
    let save = json!({ "path": place.layer("ws") });
    let saved = pager.ok("POST", "/v1/sessions/vm/working-set", &save);
    assert_eq!(saved["bytes"], 4 * PAGE as u64);
}

#[test]
fn a_take_over_needs_no_working_set() {
    let (place, pager, layers) = setup();
    pager.listen(&place, "first", &layers, None);
    let mut vmm = Vmm::served(&place, &pager, "first", PAGES, EVENT_REMOVE);
    assert_eq!(vmm.tell("touch 9"), word_of(9));
    let set = place.layer("ws");
    let save = json!({ "path": set });
    pager.ok("POST", "/v1/sessions/first/working-set", &save);
    pager.listen(&place, "vm", &layers, Some(&set));
    let mut vmm = Vmm::served(&place, &pager, "vm", PAGES, EVENT_REMOVE);
    settles(|| pager.count("vm", "replayed_bytes"), PAGE as u64);
    fs::remove_file(&set).unwrap();
    pager.kill();
    let pager = Pager::start(&place);
    assert_eq!(pager.session("vm")["state"], "serving");
    assert_eq!(vmm.tell("touch 9"), word_of(9));
    assert_eq!(vmm.tell("touch 10"), word_of(10));
}

/// The worst moment to die in: the kernel has told of the fault, and tells nobody else by itself.
#[test]
fn a_fault_that_was_read_but_not_answered_is_told_again() {
    let (place, pager, layers) = setup();
    pager.kill();
    let socket = place.layer("vm.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let size = PAGES * PAGE as u64;
    let mut vmm = Vmm::start(&place);
    let base = vmm.tell(&format!("map {size} {EVENT_REMOVE}"));
    let regions = json!([{ "base_host_virt_addr": base, "size": size, "offset": 0 }]);
    vmm.order(&format!("handshake {} {regions}", socket.display()));
    let stream = listener.accept().unwrap().0;
    let (uffd, layout) = handshake::receive(&stream, size).unwrap();
    vmm.answer();
    let peer = Peer::of(&stream).unwrap();
    let spec = json!({ "id": "vm", "socket": socket, "uid": 0, "gid": 0, "layers": layers });
    let number = peer.number_of(uffd.as_fd());
    let descriptor = Descriptor::new(
        serde_json::from_value(spec).unwrap(),
        peer.pid(),
        peer.started().unwrap(),
        number,
        layout.regions(),
    );
    let run = RunDirectory::new(place.run().to_owned());
    drop(Tracker::create(&run.create_pages("vm").unwrap(), size).unwrap());
    run.write(&descriptor).unwrap();

    vmm.tell("touch-later 77 1 1");
    let mut buffer = EventBuffer::default();
    let told = || uffd.read(&mut buffer).unwrap().count();
    settles_to_one(told);
    drop((uffd, stream, listener));
    let pager = Pager::start(&place);
    assert_eq!(vmm.tell("join"), word_of(77));
    assert_eq!(pager.session("vm")["state"], "serving");
}

fn settles_to_one(mut value: impl FnMut() -> usize) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while value() != 1 {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
}

#[test]
fn a_guest_in_a_storm_of_faults_survives_many_pagers() {
    let (place, mut pager, layers) = setup();
    pager.listen(&place, "vm", &layers, None);
    let mut vmm = Vmm::served(&place, &pager, "vm", PAGES, EVENT_REMOVE);
    for round in 0..5 {
        make_cold(&place.layer("base.mem"));
        for thread in 0..4 {
            vmm.tell(&format!("touch-later {} 200 1", round * 800 + thread * 200));
        }
        std::thread::sleep(Duration::from_millis(round));
        pager.kill();
        pager = Pager::start(&place);
        let pages = round * 800..(round + 1) * 800;
        assert_eq!(vmm.tell("join"), expected_sum(pages), "round {round}");
    }
    for page in 0..4000 {
        assert_eq!(vmm.tell(&format!("touch {page}")), word_of(page));
    }
    drop(vmm);
    assert_eq!(pager.wait_for_end("vm")["state"], "ended");
    assert_eq!(fs::read_dir(place.run()).unwrap().count(), 1);
}

#[test]
fn pages_that_were_given_back_stay_zeros_across_pagers() {
    let (place, pager, layers) = setup();
    pager.listen(&place, "vm", &layers, None);
    let mut vmm = Vmm::served(&place, &pager, "vm", PAGES, EVENT_REMOVE);
    assert_eq!(vmm.tell("touch 5"), word_of(5));
    assert_eq!(vmm.tell("touch 6"), word_of(6));
    vmm.tell("remove 5 1");
    freeze(&pager);
    // This one waits until its event is read, by whoever comes next.
    vmm.tell("remove-later 6 2");
    std::thread::sleep(Duration::from_millis(20));
    pager.kill();
    let pager = Pager::start(&place);
    vmm.tell("join");
    for page in 5..8 {
        assert_eq!(vmm.tell(&format!("touch {page}")), 0, "page {page}");
    }
    assert_eq!(vmm.tell("touch 8"), word_of(8));
    assert_eq!(pager.session("vm")["state"], "serving");
}

#[test]
fn a_vm_that_ended_between_two_pagers_is_told() {
    let (place, pager, layers) = setup();
    pager.listen(&place, "vm", &layers, None);
    let vmm = Vmm::served(&place, &pager, "vm", PAGES, EVENT_REMOVE);
    pager.kill();
    drop(vmm);
    fs::write(place.run().join("stray.pages"), "").unwrap();
    fs::write(place.run().join("broken.json"), "{").unwrap();
    let pager = Pager::start(&place);
    assert_eq!(pager.session("vm")["state"], "ended");
    assert_eq!(pager.session("broken")["state"], "failed");
    assert_eq!(fs::read_dir(place.run()).unwrap().count(), 1);
}

#[test]
fn a_vm_that_cannot_be_taken_over_is_killed_and_told() {
    let (place, pager, layers) = setup();
    for id in ["closed", "bytes"] {
        pager.listen(&place, id, &layers, None);
    }
    let mut closed = Vmm::served(&place, &pager, "closed", PAGES, EVENT_REMOVE);
    let mut bytes = Vmm::served(&place, &pager, "bytes", PAGES, EVENT_REMOVE);
    closed.tell("close-uffd");
    pager.kill();
    // The descriptor of the first is gone, the layer of the second.
    let header = place.layer("base.mem.header");
    let pager = {
        let pager = Pager::start(&place);
        assert_eq!(pager.session("bytes")["state"], "serving");
        assert_eq!(pager.session("closed")["state"], "failed");
        pager.kill();
        fs::remove_file(&header).unwrap();
        Pager::start(&place)
    };
    closed.wait();
    bytes.wait();
    let session = pager.session("bytes");
    assert_eq!(session["state"], "failed");
    assert!(
        session["reason"].as_str().unwrap().contains("mem.header"),
        "{session}"
    );
}

#[test]
fn a_second_pager_does_not_answer_for_the_first() {
    let (place, pager, _) = setup();
    let second = std::process::Command::new(env!("CARGO_BIN_EXE_wrenn-pager"))
        .arg("--socket")
        .arg(place.path("other.sock"))
        .arg("--run-directory")
        .arg(place.run())
        .arg("--root")
        .arg(place.path("layers"))
        .output()
        .unwrap();
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("Cannot lock"));
    pager.ok("GET", "/v1/health", &Value::Null);
}
