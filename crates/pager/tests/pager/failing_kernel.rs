//! The kernel has no memory for a page, and a disk does not answer: strace(1) answers in their place.

use std::fs;

use serde_json::{Value, json};

use super::harness::{Pager, Place, Vmm, assert_killed, make_cold, settles, word_of};
use super::strace::Strace;
use super::vmm::EVENT_REMOVE;

const PAGES: u64 = 512;

fn setup() -> (Place, Pager, Value) {
    let place = Place::new();
    let pager = Pager::start(&place);
    let layers = place.base(&pager, PAGES, |_| true);
    (place, pager, layers)
}

fn inject(place: &Place, pager: &Pager, what: &str) -> Strace {
    Strace::attach(
        pager,
        &["-e", &format!("inject={what}")],
        &place.path("strace"),
    )
}

#[test]
fn a_page_for_which_there_is_no_memory_is_tried_again_but_not_for_ever() {
    let (place, pager, layers) = setup();
    pager.listen(&place, "vm", &layers, None);
    let mut vmm = Vmm::served(&place, &pager, "vm", PAGES, EVENT_REMOVE);

    let strace = inject(&place, &pager, "ioctl:error=ENOMEM:when=1..3");
    assert_eq!(vmm.tell("touch 7"), word_of(7));
    strace.detach();
    assert_eq!(pager.session("vm")["state"], "serving");

    let strace = inject(&place, &pager, "ioctl:error=ENOMEM");
    vmm.order("touch 8");
    assert_killed(&pager, &mut vmm, "vm", "no memory for the page at 0x8000");
    strace.detach();
}

#[test]
fn a_replay_for_which_there_is_no_memory_is_given_up_and_faults_serve_the_pages() {
    let (place, pager, layers) = setup();
    let set = place.layer("ws");
    pager.listen(&place, "first", &layers, None);
    let mut vmm = Vmm::served(&place, &pager, "first", PAGES, EVENT_REMOVE);
    vmm.tell("touch-later 0 400 1");
    vmm.tell("join");
    let path = "/v1/sessions/first/working-set";
    pager.ok("POST", path, &json!({ "path": set }));
    drop(vmm);

    pager.listen(&place, "vm", &layers, Some(&set));
    // Its first one is of the socket, its second one copies what is replayed.
    let strace = inject(&place, &pager, "ioctl:error=ENOMEM:when=2");
    let mut vmm = Vmm::served(&place, &pager, "vm", PAGES, EVENT_REMOVE);
    let log = || fs::read_to_string(place.path("strace")).unwrap();
    settles(
        || log().contains("UFFDIO_COPY") && log().contains("ENOMEM"),
        true,
    );
    for page in 0..PAGES {
        assert_eq!(vmm.tell(&format!("touch {page}")), word_of(page));
    }
    strace.detach();
    assert_eq!(pager.count("vm", "replayed_bytes"), 0);
    assert_eq!(pager.count("vm", "faults"), PAGES);
}

#[test]
fn a_disk_that_does_not_answer_holds_nobody_else_up_and_its_vm_not_for_ever() {
    let (place, pager, layers) = setup();
    let image = place.layer("base.mem");
    pager.listen(&place, "waits", &layers, None);
    pager.listen(&place, "other", &layers, None);
    let mut waits = Vmm::served(&place, &pager, "waits", PAGES, EVENT_REMOVE);
    let mut other = Vmm::served(&place, &pager, "other", PAGES, EVENT_REMOVE);
    make_cold(&image);
    // Longer than the pager waits for a page; it is a thread of the pool that stands still.
    let strace = inject(&place, &pager, "pread64:delay_enter=120s");
    waits.tell("touch-later 300 1 1");
    settles(|| pager.count("waits", "cold_reads"), 1);
    fs::read(&image).unwrap();
    assert_eq!(waits.tell("touch 7"), word_of(7), "of the same VM");
    assert_eq!(other.tell("touch 300"), word_of(300), "of another one");
    assert_killed(
        &pager,
        &mut waits,
        "waits",
        "was not read from the disk in 30s",
    );
    fs::read(&image).unwrap(); // meanwhile the host may have needed the memory
    assert_eq!(other.tell("touch 8"), word_of(8));
    drop(strace);
}
