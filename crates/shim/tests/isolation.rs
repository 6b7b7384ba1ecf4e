//! What a VMM can see and do.

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use serde_json::json;
use support::{Place, UID, command};

const WAIT: &str = "echo ready; exec sleep 1000";

#[test]
fn vmm_has_its_own_user_and_no_privilege() {
    let mut place = Place::new("");
    place.spec["argv"] = json!(["/usr/bin/sleep", "1000"]);
    let vm = place.run();
    vm.assert_has_no_privilege();
    assert_eq!(vm.proc("environ"), "PATH=/usr/bin\0");
}

#[test]
fn vmm_inherits_nothing_that_the_shim_was_started_with() {
    let mut place = Place::new("");
    place.spec["argv"] = json!(["/usr/bin/sleep", "1000"]);
    place.write_spec();
    let mut agent = Command::new("setpriv");
    agent.args([
        "--inh-caps=+sys_admin,+net_admin",
        "--groups=4,24",
        "--securebits=+no_setuid_fixup",
        "sh",
        "-c",
    ]);
    agent.args([
        "trap '' USR1 TERM; exec 9</etc/passwd; exec \"$@\"",
        "sh",
        env!("CARGO_BIN_EXE_wrenn-shim"),
    ]);
    let vm = place.start_through(agent);
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(vm.status(set), "0000000000000000", "{set}");
    }
    assert_eq!(vm.status("Groups"), "");
    assert_eq!(vm.status("SigIgn"), "0000000000000000");
    let has_descriptor = |pid: &str| Path::new(&format!("/proc/{pid}/fd/9")).exists();
    assert!(!has_descriptor(&vm.vmm().to_string()));
    let of_shim = fs::read_dir(format!("/proc/{}/fd", vm.process.id())).unwrap();
    assert!(
        of_shim
            .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
            .all(|target| target != Path::new("/etc/passwd"))
    );
}

#[test]
fn vmm_is_alone_in_new_namespaces_and_a_session_and_has_only_three_descriptors() {
    let place = Place::new(WAIT);
    let vm = place.run();
    place.wait_for_console("ready");
    for kind in ["net", "mnt", "pid", "ipc", "uts"] {
        let of = |pid: &str| fs::read_link(format!("/proc/{pid}/ns/{kind}")).unwrap();
        assert_ne!(of(&vm.vmm().to_string()), of("self"), "{kind}");
    }
    assert_eq!(vm.status("NSpid"), format!("{} 1", vm.vmm()));
    assert_eq!(vm.status("NSsid"), format!("{} 1", vm.vmm()));
    let descriptors = fs::read_dir(format!("/proc/{}/fd", vm.vmm())).unwrap();
    let mut names: Vec<_> = descriptors
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["0", "1", "2"]);
    assert_eq!(
        fs::read_link(format!("/proc/{}/cwd", vm.vmm())).unwrap(),
        place.path("vm")
    );
    assert!(
        vm.proc("cgroup")
            .contains(place.spec["cgroup"].as_str().unwrap())
    );
    assert_eq!(
        fs::read_to_string(place.cgroup().join("cgroup.procs")).unwrap(),
        format!("{}\n", vm.vmm())
    );
}

#[test]
fn vmm_sees_nothing_of_the_host_but_what_the_spec_names() {
    let mut place = Place::new(
        "ls -A /; echo --; ls -A /dev; echo --; hostname; ls /proc /etc /sys /root /home /var 2>&1 | grep -vc 'No such'; cat $MEM; ls $(dirname $MEM); echo ready; exec sleep 1000",
    );
    fs::create_dir(place.path("images")).unwrap();
    let image = place.path("images/mem");
    fs::write(&image, "image\n").unwrap();
    fs::write(place.path("images/secret"), "").unwrap();
    place.spec["mounts"] = json!([{"path": image, "read_only": true}]);
    place.spec["env"]["MEM"] = json!(image);
    let vm = place.run();
    place.wait_for_console("ready");
    let top = place
        .root
        .path()
        .components()
        .nth(1)
        .unwrap()
        .as_os_str()
        .to_str()
        .unwrap()
        .to_owned();
    let mounts = vm.proc("mountinfo");
    let mut points: Vec<_> = mounts
        .lines()
        .map(|line| line.split(' ').nth(4).unwrap())
        .collect();
    points.sort_unstable();
    let (vm_directory, image) = (place.path("vm"), image);
    let mut expected = vec![
        "/",
        "/dev",
        "/usr",
        vm_directory.to_str().unwrap(),
        image.to_str().unwrap(),
    ];
    expected.sort_unstable();
    assert_eq!(points, expected);
    let links = ["bin", "lib", "lib64", "sbin"]
        .into_iter()
        .filter(|name| fs::exists(format!("/{name}")).unwrap());
    let mut roots: Vec<_> = links.chain(["dev", "usr", &top]).collect();
    roots.sort_unstable();
    let expected = format!(
        "{}\n--\nnull\nurandom\nzero\n--\n{}\n0\nimage\nmem\nready\n",
        roots.join("\n"),
        place.spec["name"].as_str().unwrap()
    );
    assert_eq!(place.console(), expected);
}

