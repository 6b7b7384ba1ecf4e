//! Work on the bytes of layers, through the API.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use super::harness::{Pager, Place, Vmm, word_of};
use super::vmm::PAGE;

const PAGES: u64 = 512;

/// The memory as it should be: one byte per page that fills it, or the base's own bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Content {
    Base(u64),
    Filled(u8),
}

fn base_content(page: u64) -> Content {
    if page.is_multiple_of(5) {
        Content::Filled(0)
    } else {
        Content::Base(page)
    }
}

fn bytes_of(content: Content) -> Vec<u8> {
    match content {
        Content::Filled(byte) => vec![byte; PAGE],
        Content::Base(page) => word_of(page)
            .to_ne_bytes()
            .iter()
            .copied()
            .cycle()
            .take(PAGE)
            .collect(),
    }
}

fn sum_of(model: &[Content]) -> u64 {
    let mut hasher = crc32fast::Hasher::new();
    for content in model {
        hasher.update(&bytes_of(*content));
    }
    hasher.finalize().into()
}

fn setup() -> (Place, Pager, Value) {
    let place = Place::new();
    let pager = Pager::start(&place);
    let layers = place.base(&pager, PAGES, |page| {
        base_content(page) != Content::Filled(0)
    });
    (place, pager, layers)
}

/// A VMM that maps an image privately, as QEMU does.
fn clone_of(place: &Place, image: &Path) -> Vmm {
    let mut vmm = Vmm::start(place);
    vmm.base = vmm.tell(&format!(
        "image {} {}",
        image.display(),
        PAGES * PAGE as u64
    ));
    vmm
}

fn diff(pager: &Pager, place: &Place, vmm: &Vmm, parent: &Value, name: &str, image: &str) -> Value {
    let request = json!({
        "pid": vmm.pid(),
        "image": place.layer(&format!("{image}.mem")),
        "parent": parent,
        "layer": place.target(name),
    });
    pager.ok("POST", "/v1/layers/diff", &request)
}

fn inject(pager: &Pager, place: &Place, vmm: &Vmm, layers: &Value, image: &str) -> Value {
    let request = json!({ "pid": vmm.pid(), "image": place.layer(&format!("{image}.mem")), "layers": layers });
    pager.ok("POST", "/v1/layers/inject", &request)
}

fn sum(vmm: &mut Vmm) -> u64 {
    vmm.tell(&format!("sum 0 {PAGES}"))
}

fn verify(pager: &Pager, place: &Place, name: &str, checksum: &Value) {
    let request = json!({ "header": place.layer(&format!("{name}.mem.header")), "memory": place.layer(&format!("{name}.mem")), "checksum": checksum });
    pager.ok("POST", "/v1/layers/verify", &request);
}

#[test]
fn a_diff_holds_what_changed_and_only_that() {
    let (place, pager, base) = setup();
    let mut vmm = clone_of(&place, &place.layer("base.mem"));
    let before = sum(&mut vmm);
    vmm.tell("write 1 0"); // data to zeros: must be kept
    vmm.tell("write 5 0"); // zeros to zeros: equal, dropped
    vmm.tell("write 7 9");
    vmm.tell("write 300 9"); // in the second VMA
    let made = diff(&pager, &place, &vmm, &base, "a", "base");
    assert_eq!(made["touched_bytes"], 4 * PAGE as u64);
    assert_eq!(made["data_bytes"], 2 * PAGE as u64);
    assert_eq!(made["zero_bytes"], PAGE as u64);
    assert_eq!(made["generation"], 1);
    verify(&pager, &place, "a", &made["checksum"]);
    let metadata = fs::metadata(place.layer("a.mem")).unwrap();
    assert_eq!(metadata.len(), PAGES * PAGE as u64);
    assert_eq!(metadata.mode() & 0o777, 0o444);
    assert!(metadata.blocks() * 512 < 64 << 10, "sparse");

    let after = sum(&mut vmm);
    assert_ne!(before, after);
    drop(vmm);
    let mut next = clone_of(&place, &place.layer("base.mem"));
    assert_eq!(sum(&mut next), before);
    let layers = place.layers("a", &["base", "a"]);
    let injected = inject(&pager, &place, &next, &layers, "base");
    assert_eq!(
        (&injected["data_bytes"], &injected["zero_bytes"]),
        (&json!(2 * PAGE), &json!(PAGE))
    );
    assert_eq!(sum(&mut next), after);

    let again = diff(&pager, &place, &next, &layers, "b", "base");
    assert_eq!(
        (&again["data_bytes"], &again["zero_bytes"]),
        (&json!(0), &json!(0)),
        "nothing changed since"
    );
}

