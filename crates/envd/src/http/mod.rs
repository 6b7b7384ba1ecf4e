//! Plain HTTP: connections, routes, who may ask, bodies and error answers.

pub mod access;
pub mod body;
pub mod connections;
pub mod cors;
pub mod error;
pub mod query;
pub mod router;
pub mod server;
