//! What a session did, counted.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// Counters of a session; bytes are of guest memory.
#[derive(Debug, Default)]
pub struct Stats {
    /// Faults that were read.
    pub faults: AtomicU64,
    /// Bytes that were copied because a thread waited for them.
    pub demand_bytes: AtomicU64,
    /// Bytes that were mapped as zeros.
    pub zero_bytes: AtomicU64,
    /// Bytes that were copied ahead, from the working set.
    pub replayed_bytes: AtomicU64,
    /// Bytes that the guest gave back.
    pub removed_bytes: AtomicU64,
    /// Bytes of holes that fault in the kernel alone.
    pub unregistered_bytes: AtomicU64,
    /// Pages that had to be read from the disk while a thread waited.
    pub cold_reads: AtomicU64,
    /// Installs that were repeated, for the memory was changing.
    pub retries: AtomicU64,
    /// Faults of this session that a pager before this one left.
    pub takeovers: AtomicU64,
}

/// The counters at one time.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Counts {
    faults: u64,
    demand_bytes: u64,
    zero_bytes: u64,
    replayed_bytes: u64,
    removed_bytes: u64,
    unregistered_bytes: u64,
    cold_reads: u64,
    retries: u64,
    takeovers: u64,
}

impl Stats {
    /// The counters now.
    pub fn counts(&self) -> Counts {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Counts {
            faults: get(&self.faults),
            demand_bytes: get(&self.demand_bytes),
            zero_bytes: get(&self.zero_bytes),
            replayed_bytes: get(&self.replayed_bytes),
            removed_bytes: get(&self.removed_bytes),
            unregistered_bytes: get(&self.unregistered_bytes),
            cold_reads: get(&self.cold_reads),
            retries: get(&self.retries),
            takeovers: get(&self.takeovers),
        }
    }
}

/// Counts.
pub fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}