#[test]
fn a_memory_of_which_every_page_was_replaced_needs_its_base_no_more() {
    let (place, pager, base) = setup();
    let mut vmm = clone_of(&place, &place.layer("base.mem"));
    for page in 0..PAGES {
        vmm.tell(&format!("write {page} {}", page % 3));
    }
    let whole = sum(&mut vmm);
    let made = diff(&pager, &place, &vmm, &base, "a", "base");
    verify(&pager, &place, "a", &made["checksum"]);
    // Its header names only itself. The next one is made over it, and put into another process.
    let alone = place.layers("a", &["a"]);
    vmm.tell("write 9 7");
    let made = diff(&pager, &place, &vmm, &alone, "b", "base");
    assert_eq!(made["data_bytes"], PAGE as u64, "only what came after");
    let mut next = clone_of(&place, &place.layer("base.mem"));
    inject(&pager, &place, &next, &alone, "base");
    assert_eq!(sum(&mut next), whole);
    let layers = place.layers("b", &["a", "b"]);
    for verb in ["collapse", "flatten"] {
        let request = json!({ "layers": layers, "layer": place.target(verb) });
        pager.ok("POST", &format!("/v1/layers/{verb}"), &request);
        let mut next = clone_of(&place, &place.layer("base.mem"));
        if verb == "collapse" {
            inject(&pager, &place, &next, &place.layers(verb, &[verb]), "base");
        } else {
            next = clone_of(&place, &place.layer("flatten.mem"));
        }
        assert_eq!(sum(&mut next), sum(&mut vmm), "{verb}");
    }
}

/// One step of a guest's life.
#[derive(Clone, Debug)]
enum Step {
    Write(u64, u8),
    Pause,
    Collapse,
    Flatten,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        30 => (0..PAGES, prop_oneof![Just(0_u8), 1..=3_u8]).prop_map(|(page, byte)| Step::Write(page, byte)),
        6 => Just(Step::Pause),
        1 => Just(Step::Collapse),
        1 => Just(Step::Flatten),
    ];
    proptest::collection::vec(step, 20..120)
}

/// A guest that is paused and resumed over and over, beside a model of its memory.
struct Life<'a> {
    pager: &'a Pager,
    place: &'a Place,
    vmm: Vmm,
    model: Vec<Content>,
    layers: Value,
    image: String,
    builds: Vec<String>,
    count: usize,
}

impl Life<'_> {
    fn name(&mut self, kind: &str) -> String {
        self.count += 1;
        format!("{kind}{}", self.count)
    }

    fn live(&mut self, step: &Step) {
        match step {
            Step::Write(page, byte) => {
                self.vmm.tell(&format!("write {page} {byte}"));
                self.model[*page as usize] = Content::Filled(*byte);
            }
            Step::Pause => {
                let name = self.name("g");
                let made = diff(
                    self.pager,
                    self.place,
                    &self.vmm,
                    &self.layers,
                    &name,
                    &self.image,
                );
                verify(self.pager, self.place, &name, &made["checksum"]);
                self.builds.push(name.clone());
                self.resume(&name);
            }
            Step::Collapse | Step::Flatten => {
                self.live(&Step::Pause);
                let flatten = matches!(step, Step::Flatten);
                let name = self.name(if flatten { "f" } else { "c" });
                let verb = if flatten { "flatten" } else { "collapse" };
                let request = json!({ "layers": self.layers, "layer": self.place.target(&name) });
                let made = self
                    .pager
                    .ok("POST", &format!("/v1/layers/{verb}"), &request);
                assert_eq!(made["generation"], u64::from(!flatten));
                verify(self.pager, self.place, &name, &made["checksum"]);
                if flatten {
                    self.builds = vec![name.clone()];
                    self.image = name.clone();
                } else {
                    self.builds = vec![self.image.clone(), name.clone()];
                }
                self.resume(&name);
            }
        }
    }

    /// Starts a new VMM on the newest layer.
    fn resume(&mut self, newest: &str) {
        let builds: Vec<&str> = self.builds.iter().map(String::as_str).collect();
        self.layers = self.place.layers(newest, &builds);
        let image = self.place.layer(&format!("{}.mem", self.image));
        self.vmm = clone_of(self.place, &image);
        inject(self.pager, self.place, &self.vmm, &self.layers, &self.image);
        assert_eq!(sum(&mut self.vmm), sum_of(&self.model), "at {newest}");
    }
}

