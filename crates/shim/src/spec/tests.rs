use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

fn valid() -> Value {
    json!({
        "name": "sb1", "argv": ["/usr/bin/vmm", "fd={tap_fd}"], "env": {"PATH": "/usr/bin"}, "uid": 70001, "gid": 70001,
        "directory": "/var/lib/wrenn/sandboxes/sb1/vm", "network_namespace": "/run/netns/w1", "tap": "tap0",
        "mounts": [{"path": "/var/lib/wrenn/golden/g/mem", "read_only": true}], "devices": ["/dev/kvm"],
        "cgroup": "wrenn/sb1", "memory_max_bytes": 1, "pids_max": 64, "cpu_max": "max",
        "io_max_bytes_per_second": 1048576,
        "control_socket": "/var/lib/wrenn/sandboxes/sb1/shim.sock", "exit_record": "/var/lib/wrenn/sandboxes/sb1/exit.json",
        "console": "/var/lib/wrenn/sandboxes/sb1/console", "console_max_bytes": 65536,
    })
}

fn refusal(field: &str, value: Value) -> String {
    let mut spec = valid();
    spec[field] = value;
    parse(spec.to_string().as_bytes()).expect_err(field)
}

#[test]
fn parse_takes_a_jailer_that_the_vm_cannot_replace_and_that_needs_no_tap() {
    let mut spec = valid();
    spec["jailer"] = json!("/usr/bin/jailer");
    let message = parse(spec.to_string().as_bytes()).unwrap_err();
    assert!(message.contains("closes the descriptor"), "{message}");
    spec["argv"] = json!(["/usr/bin/vmm"]);
    spec.as_object_mut().unwrap().remove("tap");
    assert!(parse(spec.to_string().as_bytes()).is_ok());
    for path in [
        "jailer",
        "/usr/../jailer",
        "/var/lib/wrenn/sandboxes/sb1/vm/jailer",
    ] {
        spec["jailer"] = json!(path);
        assert!(parse(spec.to_string().as_bytes()).is_err(), "{path}");
    }
}

#[test]
fn parse_takes_a_whole_spec_and_one_without_the_optional_fields() {
    let mut spec = valid();
    assert_eq!(parse(spec.to_string().as_bytes()).unwrap().uid, 70001);
    spec["argv"] = json!(["/usr/bin/vmm"]);
    for field in [
        "network_namespace",
        "tap",
        "cgroup",
        "memory_max_bytes",
        "pids_max",
        "cpu_max",
        "io_max_bytes_per_second",
    ] {
        spec.as_object_mut().unwrap().remove(field);
    }
    assert_eq!(parse(spec.to_string().as_bytes()).unwrap().tap, None);
}

#[test]
fn parse_requires_every_other_field() {
    for field in [
        "name",
        "argv",
        "env",
        "uid",
        "gid",
        "directory",
        "mounts",
        "devices",
        "control_socket",
        "exit_record",
        "console",
        "console_max_bytes",
    ] {
        let mut spec = valid();
        spec.as_object_mut().unwrap().remove(field);
        let message = parse(spec.to_string().as_bytes()).expect_err(field);
        assert!(message.contains(field), "{message}");
    }
}

#[test]
fn parse_refuses_unknown_fields_wherever_they_are() {
    assert!(refusal("readonly", json!(true)).contains("readonly"));
    assert!(
        refusal(
            "mounts",
            json!([{"path": "/a", "read_only": true, "exec": true}])
        )
        .contains("exec")
    );
    assert!(refusal("mounts", json!([{"path": "/a"}])).contains("read_only"));
}

