//! A guest's memory as the files of its builds hold it.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::PathBuf;
use std::sync::Arc;

use super::mapping::{BuildId, Entry, Holder, Mapping};
use crate::failure::{Code, Failure};
use crate::files::extents::data_extents;
use crate::files::roots::Roots;

/// A mapping and, for each of its builds, the open file.
#[derive(Clone, Debug)]
pub struct Chain {
    mapping: Mapping,
    files: Vec<Arc<File>>,
}

impl Chain {
    /// Opens the file of every build that the mapping names. Each must be as long as the mapping
    /// says: a short one is refused here rather than under a page fault.
    pub fn open<'a>(
        roots: &Roots,
        mapping: Mapping,
        path_of: impl Fn(&BuildId) -> Option<&'a PathBuf>,
    ) -> Result<Self, Failure> {
        let mut files = Vec::with_capacity(mapping.builds().len());
        for (index, build) in mapping.builds().iter().enumerate() {
            let path = path_of(build).ok_or_else(|| {
                let message = format!("Cannot open the layers: no file is given for build {build}");
                Failure::new(Code::InvalidRequest, message)
            })?;
            let file = roots.read(path)?;
            let length = super::length_of(&file, path)?;
            let needed = needed_bytes(&mapping, index as u32);
            if length < needed {
                let message = format!(
                    "Cannot use {}: it has {length} of {needed} bytes of build {build}",
                    path.display()
                );
                return Err(Failure::new(Code::IncompatibleSnapshot, message));
            }
            files.push(Arc::new(file));
        }
        Ok(Self { mapping, files })
    }

    /// Which build holds what.
    pub fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// The file of a build, by its index in the mapping.
    pub fn file(&self, index: u32) -> &Arc<File> {
        &self.files[index as usize]
    }

    /// The index of `base`, whose file must be `image`, the one that a process maps. `None`: every page of
    /// the base has been replaced, no entry names it any more, and all that is mapped lies under layers.
    pub fn image_index(&self, base: &BuildId, image: &File) -> Result<Option<u32>, Failure> {
        let Some(index) = self.mapping.builds().iter().position(|build| build == base) else {
            return Ok(None);
        };
        let identity = |file: &File| {
            let metadata = file.metadata();
            metadata.map(|metadata| (metadata.dev(), metadata.ino()))
        };
        let unreadable = |error| Failure::io("read the image", error);
        let found = identity(&self.files[index]).map_err(unreadable)?;
        if found == identity(image).map_err(unreadable)? {
            return Ok(Some(index as u32));
        }
        let message = format!("Cannot use the mapped image: it is not the file of the base {base}");
        Err(Failure::new(Code::InvalidRequest, message))
    }

    /// The same memory, with the holes of its files as zeros: what remains with a build has bytes.
    pub fn without_holes(self) -> io::Result<Self> {
        let mut entries: Vec<Entry> = Vec::new();
        for entry in self.mapping.entries() {
            self.for_each_extent(entry, |part| push_joined(&mut entries, part))?;
        }
        let builds = self.mapping.builds().to_vec();
        let mapping = Mapping::from_entries(builds, entries, self.mapping.size())
            .map_err(|why| io::Error::other(why.to_string()))?;
        Ok(Self { mapping, ..self })
    }

    /// Cuts an entry into data and zeros, gapless.
    fn for_each_extent(&self, entry: &Entry, mut visit: impl FnMut(Entry)) -> io::Result<()> {
        let Holder::Build {
            index,
            storage_offset,
        } = entry.holder
        else {
            visit(*entry);
            return Ok(());
        };
        let zeros = |from: u64, to: u64| Entry {
            offset: from,
            length: to - from,
            holder: Holder::Zeros,
        };
        let mut at = entry.offset;
        let storage_end = storage_offset + entry.length;
        for extent in data_extents(self.file(index), storage_offset, storage_end) {
            let extent = extent?;
            let from = entry.offset + (extent.start - storage_offset);
            let to = entry.offset + (extent.end - storage_offset);
            if from > at {
                visit(zeros(at, from));
            }
            visit(entry.slice(from, to));
            at = to;
        }
        if at < entry.end() {
            visit(zeros(at, entry.end()));
        }
        Ok(())
    }

    /// Fills `buffer` with the memory at `offset`; both lie inside.
    pub fn read(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let end = offset + buffer.len() as u64;
        for part in self.mapping.between(offset, end) {
            let start = (part.offset - offset) as usize;
            let target = &mut buffer[start..start + part.length as usize];
            match part.holder {
                Holder::Zeros => target.fill(0),
                Holder::Build {
                    index,
                    storage_offset,
                } => self.file(index).read_exact_at(target, storage_offset)?,
            }
        }
        Ok(())
    }
}

/// Bytes that the file of a build must have.
pub fn needed_bytes(mapping: &Mapping, build: u32) -> u64 {
    let ends = mapping.entries().iter().map(|entry| match entry.holder {
        Holder::Build {
            index,
            storage_offset,
        } if index == build => storage_offset + entry.length,
        _ => 0,
    });
    ends.max().unwrap_or(0)
}

fn push_joined(entries: &mut Vec<Entry>, entry: Entry) {
    match entries.last_mut() {
        Some(last) if last.holder.advance(last.length) == entry.holder => {
            last.length += entry.length
        }
        _ => entries.push(entry),
    }
}
