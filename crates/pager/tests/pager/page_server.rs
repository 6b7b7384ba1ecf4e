//! Serving memory.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wrenn_pager::session::working_set::{Extent, encode};

use super::harness::{
    Pager, Place, Vmm, assert_killed, count_entries, count_uffds, make_cold, settles, status_kib,
    word_of,
};
use super::vmm::{EVENT_FORK, EVENT_REMOVE, PAGE};

const PAGES: u64 = 4096;
/// Pages of data, short runs of zeros, and one large hole.
const HOLE: std::ops::Range<u64> = 1024..3072;

fn has_data(page: u64) -> bool {
    !HOLE.contains(&page) && page % 7 != 3
}

fn expected(page: u64) -> u64 {
    if has_data(page) { word_of(page) } else { 0 }
}

fn expected_sum(pages: impl Iterator<Item = u64>) -> u64 {
    pages.fold(0, |sum, page| sum.wrapping_add(expected(page)))
}

fn setup() -> (Place, Pager, Value) {
    let place = Place::new();
    let pager = Pager::start(&place);
    let layers = place.base(&pager, PAGES, has_data);
    (place, pager, layers)
}

#[test]
fn every_page_is_served_and_holes_are_left_to_the_kernel() {
    let (place, pager, layers) = setup();
    pager.listen(&place, "vm", &layers, None);
    let mut vmm = Vmm::served(&place, &pager, "vm", PAGES, EVENT_REMOVE);
    assert!(!place.layer("vm.sock").exists(), "its name is gone");
    for page in HOLE {
        assert_eq!(vmm.tell(&format!("touch {page}")), 0);
    }
    assert_eq!(pager.count("vm", "unregistered_bytes"), 2048 * PAGE as u64);
    assert_eq!(
        pager.count("vm", "faults"),
        0,
        "a hole faults in the kernel alone"
    );
    for page in 0..PAGES {
        assert_eq!(
            vmm.tell(&format!("touch {page}")),
            expected(page),
            "page {page}"
        );
    }
    vmm.tell("write 3 5");
    vmm.tell("write 1500 6");
    assert_eq!(vmm.tell("touch 3"), 0x0505_0505_0505_0505);
    let served = pager.session("vm");
    assert_eq!(served["pid"], vmm.pid());
    let data = (0..PAGES).filter(|page| has_data(*page)).count() as u64;
    assert_eq!(served["counts"]["demand_bytes"], data * PAGE as u64);
    drop(vmm);
    assert_eq!(pager.wait_for_end("vm")["state"], "ended");
    assert_eq!(count_files(&place), 1, "only the lock is left");
    pager.delete("vm");
    assert_eq!(pager.ask("GET", "/v1/sessions/vm", &Value::Null).0, 404);
}

fn count_files(place: &Place) -> usize {
    fs::read_dir(place.run()).unwrap().count()
}

#[test]
fn a_recorded_working_set_is_replayed_instead_of_faulted() {
    let (place, pager, layers) = setup();
    pager.listen(&place, "first", &layers, None);
    let mut vmm = Vmm::served(&place, &pager, "first", PAGES, EVENT_REMOVE);
    vmm.tell("touch-later 3500 500 1");
    vmm.tell("join");
    vmm.tell("touch-later 0 900 2");
    vmm.tell("join");
    let set = place.layer("ws");
    let saved = pager.ok(
        "POST",
        "/v1/sessions/first/working-set",
        &json!({ "path": set }),
    );
    let recorded = saved["bytes"].as_u64().unwrap();
    assert!(recorded >= 1000 * PAGE as u64, "{saved}");
    drop(vmm);
    pager.wait_for_end("first");

    for (id, cold) in [("warm", false), ("cold", true)] {
        if cold {
            make_cold(&place.layer("base.mem"));
        }
        pager.listen(&place, id, &layers, Some(&set));
        let mut vmm = Vmm::served(&place, &pager, id, PAGES, EVENT_REMOVE);
        settles(|| pager.count(id, "replayed_bytes"), recorded);
        let before = pager.count(id, "faults");
        vmm.tell("touch-later 3500 500 1");
        assert_eq!(vmm.tell("join"), expected_sum(3500..4000));
        vmm.tell("touch-later 0 900 2");
        assert_eq!(vmm.tell("join"), expected_sum((0..1800).step_by(2)));
        assert_eq!(pager.count(id, "faults"), before, "{}", pager.session(id));
        assert_eq!(
            vmm.tell("touch 3400"),
            expected(3400),
            "others fault as ever"
        );
    }
}

