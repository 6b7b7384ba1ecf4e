//! Signed file URLs: a hash over what may be done, by whom, with the secret access token in it.

use base64_simd::STANDARD_NO_PAD;
use hyper::HeaderMap;
use sha2::{Digest, Sha256};

use crate::http::access::equal;
use crate::http::error::HttpError;
use crate::http::query::Query;

/// What a signature allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    Read,
    Write,
}

/// The signature of a URL. `path` and `user` are the query's values as given, `expiration` is in
/// seconds since 1970.
pub fn sign(
    path: &str,
    operation: Operation,
    user: &str,
    token: &str,
    expiration: Option<&str>,
) -> String {
    let operation = match operation {
        Operation::Read => "read",
        Operation::Write => "write",
    };
    let mut text = format!("{path}:{operation}:{user}:{token}");
    if let Some(expiration) = expiration {
        text.push(':');
        text.push_str(expiration);
    }
    format!(
        "v1_{}",
        STANDARD_NO_PAD.encode_to_string(Sha256::digest(text))
    )
}

/// Lets a request pass that has the token or a valid signature.
pub fn check(
    token: Option<&str>,
    headers: &HeaderMap,
    query: &Query,
    operation: Operation,
) -> Result<(), HttpError> {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |time| time.as_secs());
    check_at(token, headers, query, operation, now as i64)
}

fn check_at(
    token: Option<&str>,
    headers: &HeaderMap,
    query: &Query,
    operation: Operation,
    now: i64,
) -> Result<(), HttpError> {
    let refused = |message: &str| Err(HttpError::new(401, message));
    let Some(token) = token else { return Ok(()) };
    if let Some(given) = headers.get("x-access-token") {
        if equal(given.as_bytes(), token.as_bytes()) {
            return Ok(());
        }
        return refused("access token present in header but does not match");
    }
    let Some(signature) = query.non_empty("signature") else {
        return refused("missing signature query parameter");
    };
    let expiration = query.non_empty("signature_expiration");
    let (path, user) = (
        query.get("path").unwrap_or_default(),
        query.get("username").unwrap_or_default(),
    );
    let expected = sign(path, operation, user, token, expiration);
    if !equal(
        signature.trim_end_matches('=').as_bytes(),
        expected.as_bytes(),
    ) {
        return refused("invalid signature");
    }
    match expiration.map(str::parse::<i64>) {
        Some(Err(_)) => refused("invalid signature"),
        Some(Ok(expiration)) if expiration < now => refused("signature is already expired"),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    const TOKEN: &str = "0tQG31xiMp0IOQfaz9dcwi72L1CPo8e0";
    const SIGNATURE: &str = "v1_gUtH/s9YCJWgCizjfUxuWfhFE4QSydOWEIIvfLwDr6E";

    fn check_query(query: &str) -> Result<(), String> {
        check_at(
            Some(TOKEN),
            &HeaderMap::new(),
            &Query::parse(Some(query)),
            Operation::Read,
            1000,
        )
        .map_err(|error| error.message)
    }

    #[test]
    fn agrees_with_the_contracts_vector() {
        assert_eq!(
            sign("hello.txt", Operation::Read, "user", TOKEN, None),
            SIGNATURE
        );
    }

    #[test]
    fn says_what_is_wrong_in_the_contracts_words() {
        let encoded = SIGNATURE.replace('/', "%2F");
        assert_eq!(
            check_query(&format!("path=hello.txt&username=user&signature={encoded}")),
            Ok(())
        );
        assert_eq!(
            check_query("path=hello.txt").expect_err("none"),
            "missing signature query parameter"
        );
        assert_eq!(
            check_query(&format!("path=other.txt&username=user&signature={encoded}"))
                .expect_err("other"),
            "invalid signature"
        );
        let signed = |expiration: &str| {
            let signature = sign("a", Operation::Read, "", TOKEN, Some(expiration))
                .replace('+', "%2B")
                .replace('/', "%2F");
            check_query(&format!(
                "path=a&signature={signature}&signature_expiration={expiration}"
            ))
        };
        assert_eq!(signed("1000"), Ok(()));
        assert_eq!(
            signed("999").expect_err("old"),
            "signature is already expired"
        );
        assert_eq!(signed("soon").expect_err("no number"), "invalid signature");
    }

    #[test]
    fn a_token_in_the_header_decides() {
        let mut headers = HeaderMap::new();
        headers.insert("x-access-token", HeaderValue::from_static(TOKEN));
        assert!(
            check_at(
                Some(TOKEN),
                &headers,
                &Query::default(),
                Operation::Write,
                0
            )
            .is_ok()
        );
        headers.insert("x-access-token", HeaderValue::from_static("wrong"));
        let error = check_at(
            Some(TOKEN),
            &headers,
            &Query::default(),
            Operation::Write,
            0,
        )
        .expect_err("wrong");
        assert_eq!(
            (error.status, error.message.as_str()),
            (401, "access token present in header but does not match")
        );
        assert!(
            check_at(
                None,
                &HeaderMap::new(),
                &Query::default(),
                Operation::Write,
                0
            )
            .is_ok()
        );
    }
}
