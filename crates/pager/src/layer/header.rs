//! `mem.header`: the mapping of a layer's memory as bytes, little-endian.
//!
//! ```text
//! 0   magic "WRNMEM\0\1"        8
//! 8   version u32, block bytes u32
//! 16  size u64, generation u64
//! 32  build id, base build id   32 bytes each, NUL-padded ASCII
//! 96  build count u32, entry count u32
//! 104 build ids                 32 bytes each
//! …   entries                   {offset u64, length u64, build index u32 (0xffffffff: zeros), 0 u32, storage offset u64}
//! …   CRC-32 of all before      u32
//! ```
//!
//! The twin of `apps/host-agent/src/snapshot/header.ts`.

use std::fmt;

use super::mapping::{BLOCK_BYTES, BuildId, Entry, Holder, InvalidMapping, Mapping};

const MAGIC: &[u8; 8] = b"WRNMEM\0\x01";
const VERSION: u32 = 1;
const FIXED_BYTES: usize = 104;
const ENTRY_BYTES: usize = 32;
const CRC_BYTES: usize = 4;
const ZEROS: u32 = u32::MAX;
/// A header of 2^22 entries maps 16 GiB page by page; nothing that we write comes near.
const MAX_ENTRIES: usize = 1 << 22;
const MAX_BUILDS: usize = 1 << 12;
/// The host agent's numbers are doubles: 2^53 - 1.
const MAX_NUMBER: u64 = (1 << 53) - 1;
/// No header is longer.
pub const MAX_HEADER_BYTES: u64 =
    (FIXED_BYTES + MAX_BUILDS * BuildId::MAX_BYTES + MAX_ENTRIES * ENTRY_BYTES + CRC_BYTES) as u64;

/// What a layer says of the guest's memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// How many layers are below this one.
    pub generation: u64,
    /// This layer's own bytes.
    pub build_id: BuildId,
    /// The whole memory at the bottom.
    pub base_build_id: BuildId,
    /// The whole memory.
    pub mapping: Mapping,
}

/// Why bytes are not a header.
#[derive(Debug, PartialEq, Eq)]
pub enum HeaderError {
    /// They do not begin like one.
    NotAHeader,
    /// Of another version of the format.
    UnknownVersion(u32),
    /// Of other blocks than 4096 bytes.
    UnknownBlockSize(u32),
    /// More builds or entries than any real one has.
    TooManyEntries,
    /// Not as long as it says.
    WrongLength,
    /// Changed since it was written.
    WrongChecksum,
    /// A build id is not 1 to 32 ASCII characters.
    BadBuildId,
    /// An entry names a build that is not listed.
    UnknownBuild,
    /// A number is beyond 2^53 - 1.
    NumberTooLarge,
    /// The entries are not a mapping.
    Mapping(InvalidMapping),
}

impl fmt::Display for HeaderError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Cannot read the memory header: ")?;
        match self {
            Self::NotAHeader => out.write_str("it is not one"),
            Self::UnknownVersion(version) => write!(out, "version {version} is unknown"),
            Self::UnknownBlockSize(bytes) => write!(out, "its block size {bytes} is unknown"),
            Self::TooManyEntries => out.write_str("it claims too many entries"),
            Self::WrongLength => out.write_str("its length is wrong"),
            Self::WrongChecksum => out.write_str("its checksum is wrong"),
            Self::BadBuildId => out.write_str("a build id is not ASCII"),
            Self::UnknownBuild => out.write_str("an entry names an unknown build"),
            Self::NumberTooLarge => out.write_str("a number is too large"),
            Self::Mapping(why) => write!(out, "{why}"),
        }
    }
}

impl std::error::Error for HeaderError {}

