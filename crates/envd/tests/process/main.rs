//! The calls of `process.Process`, against the real agent.

mod input;
mod requests;
mod signals;
mod start;
mod streams;
#[path = "../support/mod.rs"]
mod support;
mod timeouts;

use std::time::Duration;

use support::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);

fn selector(pid: u64) -> Value {
    json!({ "process": { "pid": pid } })
}

fn signal(pid: u64, signal: &str) -> Value {
    json!({ "process": { "pid": pid }, "signal": signal })
}

fn input(pid: u64, bytes: &str) -> Value {
    use base64::Engine;
    json!({ "process": { "pid": pid }, "input": { "stdin": base64::engine::general_purpose::STANDARD.encode(bytes) } })
}