#[test]
fn vmm_writes_only_where_the_spec_lets_it_and_executes_nothing_there() {
    let script = "
        try() { if ( eval \"$2\" ) 2>/dev/null; then echo \"$1 yes\"; else echo \"$1 no\"; fi; }
        try root 'echo x > /x'; try dev 'echo x > /dev/x'; try null 'echo x > /dev/null'; try usr 'echo x > /usr/x'
        try read-only 'echo x > $AT/ro/file'; try new-in-read-only 'echo x > $AT/ro/new'
        try read-write 'echo x > $AT/rw/file'; try file 'echo x > $AT/single'; try own 'echo x > own'
        cp /usr/bin/true own-true; try execute ./own-true; try system /usr/bin/true
        try remount 'mount -o remount,rw /usr'; try node 'mknod null c 1 3'; try unshare 'unshare -U true'";
    let mut place = Place::new(script);
    for directory in ["ro", "rw"] {
        fs::create_dir(place.path(directory)).unwrap();
        fs::set_permissions(place.path(directory), fs::Permissions::from_mode(0o777)).unwrap();
        fs::write(place.path(directory).join("file"), "old").unwrap();
        fs::set_permissions(
            place.path(directory).join("file"),
            fs::Permissions::from_mode(0o666),
        )
        .unwrap();
    }
    fs::write(place.path("single"), "old").unwrap();
    fs::set_permissions(place.path("single"), fs::Permissions::from_mode(0o666)).unwrap();
    place.spec["mounts"] = json!([
        {"path": place.path("ro"), "read_only": true}, {"path": place.path("rw"), "read_only": false}, {"path": place.path("single"), "read_only": false},
    ]);
    place.spec["env"]["AT"] = json!(place.root.path());
    place.run_to_end();
    let console = place.console();
    let answers = [
        "root no",
        "dev no",
        "null yes",
        "usr no",
        "read-only no",
        "new-in-read-only no",
        "read-write yes",
        "file yes",
        "own yes",
        "execute no",
        "system yes",
        "remount no",
        "node no",
    ];
    for answer in answers {
        assert!(
            console.lines().any(|line| line == answer),
            "{answer}: {console}"
        );
    }
    assert_eq!(fs::read_to_string(place.path("ro/file")).unwrap(), "old");
    assert_eq!(fs::read_to_string(place.path("rw/file")).unwrap(), "x\n");
    assert_eq!(fs::read_to_string(place.path("single")).unwrap(), "x\n");
    assert_eq!(fs::metadata(place.path("vm/own")).unwrap().uid(), UID);
}

#[test]
fn mounts_are_there_for_this_vm_only_and_bring_no_file_system_from_below() {
    let mut place = Place::new("ls -A $AT; echo ready; exec sleep 1000");
    fs::create_dir_all(place.path("data/below")).unwrap();
    fs::write(place.path("data/below/hidden-by-the-mount"), "").unwrap();
    let below = place.path("data/below").to_str().unwrap().to_owned();
    command("mount", &["-t", "tmpfs", "shimtest", &below]);
    fs::write(place.path("data/below/of-another-file-system"), "").unwrap();
    place.spec["mounts"] = json!([{"path": place.path("data"), "read_only": true}]);
    place.spec["env"]["AT"] = json!(place.path("data/below"));
    let before = place.mounts();
    let vm = place.start();
    place.wait_for_console("ready");
    let during = place.mounts();
    drop(vm);
    command("umount", &[&below]);
    assert_eq!(place.console(), "hidden-by-the-mount\nready\n");
    assert_eq!(before.len(), 1);
    assert_eq!(before, during);
}

#[test]
fn nested_mounts_work_and_a_link_in_the_path_leads_to_what_the_host_has_there() {
    let mut place = Place::new(
        "cat $AT/outer/inner/file $AT/link/inner/file; (echo x > $AT/outer/inner/file) 2>/dev/null && echo written",
    );
    fs::create_dir_all(place.path("outer/inner")).unwrap();
    fs::write(place.path("outer/inner/file"), "text\n").unwrap();
    fs::set_permissions(
        place.path("outer/inner/file"),
        fs::Permissions::from_mode(0o666),
    )
    .unwrap();
    symlink("outer", place.path("link")).unwrap();
    place.spec["mounts"] = json!([
        {"path": place.path("outer/inner/file"), "read_only": false}, {"path": place.path("outer"), "read_only": true},
        {"path": place.path("link/inner/file"), "read_only": true},
    ]);
    place.spec["env"]["AT"] = json!(place.root.path());
    place.run_to_end();
    assert_eq!(place.console(), "text\ntext\nwritten\n");
    assert_eq!(
        fs::read_to_string(place.path("outer/inner/file")).unwrap(),
        "x\n"
    );
}

#[test]
fn a_named_device_belongs_to_the_vm_and_its_node_on_the_host_stays() {
    let mut place = Place::new(
        "stat -c '%F %u %g %a %t:%T' /dev/full; head -c 1 /dev/zero 2>&1 >/dev/full | grep -o 'No space.*'; ls /dev/net",
    );
    place.spec["devices"] = json!(["/dev/full", "/dev/net/tun"]);
    let before = fs::metadata("/dev/full").unwrap();
    place.run_to_end();
    assert_eq!(
        place.console(),
        format!("character special file {UID} {UID} 600 1:7\nNo space left on device\ntun\n")
    );
    let after = fs::metadata("/dev/full").unwrap();
    assert_eq!((before.uid(), before.mode()), (after.uid(), after.mode()));
}