#[test]
fn parse_refuses_values_that_are_dangerous_or_senseless_and_names_them() {
    let cases = [
        ("name", json!(""), "name"),
        ("name", json!("a/b"), "a/b"),
        ("name", json!("x".repeat(65)), "name"),
        ("argv", json!([]), "empty"),
        ("argv", json!(["vmm"]), "vmm"),
        ("argv", json!(["/vmm", "a\0b"]), "NUL"),
        ("env", json!({"A=B": "c"}), "A=B"),
        ("env", json!({"": "c"}), "env"),
        ("env", json!({"A": "\0"}), "env"),
        ("uid", json!(0), "uid 0"),
        ("uid", json!(u32::MAX), "uid"),
        ("uid", json!(-1), "-1"),
        ("gid", json!(0), "gid 0"),
        ("tap", json!(null), "{tap_fd}"),
        ("tap", json!("tap/0"), "tap/0"),
        ("tap", json!("abcdefghijklmnop"), "abcdefghijklmnop"),
        ("tap", json!("tap%d"), "tap%d"),
        ("network_namespace", json!("netns"), "netns"),
        ("directory", json!("/a/../b"), "/a/../b"),
        ("directory", json!("/a/"), "/a/"),
        ("directory", json!("/a//b"), "/a//b"),
        ("directory", json!("/"), "/"),
        ("directory", json!("/a\0"), "plain absolute"),
        ("devices", json!(["/etc/shadow"]), "/etc/shadow"),
        ("devices", json!(["/dev"]), "/dev"),
        ("devices", json!(["/dev/../etc/shadow"]), "/etc/shadow"),
        (
            "mounts",
            json!([{"path": "/", "read_only": true}]),
            "mount /",
        ),
        (
            "mounts",
            json!([{"path": "/usr", "read_only": false}]),
            "/usr",
        ),
        (
            "mounts",
            json!([{"path": "/dev/shm", "read_only": false}]),
            "/dev/shm",
        ),
        (
            "mounts",
            json!([{"path": "/a", "read_only": true}, {"path": "/a", "read_only": false}]),
            "there already",
        ),
        (
            "mounts",
            json!([{"path": "/a", "read_only": false}, {"path": "/a/b/c", "read_only": true}]),
            "below /a",
        ),
        (
            "mounts",
            json!([{"path": "/var/lib/wrenn/sandboxes/sb1/vm/x", "read_only": true}]),
            "the VM may write",
        ),
        ("cgroup", json!(""), "cgroup"),
        ("cgroup", json!("/wrenn"), "/wrenn"),
        ("cgroup", json!("wrenn/../../x"), "wrenn/../../x"),
        (
            "control_socket",
            json!("/var/lib/wrenn/sandboxes/sb1/vm/s"),
            "the VM may write",
        ),
        (
            "exit_record",
            json!("/var/lib/wrenn/sandboxes/sb1/vm/deep/e"),
            "the VM may write",
        ),
        ("console", json!("console"), "console"),
        ("console", json!("/"), "not a file"),
        ("console_max_bytes", json!(10), "10"),
    ];
    for (field, value, part) in cases {
        let message = refusal(field, value.clone());
        assert!(message.contains(part), "{field}={value}: {message}");
    }
}

#[test]
fn all_mounts_puts_outer_paths_first() {
    let mut spec = valid();
    spec["mounts"] = json!([{"path": "/z/y/x", "read_only": true}, {"path": "/z", "read_only": true}, {"path": "/a/b", "read_only": false}]);
    let mounts = parse(spec.to_string().as_bytes()).unwrap().all_mounts();
    let paths: Vec<_> = mounts
        .iter()
        .map(|mount| mount.path.to_str().unwrap())
        .collect();
    assert_eq!(
        paths,
        ["/z", "/a/b", "/z/y/x", "/var/lib/wrenn/sandboxes/sb1/vm"]
    );
}

/// JSON values of any shape, of the kinds that a spec has.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~/.{}\\PC]{0,20}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::hash_map("[a-z_]{0,9}", inner, 0..6)
                .prop_map(|map| map.into_iter().collect()),
        ]
    })
}

fn any_path() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop_oneof![
            Just("a"),
            Just("b"),
            Just(".."),
            Just("."),
            Just(""),
            Just("dev"),
            Just("usr")
        ],
        0..5,
    )
    .prop_map(|parts| format!("/{}", parts.join("/")))
}

proptest! {
    #[test]
    fn parse_survives_any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(parse(&bytes).is_err());
    }

    #[test]
    fn parse_survives_any_value_in_any_field(field in prop::sample::select(valid().as_object().unwrap().keys().cloned().collect::<Vec<_>>()), value in any_json()) {
        let mut spec = valid();
        spec[&field] = value;
        let _ = parse(spec.to_string().as_bytes());
    }

    #[test]
    fn parse_survives_a_spec_with_a_flipped_byte(at in 0usize..600, byte in any::<u8>()) {
        let mut text = valid().to_string().into_bytes();
        let at = at % text.len();
        text[at] = byte;
        let _ = parse(&text);
    }

    #[test]
    fn what_parse_accepts_looks_nothing_up_below_a_place_that_the_vm_writes(
        directory in any_path(), mounts in prop::collection::vec((any_path(), any::<bool>()), 0..4), console in any_path(),
    ) {
        let mut spec = valid();
        spec["directory"] = json!(directory);
        spec["mounts"] = mounts.iter().map(|(path, read_only)| json!({"path": path, "read_only": read_only})).collect();
        spec["console"] = json!(console);
        if let Ok(spec) = parse(spec.to_string().as_bytes()) {
            let all = spec.all_mounts();
            for outer in all.iter().filter(|mount| !mount.read_only) {
                for inner in all.iter().map(|mount| &mount.path).chain([&spec.console, &spec.control_socket]) {
                    prop_assert!(inner == &outer.path || !inner.starts_with(&outer.path));
                }
            }
            for mount in &all {
                let plain = mount.path.to_str().unwrap().split('/').skip(1).all(|part| !["", ".", ".."].contains(&part));
                prop_assert!(plain, "{:?}", mount.path);
            }
        }
    }
}
