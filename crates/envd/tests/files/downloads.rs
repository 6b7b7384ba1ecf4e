//! Downloads: headers, ranges, compression, files without a size.

use super::{FORM, RAW, error, form, gunzip, gzip, pattern};
use crate::support::Envd;

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
        crate::support::request(envd.port, "HEAD", "/files?path=page.html", &[], b"")
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
