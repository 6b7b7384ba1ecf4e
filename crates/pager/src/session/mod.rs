//! Serving the memory of one restored VM: its VMM hands a userfaultfd over, and one thread answers
//! every page that is touched first (kernel: `Documentation/admin-guide/mm/userfaultfd.rst`).
//!
//! Only that thread reads events and installs pages. So an event that takes pages away is known
//! before the next page is installed, without a lock; threads that read cold bytes only hand them back.

pub mod descriptor;
pub mod end;
pub mod handshake;
mod install;
pub mod io_pool;
pub mod layout;
pub mod listener;
#[allow(unsafe_code)]
pub mod peer;
pub mod registry;
pub mod replay;
pub mod run;
pub mod serve;
pub mod stats;
#[allow(unsafe_code)]
pub mod tracker;
#[allow(unsafe_code)]
pub mod uffd;
#[allow(unsafe_code)]
pub mod window;
pub mod working_set;