impl Header {
    /// The header as it is stored.
    pub fn encode(&self) -> Vec<u8> {
        let builds = self.mapping.builds();
        let entries = self.mapping.entries();
        let length = FIXED_BYTES
            + builds.len() * BuildId::MAX_BYTES
            + entries.len() * ENTRY_BYTES
            + CRC_BYTES;
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&(BLOCK_BYTES as u32).to_le_bytes());
        bytes.extend_from_slice(&self.mapping.size().to_le_bytes());
        bytes.extend_from_slice(&self.generation.to_le_bytes());
        push_id(&mut bytes, &self.build_id);
        push_id(&mut bytes, &self.base_build_id);
        bytes.extend_from_slice(&(builds.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&(entries.len() as u32).to_le_bytes());
        for build in builds {
            push_id(&mut bytes, build);
        }
        for entry in entries {
            let (index, storage_offset) = match entry.holder {
                Holder::Zeros => (ZEROS, 0),
                Holder::Build {
                    index,
                    storage_offset,
                } => (index, storage_offset),
            };
            bytes.extend_from_slice(&entry.offset.to_le_bytes());
            bytes.extend_from_slice(&entry.length.to_le_bytes());
            bytes.extend_from_slice(&index.to_le_bytes());
            bytes.extend_from_slice(&0_u32.to_le_bytes());
            bytes.extend_from_slice(&storage_offset.to_le_bytes());
        }
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// Reads what [`Header::encode`] wrote; anything else is an error, at a cost bounded by `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        if bytes.len() < FIXED_BYTES + CRC_BYTES || !bytes.starts_with(MAGIC) {
            return Err(HeaderError::NotAHeader);
        }
        let version = u32_at(bytes, 8);
        if version != VERSION {
            return Err(HeaderError::UnknownVersion(version));
        }
        let block_bytes = u32_at(bytes, 12);
        if u64::from(block_bytes) != BLOCK_BYTES {
            return Err(HeaderError::UnknownBlockSize(block_bytes));
        }
        let build_count = u32_at(bytes, 96) as usize;
        let entry_count = u32_at(bytes, 100) as usize;
        if build_count > MAX_BUILDS || entry_count > MAX_ENTRIES {
            return Err(HeaderError::TooManyEntries);
        }
        let entries_start = FIXED_BYTES + build_count * BuildId::MAX_BYTES;
        let end = entries_start + entry_count * ENTRY_BYTES;
        if bytes.len() != end + CRC_BYTES {
            return Err(HeaderError::WrongLength);
        }
        if crc32fast::hash(&bytes[..end]) != u32_at(bytes, end) {
            return Err(HeaderError::WrongChecksum);
        }
        let builds = bytes[FIXED_BYTES..entries_start]
            .chunks_exact(BuildId::MAX_BYTES)
            .map(read_id)
            .collect::<Result<Vec<_>, _>>()?;
        let entries = bytes[entries_start..end]
            .chunks_exact(ENTRY_BYTES)
            .map(|entry| read_entry(entry, build_count))
            .collect::<Result<Vec<_>, _>>()?;
        let size = number_at(bytes, 16)?;
        Ok(Self {
            generation: number_at(bytes, 24)?,
            build_id: read_id(&bytes[32..64])?,
            base_build_id: read_id(&bytes[64..96])?,
            mapping: Mapping::from_entries(builds, entries, size).map_err(HeaderError::Mapping)?,
        })
    }
}

fn read_entry(bytes: &[u8], build_count: usize) -> Result<Entry, HeaderError> {
    let storage_offset = number_at(bytes, 24)?;
    let holder = match u32_at(bytes, 16) {
        ZEROS => Holder::Zeros,
        index if (index as usize) < build_count => Holder::Build {
            index,
            storage_offset,
        },
        _ => return Err(HeaderError::UnknownBuild),
    };
    Ok(Entry {
        offset: number_at(bytes, 0)?,
        length: number_at(bytes, 8)?,
        holder,
    })
}

fn push_id(bytes: &mut Vec<u8>, id: &BuildId) {
    let mut padded = [0; BuildId::MAX_BYTES];
    padded[..id.as_str().len()].copy_from_slice(id.as_str().as_bytes());
    bytes.extend_from_slice(&padded);
}

fn read_id(bytes: &[u8]) -> Result<BuildId, HeaderError> {
    let length = bytes
        .iter()
        .rposition(|&byte| byte != 0)
        .map_or(0, |last| last + 1);
    let text = std::str::from_utf8(&bytes[..length]).map_err(|_| HeaderError::BadBuildId)?;
    BuildId::new(text).ok_or(HeaderError::BadBuildId)
}

fn number_at(bytes: &[u8], at: usize) -> Result<u64, HeaderError> {
    let mut value = [0; 8];
    value.copy_from_slice(&bytes[at..at + 8]);
    Some(u64::from_le_bytes(value))
        .filter(|&value| value <= MAX_NUMBER)
        .ok_or(HeaderError::NumberTooLarge)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(value)
}

#[cfg(test)]
mod tests;
