//! The calls of `filesystem.Filesystem` without watches, against the real agent.

mod support;

use support::{Envd, Setup, Value, json};

fn paths(list: &Value) -> Vec<&str> {
    list["entries"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|entry| entry["path"].as_str().expect("a path"))
        .collect()
}

#[test]
fn stat_describes_an_entry() {
    let envd = Envd::boot();
    envd.write("d/a", b"four");
    envd.run("touch -d 2026-01-02T03:04:05.123456789Z d/a; ln -s d/a link; chown user:games d/a");
    let entry = envd.call("filesystem.Filesystem/Stat", json!({ "path": "d/a" }))["entry"].clone();
    assert_eq!(
        entry,
        json!({ "name": "a", "type": "FILE_TYPE_FILE", "path": "/home/user/d/a", "size": "4", "mode": 420, "permissions": "-rw-r--r--",
            "owner": "user", "group": "games", "modifiedTime": "2026-01-02T03:04:05.123456789Z" })
    );
    let link =
        envd.call("filesystem.Filesystem/Stat", json!({ "path": "~/link" }))["entry"].clone();
    assert_eq!(
        (link["type"].as_str(), link["symlinkTarget"].as_str()),
        (Some("FILE_TYPE_FILE"), Some("/home/user/d/a"))
    );
    assert_eq!(
        envd.call_error("filesystem.Filesystem/Stat", json!({ "path": "none" })),
        (404, "not_found".into())
    );
    assert_eq!(
        envd.call_error("filesystem.Filesystem/Stat", json!({ "path": "~root" })),
        (400, "invalid_argument".into())
    );
    let root = envd.call("filesystem.Filesystem/Stat", json!({ "path": "/" }))["entry"].clone();
    assert_eq!(
        (root["name"].as_str(), root["type"].as_str()),
        (Some("/"), Some("FILE_TYPE_DIRECTORY"))
    );
    let unknown = envd.call_raw(
        "filesystem.Filesystem/Stat",
        &[("authorization", "Basic bm9ib2R5LWhlcmU6")],
        &json!({ "path": "/" }),
    );
    assert_eq!(
        (unknown.status, unknown.json()["message"].as_str()),
        (401, Some("invalid username: 'nobody-here'"))
    );
}

#[test]
fn list_dir_goes_to_the_depth() {
    let envd = Envd::boot();
    envd.run("mkdir -p t/b/c && touch t/a t/b/x t/b/c/y && ln -s t l");
    let list = |path: &str, depth: u32| {
        envd.call(
            "filesystem.Filesystem/ListDir",
            json!({ "path": path, "depth": depth }),
        )
    };
    assert_eq!(paths(&list("t", 0)), ["/home/user/t/a", "/home/user/t/b"]);
    assert_eq!(
        paths(&list("t", 3)),
        [
            "/home/user/t/a",
            "/home/user/t/b",
            "/home/user/t/b/c",
            "/home/user/t/b/c/y",
            "/home/user/t/b/x"
        ]
    );
    assert_eq!(paths(&list("l", 1)), ["/home/user/l/a", "/home/user/l/b"]);
    assert_eq!(
        envd.call_error("filesystem.Filesystem/ListDir", json!({ "path": "none" }))
            .1,
        "not_found"
    );
    assert_eq!(
        envd.call_error("filesystem.Filesystem/ListDir", json!({ "path": "t/a" }))
            .1,
        "invalid_argument"
    );
}

#[test]
fn a_large_list_costs_no_memory() {
    let envd = Envd::boot();
    envd.run("mkdir big && cd big && seq -f '%0200.0f' 20000 | xargs touch");
    let before = envd.status_kib("VmRSS");
    let list = envd.call(
        "filesystem.Filesystem/ListDir",
        json!({ "path": "big", "depth": 1 }),
    );
    assert_eq!(paths(&list).len(), 20_000);
    assert!(
        envd.status_kib("VmHWM") < before + 12 * 1024,
        "{} KiB",
        envd.status_kib("VmHWM")
    );
}

#[test]
fn make_dir_tells_what_is_there() {
    let envd = Envd::boot();
    let made = envd.call("filesystem.Filesystem/MakeDir", json!({ "path": "x/y/z" }));
    assert_eq!(
        (
            made["entry"]["path"].as_str(),
            made["entry"]["owner"].as_str()
        ),
        (Some("/home/user/x/y/z"), Some("user"))
    );
    assert_eq!(
        envd.run("stat -c '%U %a' x x/y").out(),
        "user 755\nuser 755\n"
    );
    assert_eq!(
        envd.call_error("filesystem.Filesystem/MakeDir", json!({ "path": "x/y" })),
        (409, "already_exists".into())
    );
    envd.write("file", b"");
    assert_eq!(
        envd.call_error("filesystem.Filesystem/MakeDir", json!({ "path": "file" })),
        (400, "invalid_argument".into())
    );
    assert_eq!(
        envd.call_error(
            "filesystem.Filesystem/MakeDir",
            json!({ "path": "file/sub" })
        ),
        (400, "invalid_argument".into())
    );
}

