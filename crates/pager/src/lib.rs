//! The page server of a host: one process that serves the memory of restored VMs under a page
//! fault, and does the byte work of memory layers. Contract: `docs/reference/pager.md`.
#![deny(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod failure;
pub mod files;
pub mod layer;
pub mod process;