#[test]
fn any_life_of_pauses_collapses_and_flattenings_keeps_every_byte() {
    let mut runner = TestRunner::new(Config::with_cases(8));
    runner
        .run(&steps(), |steps| {
            let (place, pager, layers) = setup();
            let mut life = Life {
                vmm: clone_of(&place, &place.layer("base.mem")),
                model: (0..PAGES).map(base_content).collect(),
                pager: &pager,
                place: &place,
                layers,
                image: "base".into(),
                builds: vec!["base".into()],
                count: 0,
            };
            for step in &steps {
                life.live(step);
            }
            life.live(&Step::Pause);
            Ok(())
        })
        .unwrap();
}

/// As the host agent does it: a generation per pause, joined at ten, the process another one then.
/// `WRENN_TEST_FULL=1` makes it 2,500 of them.
#[test]
fn a_resume_after_many_generations_costs_what_the_first_one_costs() {
    const WORKING_SET: u64 = 200;
    let generations = match std::env::var("WRENN_TEST_FULL") {
        Ok(full) if full == "1" => 2500,
        _ => 120,
    };
    let (place, pager, layers) = setup();
    let mut life = Life {
        vmm: clone_of(&place, &place.layer("base.mem")),
        model: (0..PAGES).map(base_content).collect(),
        pager: &pager,
        place: &place,
        layers,
        image: "base".into(),
        builds: vec!["base".into()],
        count: 0,
    };
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for page in 0..WORKING_SET {
        life.live(&Step::Write(page * 2, 1 + (page % 200) as u8));
    }
    life.live(&Step::Pause);
    let first = inject_again(&life);
    for generation in 2..=generations {
        for _ in 0..5 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let page = random % WORKING_SET * 2;
            life.live(&Step::Write(page, (random >> 32) as u8 % 4));
        }
        if generation % 10 == 0 {
            life.live(&Step::Collapse);
        } else {
            let name = life.name("g");
            let image = life.image.clone();
            diff(&pager, &place, &life.vmm, &life.layers, &name, &image);
            life.builds.push(name.clone());
            let builds: Vec<&str> = life.builds.iter().map(String::as_str).collect();
            life.layers = place.layers(&name, &builds);
        }
        assert!(life.builds.len() <= 12);
    }
    let newest = life.builds.last().unwrap().clone();
    life.resume(&newest);
    let last = inject_again(&life);
    println!("generation 1: {first}, generation {generations}: {last}");
    let bytes = |answer: &Value| {
        answer["data_bytes"].as_u64().unwrap() + answer["zero_bytes"].as_u64().unwrap()
    };
    assert!(bytes(&last) <= bytes(&first));
}

/// What a resume puts into a new process.
fn inject_again(life: &Life<'_>) -> Value {
    let image = life.place.layer(&format!("{}.mem", life.image));
    let vmm = clone_of(life.place, &image);
    inject(life.pager, life.place, &vmm, &life.layers, &life.image)
}

#[test]
fn a_chain_that_is_served_by_faults_is_the_same_memory() {
    let (place, pager, base) = setup();
    let mut vmm = clone_of(&place, &place.layer("base.mem"));
    let mut model: Vec<_> = (0..PAGES).map(base_content).collect();
    for page in [0, 1, 2, 100, 101, 511] {
        vmm.tell(&format!("write {page} {}", page % 3));
        model[page as usize] = Content::Filled((page % 3) as u8);
    }
    diff(&pager, &place, &vmm, &base, "a", "base");
    let layers = place.layers("a", &["base", "a"]);
    pager.listen(&place, "vm", &layers, None);
    let mut served = Vmm::served(&place, &pager, "vm", PAGES, super::vmm::EVENT_REMOVE);
    assert_eq!(sum(&mut served), sum_of(&model));
}

