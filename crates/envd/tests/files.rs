//! `/files`, against the real agent.

mod support;

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use support::{Envd, Response, json};

const RAW: (&str, &str) = ("content-type", "application/octet-stream");
const FORM: (&str, &str) = ("content-type", "multipart/form-data; boundary=XX");

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    GzDecoder::new(bytes)
        .read_to_end(&mut decoded)
        .expect("gzip");
    decoded
}

/// A form with parts (name, file name, content).
fn form(parts: &[(&str, Option<&str>, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (name, filename, content) in parts {
        let filename = filename.map_or(String::new(), |filename| {
            format!("; filename=\"{filename}\"")
        });
        body.extend(
            format!("--XX\r\nContent-Disposition: form-data; name=\"{name}\"{filename}\r\n\r\n")
                .bytes(),
        );
        body.extend(*content);
        body.extend(b"\r\n");
    }
    body.extend(b"--XX--\r\n");
    body
}

fn error(response: &Response) -> (u16, String) {
    let body = response.json();
    assert_eq!(
        body["code"].as_u64(),
        Some(response.status.into()),
        "code repeats the status"
    );
    (
        response.status,
        body["message"].as_str().expect("a message").to_owned(),
    )
}

/// Bytes in which every position is recognizable.
fn pattern(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 7) as u8)
        .collect()
}

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
    let mut socket = support::http::connect(envd.port);
    support::http::send_head(
        &mut socket,
        "POST",
        "/files?path=gone",
        &[RAW],
        Some(10_000_000),
    );
    socket.write_all(&pattern(2_000_000)).expect("sent");
    assert!(support::wait_for(
        || envd.run("test -s gone").exit_code() == 0
    ));
    drop(socket);
    assert!(support::wait_for(|| envd
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
        &support::rpc::shell("mkdir /tmp/small && mount -t tmpfs -o size=1m tmpfs /tmp/small"),
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
fn gzip_both_ways() {
    let envd = Envd::boot();
    for size in [0, 10, 300_000, 3_000_000] {
        let content = pattern(size);
        let written = envd.post(
            "/files?path=g.txt",
            &[RAW, ("content-encoding", "gzip")],
            &gzip(&content),
        );
        assert_eq!(written.status, 200);
        assert!(envd.read("g.txt") == content, "{size}");
        let read = envd.get("/files?path=g.txt", &[("accept-encoding", "gzip, deflate")]);
        assert_eq!(read.header("vary"), Some("Accept-Encoding"));
        if size == 0 {
            assert_eq!(
                (
                    read.header("content-encoding"),
                    read.header("content-length")
                ),
                (None, Some("0"))
            );
        } else {
            assert_eq!(read.header("content-encoding"), Some("gzip"));
            assert!(gunzip(&read.body) == content, "{size}");
        }
    }
    let form = gzip(&form(&[("file", Some("in-form"), b"zipped")]));
    envd.post("/files", &[FORM, ("content-encoding", "gzip")], &form);
    assert_eq!(envd.read("in-form"), b"zipped");
    assert_eq!(
        error(&envd.get(
            "/files?path=g.txt",
            &[("accept-encoding", "br, identity;q=0")]
        ))
        .0,
        406
    );
}

#[test]
fn headers_of_a_download() {
    let envd = Envd::boot();
    envd.write("page.html", b"<p>");
    let read = envd.get("/files?path=page.html", &[]);
    assert_eq!(
        read.header("content-type"),
        Some("text/html; charset=utf-8")
    );
    assert_eq!(read.header("content-disposition"), Some("inline"));
    assert_eq!(read.header("x-content-type-options"), Some("nosniff"));
    assert!(read.header("last-modified").is_some() && read.header("etag").is_some());
    assert_eq!(
        support::request(envd.port, "HEAD", "/files?path=page.html", &[], b"")
            .header("content-length"),
        Some("3")
    );
}

#[test]
fn downloads_that_fail() {
    let envd = Envd::boot();
    envd.run("mkfifo pipe; mkdir dir");
    assert_eq!(
        error(&envd.get("/files?path=none", &[])),
        (
            404,
            "Cannot read '/home/user/none': No such file or directory".into()
        )
    );
    assert_eq!(error(&envd.get("/files?path=dir", &[])).0, 400);
    assert_eq!(error(&envd.get("/files?path=pipe", &[])).0, 400);
    assert_eq!(error(&envd.get("/files?path=/dev/zero", &[])).0, 400);
    assert_eq!(
        error(&envd.get("/files?path=page&username=nobody-here", &[])).0,
        401
    );
    assert_eq!(error(&envd.get("/files?path=", &[])).0, 400);
}

#[test]
fn kernel_files_are_read_to_their_end() {
    let envd = Envd::boot();
    assert_eq!(envd.read("/proc/sys/kernel/random/boot_id").len(), 37);
    assert!(envd.read("/proc/meminfo").starts_with(b"MemTotal"));
    // Says a page, holds less.
    assert!(
        envd.read("/sys/kernel/mm/transparent_hugepage/enabled")
            .len()
            < 100
    );
    // A file that waits for news ends instead.
    envd.get("/files?path=/proc/kmsg", &[]);
    assert_eq!(envd.get("/health", &[]).status, 204);
}

#[test]
fn ranges_and_conditions() {
    let envd = Envd::boot();
    for content in [pattern(10), pattern(1_000_000)] {
        envd.write("r", &content);
        let last = content.len() - 1;
        let part = envd.get(
            "/files?path=r",
            &[("range", "bytes=3-5"), ("accept-encoding", "gzip")],
        );
        assert_eq!((part.status, part.body.as_slice()), (206, &content[3..6]));
        assert_eq!(
            part.header("content-range"),
            Some(format!("bytes 3-5/{}", content.len()).as_str())
        );
        let tail = envd.get("/files?path=r", &[("range", "bytes=-4")]);
        assert_eq!(tail.body, content[content.len() - 4..]);
        let outside = envd.get(
            "/files?path=r",
            &[("range", &format!("bytes={}-", last + 1))],
        );
        assert_eq!(
            (outside.status, outside.header("content-range")),
            (416, Some(format!("bytes */{}", content.len()).as_str()))
        );

        let whole = envd.get("/files?path=r", &[]);
        let (tag, date) = (
            whole.header("etag").expect("a tag"),
            whole.header("last-modified").expect("a date"),
        );
        assert_eq!(
            envd.get("/files?path=r", &[("if-none-match", tag)]).status,
            304
        );
        assert_eq!(
            envd.get("/files?path=r", &[("if-modified-since", date)])
                .status,
            304
        );
        assert_eq!(
            envd.get("/files?path=r", &[("if-match", "\"other\"")])
                .status,
            412
        );
        let current = envd.get(
            "/files?path=r",
            &[("if-range", tag), ("range", "bytes=0-0")],
        );
        let stale = envd.get(
            "/files?path=r",
            &[("if-range", "\"old\""), ("range", "bytes=0-0")],
        );
        assert_eq!((current.status, stale.status), (206, 200));
        envd.write("r", b"changed");
        assert_eq!(
            envd.get("/files?path=r", &[("if-none-match", tag)]).status,
            200
        );
    }
}

#[test]
fn metadata_is_replaced_as_a_whole() {
    let envd = Envd::boot();
    let root = [("authorization", "Basic cm9vdDo=")];
    // tmpfs before Linux 6.6 has no user attributes: look before.
    let probe = envd.post("/files?path=probe", &[RAW, ("x-metadata-a", "b")], b"");
    if probe.status != 200 {
        assert_eq!(error(&probe).0, 400);
        return;
    }
    let stat = || {
        envd.call("filesystem.Filesystem/Stat", json!({ "path": "m.txt" }))["entry"]["metadata"]
            .clone()
    };
    let written = envd.post(
        "/files?path=m.txt",
        &[RAW, ("X-Metadata-Author", "me"), ("x-metadata-kind", "a b")],
        b"1",
    );
    assert_eq!(
        written.json()[0]["metadata"],
        json!({ "author": "me", "kind": "a b" })
    );
    assert_eq!(stat(), json!({ "author": "me", "kind": "a b" }));
    envd.post(
        "/files?path=m.txt",
        &[FORM, ("x-metadata-kind", "c")],
        &form(&[("file", None, b"2")]),
    );
    assert_eq!(stat(), json!({ "kind": "c" }));
    let cleared = envd.post("/files?path=m.txt", &[RAW], b"3");
    assert_eq!(cleared.json()[0].get("metadata"), None);
    assert!(stat().is_null());
    let attributes = envd
        .stream(
            "process.Process/Start",
            &root,
            &support::rpc::shell(
                "python3 -c 'import os; print(os.listxattr(\"/home/user/probe\"))'",
            ),
        )
        .finish();
    assert!(attributes.exit_code() != 0 || attributes.out().contains("user.e2b.a"));
}

#[test]
fn tokens_and_signatures() {
    let envd = Envd::boot();
    envd.write("s.txt", b"signed");
    envd.init(json!({ "accessToken": "0tQG31xiMp0IOQfaz9dcwi72L1CPo8e0", "lifecycleID": "1" }));
    let message = |response: Response| {
        assert_eq!(response.status, 401);
        error(&response).1
    };
    assert_eq!(
        message(envd.get("/files?path=s.txt", &[])),
        "missing signature query parameter"
    );
    assert_eq!(
        message(envd.get("/files?path=s.txt", &[("x-access-token", "x")])),
        "access token present in header but does not match"
    );
    assert_eq!(
        message(envd.get("/files?path=s.txt&signature=v1_x", &[])),
        "invalid signature"
    );
    assert_eq!(
        envd.get(
            "/files?path=s.txt",
            &[("x-access-token", "0tQG31xiMp0IOQfaz9dcwi72L1CPo8e0")]
        )
        .body,
        b"signed"
    );
    // The contract's vector, and an expired one: made with sha256sum.
    let vector = "/files?path=hello.txt&username=user&signature=v1_gUtH/s9YCJWgCizjfUxuWfhFE4QSydOWEIIvfLwDr6E";
    assert_eq!(envd.get(vector, &[]).status, 404);
    assert_eq!(message(envd.post(vector, &[RAW], b"")), "invalid signature");
    let sign = |text: &str| {
        use base64::Engine;
        use sha2::Digest;
        let hash =
            base64::engine::general_purpose::STANDARD_NO_PAD.encode(sha2::Sha256::digest(text));
        hash.replace('+', "%2B")
    };
    let token = "0tQG31xiMp0IOQfaz9dcwi72L1CPo8e0";
    let write = sign(&format!("up.txt:write:user:{token}:99999999999"));
    let uploaded = envd.post(
        &format!(
            "/files?path=up.txt&username=user&signature=v1_{write}&signature_expiration=99999999999"
        ),
        &[RAW],
        b"x",
    );
    assert_eq!(
        uploaded.json(),
        json!([{ "name": "up.txt", "path": "/home/user/up.txt", "type": "file" }])
    );
    let old = sign(&format!("up.txt:read::{token}:1000"));
    let expired = envd.get(
        &format!("/files?path=up.txt&signature=v1_{old}&signature_expiration=1000"),
        &[],
    );
    assert_eq!(
        expired.json(),
        json!({ "code": 401, "message": "signature is already expired" })
    );
    let unauthorized =
        "unauthorized access, please provide a valid access token or method signing if supported";
    assert_eq!(
        message(envd.post("/files/compose", &[], b"{}")),
        unauthorized
    );
}

#[test]
fn compose_joins_and_removes() {
    let envd = Envd::boot();
    envd.write("p1", &pattern(700_000));
    envd.write("p2", b"tail");
    let compose = |body: support::Value| {
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
