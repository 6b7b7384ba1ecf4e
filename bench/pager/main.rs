//! The pager beside raw probes; see README.md.
#![allow(clippy::unwrap_used, missing_docs, dead_code)]

#[path = "../../crates/pager/tests/pager/harness.rs"]
mod harness;
#[path = "../../crates/pager/tests/pager/vmm.rs"]
mod vmm;

use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use serde_json::{Value, json};
use wrenn_pager::files::extents::data_extents;
use wrenn_pager::process::memory::ProcessMemory;
use wrenn_pager::session::handshake;
use wrenn_pager::session::layout::Layout;
use wrenn_pager::session::uffd::{Event, EventBuffer, Uffd};
use wrenn_pager::session::window::Window;

use harness::{Pager, Place, Vmm, status_kib};
use vmm::{EVENT_REMOVE, PAGE};

const MIB: u64 = 1 << 20;
const MEMORY: u64 = 512 * MIB;
const REPLAYED: u64 = 256 * MIB;
const TOUCHES: u64 = 4000;
/// Touches are so far apart that no two are neighbours.
const STEP: u64 = 13;
const ROUNDS: usize = 3;
/// Threads of a VMM that fault at the same time.
const CROWD: u64 = 16;

fn main() {
    if std::env::var_os("WRENN_TEST_VMM").is_some() {
        vmm::play();
    }
    let place = Place::new();
    let pager = Pager::start(&place);
    let pages = MEMORY / PAGE as u64;
    // The upper half is a hole.
    let layers = place.base(&pager, pages, |page| page < pages / 2);
    faults(&place, &pager, &layers);
    crowd(&place, &pager, &layers);
    replay(&place, &pager, &layers);
    seal(&place, &pager);
    diff(&place, &pager, &layers);
    for field in ["RssAnon", "RssFile"] {
        println!("{field:24} {:10} KiB", status_kib(pager.pid(), field));
    }
}

fn show(what: &str, unit: &str, ours: f64, probe: f64) {
    println!(
        "{what:24} {ours:10.2} {unit:8} probe {probe:10.2}  ratio {:5.2}",
        ours / probe
    );
}

/// Reads the base into the page cache: a host may evict what was not used for a moment (DAMON).
fn warm(place: &Place) {
    let file = File::open(place.layer("base.mem")).unwrap();
    let mut buffer = vec![0; MIB as usize];
    for offset in (0..MEMORY / 2).step_by(MIB as usize) {
        file.read_exact_at(&mut buffer, offset).unwrap();
    }
}

fn best(measure: impl FnMut(usize) -> f64) -> f64 {
    (0..ROUNDS).map(measure).fold(f64::INFINITY, f64::min)
}

/// Latency of a fault, and the pager's own time in it.
fn faults(place: &Place, pager: &Pager, layers: &Value) {
    let mut ours = [f64::INFINITY; 2];
    let mut null = [f64::INFINITY; 2];
    let mut hole = f64::INFINITY;
    let mut plain = f64::INFINITY;
    let mut cpu = f64::INFINITY;
    let mut null_cpu = f64::INFINITY;
    for round in 0..ROUNDS {
        let mut other = NullHandler::start(place, round);
        let before = cpu_ns(std::process::id());
        measure(&mut other.vmm, &mut null);
        null_cpu = null_cpu.min((cpu_ns(std::process::id()) - before) / TOUCHES as f64);
        let id = format!("f{round}");
        pager.listen(place, &id, layers, None);
        let mut vmm = Vmm::served(place, pager, &id, MEMORY / PAGE as u64, EVENT_REMOVE);
        warm(place);
        let before = cpu_ns(pager.pid());
        measure(&mut vmm, &mut ours);
        cpu = cpu.min((cpu_ns(pager.pid()) - before) / TOUCHES as f64);
        vmm.tell(&format!(
            "measure {} {TOUCHES} {STEP}",
            MEMORY / 2 / PAGE as u64
        ));
        hole = hole.min(vmm.tell("permille 500") as f64 / 1e3);
        let mut vmm = Vmm::start(place);
        vmm.tell(&format!("plain {MEMORY}"));
        vmm.tell(&format!(
            "measure {} {TOUCHES} {STEP}",
            MEMORY / 2 / PAGE as u64
        ));
        plain = plain.min(vmm.tell("permille 500") as f64 / 1e3);
    }
    show("fault p50", "us", ours[0], null[0]);
    show("fault p99", "us", ours[1], null[1]);
    show("CPU per fault", "us", cpu / 1e3, null_cpu / 1e3);
    let raw = raw_copy_us(place);
    show("CPU per fault (raw)", "us", cpu / 1e3, raw);
    show("null CPU (raw)", "us", null_cpu / 1e3, raw);
    show("hole p50", "us", hole, plain);
}