/// As an untrusted, stale or removed file is: a guess that is none.
#[test]
fn a_vm_goes_on_without_a_working_set_that_is_none() {
    let (place, pager, layers) = setup();
    let path = place.layer("ws");
    let whole = Extent {
        offset: 0,
        length: PAGES * PAGE as u64,
    };
    let beyond = Extent {
        offset: PAGES * PAGE as u64,
        ..whole
    };
    let sets = [
        ("damaged", Some(encode(&[whole])[1..].to_vec())),
        ("larger", Some(encode(&[whole, beyond]))),
        ("missing", None),
    ];
    for (id, bytes) in sets {
        let _ = fs::remove_file(&path);
        if let Some(bytes) = bytes {
            fs::write(&path, bytes).unwrap();
        }
        pager.listen(&place, id, &layers, Some(&path));
        let mut vmm = Vmm::served(&place, &pager, id, PAGES, EVENT_REMOVE);
        assert_eq!(vmm.tell("touch 3500"), expected(3500), "{id}");
        assert_eq!(pager.count(id, "replayed_bytes"), 0, "{id}");
        let save = json!({ "path": path });
        let saved = pager.ok("POST", &format!("/v1/sessions/{id}/working-set"), &save);
        assert_eq!(saved["bytes"], PAGE as u64, "{id}");
    }
}

#[test]
fn the_next_set_is_what_was_waited_for_and_most_of_what_was_replayed() {
    let (place, pager, layers) = setup();
    pager.listen(&place, "first", &layers, None);
    let mut vmm = Vmm::served(&place, &pager, "first", PAGES, EVENT_REMOVE);
    vmm.tell("touch-later 3500 80 1");
    vmm.tell("join");
    let set = place.layer("ws");
    let path = json!({ "path": set });
    pager.ok("POST", "/v1/sessions/first/working-set", &path);

    pager.listen(&place, "second", &layers, Some(&set));
    let mut vmm = Vmm::served(&place, &pager, "second", PAGES, EVENT_REMOVE);
    settles(|| pager.count("second", "replayed_bytes"), 80 * PAGE as u64);
    assert_eq!(vmm.tell("touch 3700"), expected(3700));
    // It is flushed by whoever commits the layer that it lies beside.
    let path = json!({ "path": set, "durable": false });
    let saved = pager.ok("POST", "/v1/sessions/second/working-set", &path);
    assert_eq!(saved["bytes"], (1 + 70) * PAGE as u64, "{saved}");
}

#[test]
fn a_page_that_was_given_back_is_zeros_and_never_its_old_bytes() {
    let (place, pager, layers) = setup();
    pager.listen(&place, "vm", &layers, None);
    let mut vmm = Vmm::served(&place, &pager, "vm", PAGES, EVENT_REMOVE);
    assert_eq!(vmm.tell("touch 10"), expected(0xa));
    vmm.tell("remove 8 6");
    for page in 8..14 {
        assert_eq!(vmm.tell(&format!("touch {page}")), 0, "page {page}");
    }
    assert_eq!(vmm.tell("touch 14"), expected(14));
    assert_eq!(pager.count("vm", "removed_bytes"), 6 * PAGE as u64);
    vmm.tell("write 10 1");
    vmm.tell("remove 10 1");
    assert_eq!(vmm.tell("touch 10"), 0);
    // A pager that did not know would let the layer below show through.
    let memory = File::create(place.layer("next.mem")).unwrap();
    memory.set_len(PAGES * PAGE as u64).unwrap();
    memory.write_all_at(&[1; PAGE], 11 * PAGE as u64).unwrap();
    let request = json!({ "layer": place.target("next"), "parent": place.layer("base.mem.header"), "session": "vm" });
    pager.ok("POST", "/v1/layers/seal", &request);
    let next = place.layers("next", &["base", "next"]);
    drop(vmm);
    pager.listen(&place, "next", &next, None);
    let mut vmm = Vmm::served(&place, &pager, "next", PAGES, EVENT_REMOVE);
    assert_eq!(vmm.tell("touch 8"), 0);
    assert_eq!(vmm.tell("touch 11"), 0x0101_0101_0101_0101);
    assert_eq!(vmm.tell("touch 7"), expected(7));
}

