//! The Connect protocol with JSON bodies: errors, envelopes, unary calls, server and client streams.
//! Specification: <https://connectrpc.com/docs/protocol>.

pub mod call;
pub mod error;
pub mod frame;
pub mod json;
pub mod stream;
pub mod unary;

pub use error::{Code, Error};
