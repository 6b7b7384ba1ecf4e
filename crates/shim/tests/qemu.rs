//! A real QEMU under the shim, on a memory image that it must not be able to change.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use support::{Place, Shim, wait_until};

const QEMU: &str = "/usr/bin/qemu-system-x86_64";
const MEMORY_MIB: usize = 32;
const SANDBOX: &str = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

/// A VM whose memory is a private mapping of a read-only file full of 0xa5; its firmware runs.
fn machine() -> Place {
    assert!(Path::new(QEMU).exists(), "these tests need {QEMU}");
    let mut place = Place::new("");
    let image = place.path("mem");
    fs::write(&image, vec![0xa5; MEMORY_MIB << 20]).unwrap();
    fs::set_permissions(&image, fs::Permissions::from_mode(0o444)).unwrap();
    let memory = format!(
        "memory-backend-file,id=ram,size={MEMORY_MIB}M,mem-path={},share=off",
        image.display()
    );
    let monitor = format!("unix:{},server=on,wait=off", place.path("vm/qmp").display());
    place.spec["argv"] = json!([
        QEMU,
        "-M",
        "microvm,rtc=on,acpi=on,memory-backend=ram,mem-merge=off",
        "-accel",
        "tcg,thread=single",
        "-cpu",
        "max",
        "-m",
        format!("{MEMORY_MIB}"),
        "-object",
        memory,
        "-nodefaults",
        "-no-user-config",
        "-nographic",
        "-sandbox",
        SANDBOX,
        "-qmp",
        monitor,
    ]);
    place.spec["mounts"] = json!([{"path": image, "read_only": true}]);
    place
}

/// The library, built as its README says.
fn guard() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../memory-guard")
        .canonicalize()
        .unwrap();
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "--release", "--quiet", "--manifest-path"])
        .arg(package.join("Cargo.toml"));
    assert!(cargo.env("RUSTFLAGS", "").status().unwrap().success());
    package.join("target/x86_64-unknown-linux-gnu/release/libmemory_guard.so")
}

fn guarded_machine() -> Place {
    let mut place = machine();
    let guard = guard();
    place.spec["env"]["LD_PRELOAD"] = json!(guard);
    place.spec["env"]["WRENN_MEMORY_IMAGE"] = json!(place.path("mem"));
    place.spec["mounts"]
        .as_array_mut()
        .unwrap()
        .push(json!({"path": guard, "read_only": true}));
    place
}

fn query_status(place: &Place) -> Value {
    // The socket's file is there a moment before QEMU listens on it.
    wait_until("QEMU's monitor", || {
        UnixStream::connect(place.path("vm/qmp")).is_ok()
    });
    let mut stream = BufReader::new(UnixStream::connect(place.path("vm/qmp")).unwrap());
    let mut read = |command: &str| -> Value {
        stream.get_mut().write_all(command.as_bytes()).unwrap();
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    };
    assert!(read("")["QMP"].is_object());
    read("{\"execute\":\"qmp_capabilities\"}\n");
    read("{\"execute\":\"query-status\"}\n")
}

/// KiB of the memory image's mapping that the guest has written, kept out of the file.
fn private_dirty_kib(vm: &Shim, image: &Path) -> u64 {
    let inode = format!(" {} ", fs::metadata(image).unwrap().ino());
    let maps = vm.proc("smaps");
    let mut lines = maps.lines().skip_while(|line| !line.contains(&inode));
    let value = lines
        .find_map(|line| line.strip_prefix("Private_Dirty:"))
        .unwrap_or("0 kB");
    value.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn qemu_cannot_open_a_read_only_image_by_itself() {
    let place = machine();
    let record = place.run_to_end();
    assert_eq!(
        (record["kind"].as_str(), record["code"].as_u64()),
        (Some("exit"), Some(1)),
        "{record}"
    );
    assert!(
        place.console().contains("can't open backing store"),
        "{}",
        place.console()
    );
}

#[test]
fn guarded_qemu_runs_on_a_read_only_image_and_leaves_it_as_it_is() {
    let place = guarded_machine();
    let vm = place.run();
    let image = place.path("mem");
    assert_eq!(
        query_status(&place)["return"]["status"],
        "running",
        "{}",
        place.console()
    );
    wait_until("memory that the guest wrote", || {
        private_dirty_kib(&vm, &image) > 0
    });
    assert_eq!(vm.status("Seccomp"), "2");
    assert_eq!(vm.status("CapEff"), "0000000000000000");
    let opened = fs::read_dir(format!("/proc/{}/fd", vm.vmm()))
        .unwrap()
        .map(|entry| entry.unwrap());
    let flags: Vec<_> = opened
        .filter(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == image))
        .map(|entry| vm.proc(&format!("fdinfo/{}", entry.file_name().to_str().unwrap())))
        .map(|info| {
            info.lines()
                .find_map(|line| line.strip_prefix("flags:"))
                .unwrap()
                .trim()
                .to_owned()
        })
        .collect();
    assert!(
        !flags.is_empty() && flags.iter().all(|flags| flags.ends_with('0')),
        "{flags:?}"
    ); // O_RDONLY
    place.connect().write("{\"kill\":true}\n");
    vm.wait();
    assert_eq!(place.record()["signal"], "SIGKILL");
    assert!(fs::read(&image).unwrap().iter().all(|byte| *byte == 0xa5));
    place.assert_clean();
}
