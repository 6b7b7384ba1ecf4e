//! Every system call by which the pager writes, or reads a layer, fails once, with a full disk and with a
//! broken one: strace(1), attached to it, makes the Nth of them fail.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::harness::{Pager, Place, Vmm, word_of};
use super::strace::Strace;
use super::vmm::{EVENT_REMOVE, PAGE};

const PAGES: u64 = 512;
const READS: &[&str] = &["pread64"];
const WRITES: &[&str] = &[
    "openat",
    "ftruncate",
    "write",
    "pwrite64",
    "fallocate",
    "fchmod",
    "fsync",
    "renameat2",
    "renameat",
];

/// One call that is to fail: the Nth of its kind in the thread that answers the request.
#[derive(Debug)]
struct Call {
    name: String,
    number: usize,
}

impl Call {
    /// All that a request makes, as strace wrote them down.
    fn all(log: &Path) -> Vec<Self> {
        let log = fs::read_to_string(log).unwrap();
        let mut counts: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        let mut calls = Vec::new();
        for line in log.lines() {
            let Some((thread, rest)) = line.split_once(' ') else {
                continue;
            };
            let Some((name, arguments)) = rest.trim_start().split_once('(') else {
                continue;
            };
            if !READS.contains(&name) && !WRITES.contains(&name) {
                continue;
            }
            let count = counts.entry((thread, name)).or_default();
            *count += 1;
            // Other files than new ones are only opened to be read; a socket has no path.
            let of_file = match name {
                "openat" => arguments.contains("O_CREAT"),
                _ => arguments.contains("</"),
            };
            if of_file {
                calls.push(Self {
                    name: name.to_owned(),
                    number: *count,
                });
            }
        }
        calls
    }

    fn errors(&self) -> &'static [(&'static str, &'static str)] {
        let both = &[("ENOSPC", "storage_full"), ("EIO", "internal")];
        if READS.contains(&self.name.as_str()) {
            &both[1..]
        } else {
            both
        }
    }
}

struct Request {
    verb: &'static str,
    path: String,
    body: Value,
    /// The files that it makes.
    made: Vec<PathBuf>,
}

