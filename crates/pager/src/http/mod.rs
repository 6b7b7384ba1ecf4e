//! As much of HTTP/1.1 as a client on the same host needs: one request with a sized body per
//! connection, one JSON answer.

pub mod request;
pub mod response;
pub mod server;