#[test]
fn a_damaged_layer_is_found() {
    let (place, pager, _) = setup();
    let header =
        json!({ "header": place.layer("base.mem.header"), "memory": place.layer("base.mem") });
    let checksum = pager.ok("POST", "/v1/layers/verify", &header)["checksum"].clone();
    let file = File::options()
        .write(true)
        .open(place.layer("base.mem"))
        .unwrap();
    file.write_all_at(&[1], 7 * PAGE as u64 + 9).unwrap();
    let mut request = header.clone();
    request["checksum"] = checksum;
    let (code, message) = pager.refused("/v1/layers/verify", &request);
    assert_eq!(code, "incompatible_snapshot");
    assert!(message.contains("its checksum is crc32:"), "{message}");
    file.set_len(PAGE as u64).unwrap();
    assert_eq!(
        pager.refused("/v1/layers/verify", &header).0,
        "incompatible_snapshot"
    );
    let bytes = fs::read(place.layer("base.mem.header")).unwrap();
    fs::write(place.layer("broken.mem.header"), &bytes[..bytes.len() - 1]).unwrap();
    let request =
        json!({ "header": place.layer("broken.mem.header"), "memory": place.layer("base.mem") });
    assert_eq!(
        pager.refused("/v1/layers/verify", &request).0,
        "incompatible_snapshot"
    );
}

#[test]
fn a_process_that_does_not_map_the_image_whole_and_privately_is_refused() {
    let (place, pager, base) = setup();
    let mut vmm = Vmm::start(&place);
    let mut request = json!({ "pid": vmm.pid(), "image": place.layer("base.mem"), "parent": base, "layer": place.target("x") });
    assert_eq!(
        pager.refused("/v1/layers/diff", &request).0,
        "invalid_state"
    );
    vmm.tell(&format!(
        "image {} {}",
        place.layer("base.mem").display(),
        PAGES / 2 * PAGE as u64
    ));
    let (code, message) = pager.refused("/v1/layers/diff", &request);
    assert_eq!(code, "invalid_state");
    assert!(message.contains("1048576 of 2097152 bytes"), "{message}");
    place.memory("stranger", PAGES, |_| false);
    request["image"] = json!(place.layer("stranger.mem"));
    vmm.tell(&format!(
        "image {} {}",
        place.layer("stranger.mem").display(),
        PAGES * PAGE as u64
    ));
    assert_eq!(
        pager.refused("/v1/layers/diff", &request).0,
        "invalid_request"
    );
    drop(vmm);
    request["pid"] = json!(0);
    assert_eq!(pager.refused("/v1/layers/diff", &request).0, "not_found");
    let mut names: Vec<_> = fs::read_dir(place.path("layers"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    names.sort();
    assert_eq!(
        names,
        ["base.mem", "base.mem.header", "stranger.mem"],
        "nothing is left of what failed"
    );
}

#[test]
fn requests_reach_no_file_outside_of_the_roots() {
    let (place, pager, base) = setup();
    fs::write(place.path("secret"), "s").unwrap();
    std::os::unix::fs::symlink(place.path("secret"), place.layer("link")).unwrap();
    for path in [
        place.path("secret"),
        place.layer("link"),
        place.layer("../secret"),
        PathBuf::from("/etc/hostname"),
    ] {
        let request = json!({ "header": path, "memory": place.layer("base.mem") });
        assert_eq!(
            pager.refused("/v1/layers/verify", &request).0,
            "invalid_request",
            "{}",
            path.display()
        );
    }
    for path in [
        place.path("new"),
        place.layer("../new"),
        PathBuf::from("/etc/new"),
    ] {
        let layer = json!({ "build_id": "x", "memory": path, "header": place.layer("y") });
        let request = json!({ "layers": base, "layer": layer });
        let (code, _) = pager.refused("/v1/layers/collapse", &request);
        assert_eq!(code, "invalid_request", "{}", path.display());
        assert!(!path.exists());
    }
    for body in [
        json!({}),
        json!([]),
        json!({ "header": 1 }),
        json!({ "header": "/x", "memory": "/y", "other": 1 }),
    ] {
        assert_eq!(
            pager.refused("/v1/layers/verify", &body).0,
            "invalid_request"
        );
    }
    assert_eq!(pager.refused("/v1/nothing", &json!({})).0, "not_found");
}

#[test]
fn no_request_whatever_it_says_ends_the_pager() {
    let (place, pager, base) = setup();
    const WORDS: &[&str] = &[
        "header", "builds", "layers", "layer", "parent", "pid", "image", "build_id", "memory",
        "id", "socket", "uid", "gid",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<i64>().prop_map(|number| json!(number)),
        "[ -~]{0,40}".prop_map(|text| json!(text)),
        Just(base),
        Just(place.target("x")),
        Just(json!(place.layer("base.mem"))),
    ];
    let body = leaf.prop_recursive(3, 16, 4, |inner| {
        proptest::collection::btree_map(prop::sample::select(WORDS), inner, 0..6)
            .prop_map(|map| json!(map))
    });
    const ROUTES: &[&str] = &[
        "layers/seal",
        "layers/diff",
        "layers/inject",
        "layers/collapse",
        "layers/flatten",
        "layers/verify",
        "sessions",
        "sessions/x/working-set",
    ];
    let mut runner = TestRunner::new(Config::with_cases(200));
    let request = (prop::sample::select(ROUTES), body);
    runner
        .run(&request, |(route, body)| {
            let (status, _) = pager.ask("POST", &format!("/v1/{route}"), &body);
            prop_assert_ne!(status, 500);
            Ok(())
        })
        .unwrap();
    pager.ok("GET", "/v1/health", &Value::Null);
}

/// A small file system of its own.
struct Mount(PathBuf);

impl Mount {
    fn tmpfs(place: &Place, options: &str) -> Option<Self> {
        let path = place.path("mount");
        fs::create_dir_all(&path).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "none"])
            .arg(&path)
            .status()
            .unwrap();
        mounted.success().then_some(Self(path))
    }
}

