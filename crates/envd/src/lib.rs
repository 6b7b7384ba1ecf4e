//! The guest agent: processes, terminals and files inside a sandbox, over HTTP.
//!
//! One thread runs everything; file system calls, which can block, go to a small pool.
//! Rules of every call: `docs/reference/envd.md`.
#![deny(unsafe_code)]

mod app;
mod blocking;
pub mod config;
mod connect;
mod files;
mod filesystem;
mod freeze;
pub mod fuzzing;
mod http;
mod init;
#[allow(unsafe_code)]
mod ioctl;
mod metrics;
mod paths;
mod process;
mod start_up;
mod timestamp;
mod users;
#[allow(unsafe_code)]
mod watched;

pub use start_up::run;