#[test]
fn pages_that_come_and_go_at_once_are_right_or_zeros_and_nobody_hangs() {
    let place = Place::new();
    let pager = Pager::start(&place);
    let layers = place.base(&pager, 256, |_| true);
    pager.listen(&place, "vm", &layers, None);
    let mut vmm = Vmm::served(&place, &pager, "vm", 256, EVENT_REMOVE);
    assert_eq!(vmm.tell("storm 4 6000"), 0, "{}", pager.session("vm"));
    assert_eq!(pager.session("vm")["state"], "serving");
}

#[test]
fn without_events_a_page_that_was_taken_away_is_zeros_too() {
    let (place, pager, layers) = setup();
    pager.listen(&place, "vm", &layers, None);
    let mut vmm = Vmm::served(&place, &pager, "vm", PAGES, 0);
    assert_eq!(vmm.tell("touch 1"), expected(1));
    vmm.tell("remove 1 1");
    assert_eq!(vmm.tell("touch 1"), 0);
}

#[test]
fn cold_pages_are_read_from_the_disk_once_for_all_who_wait() {
    let (place, pager, layers) = setup();
    make_cold(&place.layer("base.mem"));
    pager.listen(&place, "vm", &layers, None);
    let mut vmm = Vmm::served(&place, &pager, "vm", PAGES, EVENT_REMOVE);
    for _ in 0..4 {
        vmm.tell("touch-later 0 1000 1");
    }
    assert_eq!(vmm.tell("join"), expected_sum(0..1000).wrapping_mul(4));
    let counts = pager.session("vm")["counts"].clone();
    assert!(counts["cold_reads"].as_u64().unwrap() > 0, "{counts}");
}

#[test]
fn a_vm_with_several_regions_is_served() {
    let (place, pager, layers) = setup();
    pager.listen(&place, "vm", &layers, None);
    let mut vmm = Vmm::start(&place);
    let base = vmm.tell(&format!("map {} {EVENT_REMOVE}", PAGES * PAGE as u64));
    // The second half of the memory lies before the first one in the VMM. Old names, new fields.
    let half = PAGES / 2 * PAGE as u64;
    let regions = json!([
        { "base_host_virt_addr": base + half, "size": half, "offset": 0, "page_size_kib": 4096 },
        { "base_host_virt_addr": base, "size": half, "offset": half, "page_size": 4096, "huge_pages": {"later": true} },
    ]);
    vmm.shake_hands(&place, "vm", &regions);
    for page in [0, 1, 1023, 2047] {
        assert_eq!(
            vmm.tell(&format!("touch {page}")),
            expected(page + PAGES / 2)
        );
        assert_eq!(
            vmm.tell(&format!("touch {}", page + PAGES / 2)),
            expected(page)
        );
    }
}

/// Firecracker's memory begins at any page: holes are given back by addresses, the image has offsets.
#[test]
fn holes_are_zeros_wherever_the_memory_begins() {
    const SKEW: u64 = 3;
    let (place, pager, layers) = setup();
    let set = place.layer("ws");
    for (id, replayed) in [("first", None), ("second", Some(set.as_path()))] {
        pager.listen(&place, id, &layers, replayed);
        let mut vmm = Vmm::start(&place);
        let length = (PAGES + 1024) * PAGE as u64;
        let base = vmm.tell(&format!("map {length} {EVENT_REMOVE}"));
        // Not at a border of 2 MiB, and in each turn somewhere else.
        let turn = u64::from(replayed.is_some());
        let first = (base.next_multiple_of(2 << 20) - base) / PAGE as u64 + SKEW + 100 * turn;
        let address = base + first * PAGE as u64;
        let region = json!([{ "base_host_virt_addr": address, "size": PAGES * PAGE as u64, "offset": 0, "page_size": 4096 }]);
        vmm.shake_hands(&place, id, &region);
        pager.wait_for(id, |state| state == "serving");
        for page in 0..PAGES {
            let seen = vmm.tell(&format!("touch {}", first + page));
            assert_eq!(seen, expected(page), "{id}, page {page}");
        }
        assert_eq!(pager.session(id)["state"], "serving");
        let released = pager.count(id, "unregistered_bytes");
        assert_eq!(released, (2048 - 512) * PAGE as u64, "whole blocks only");
        let path = json!({ "path": set });
        pager.ok("POST", &format!("/v1/sessions/{id}/working-set"), &path);
    }
}

