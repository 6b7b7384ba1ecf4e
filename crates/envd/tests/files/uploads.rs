//! Uploads: raw, as forms, in parts; those that fail leave nothing.

use std::io::Write;

use super::{FORM, RAW, error, form, gzip, pattern};
use crate::support::{Envd, json};

#[test]
fn raw_upload_and_download() {
    let envd = Envd::boot();
    for size in [0, 1, 256 * 1024 - 1, 256 * 1024, 256 * 1024 + 1, 5_000_000] {
        let content = pattern(size);
        let written = envd.post("/files?path=dir/sub/a.bin", &[RAW], &content);
        assert_eq!(
            written.json(),
            json!([{ "name": "a.bin", "path": "/home/user/dir/sub/a.bin", "type": "file" }])
        );
        let read = envd.get("/files?path=dir/sub/a.bin", &[]);
        assert_eq!(
            read.header("content-length"),
            Some(size.to_string().as_str())
        );
        assert!(read.body == content, "{size}");
    }
    let owners = envd.run("stat -c '%U %a' dir dir/sub dir/sub/a.bin").out();
    assert_eq!(owners, "user 755\nuser 755\nuser 644\n");
}

#[test]
fn a_file_is_overwritten_in_place() {
    let envd = Envd::boot();
    envd.run(
        "echo long long content > real; ln -s real link; chmod 600 real; stat -c %i real > inode",
    );
    envd.write("link", b"new");
    assert_eq!(envd.run("cat real; stat -c ' %a' real; readlink link; test $(stat -c %i real) = $(cat inode) && echo same").out(), "new 600\nreal\nsame\n");
}

#[test]
fn form_uploads_in_every_shape() {
    let envd = Envd::boot();
    let body = form(&[
        ("note", None, b"skipped"),
        ("file", Some("/tmp/x/1.txt"), b"one"),
        ("file", Some("a/b \u{e9}.txt"), b"two\r\n--X"),
        ("other", Some("no.txt"), b"skipped"),
        ("file", Some("empty"), b""),
    ]);
    let written = envd.post("/files", &[FORM], &body);
    assert_eq!(
        written.json(),
        json!([
            { "name": "1.txt", "path": "/tmp/x/1.txt", "type": "file" },
            { "name": "b \u{e9}.txt", "path": "/home/user/a/b \u{e9}.txt", "type": "file" },
            { "name": "empty", "path": "/home/user/empty", "type": "file" },
        ])
    );
    assert_eq!(envd.read("/tmp/x/1.txt"), b"one");
    assert_eq!(envd.read("a/b%20%C3%A9.txt"), b"two\r\n--X");
    assert_eq!(envd.read("empty"), b"");
    assert_eq!(envd.run("ls no.txt").exit_code(), 2);
    // With a path the file name does not matter, and may be missing.
    for filename in [Some("ignored"), None] {
        assert_eq!(
            envd.post(
                "/files?path=given",
                &[FORM],
                &form(&[("file", filename, b"three")])
            )
            .json()[0]["path"],
            "/home/user/given"
        );
    }
    let large = pattern(3_000_000);
    envd.post(
        "/files?path=large",
        &[FORM],
        &form(&[("file", Some("x"), &large)]),
    );
    assert!(envd.read("large") == large);
}

#[test]
fn broken_uploads_are_refused() {
    let envd = Envd::boot();
    for (target, headers, body, expected) in [
        (
            "/files?path=a",
            &[("content-type", "text/plain")][..],
            b"x".to_vec(),
            "Content-Type has to be",
        ),
        ("/files", &[RAW], b"x".to_vec(), "'path' is missing"),
        (
            "/files?path=~other/a",
            &[RAW],
            b"x".to_vec(),
            "Cannot resolve",
        ),
        ("/files?path=/tmp", &[RAW], b"x".to_vec(), "Is a directory"),
        (
            "/files?path=/dev/null",
            &[RAW],
            b"x".to_vec(),
            "not a regular file",
        ),
        (
            "/files?path=/etc/passwd/x",
            &[RAW],
            b"x".to_vec(),
            "Not a directory",
        ),
        (
            "/files",
            &[FORM],
            form(&[("file", None, b"x")]),
            "no file name",
        ),
        (
            "/files",
            &[FORM],
            form(&[("file", Some("t"), b"1"), ("file", Some("./t"), b"2")]),
            "uploaded twice",
        ),
        (
            "/files?path=t",
            &[FORM],
            b"--XX\r\nContent-Disposition: form-data; name=file\r\n\r\ncut".to_vec(),
            "before its last delimiter",
        ),
        (
            "/files?path=t",
            &[("content-type", "multipart/form-data")],
            b"x".to_vec(),
            "no boundary",
        ),
        (
            "/files?path=t",
            &[RAW, ("content-encoding", "br")],
            b"x".to_vec(),
            "'br' is not supported",
        ),
        (
            "/files?path=t",
            &[RAW, ("content-encoding", "gzip")],
            b"no gzip".to_vec(),
            "Cannot decode",
        ),
        (
            "/files?path=t",
            &[RAW, ("x-metadata-a", "\u{e9}")],
            b"x".to_vec(),
            "not printable ASCII",
        ),
    ] {
        let (status, message) = error(&envd.post(target, headers, &body));
        assert_eq!(status, 400, "{message}");
        assert!(
            message.contains(expected),
            "{message:?} should say {expected:?}"
        );
    }
    assert_eq!(
        error(&envd.post("/files?path=a&username=nobody-here", &[RAW], b"")),
        (401, "invalid username: 'nobody-here'".into())
    );
}

