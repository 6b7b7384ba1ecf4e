//! A VMM that is started through Firecracker's jailer. The repository has none: the one beside `FIRECRACKER_BIN` is
//! tried, where there is one.
#![allow(clippy::unwrap_used)]

mod support;

use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Once;

use serde_json::json;
use support::{Place, is_running, send_signal, wait_until};

const WAIT: &str = "echo ready; exec sleep 1000";

/// Says in one line when there is none.
fn jailer() -> Option<PathBuf> {
    let jailer =
        env::var_os("FIRECRACKER_BIN").map(|path| Path::new(&path).with_file_name("jailer"));
    let found = jailer.filter(|path| path.exists());
    static TOLD: Once = Once::new();
    if found.is_none() {
        // The macros' output is shown of tests that fail alone.
        TOLD.call_once(|| {
            let line = "SKIPPED the shim with a jailer, unproven here: there is none beside FIRECRACKER_BIN\n";
            let _ = io::stderr().write_all(line.as_bytes());
        });
    }
    found
}

fn place(script: &str) -> Option<Place> {
    let mut place = Place::new(script);
    place.spec["jailer"] = json!(jailer()?);
    Some(place)
}

#[test]
fn vmm_has_its_own_user_and_no_privilege() {
    let Some(mut place) = place("") else { return };
    place.spec["argv"] = json!(["/usr/bin/sleep", "1000"]);
    let vm = place.run();
    vm.assert_has_no_privilege();
    assert_eq!(vm.limit("Max open files"), "2048 2048");
    assert_eq!(vm.proc("environ"), "PATH=/usr/bin\0");
    assert_eq!(vm.status("NSpid"), format!("{} 1", vm.vmm()));
    let descriptors = fs::read_dir(format!("/proc/{}/fd", vm.vmm())).unwrap();
    assert_eq!(descriptors.count(), 3);
    for kind in ["net", "mnt", "pid", "ipc", "uts"] {
        let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
        assert_ne!(of(&vm.vmm().to_string()), of("self"), "{kind}");
    }
    assert_eq!(
        fs::read_to_string(place.cgroup().join("cgroup.procs")).unwrap(),
        format!("{}\n", vm.vmm())
    );
}

#[test]
fn vmm_sees_and_writes_what_the_spec_lets_it() {
    let Some(mut place) = place(
        "try() { if ( eval \"$2\" ) 2>/dev/null; then echo \"$1 yes\"; else echo \"$1 no\"; fi; }
        until try root 'echo x > /x' | grep no; do rm -f /x; done
        try dev 'echo x > /dev/x'; try null 'echo x > /dev/null'; try image 'echo x > $MEM'
        try remove 'rm /dev/null'; try usr 'echo x > /usr/x'; try own 'echo x > own'
        cp /usr/bin/true own-true; try execute ./own-true; try remount 'mount -o remount,rw /'
        ls -d /proc /sys /etc /root /home /var 2>/dev/null; cat $MEM; ls /dev; echo --; ls /; pwd",
    ) else {
        return;
    };
    fs::create_dir(place.path("images")).unwrap();
    let image = place.path("images/mem");
    fs::write(&image, "image\n").unwrap();
    place.spec["mounts"] = json!([{"path": image, "read_only": true}]);
    place.spec["env"]["MEM"] = json!(image);
    place.spec["devices"] = json!(["/dev/full"]);
    place.run_to_end();
    let console = place.console();
    let answers = "root no\ndev no\nnull yes\nimage no\nremove no\nusr no\nown yes\nexecute no\nremount no\nimage\n";
    assert!(console.starts_with(answers), "{console}");
    let rest = &console[answers.len()..];
    let (devices, rest) = rest.split_once("--\n").unwrap();
    for device in devices.lines() {
        let known = [
            "full",
            "kvm",
            "net",
            "null",
            "urandom",
            "userfaultfd",
            "zero",
        ];
        assert!(known.contains(&device), "{device}");
    }
    for host in ["old_root", "proc", "sys"] {
        assert!(!rest.contains(host), "{rest}");
    }
    assert!(rest.ends_with(&format!("{}\n", place.path("vm").display())));
    assert_eq!(fs::read_to_string(&image).unwrap(), "image\n");
    place.assert_clean();
}

#[test]
fn nothing_is_left_of_a_vm_whose_shim_or_vmm_was_killed() {
    for who in ["shim", "vmm"] {
        let Some(place) = place(WAIT) else { return };
        let before = place.mounts();
        let vm = place.run();
        place.wait_for_console("ready");
        assert_eq!(place.mounts(), before);
        assert_eq!(fs::read_dir(place.path("vm")).unwrap().count(), 0);
        let (shim, vmm) = (i32::try_from(vm.process.id()).unwrap(), vm.vmm());
        send_signal("KILL", if who == "shim" { shim } else { vmm });
        wait_until("the VMM's end", || !is_running(vmm));
        drop(vm);
        assert_eq!(place.mounts(), before);
        assert_eq!(fs::read_dir(place.path("vm")).unwrap().count(), 0);
        // And the next one starts where the last one was.
        let again = place.run();
        again.signal("TERM");
        assert_eq!(again.wait(), 0);
        place.assert_clean();
    }
}

#[test]
fn a_jailer_that_cannot_be_used_is_a_failure() {
    let cases = [
        ("/usr/bin/false", "start the VMM", "killed before exec"),
        ("/usr/bin/cat", "start the VMM", "option"),
        ("/usr/missing", "execute /usr/missing", "No such file"),
        ("/usr/lib", "execute /usr/lib", "denied"),
    ];
    for (jailer, what, message) in cases {
        let mut place = Place::new(WAIT);
        place.spec["jailer"] = json!(jailer);
        let shim = place.start();
        assert_eq!(shim.state["state"], "failed", "{jailer}");
        assert_eq!(shim.state["what"], what);
        let said = shim.state["message"].as_str().unwrap();
        assert!(said.contains(message), "{jailer}: {said}");
        assert_eq!(shim.wait(), 1);
        place.assert_clean();
    }
}

#[test]
fn a_program_that_the_jailed_vmm_lacks_is_named() {
    let Some(mut place) = place(WAIT) else { return };
    place.spec["argv"] = json!(["/usr/missing"]);
    let shim = place.start();
    assert_eq!(shim.state["what"], "execute /usr/missing");
    assert_eq!(shim.wait(), 1);
    place.assert_clean();
}