impl Mount {
    /// A file system that can share blocks.
    fn xfs(place: &Place) -> Self {
        let image = place.path("xfs.img");
        File::create(&image).unwrap().set_len(512 << 20).unwrap();
        let path = place.path("mount");
        fs::create_dir_all(&path).unwrap();
        let run = |program: &str, arguments: &[&std::ffi::OsStr]| {
            let done = Command::new(program).args(arguments).status().unwrap();
            assert!(done.success(), "{program}");
        };
        run("mkfs.xfs", &["-q".as_ref(), image.as_ref()]);
        run(
            "mount",
            &[
                "-o".as_ref(),
                "loop".as_ref(),
                image.as_ref(),
                path.as_ref(),
            ],
        );
        Self(path)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let done = Command::new("umount").arg(&self.0).status().unwrap();
        assert!(done.success() || std::thread::panicking());
    }
}

#[test]
#[ignore = "needs mkfs.xfs"]
fn flatten_shares_the_blocks_of_the_base_where_it_can() {
    let place = Place::new();
    let mount = Mount::xfs(&place);
    let pager = Pager::start_with_roots(&place, &[place.path("layers"), mount.0.clone()]);
    place.base(&pager, PAGES, |page| {
        base_content(page) != Content::Filled(0)
    });
    // The base lies on the XFS, the layer over it elsewhere.
    let image = mount.0.join("base.mem");
    fs::copy(place.layer("base.mem"), &image).unwrap();
    let mut base = place.layers("base", &[]);
    base["builds"] = json!({ "base": image });
    let mut vmm = clone_of(&place, &image);
    let mut model: Vec<_> = (0..PAGES).map(base_content).collect();
    for page in [1, 2, 3, 9, 100, 101, 511] {
        vmm.tell(&format!("write {page} {}", page % 3));
        model[page as usize] = Content::Filled((page % 3) as u8);
    }
    let request =
        json!({ "pid": vmm.pid(), "image": image, "parent": base, "layer": place.target("a") });
    pager.ok("POST", "/v1/layers/diff", &request);
    let before = fs::read(&image).unwrap();

    let mut layers = place.layers("a", &["a"]);
    layers["builds"]["base"] = json!(image);
    let memory = mount.0.join("flat.mem");
    let layer =
        json!({ "build_id": "flat", "memory": memory, "header": mount.0.join("flat.mem.header") });
    let made = pager.ok(
        "POST",
        "/v1/layers/flatten",
        &json!({ "layers": layers, "layer": layer }),
    );
    assert_eq!(made["shared_blocks"], true);
    assert_eq!(
        made["data_bytes"],
        5 * PAGE as u64,
        "only the layer's own pages are copied: {made}"
    );
    assert_eq!(
        u64::from(crc32fast::hash(&fs::read(&memory).unwrap())),
        sum_of(&model)
    );
    assert_eq!(fs::read(&image).unwrap(), before, "the base is as it was");
    drop(vmm);
    drop(pager);
}