/// A session that must fail, and take its VMM along, over what the VMM does.
fn fails(pager: &Pager, vmm: &mut Vmm, id: &str, reason: &str) {
    let since = Instant::now();
    assert_killed(pager, vmm, id, reason);
    assert!(
        since.elapsed() < Duration::from_secs(5),
        "promised within one second"
    );
}

#[test]
fn a_page_that_cannot_be_read_ends_its_vm_and_no_other() {
    let (place, pager, layers) = setup();
    fs::copy(place.layer("base.mem"), place.layer("other.mem")).unwrap();
    let mut other = layers.clone();
    other["builds"]["base"] = json!(place.layer("other.mem"));
    pager.listen(&place, "good", &layers, None);
    pager.listen(&place, "bad", &other, None);
    let mut good = Vmm::served(&place, &pager, "good", PAGES, EVENT_REMOVE);
    let mut bad = Vmm::served(&place, &pager, "bad", PAGES, EVENT_REMOVE);
    assert_eq!(bad.tell("touch 4000"), expected(4000));
    let file = File::options()
        .write(true)
        .open(place.layer("other.mem"))
        .unwrap();
    file.set_len(100 * PAGE as u64).unwrap();
    assert_eq!(bad.tell("touch 7"), expected(7));
    bad.order("touch 3900");
    fails(&pager, &mut bad, "bad", "cannot be read from its layer");
    assert_eq!(good.tell("touch 3900"), expected(3900));
}

#[test]
fn a_replay_of_a_file_that_was_cut_ends_its_vm_and_not_the_pager() {
    let (place, pager, layers) = setup();
    pager.listen(&place, "first", &layers, None);
    let mut vmm = Vmm::served(&place, &pager, "first", PAGES, EVENT_REMOVE);
    vmm.tell("touch-later 3500 500 1");
    vmm.tell("join");
    let set = place.layer("ws");
    pager.ok(
        "POST",
        "/v1/sessions/first/working-set",
        &json!({ "path": set }),
    );
    pager.listen(&place, "cut", &layers, Some(&set));
    let file = File::options()
        .write(true)
        .open(place.layer("base.mem"))
        .unwrap();
    file.set_len(3600 * PAGE as u64).unwrap();
    let mut cut = Vmm::start(&place);
    let base = cut.tell(&format!("map {} {EVENT_REMOVE}", PAGES * PAGE as u64));
    let region = json!([{ "base_host_virt_addr": base, "size": PAGES * PAGE as u64, "offset": 0 }]);
    cut.shake_hands(&place, "cut", &region);
    cut.order("touch 3900");
    fails(&pager, &mut cut, "cut", "cannot be read from its layer");
    assert_eq!(vmm.tell("touch 5"), expected(5));
}

#[test]
fn a_page_that_has_no_place_in_the_vmm_ends_it() {
    let (place, pager, layers) = setup();
    pager.listen(&place, "first", &layers, None);
    let mut vmm = Vmm::served(&place, &pager, "first", PAGES, EVENT_REMOVE);
    vmm.tell("touch-later 3500 500 1");
    vmm.tell("join");
    let set = place.layer("ws");
    let save = json!({ "path": set });
    pager.ok("POST", "/v1/sessions/first/working-set", &save);
    pager.listen(&place, "vm", &layers, Some(&set));
    let mut vmm = Vmm::start(&place);
    let size = PAGES * PAGE as u64;
    let base = vmm.tell(&format!("map {size} {EVENT_REMOVE}"));
    vmm.tell("unmap 3000 1096");
    let region = json!([{ "base_host_virt_addr": base, "size": size, "offset": 0 }]);
    // The replay may end it before it can answer.
    let socket = place.layer("vm.sock");
    vmm.order(&format!("handshake {} {region}", socket.display()));
    fails(&pager, &mut vmm, "vm", "cannot be installed");
}