/// The pager's own time for a fault when many come at once, as those of a guest that has just been resumed.
fn crowd(place: &Place, pager: &Pager, layers: &Value) {
    let (mut cpu, mut null_cpu) = (f64::INFINITY, f64::INFINITY);
    for round in 0..ROUNDS {
        let mut other = NullHandler::start(place, round);
        null_cpu = null_cpu.min(crowd_ns(&mut other.vmm, std::process::id()));
        let id = format!("c{round}");
        pager.listen(place, &id, layers, None);
        let mut vmm = Vmm::served(place, pager, &id, MEMORY / PAGE as u64, EVENT_REMOVE);
        warm(place);
        cpu = cpu.min(crowd_ns(&mut vmm, pager.pid()));
    }
    let raw = raw_copy_us(place);
    show("CPU, crowd", "us", cpu / 1e3, null_cpu / 1e3);
    show("CPU, crowd (raw)", "us", cpu / 1e3, raw);
    show("null CPU, crowd (raw)", "us", null_cpu / 1e3, raw);
}

/// What a handler's process takes for each of the faults of `CROWD` threads.
fn crowd_ns(vmm: &mut Vmm, handler: u32) -> f64 {
    let before = cpu_ns(handler);
    for thread in 0..CROWD {
        vmm.tell(&format!(
            "touch-later {} {} {}",
            thread * STEP,
            TOUCHES / CROWD,
            CROWD * STEP
        ));
    }
    vmm.tell("join");
    (cpu_ns(handler) - before) / TOUCHES as f64
}

fn measure(vmm: &mut Vmm, best: &mut [f64; 2]) {
    vmm.tell(&format!("measure 0 {TOUCHES} {STEP}"));
    for (best, permille) in best.iter_mut().zip([500, 990]) {
        *best = best.min(vmm.tell(&format!("permille {permille}")) as f64 / 1e3);
    }
}

/// User and system time of a process.
fn cpu_ns(pid: u32) -> f64 {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let schedstat =
        tasks.map(|task| fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap());
    schedstat
        .map(|line| line.split(' ').next().unwrap().parse::<f64>().unwrap())
        .sum()
}

/// Takes a VMM's memory over as the pager does.
fn take(place: &Place, name: &str) -> (Vmm, Uffd, Layout) {
    let socket = place.layer(name);
    let listener = UnixListener::bind(&socket).unwrap();
    let mut vmm = Vmm::start(place);
    let base = vmm.tell(&format!("map {MEMORY} {EVENT_REMOVE}"));
    let regions = json!([{ "base_host_virt_addr": base, "size": MEMORY, "offset": 0 }]);
    vmm.order(&format!("handshake {} {regions}", socket.display()));
    let (uffd, layout) = handshake::receive(&listener.accept().unwrap().0, MEMORY).unwrap();
    vmm.answer();
    vmm.base = base;
    fs::remove_file(socket).unwrap();
    (vmm, uffd, layout)
}

