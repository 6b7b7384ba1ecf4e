//! Installs a recorded working set ahead of the faults, in pieces of up to 2 MiB.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;

use super::layout::Layout;
use super::tracker::Tracker;
use super::window::Window;
use super::working_set::Extent;
use crate::layer::chain::Chain;
use crate::layer::mapping::{BLOCK_BYTES, Entry};

/// Bytes of one copy: larger ones are not faster, and a thread that faults meanwhile waits for its end.
const PIECE_BYTES: u64 = 2 << 20;
/// More is not replayed: a guest that needs so much at once is bound by its own work.
const MAX_BYTES: u64 = 256 << 20;
/// So many pieces are mapped ahead by the pool while others are copied: the copy itself then neither waits for the disk nor
/// faults.
const MAX_MAPPING: usize = 4;

/// A run of untouched pages with one holder, in one region of the VMM.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    /// What it is.
    pub entry: Entry,
    /// Where it goes.
    pub address: u64,
    /// Whether its bytes are mapped in their window already.
    pub mapped: bool,
}

/// A replay under way.
#[derive(Debug)]
pub struct Replay {
    extents: VecDeque<Extent>,
    mapped: VecDeque<Extent>,
    mapping: usize,
    left: u64,
    windows: HashMap<u32, Arc<Window>>,
}

impl Replay {
    /// Of a working set.
    pub fn new(extents: Vec<Extent>) -> Self {
        Self {
            extents: extents.into(),
            mapped: VecDeque::new(),
            mapping: 0,
            left: MAX_BYTES,
            windows: HashMap::new(),
        }
    }

    /// Whether a piece can be installed now.
    pub fn is_ready(&self) -> bool {
        !self.mapped.is_empty() || (!self.extents.is_empty() && self.mapping < MAX_MAPPING)
    }

    /// Whether nothing is left.
    pub fn is_done(&self) -> bool {
        self.mapped.is_empty() && self.extents.is_empty() && self.mapping == 0
    }

    /// The next piece. Pages that became something meanwhile are left out.
    pub fn next(&mut self, chain: &Chain, layout: &Layout, tracker: &Tracker) -> Option<Piece> {
        loop {
            let mapped = !self.mapped.is_empty();
            if !mapped && self.mapping >= MAX_MAPPING {
                return None;
            }
            let queue = if mapped {
                &mut self.mapped
            } else {
                &mut self.extents
            };
            let mut extent = queue.pop_front()?;
            while extent.length > 0 {
                let found = piece_at(extent, chain, layout, tracker);
                let taken = found.map_or(BLOCK_BYTES, |piece| piece.entry.length);
                extent.offset += taken;
                extent.length -= taken;
                if let Some(piece) = found {
                    if taken > self.left {
                        self.extents.clear();
                        self.mapped.clear();
                        return None;
                    }
                    self.left -= taken;
                    if extent.length > 0 {
                        queue.push_front(extent);
                    }
                    return Some(Piece { mapped, ..piece });
                }
            }
        }
    }

    /// Takes back what of a piece was not installed.
    pub fn put_back(&mut self, piece: &Piece, done: u64) {
        let rest = Extent {
            offset: piece.entry.offset + done,
            length: piece.entry.length - done,
        };
        self.left += rest.length;
        if rest.length > 0 && piece.mapped {
            self.mapped.push_front(rest);
        } else if rest.length > 0 {
            self.extents.push_front(rest);
        }
    }

    /// A piece goes to the pool.
    pub fn start_mapping(&mut self) {
        self.mapping += 1;
    }

    /// A piece came back; `usable`: it is mapped.
    pub fn finish_mapping(&mut self, extent: Extent, usable: bool) {
        self.mapping -= 1;
        if usable {
            self.left += extent.length;
            self.mapped.push_back(extent);
        }
    }

    /// The window to a build's file.
    pub fn window(&mut self, chain: &Chain, index: u32) -> io::Result<&Arc<Window>> {
        use std::collections::hash_map::Entry::{Occupied, Vacant};
        match self.windows.entry(index) {
            Occupied(window) => Ok(window.into_mut()),
            Vacant(empty) => Ok(empty.insert(Arc::new(Window::open(chain.file(index))?))),
        }
    }
}

fn piece_at(extent: Extent, chain: &Chain, layout: &Layout, tracker: &Tracker) -> Option<Piece> {
    let entry = chain.mapping().look_up(extent.offset)?;
    let place = layout.place_of(extent.offset)?;
    let limit = PIECE_BYTES
        .min(extent.length)
        .min(place.length)
        .min(place.to_hole_border())
        .min(entry.end() - extent.offset);
    let length = tracker.untouched(extent.offset, limit);
    (length > 0).then(|| Piece {
        entry: entry.slice(extent.offset, extent.offset + length),
        address: place.address,
        mapped: false,
    })
}
