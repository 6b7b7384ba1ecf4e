//! The built pager against the real kernel: every test starts one and, as its VMM, this test program
//! again (`vmm.rs`). Needs root.
#![allow(clippy::unwrap_used, missing_docs)]

mod failing_disk;
mod failing_kernel;
mod harness;
mod kernel;
mod layers;
mod page_server;
mod strace;
mod takeover;
mod vmm;

#[test]
#[ignore = "the VMM that the other tests start"]
fn play_vmm() {
    vmm::play();
}