fn request(place: &Place, verb: &'static str, mut body: Value) -> Request {
    body["layer"] = place.target(verb);
    let made = ["mem", "mem.header"].map(|suffix| place.layer(&format!("{verb}.{suffix}")));
    Request {
        verb,
        path: format!("/v1/layers/{verb}"),
        body,
        made: made.into(),
    }
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Lets each of the request's calls fail, one at a time; then it must succeed.
fn fail_at_each(place: &Place, pager: &Pager, request: &Request, between: &mut dyn FnMut()) {
    let log = place.path("strace");
    let trace = format!("trace={},{}", WRITES.join(","), READS.join(","));
    let strace = Strace::attach(pager, &["-e", &trace], &log);
    pager.ok("POST", &request.path, &request.body);
    strace.detach();
    for file in &request.made {
        fs::remove_file(file).unwrap();
    }
    between();
    let before = names(&place.path("layers"));
    let calls = Call::all(&log);
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for call in &calls {
        *kinds.entry(&call.name).or_default() += call.errors().len();
        for (error, code) in call.errors() {
            let inject = format!("inject={}:error={error}:when={}", call.name, call.number);
            let strace = Strace::attach(pager, &["-e", &inject], &log);
            let (found, message) = pager.refused(&request.path, &request.body);
            strace.detach();
            assert_eq!(found, *code, "{} {call:?}: {message}", request.verb);
            assert_eq!(
                names(&place.path("layers")),
                before,
                "{} {call:?} {error}",
                request.verb
            );
            between();
        }
    }
    println!("{}: {kinds:?}", request.verb);
    assert!(kinds.contains_key("fsync"), "{kinds:?}");
    pager.ok("POST", &request.path, &request.body);
}

#[test]
fn a_write_or_read_that_fails_is_told_leaves_nothing_and_can_be_repeated() {
    let place = Place::new();
    let pager = Pager::start(&place);
    // Whether the file system's holes are exact is found out once, and is not what is tested here.
    pager.ok("GET", "/v1/health", &Value::Null);
    let base = place.base(&pager, PAGES, |page| !(page % 128).is_multiple_of(100));
    let image = place.layer("base.mem");
    let mut vmm = Vmm::start(&place);
    vmm.base = vmm.tell(&format!(
        "image {} {}",
        image.display(),
        PAGES * PAGE as u64
    ));
    for (page, byte) in [(1, 0), (7, 9), (300, 9)] {
        vmm.tell(&format!("write {page} {byte}"));
    }
    let diff = |parent: &Value| json!({ "pid": vmm.pid(), "image": image, "parent": parent });
    let mut first = diff(&base);
    first["layer"] = place.target("a");
    pager.ok("POST", "/v1/layers/diff", &first);
    let layers = place.layers("a", &["base", "a"]);
    let second = diff(&layers);
    vmm.tell("write 8 0");
    vmm.tell("write 301 4");
    let whole = vmm.tell(&format!("sum 0 {PAGES}"));

    for (verb, body) in [
        ("diff", second),
        ("collapse", json!({ "layers": layers })),
        ("flatten", json!({ "layers": layers })),
    ] {
        let request = request(&place, verb, body);
        fail_at_each(&place, &pager, &request, &mut || ());
    }
    // What is sealed was written by a VMM, and is never touched by a failure but to be punched.
    let written = |page: u64| page < 20 || page == 300;
    let mut write = || {
        let _ = fs::remove_file(place.layer("seal.mem"));
        place.memory("seal", PAGES, written);
    };
    write();
    let sealing = Request {
        made: vec![place.layer("seal.mem.header")],
        ..request(
            &place,
            "seal",
            json!({ "parent": place.layer("base.mem.header") }),
        )
    };
    fail_at_each(&place, &pager, &sealing, &mut write);

    assert_eq!(
        vmm.tell(&format!("sum 0 {PAGES}")),
        whole,
        "the guest has lost nothing"
    );
    let mut next = Vmm::start(&place);
    next.base = next.tell(&format!(
        "image {} {}",
        image.display(),
        PAGES * PAGE as u64
    ));
    let layers = place.layers("diff", &["base", "a", "diff"]);
    let body = json!({ "pid": next.pid(), "image": image, "layers": layers });
    pager.ok("POST", "/v1/layers/inject", &body);
    assert_eq!(next.tell(&format!("sum 0 {PAGES}")), whole);
}

#[test]
fn a_working_set_that_cannot_be_written_is_told_and_the_vm_goes_on() {
    let place = Place::new();
    let pager = Pager::start(&place);
    let layers = place.base(&pager, PAGES, |_| true);
    pager.listen(&place, "vm", &layers, None);
    let mut vmm = Vmm::served(&place, &pager, "vm", PAGES, EVENT_REMOVE);
    let mut page = 0;
    let request = Request {
        verb: "working-set",
        path: "/v1/sessions/vm/working-set".into(),
        body: json!({ "path": place.layer("ws") }),
        made: vec![place.layer("ws")],
    };
    fail_at_each(&place, &pager, &request, &mut || {
        assert_eq!(vmm.tell(&format!("touch {page}")), word_of(page));
        page += 1;
    });
    assert_eq!(pager.session("vm")["state"], "serving");
}

/// What a pager writes down of a session before it serves it, so that the next one can take it over.
#[test]
fn a_session_that_cannot_be_written_down_ends_with_its_vm_and_leaves_nothing() {
    let place = Place::new();
    let pager = Pager::start(&place);
    let layers = place.base(&pager, PAGES, |_| true);
    let before = names(place.run());
    let log = place.path("strace");
    let files: Vec<String> = ["vm.pages", "vm.tmp", "vm.json"]
        .map(|name| format!("--trace-path={}", place.run().join(name).display()))
        .into();
    let attach = |what: &str| {
        let arguments: Vec<&str> = files
            .iter()
            .map(String::as_str)
            .chain(["-e", what])
            .collect();
        Strace::attach(&pager, &arguments, &log)
    };
    let trace = format!("trace={}", ["rename", &WRITES.join(",")].join(","));
    let strace = attach(&trace);
    pager.listen(&place, "vm", &layers, None);
    let served = Vmm::served(&place, &pager, "vm", PAGES, EVENT_REMOVE);
    strace.detach();
    let log = fs::read_to_string(&log).unwrap();
    let calls: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split_once(' ')?.1.trim_start().split_once('('))
        .map(|(name, _)| name)
        .collect();
    assert!(calls.len() >= 5, "{log}");
    drop(served);
    pager.wait_for_end("vm");
    pager.delete("vm");
    assert_eq!(names(place.run()), before);

    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for name in calls {
        let number = counts.entry(name).or_default();
        *number += 1;
        for error in ["ENOSPC", "EIO"] {
            let strace = attach(&format!("inject={name}:error={error}:when={number}"));
            pager.listen(&place, "vm", &layers, None);
            let mut vmm = Vmm::start(&place);
            vmm.order_handshake(&place, "vm", PAGES, EVENT_REMOVE);
            vmm.wait();
            let ended = pager.wait_for_end("vm");
            strace.detach();
            let told = ended.to_string();
            assert_eq!(ended["state"], "failed", "{name} {number} {error}: {told}");
            assert!(told.contains("Cannot keep session vm"), "{told}");
            pager.delete("vm");
            assert_eq!(names(place.run()), before, "{name} {number} {error}");
        }
    }
    println!("{counts:?}");
    pager.listen(&place, "vm", &layers, None);
    let mut vmm = Vmm::served(&place, &pager, "vm", PAGES, EVENT_REMOVE);
    assert_eq!(vmm.tell("touch 7"), word_of(7));
}