#[test]
fn a_full_disk_is_told_and_nothing_half_written_stays() {
    let place = Place::new();
    let mount = Mount::tmpfs(&place, "size=1m,huge=never").unwrap();
    let pager = Pager::start_with_roots(&place, &[place.path("layers"), mount.0.clone()]);
    let layers = place.base(&pager, PAGES, |_| true);
    let mut vmm = clone_of(&place, &place.layer("base.mem"));
    for page in 0..PAGES {
        vmm.tell(&format!("write {page} {}", 1 + page % 200));
    }
    let before = sum(&mut vmm);
    let target = json!({ "build_id": "x", "memory": mount.0.join("mem"), "header": mount.0.join("mem.header") });
    let requests = [
        (
            "diff",
            json!({ "pid": vmm.pid(), "image": place.layer("base.mem"), "parent": layers, "layer": target }),
        ),
        ("flatten", json!({ "layers": layers, "layer": target })),
    ];
    for (verb, request) in requests {
        let (code, message) = pager.refused(&format!("/v1/layers/{verb}"), &request);
        assert_eq!(code, "storage_full", "{message}");
        assert_eq!(fs::read_dir(&mount.0).unwrap().count(), 0, "{verb}");
    }
    assert_eq!(sum(&mut vmm), before);
    diff(&pager, &place, &vmm, &layers, "x", "base");
    drop(pager);
}

#[test]
fn a_file_system_that_invents_data_is_refused_for_incremental_layers() {
    let place = Place::new();
    // Without huge pages in the kernel there is no such tmpfs.
    let Some(mount) = Mount::tmpfs(&place, "size=64m,huge=always") else {
        assert!(!Path::new("/sys/kernel/mm/transparent_hugepage").exists());
        return;
    };
    let pager = Pager::start_with_roots(&place, &[place.path("layers"), mount.0.clone()]);
    place.base(&pager, PAGES, |_| true);
    let health = pager.ok("GET", "/v1/health", &Value::Null);
    assert_eq!(health["roots"][0]["exact_holes"], true, "{health}");
    assert_eq!(health["roots"][1]["exact_holes"], false, "{health}");
    let memory = mount.0.join("mem");
    let file = File::create(&memory).unwrap();
    file.set_len(PAGES * PAGE as u64).unwrap();
    let layer = json!({ "build_id": "x", "memory": memory, "header": mount.0.join("mem.header") });
    let request = json!({ "layer": layer, "parent": place.layer("base.mem.header") });
    assert_eq!(pager.refused("/v1/layers/seal", &request).0, "unsupported");
    // Alone it may be sealed: there is nothing that a hole could inherit.
    pager.ok("POST", "/v1/layers/seal", &json!({ "layer": layer }));
    drop(pager);
}

#[test]
fn two_gib_of_which_two_percent_are_dirty_are_sealed_at_once() {
    const TWO_GIB: u64 = 2 << 30;
    let place = Place::new();
    let pager = Pager::start(&place);
    place.memory("base", TWO_GIB / PAGE as u64, |_| false);
    pager.ok(
        "POST",
        "/v1/layers/seal",
        &json!({ "layer": place.target("base") }),
    );
    // 10,486 pages in runs of 1 to 8, some of them zeros.
    let file = File::create(place.layer("next.mem")).unwrap();
    file.set_len(TWO_GIB).unwrap();
    let mut dirty = 0;
    for run in 0..2331 {
        let pages = 1 + run % 8;
        let byte = u8::from(run % 5 != 0);
        file.write_all_at(&vec![byte; pages as usize * PAGE], run * 224 * PAGE as u64)
            .unwrap();
        dirty += pages;
    }
    file.sync_all().unwrap();
    // Ask once before, so that the test of the file system is done.
    pager.ok("GET", "/v1/health", &Value::Null);
    let read = read_bytes(pager.pid());
    let since = Instant::now();
    let request =
        json!({ "layer": place.target("next"), "parent": place.layer("base.mem.header") });
    let made = pager.ok("POST", "/v1/layers/seal", &request);
    let taken = since.elapsed();
    let read = read_bytes(pager.pid()) - read;
    assert!(
        read < dirty * PAGE as u64 + (64 << 10),
        "{read} bytes were read for {dirty} pages"
    );
    // A debug build computes checksums a hundred times slower.
    assert!(
        cfg!(debug_assertions) || taken < Duration::from_millis(500),
        "promised in 100 ms: {made}"
    );
    assert_eq!(
        made["data_bytes"].as_u64().unwrap() + made["zero_bytes"].as_u64().unwrap(),
        dirty * PAGE as u64
    );
}

/// How much a process has read, from the page cache too.
fn read_bytes(pid: u32) -> u64 {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap();
    io.lines()
        .next()
        .unwrap()
        .strip_prefix("rchar: ")
        .unwrap()
        .parse()
        .unwrap()
}