#[test]
fn a_vmm_that_dies_among_its_faults_has_just_ended() {
    let (place, pager, layers) = setup();
    for round in 0..5 {
        let id = format!("vm{round}");
        make_cold(&place.layer("base.mem"));
        pager.listen(&place, &id, &layers, None);
        let mut vmm = Vmm::served(&place, &pager, &id, PAGES, EVENT_REMOVE);
        for thread in 0..4 {
            vmm.tell(&format!("touch-later {} 1000 1", thread * 1000));
        }
        std::thread::sleep(Duration::from_millis(round));
        drop(vmm);
        assert_eq!(pager.wait_for_end(&id)["state"], "ended");
    }
}

#[test]
fn a_vmm_that_forks_is_killed() {
    let (place, pager, layers) = setup();
    pager.listen(&place, "vm", &layers, None);
    let mut vmm = Vmm::served(&place, &pager, "vm", PAGES, EVENT_REMOVE | EVENT_FORK);
    assert_eq!(vmm.tell("touch 1"), expected(1));
    assert_eq!(count_uffds(pager.pid()), 1);
    vmm.order("fork");
    fails(&pager, &mut vmm, "vm", "forked");
    settles(|| count_uffds(pager.pid()), 0);
}

#[test]
fn a_layout_that_is_not_true_is_found_out_at_the_first_fault() {
    let (place, pager, layers) = setup();
    pager.listen(&place, "vm", &layers, None);
    let mut vmm = Vmm::start(&place);
    let size = PAGES * PAGE as u64;
    let base = vmm.tell(&format!("map {size} {EVENT_REMOVE}"));
    let region = json!([{ "base_host_virt_addr": base + (1 << 40), "size": size, "offset": 0 }]);
    vmm.shake_hands(&place, "vm", &region);
    vmm.order("touch 1");
    fails(&pager, &mut vmm, "vm", "not the guest's memory");
}

#[test]
fn a_handshake_that_is_wrong_ends_the_vmm_that_made_it() {
    let (place, pager, layers) = setup();
    let size = PAGES * PAGE as u64;
    let good = json!([{ "base_host_virt_addr": 4096, "size": size, "offset": 0 }]);
    let huge =
        json!([{ "base_host_virt_addr": 0, "size": size, "offset": 0, "page_size": 2097152 }]);
    let beyond = json!([{ "base_host_virt_addr": 4096, "size": size + 4096, "offset": 0 }]);
    let long = json!(vec![&good[0]; 2000]);
    let cases = [
        (good.to_string(), 0, "no userfaultfd"),
        (good.to_string(), 2, "no userfaultfd"),
        (good.to_string(), 9, "descriptors"),
        ("nonsense".to_owned(), 0, "malformed"),
        (huge.to_string(), 0, "2097152"),
        (beyond.to_string(), 0, "layout"),
        ("[]".to_owned(), 0, "0 regions"),
        (long.to_string(), 0, "longer"),
    ];
    for (index, (text, descriptors, reason)) in cases.iter().enumerate() {
        let id = format!("vm{index}");
        pager.listen(&place, &id, &layers, None);
        let mut vmm = Vmm::start(&place);
        vmm.tell(&format!(
            "connect {}",
            place.layer(&format!("{id}.sock")).display()
        ));
        vmm.order(&format!("send {text} {descriptors}"));
        fails(&pager, &mut vmm, &id, reason);
    }
}