#[test]
fn move_makes_parents() {
    let envd = Envd::boot();
    envd.write("from", b"1");
    let moved = envd.call(
        "filesystem.Filesystem/Move",
        json!({ "source": "from", "destination": "new/dir/to" }),
    );
    assert_eq!(moved["entry"]["path"], "/home/user/new/dir/to");
    assert_eq!(
        envd.run("stat -c %U new/dir; cat new/dir/to; ls from")
            .out(),
        "user\n1"
    );
    assert_eq!(
        envd.call_error(
            "filesystem.Filesystem/Move",
            json!({ "source": "none", "destination": "x/y" })
        )
        .1,
        "not_found"
    );
    assert_eq!(
        envd.call_error("filesystem.Filesystem/Stat", json!({ "path": "x" }))
            .1,
        "not_found",
        "no parents for nothing"
    );
    envd.run("mkdir full; touch full/a; mkdir dir");
    assert_eq!(
        envd.call_error(
            "filesystem.Filesystem/Move",
            json!({ "source": "dir", "destination": "full" })
        )
        .1,
        "already_exists"
    );
    assert_eq!(
        envd.call_error(
            "filesystem.Filesystem/Move",
            json!({ "source": "dir", "destination": "/tmp/dir" })
        )
        .1,
        "failed_precondition"
    );
}

#[test]
fn no_tree_is_too_deep_or_too_strange() {
    let envd = Envd::boot();
    let (_, code) = envd.call_error(
        "filesystem.Filesystem/MakeDir",
        json!({ "path": "/proc/x" }),
    );
    assert_eq!(code, "not_found");
    let upload = envd.post(
        "/files?path=/proc/x/y",
        &[("content-type", "application/octet-stream")],
        b"1",
    );
    assert_eq!(upload.status, 404, "{}", upload.text());
    let deep = "mkdir deep && cd deep && python3 -c 'import os
for level in range(20000): os.mkdir(\"d\"); os.chdir(\"d\")'";
    assert_eq!(envd.run(deep).exit_code(), 0);
    // As far as a path can reach.
    let list = json!({ "path": "deep", "depth": u32::MAX });
    let listed = envd.call("filesystem.Filesystem/ListDir", list);
    assert!(listed["entries"].as_array().expect("a list").len() > 1000);
    envd.call("filesystem.Filesystem/Remove", json!({ "path": "deep" }));
    assert_eq!(envd.run("ls").out(), "");
}

#[test]
fn the_root_is_never_removed() {
    // Where there is nothing to lose.
    let directory = tempfile::tempdir().expect("a directory");
    let envd = Envd::boot_with(Setup {
        chroot: Some(directory.path().to_owned()),
        ..Setup::default()
    });
    envd.write("/kept/file", b"1");
    for path in ["/", "/.", "/kept/..", "/kept/../kept/../"] {
        let (_, code) = envd.call_error("filesystem.Filesystem/Remove", json!({ "path": path }));
        assert_eq!(code, "invalid_argument", "{path}");
    }
    assert_eq!(envd.read("/kept/file"), b"1");
}

#[test]
fn remove_is_thorough_and_idempotent() {
    let envd = Envd::boot();
    envd.run("mkdir -p r/deep/er; touch r/deep/f; touch keep; ln -s ../keep r/link");
    assert_eq!(
        envd.call("filesystem.Filesystem/Remove", json!({ "path": "r" })),
        json!({})
    );
    assert_eq!(
        envd.call("filesystem.Filesystem/Remove", json!({ "path": "r" })),
        json!({})
    );
    assert_eq!(
        envd.call(
            "filesystem.Filesystem/Remove",
            json!({ "path": "keep/below" })
        ),
        json!({})
    );
    assert_eq!(envd.run("ls").out(), "keep\n", "links are not followed");
    let root = [("authorization", "Basic cm9vdDo=")];
    envd.stream(
        "process.Process/Start",
        &root,
        &support::rpc::shell("mkdir /tmp/m && mount -t tmpfs tmpfs /tmp/m"),
    )
    .finish();
    assert_eq!(
        envd.call_error("filesystem.Filesystem/Remove", json!({ "path": "/tmp/m" }))
            .1,
        "failed_precondition"
    );
}

#[test]
fn the_agent_works_as_root_for_its_user() {
    let envd = Envd::boot();
    let root = [("authorization", "Basic cm9vdDo=")];
    envd.stream(
        "process.Process/Start",
        &root,
        &support::rpc::shell("umask 077; mkdir /tmp/secret; echo x > /tmp/secret/f"),
    )
    .finish();
    assert_eq!(envd.read("/tmp/secret/f"), b"x\n");
    envd.write("/tmp/secret/mine", b"1");
    assert_eq!(
        envd.call(
            "filesystem.Filesystem/Stat",
            json!({ "path": "/tmp/secret/mine" })
        )["entry"]["owner"],
        "user"
    );
    envd.post(
        "/files?path=/tmp/secret/roots&username=root",
        &[("content-type", "application/octet-stream")],
        b"1",
    );
    assert_eq!(
        envd.call(
            "filesystem.Filesystem/Stat",
            json!({ "path": "/tmp/secret/roots" })
        )["entry"]["owner"],
        "root"
    );
}
