//! Which build holds each byte of a guest's memory: a sorted, gapless list that covers all of it.
//! An entry names a build and where in that build's storage the bytes are, or nobody: zeros. A page
//! that the guest zeroed is such an entry; only what the guest did not touch inherits its parent.
//!
//! The twin of `apps/host-agent/src/snapshot/mapping.ts`; `tests/vectors` holds both to the same bytes.

use std::fmt;

/// The unit of every offset and length: the guest's page.
pub const BLOCK_BYTES: u64 = 4096;

/// Names one layer's bytes: 1 to 32 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BuildId(String);

impl BuildId {
    /// Longest id, in bytes.
    pub const MAX_BYTES: usize = 32;

    /// Checks the characters; `None` for anything that a header cannot hold.
    pub fn new(id: impl Into<String>) -> Option<Self> {
        let id = id.into();
        let valid = (1..=Self::MAX_BYTES).contains(&id.len())
            && id.bytes().all(|byte| (0x21..=0x7e).contains(&byte));
        valid.then_some(Self(id))
    }

    /// The id as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for BuildId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Who holds the bytes of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// Nobody: they are zeros.
    Zeros,
    /// A build.
    Build {
        /// Position in [`Mapping::builds`].
        index: u32,
        /// Where the entry begins in that build's storage.
        storage_offset: u64,
    },
}

impl Holder {
    /// The holder of what begins `skipped` bytes further on.
    pub fn advance(self, skipped: u64) -> Self {
        match self {
            Self::Zeros => Self::Zeros,
            Self::Build {
                index,
                storage_offset,
            } => Self::Build {
                index,
                storage_offset: storage_offset + skipped,
            },
        }
    }
}

/// A run of guest memory with one holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Where it begins in guest memory.
    pub offset: u64,
    /// Its bytes; never 0.
    pub length: u64,
    /// Who holds them.
    pub holder: Holder,
}

impl Entry {
    /// One past its last byte.
    pub fn end(&self) -> u64 {
        self.offset + self.length
    }

    /// The part of it in `[from, to)`, which lies inside.
    pub fn slice(&self, from: u64, to: u64) -> Self {
        Self {
            offset: from,
            length: to - from,
            holder: self.holder.advance(from - self.offset),
        }
    }
}

/// A run that a new build puts over its parent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Where it begins in guest memory.
    pub offset: u64,
    /// Its bytes.
    pub length: u64,
    /// Where it begins in the new build's storage; `None`: it is zeros.
    pub storage_offset: Option<u64>,
}

impl Run {
    fn end(&self) -> u64 {
        self.offset + self.length
    }
}

/// Why a list of entries is not a mapping.
#[derive(Debug, PartialEq, Eq)]
pub enum InvalidMapping {
    /// The entry at this offset leaves a gap, overlaps, is empty, or is not in whole blocks.
    BadEntry(u64),
    /// The entries cover `covered` bytes of `size`.
    WrongSize {
        /// What they cover.
        covered: u64,
        /// What they have to cover.
        size: u64,
    },
}

impl fmt::Display for InvalidMapping {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadEntry(offset) => write!(out, "bad entry at {offset}"),
            Self::WrongSize { covered, size } => write!(out, "it covers {covered} of {size} bytes"),
        }
    }
}

/// The whole of a guest's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    builds: Vec<BuildId>,
    entries: Vec<Entry>,
}

impl Mapping {
    /// Memory that is nothing but zeros.
    pub fn zeros(size: u64) -> Self {
        Self::single(Vec::new(), size, Holder::Zeros)
    }

    /// Memory that is whole in one build.
    pub fn whole(build: BuildId, size: u64) -> Self {
        let holder = Holder::Build {
            index: 0,
            storage_offset: 0,
        };
        Self::single(vec![build], size, holder)
    }

    fn single(builds: Vec<BuildId>, size: u64, holder: Holder) -> Self {
        let entry = Entry {
            offset: 0,
            length: size,
            holder,
        };
        let entries = if size == 0 { Vec::new() } else { vec![entry] };
        Self { builds, entries }
    }

