//! Requests of another shape, and in pieces.

use std::io::Write;

use crate::support::rpc::{envelope, shell};
use crate::support::{Envd, json};

#[test]
fn requests_of_another_shape_are_refused() {
    let envd = Envd::boot();
    assert_eq!(envd.get("/process.Process/List", &[]).status, 405);
    assert_eq!(envd.post("/process.Process/Nope", &[], b"{}").status, 404);
    assert_eq!(
        envd.post(
            "/process.Process/List",
            &[("content-type", "text/plain")],
            b"{}"
        )
        .status,
        415
    );
    assert_eq!(
        envd.post(
            "/process.Process/Start",
            &[("content-type", "application/json")],
            b"{}"
        )
        .status,
        415
    );
    assert_eq!(
        envd.call_raw(
            "process.Process/List",
            &[("content-encoding", "gzip")],
            &json!({})
        )
        .status,
        501
    );
    let bad = envd.post(
        "/process.Process/List",
        &[("content-type", "application/json")],
        b"{",
    );
    assert_eq!(
        (bad.status, bad.json()["code"].as_str()),
        (400, Some("invalid_argument"))
    );
    let huge = envd.post(
        "/process.Process/List",
        &[("content-type", "application/json; charset=utf-8")],
        &vec![b' '; 5 << 20],
    );
    assert_eq!(
        (huge.status, huge.json()["code"].as_str()),
        (429, Some("resource_exhausted"))
    );
    for (body, code) in [
        (envelope(1, b"{}"), "unimplemented"),
        (envelope(0, b"{"), "invalid_argument"),
        (vec![0, 0xff, 0xff, 0xff, 0xff], "resource_exhausted"),
        (vec![0, 0, 0, 0, 9, b'{'], "invalid_argument"),
        (Vec::new(), "invalid_argument"),
    ] {
        assert_eq!(
            envd.stream_of("process.Process/Start", &[], &body)
                .finish()
                .error(),
            code
        );
    }
    // Unknown fields are skipped.
    assert_eq!(
        envd.call("process.Process/List", json!({ "new": 1 }))["processes"],
        json!([])
    );
}

#[test]
fn a_request_may_come_in_small_pieces() {
    let envd = Envd::boot();
    let mut socket = crate::support::http::connect(envd.port);
    crate::support::http::send_head(
        &mut socket,
        "POST",
        "/process.Process/Start",
        &[("content-type", "application/connect+json")],
        None,
    );
    for byte in envelope(0, shell("echo pieces").to_string().as_bytes()) {
        write!(socket, "1\r\n").expect("sent");
        socket.write_all(&[byte, b'\r', b'\n']).expect("sent");
    }
    write!(socket, "0\r\n\r\n").expect("sent");
    let mut reader = std::io::BufReader::new(socket);
    assert_eq!(crate::support::http::read_head(&mut reader).0, 200);
    let mut bytes = Vec::new();
    while let Some(chunk) = crate::support::http::read_chunk(&mut reader) {
        bytes.extend(chunk);
    }
    assert!(String::from_utf8_lossy(&bytes).contains("cGllY2VzCg=="));
}
