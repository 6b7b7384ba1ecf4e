//! Who may ask: the gateway's address for every connection, the access token for every request
//! that has no rule of its own.

use std::net::{IpAddr, Ipv4Addr};

use hyper::HeaderMap;

use super::error::HttpError;

/// Which peers are listened to.
#[derive(Clone, Copy, Debug)]
pub struct Peers {
    /// The host's end of the sandbox's network link.
    pub gateway: Ipv4Addr,
    /// For tests, which run the agent outside a sandbox.
    pub allow_loopback: bool,
}

impl Peers {
    /// Processes of the sandbox reach the port too; they are not answered, so that none of them
    /// can act as root before a token is set.
    pub fn accepts(&self, peer: IpAddr) -> bool {
        peer == IpAddr::V4(self.gateway) || (self.allow_loopback && peer.is_loopback())
    }
}

const MESSAGE: &str =
    "unauthorized access, please provide a valid access token or method signing if supported";

/// Checks `X-Access-Token` against the sandbox's token, if it has one.
pub fn check_token(headers: &HeaderMap, token: Option<&str>) -> Result<(), HttpError> {
    let Some(token) = token else { return Ok(()) };
    match headers.get("x-access-token") {
        Some(given) if equal(given.as_bytes(), token.as_bytes()) => Ok(()),
        _ => Err(HttpError::new(401, MESSAGE)),
    }
}

/// Compares in a time that tells nothing about where the difference is.
pub fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .fold(0, |difference, (x, y)| difference | (x ^ y))
            == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listens_to_the_gateway_only() {
        let gateway = Ipv4Addr::new(169, 254, 0, 22);
        let peers = Peers {
            gateway,
            allow_loopback: false,
        };
        assert!(peers.accepts(gateway.into()));
        assert!(!peers.accepts(Ipv4Addr::LOCALHOST.into()));
        assert!(!peers.accepts(Ipv4Addr::new(169, 254, 0, 21).into()));
        assert!(
            Peers {
                gateway,
                allow_loopback: true
            }
            .accepts(Ipv4Addr::LOCALHOST.into())
        );
    }

    #[test]
    fn compares_whole_tokens() {
        assert!(equal(b"secret", b"secret"));
        assert!(!equal(b"secret", b"secreT"));
        assert!(!equal(b"secret", b"secre"));
    }
}
