//! Metadata of files.

use super::{FORM, RAW, error, form};
use crate::support::{Envd, json};

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
            &crate::support::rpc::shell(
                "python3 -c 'import os; print(os.listxattr(\"/home/user/probe\"))'",
            ),
        )
        .finish();
    assert!(attributes.exit_code() != 0 || attributes.out().contains("user.e2b.a"));
}
