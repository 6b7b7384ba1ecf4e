//! What the headers of a call say: who calls, until when, how often to send a sign of life.

use std::time::Duration;

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use tokio::time::Instant;

use super::Error;
use super::json::decode_base64;

/// Largest request message, in bytes.
pub const MAX_MESSAGE: usize = 4 * 1024 * 1024;

const DEFAULT_KEEPALIVE: Duration = Duration::from_secs(90);

/// The headers of a call.
#[derive(Clone, Debug)]
pub struct Call {
    /// Name in the `Authorization: Basic` header; `None` means the sandbox's default user.
    pub user: Option<String>,
    /// From `Connect-Timeout-Ms`, on the monotonic clock, which stands still while the VM is paused.
    pub deadline: Option<Instant>,
    /// Longest silence on a stream.
    pub keepalive: Duration,
}

impl Call {
    pub fn from_headers(headers: &HeaderMap) -> Result<Self, Error> {
        let deadline = match number(headers, "connect-timeout-ms")? {
            Some(ms) => Instant::now().checked_add(Duration::from_millis(ms)),
            None => None,
        };
        let keepalive = match number(headers, "keepalive-ping-interval")? {
            Some(seconds) if seconds > 0 => Duration::from_secs(seconds.min(24 * 3600)),
            _ => DEFAULT_KEEPALIVE,
        };
        Ok(Call {
            user: basic_user(headers)?,
            deadline,
            keepalive,
        })
    }
}

fn number(headers: &HeaderMap, name: &str) -> Result<Option<u64>, Error> {
    let Some(value) = headers.get(name) else {
        return Ok(None);
    };
    // The protocol allows at most ten digits.
    value
        .to_str()
        .ok()
        .filter(|text| text.len() <= 10)
        .and_then(|text| text.parse().ok())
        .map(Some)
        .ok_or_else(|| Error::invalid(format!("invalid {name} header {value:?}")))
}

fn basic_user(headers: &HeaderMap) -> Result<Option<String>, Error> {
    let Some(value) = headers.get(AUTHORIZATION) else {
        return Ok(None);
    };
    let invalid = || {
        Error::new(
            super::Code::Unauthenticated,
            "invalid Authorization header, expected Basic credentials",
        )
    };
    let text = value.to_str().map_err(|_| invalid())?;
    let (scheme, credentials) = text.split_once(' ').ok_or_else(invalid)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(invalid());
    }
    let decoded = decode_base64(credentials.trim())
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(invalid)?;
    let user = decoded
        .split_once(':')
        .map_or(decoded.as_str(), |(user, _password)| user);
    Ok((!user.is_empty()).then(|| user.to_owned()))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn call(name: &'static str, value: &'static str) -> Result<Call, Error> {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        Call::from_headers(&headers)
    }

    #[test]
    fn takes_the_user_of_basic_credentials() {
        assert_eq!(
            call("authorization", "Basic cm9vdDo=")
                .expect("valid")
                .user
                .as_deref(),
            Some("root")
        );
        assert_eq!(
            call("authorization", "basic Og==").expect("valid").user,
            None
        );
        for bad in ["Bearer x", "Basic", "Basic *"] {
            assert_eq!(
                call("authorization", bad).expect_err(bad).code,
                super::super::Code::Unauthenticated
            );
        }
    }

    #[test]
    fn takes_timeouts_and_intervals() {
        assert!(
            call("connect-timeout-ms", "60000")
                .expect("valid")
                .deadline
                .is_some()
        );
        assert!(call("x-other", "1").expect("valid").deadline.is_none());
        call("connect-timeout-ms", "-1").expect_err("negative");
        call("connect-timeout-ms", "99999999999").expect_err("eleven digits");
        assert_eq!(
            call("keepalive-ping-interval", "50")
                .expect("valid")
                .keepalive,
            Duration::from_secs(50)
        );
        assert_eq!(
            call("keepalive-ping-interval", "0")
                .expect("valid")
                .keepalive,
            DEFAULT_KEEPALIVE
        );
    }
}
