//! Processes started through the agent: their start, terminals, output, input, signals and end.

pub mod cgroup;
pub mod command;
pub mod end;
pub mod follow;
pub mod follower;
pub mod handle;
pub mod input;
pub mod kill;
pub mod messages;
pub mod oom;
pub mod output;
pub mod pty;
pub mod registry;
pub mod ring;
pub mod service;
pub mod signal;
#[allow(unsafe_code)]
pub mod spawn;
pub mod start;
pub mod supervise;
pub mod usage;
