//! Who may: tokens and signed URLs.

use super::{RAW, error};
use crate::support::{Envd, Response, json};

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