#[test]
fn a_failed_upload_leaves_no_half_a_file() {
    let envd = Envd::boot();
    let mut cut = gzip(&pattern(2_000_000));
    cut.truncate(cut.len() / 2);
    assert_eq!(
        envd.post(
            "/files?path=new",
            &[RAW, ("content-encoding", "gzip")],
            &cut
        )
        .status,
        400
    );
    assert_eq!(envd.get("/files?path=new", &[]).status, 404);
    // The client goes away in the middle.
    let mut socket = crate::support::http::connect(envd.port);
    crate::support::http::send_head(
        &mut socket,
        "POST",
        "/files?path=gone",
        &[RAW],
        Some(10_000_000),
    );
    socket.write_all(&pattern(2_000_000)).expect("sent");
    assert!(crate::support::wait_for(|| envd
        .run("test -s gone")
        .exit_code()
        == 0));
    drop(socket);
    assert!(crate::support::wait_for(|| envd
        .get("/files?path=gone", &[])
        .status
        == 404));
}

#[test]
fn a_full_disk_is_507() {
    let envd = Envd::boot();
    let root = [("authorization", "Basic cm9vdDo=")];
    let mounted = envd.stream(
        "process.Process/Start",
        &root,
        &crate::support::rpc::shell(
            "mkdir /tmp/small && mount -t tmpfs -o size=1m tmpfs /tmp/small",
        ),
    );
    assert_eq!(mounted.finish().exit_code(), 0);
    let content = pattern(2_000_000);
    // With a length it is known before anything is changed.
    envd.write("/tmp/small/kept", b"kept");
    let refused = envd.post("/files?path=/tmp/small/kept", &[RAW], &content);
    assert_eq!(
        error(&refused),
        (
            507,
            "Cannot write '/tmp/small/kept': No space left on device".into()
        )
    );
    assert_eq!(envd.read("/tmp/small/kept"), b"kept");
    // Without one it is found while writing.
    for (headers, body) in [
        (&[FORM][..], form(&[("file", Some("x"), &content)])),
        (&[RAW, ("content-encoding", "gzip")], gzip(&content)),
    ] {
        let refused = envd.post("/files?path=/tmp/small/new", headers, &body);
        assert_eq!(error(&refused).0, 507);
        assert_eq!(envd.get("/files?path=/tmp/small/new", &[]).status, 404);
    }
    envd.write("/tmp/small/after", &pattern(500_000));
}

#[test]
fn compose_joins_and_removes() {
    let envd = Envd::boot();
    envd.write("p1", &pattern(700_000));
    envd.write("p2", b"tail");
    let compose = |body: crate::support::Value| {
        envd.post(
            "/files/compose",
            &[("content-type", "application/json")],
            body.to_string().as_bytes(),
        )
    };
    let composed = compose(
        json!({ "source_paths": ["p1", "p2"], "destination": "out/whole", "username": "user" }),
    );
    assert_eq!(
        composed.json(),
        json!({ "name": "whole", "path": "/home/user/out/whole", "type": "file" })
    );
    assert!(envd.read("out/whole") == [pattern(700_000), b"tail".to_vec()].concat());
    assert_eq!(envd.run("ls; stat -c %U out/whole").out(), "out\nuser\n");
    envd.write("p3", b"x");
    for (body, expected) in [
        (
            json!({ "source_paths": ["p3", "none"], "destination": "d" }),
            404,
        ),
        (json!({ "source_paths": ["p3"], "destination": "p3" }), 400),
        (json!({ "source_paths": [], "destination": "d" }), 400),
        (json!({ "source_paths": ["out"], "destination": "d" }), 400),
        (json!({ "destination": "d" }), 400),
        (
            json!({ "source_paths": ["p3"], "destination": "d", "username": "nobody-here" }),
            401,
        ),
    ] {
        assert_eq!(error(&compose(body)).0, expected);
    }
    assert_eq!(envd.read("p3"), b"x");
}