#[test]
fn a_vmm_that_does_not_come_or_does_not_speak_is_not_waited_for() {
    let (place, pager, layers) = setup();
    let spec = json!({ "id": "late", "socket": place.layer("late.sock"), "uid": 0, "gid": 0, "layers": layers, "connect_timeout_ms": 50 });
    pager.ok("POST", "/v1/sessions", &spec);
    let end = pager.wait_for_end("late");
    assert!(
        end["reason"].as_str().unwrap().contains("no VMM connected"),
        "{end}"
    );
    assert!(!place.layer("late.sock").exists());

    pager.listen(&place, "deleted", &layers, None);
    pager.delete("deleted");
    assert!(!place.layer("deleted.sock").exists());

    let mut other_user = spec.clone();
    other_user["id"] = json!("user");
    other_user["uid"] = json!(4711);
    other_user["connect_timeout_ms"] = json!(10_000);
    pager.ok("POST", "/v1/sessions", &other_user);
    assert_eq!(
        std::os::unix::fs::MetadataExt::uid(&fs::metadata(place.layer("late.sock")).unwrap()),
        4711
    );
    let mut vmm = Vmm::start(&place);
    vmm.tell(&format!("connect {}", place.layer("late.sock").display()));
    let end = pager.wait_for_end("user");
    assert!(
        end["reason"].as_str().unwrap().contains("not user 4711"),
        "{end}"
    );
}

#[test]
fn a_deleted_session_takes_its_vm_along() {
    let (place, pager, layers) = setup();
    pager.listen(&place, "vm", &layers, None);
    let mut vmm = Vmm::served(&place, &pager, "vm", PAGES, EVENT_REMOVE);
    let (code, _) = pager.refused("/v1/sessions", &json!({ "id": "vm", "socket": place.layer("x.sock"), "uid": 0, "gid": 0, "layers": layers }));
    assert_eq!(code, "already_exists");
    pager.delete("vm");
    assert_eq!(
        std::os::unix::process::ExitStatusExt::signal(&vmm.wait()),
        Some(libc::SIGKILL)
    );
}

#[test]
fn a_session_that_cannot_be_served_is_refused_before_a_vm_waits_for_it() {
    let (place, pager, layers) = setup();
    let session = |layers: &Value, id: &str| json!({ "id": id, "socket": place.layer("x.sock"), "uid": 0, "gid": 0, "layers": layers });
    let mut missing = layers.clone();
    missing["builds"] = json!({});
    assert_eq!(
        pager.refused("/v1/sessions", &session(&missing, "vm")).0,
        "invalid_request"
    );
    for id in ["", "../x", ".x", "a/b", &"a".repeat(65)] {
        assert_eq!(
            pager.refused("/v1/sessions", &session(&layers, id)).0,
            "invalid_request"
        );
    }
    let file = File::options()
        .write(true)
        .open(place.layer("base.mem"))
        .unwrap();
    file.set_len(PAGE as u64).unwrap();
    assert_eq!(
        pager.refused("/v1/sessions", &session(&layers, "vm")).0,
        "incompatible_snapshot"
    );
    assert_eq!(
        pager.ok("GET", "/v1/sessions", &Value::Null)["sessions"],
        json!([])
    );
    assert!(!place.layer("x.sock").exists());
}

#[test]
fn many_sessions_leave_nothing_and_the_pager_stays_small() {
    let (place, pager, layers) = setup();
    let round = |count: usize| {
        for index in 0..count {
            let id = format!("vm{index}");
            pager.listen(&place, &id, &layers, None);
            let mut vmm = Vmm::served(&place, &pager, &id, PAGES, EVENT_REMOVE);
            vmm.tell("touch-later 0 4096 1");
            vmm.tell("join");
            drop(vmm);
            pager.wait_for_end(&id);
            pager.delete(&id);
        }
    };
    round(2);
    let held = || {
        (
            count_entries(pager.pid(), "fd"),
            count_entries(pager.pid(), "task"),
        )
    };
    // One main thread and the I/O pool; standard streams, lock, root and socket.
    settles(|| held().1, 5);
    let baseline = held();
    round(8);
    settles(held, baseline);
    let anonymous = status_kib(pager.pid(), "RssAnon");
    assert!(anonymous < 8 << 10, "{anonymous} KiB of its own");
    assert_eq!(count_files(&place), 1);
}