/// One process, one thread, the same three descriptors; one constant page.
struct NullHandler {
    vmm: Vmm,
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl NullHandler {
    fn start(place: &Place, round: usize) -> Self {
        let (vmm, uffd, _) = take(place, &format!("null{round}.sock"));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let bell = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
        let pidfd = rustix::process::pidfd_open(
            rustix::process::Pid::from_raw(vmm.pid() as i32).unwrap(),
            rustix::process::PidfdFlags::empty(),
        )
        .unwrap();
        let thread = thread::spawn(move || {
            let mut buffer = EventBuffer::default();
            let page = [1; PAGE];
            while !stopped.load(Ordering::Relaxed) {
                let mut fds = [
                    PollFd::new(&pidfd, PollFlags::IN),
                    PollFd::new(&bell, PollFlags::IN),
                    PollFd::from_borrowed_fd(uffd.as_fd(), PollFlags::IN),
                ];
                let timeout = Timespec {
                    tv_sec: 0,
                    tv_nsec: 100_000_000,
                };
                poll(&mut fds, Some(&timeout)).unwrap();
                for event in uffd.read(&mut buffer).unwrap() {
                    if let Event::Fault { address } = event {
                        uffd.copy(address / PAGE as u64 * PAGE as u64, &page);
                    }
                }
            }
        });
        Self {
            vmm,
            stop,
            thread: Some(thread),
        }
    }
}

impl Drop for NullHandler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = self.thread.take().unwrap().join();
    }
}

/// Microseconds of one 4 KiB copy of a constant page, when nobody waits for it.
fn raw_copy_us(place: &Place) -> f64 {
    best(|round| {
        let (_vmm, uffd, layout) = take(place, &format!("raw{round}.sock"));
        let base = layout.regions()[0].address;
        let since = Instant::now();
        for touch in 0..TOUCHES {
            uffd.copy(base + touch * STEP * PAGE as u64, &[1; PAGE]);
        }
        since.elapsed().as_secs_f64() * 1e6 / TOUCHES as f64
    })
}

/// GiB per second of installing a working set.
fn replay(place: &Place, pager: &Pager, layers: &Value) {
    let set = place.layer("ws");
    pager.listen(place, "record", layers, None);
    let mut vmm = Vmm::served(place, pager, "record", MEMORY / PAGE as u64, EVENT_REMOVE);
    vmm.tell(&format!("measure 0 {} 1", REPLAYED / PAGE as u64));
    pager.ok(
        "POST",
        "/v1/sessions/record/working-set",
        &json!({ "path": set }),
    );
    let without = pager.count("record", "faults");
    drop(vmm);
    let (mut raw, mut ours, mut with) = (f64::INFINITY, f64::INFINITY, 0);
    for round in 0..ROUNDS {
        warm(place);
        raw = raw.min(bulk_copy(place, round));
        warm(place);
        let id = format!("r{round}");
        pager.listen(place, &id, layers, Some(&set));
        let mut vmm = Vmm::start(place);
        let base = vmm.tell(&format!("map {MEMORY} {EVENT_REMOVE}"));
        let regions = json!([{ "base_host_virt_addr": base, "size": MEMORY, "offset": 0 }]);
        let since = Instant::now();
        vmm.shake_hands(place, &id, &regions);
        // To be asked costs the pager a thread: not before it can be done.
        thread::sleep(Duration::from_secs_f64(raw * 0.7));
        while pager.count(&id, "replayed_bytes") < REPLAYED {
            thread::sleep(Duration::from_millis(1));
        }
        ours = ours.min(since.elapsed().as_secs_f64());
        vmm.tell(&format!("measure 0 {} 1", REPLAYED / PAGE as u64));
        with = with.max(pager.count(&id, "faults"));
    }
    show("faults after replay", "", with as f64, without as f64);
    let rate = |seconds: f64| (REPLAYED / MIB) as f64 / 1024.0 / seconds;
    show("replay", "GiB/s", rate(ours), rate(raw));
}