    /// Takes entries as they were read, if they cover exactly `size` in whole blocks. Every build
    /// index must have been checked against `builds`.
    pub fn from_entries(
        builds: Vec<BuildId>,
        entries: Vec<Entry>,
        size: u64,
    ) -> Result<Self, InvalidMapping> {
        let mut covered = 0_u64;
        for entry in &entries {
            let storage_offset = match entry.holder {
                Holder::Zeros => 0,
                Holder::Build { storage_offset, .. } => storage_offset,
            };
            let aligned = [entry.offset, entry.length, storage_offset]
                .iter()
                .all(|value| value % BLOCK_BYTES == 0);
            let end = covered.checked_add(entry.length);
            let storage_ends = storage_offset.checked_add(entry.length).is_some();
            match end {
                Some(end)
                    if entry.offset == covered && entry.length > 0 && aligned && storage_ends =>
                {
                    covered = end;
                }
                _ => return Err(InvalidMapping::BadEntry(entry.offset)),
            }
        }
        if covered != size {
            return Err(InvalidMapping::WrongSize { covered, size });
        }
        Ok(Self { builds, entries })
    }

    /// Every build that an entry may name.
    pub fn builds(&self) -> &[BuildId] {
        &self.builds
    }

    /// The entries, in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Bytes of guest memory.
    pub fn size(&self) -> u64 {
        self.entries.last().map_or(0, Entry::end)
    }

    /// The entry that holds `offset`, by binary search; `None` outside of the memory.
    pub fn look_up(&self, offset: u64) -> Option<&Entry> {
        let after = self.entries.partition_point(|entry| entry.offset <= offset);
        let entry = &self.entries[after.checked_sub(1)?];
        (offset < entry.end()).then_some(entry)
    }

    /// The entries that cover `[from, to)`, cut to it.
    pub fn between(&self, from: u64, to: u64) -> impl Iterator<Item = Entry> + '_ {
        let first = self.entries.partition_point(|entry| entry.end() <= from);
        self.entries[first..]
            .iter()
            .take_while(move |entry| entry.offset < to)
            .map(move |entry| entry.slice(entry.offset.max(from), entry.end().min(to)))
    }

    /// Puts the runs of `build` (sorted, not overlapping, inside of the memory) over this mapping.
    pub fn overlay(&self, build: &BuildId, runs: impl IntoIterator<Item = Run>) -> Self {
        let mut joined = Joined::new(&self.builds, build);
        let mut runs = runs.into_iter().peekable();
        for entry in &self.entries {
            let mut at = entry.offset;
            while at < entry.end() {
                while runs.next_if(|run| run.end() <= at).is_some() {}
                match runs.peek() {
                    Some(run) if run.offset < entry.end() => {
                        if run.offset > at {
                            joined.push(entry.slice(at, run.offset));
                            at = run.offset;
                        }
                        let stop = run.end().min(entry.end());
                        let index = joined.own_index;
                        let holder = run.storage_offset.map_or(Holder::Zeros, |storage_offset| {
                            Holder::Build {
                                index,
                                storage_offset: storage_offset + (at - run.offset),
                            }
                        });
                        joined.push(Entry {
                            offset: at,
                            length: stop - at,
                            holder,
                        });
                        at = stop;
                    }
                    _ => {
                        joined.push(entry.slice(at, entry.end()));
                        at = entry.end();
                    }
                }
            }
        }
        joined.into_mapping()
    }

    /// The same mapping without builds that no entry names, the others in order of first use.
    fn pruned(self) -> Self {
        let mut positions = vec![None; self.builds.len()];
        let mut builds = Vec::new();
        let mut entries = self.entries;
        for entry in &mut entries {
            if let Holder::Build { index, .. } = &mut entry.holder {
                let old = *index as usize;
                let new = *positions[old].get_or_insert_with(|| {
                    builds.push(self.builds[old].clone());
                    (builds.len() - 1) as u32
                });
                *index = new;
            }
        }
        Self { builds, entries }
    }
}

/// Entries that join as they are appended: only what goes on in storage too.
struct Joined {
    builds: Vec<BuildId>,
    own_index: u32,
    entries: Vec<Entry>,
}

impl Joined {
    fn new(builds: &[BuildId], own: &BuildId) -> Self {
        let mut builds = builds.to_vec();
        let own_index = builds
            .iter()
            .position(|build| build == own)
            .unwrap_or_else(|| {
                builds.push(own.clone());
                builds.len() - 1
            }) as u32;
        Self {
            builds,
            own_index,
            entries: Vec::new(),
        }
    }

    fn push(&mut self, entry: Entry) {
        match self.entries.last_mut() {
            Some(last) if last.holder.advance(last.length) == entry.holder => {
                last.length += entry.length
            }
            _ => self.entries.push(entry),
        }
    }

    fn into_mapping(self) -> Mapping {
        Mapping {
            builds: self.builds,
            entries: self.entries,
        }
        .pruned()
    }
}

#[cfg(test)]
mod tests;
