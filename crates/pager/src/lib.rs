//! The page server of a host: one process that serves the memory of restored VMs under a page
//! fault, and does the byte work of memory layers. Contract: `docs/reference/pager.md`.
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod api;
mod command;
pub mod failure;
pub mod files;
pub mod http;
pub mod layer;
pub mod process;
pub mod session;

pub use command::process_main;