/// Seconds of a bare loop of large copies.
fn bulk_copy(place: &Place, round: usize) -> f64 {
    let (_vmm, uffd, layout) = take(place, &format!("bulk{round}.sock"));
    let base = layout.regions()[0].address;
    let window = Window::open(&File::open(place.layer("base.mem")).unwrap()).unwrap();
    let since = Instant::now();
    for offset in (0..REPLAYED).step_by(2 << 20) {
        uffd.copy_from(base + offset, window.address_of(offset), 2 << 20);
    }
    since.elapsed().as_secs_f64()
}

/// 2 GiB with 2 % dirty.
fn seal(place: &Place, pager: &Pager) {
    const SIZE: u64 = 2 << 30;
    place.memory("big", SIZE / PAGE as u64, |_| false);
    pager.ok(
        "POST",
        "/v1/layers/seal",
        &json!({ "layer": place.target("big") }),
    );
    let (mut ours, mut walk, mut read) = (f64::INFINITY, f64::INFINITY, f64::INFINITY);
    for round in 0..ROUNDS {
        let name = format!("dirty{round}");
        let path = place.layer(&format!("{name}.mem"));
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)
            .unwrap();
        file.set_len(SIZE).unwrap();
        for run in 0..2331 {
            let pages = 1 + run % 8;
            let bytes = vec![u8::from(run % 5 != 0); pages as usize * PAGE];
            file.write_all_at(&bytes, run * 224 * PAGE as u64).unwrap();
        }
        file.sync_all().unwrap();
        let since = Instant::now();
        let extents: Vec<_> = data_extents(&file, 0, SIZE).map(Result::unwrap).collect();
        walk = walk.min(since.elapsed().as_secs_f64() * 1e3);
        let mut buffer = vec![0; MIB as usize];
        for extent in extents {
            let length = (extent.end - extent.start) as usize;
            file.read_exact_at(&mut buffer[..length], extent.start)
                .unwrap();
        }
        read = read.min(since.elapsed().as_secs_f64() * 1e3);
        let request =
            json!({ "layer": place.target(&name), "parent": place.layer("big.mem.header") });
        let since = Instant::now();
        pager.ok("POST", "/v1/layers/seal", &request);
        ours = ours.min(since.elapsed().as_secs_f64() * 1e3);
    }
    show("seal (walk)", "ms", ours, walk);
    show("seal (walk and read)", "ms", ours, read);
}

/// 64 MiB of a clone's memory rewritten.
fn diff(place: &Place, pager: &Pager, layers: &Value) {
    const DIRTY: u64 = 64 * MIB;
    let image = place.layer("base.mem");
    let (mut ours, mut raw) = (f64::INFINITY, f64::INFINITY);
    for round in 0..ROUNDS {
        let mut vmm = Vmm::start(place);
        let base = vmm.tell(&format!("image {} {MEMORY}", image.display()));
        vmm.tell(&format!("fill 0 {} 8", DIRTY / PAGE as u64));
        warm(place);
        let memory = ProcessMemory::open(vmm.pid()).unwrap();
        let mut buffer = vec![0; MIB as usize];
        let since = Instant::now();
        for offset in (0..DIRTY).step_by(MIB as usize) {
            memory.read(base + offset, &mut buffer).unwrap();
        }
        raw = raw.min(since.elapsed().as_secs_f64() * 1e3);
        let mut layer = place.target(&format!("diff{round}"));
        layer["durable"] = json!(false);
        let request = json!({ "pid": vmm.pid(), "image": image, "parent": layers, "layer": layer });
        let since = Instant::now();
        let made = pager.ok("POST", "/v1/layers/diff", &request);
        ours = ours.min(since.elapsed().as_secs_f64() * 1e3);
        assert_eq!(made["data_bytes"], DIRTY);
    }
    show("diff of 64 MiB", "ms", ours, raw);
}
