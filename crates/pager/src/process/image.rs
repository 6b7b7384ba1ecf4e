//! Where a process maps a memory image, privately (`/proc/PID/maps`).

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;

use super::memory::ProcessMemory;
use crate::failure::{Code, Failure};

/// One VMA of the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it begins in the process.
    pub address: u64,
    /// Its bytes.
    pub length: u64,
    /// Where it begins in the image.
    pub offset: u64,
}

impl Part {
    /// One past its last byte in the image.
    pub fn end(&self) -> u64 {
        self.offset + self.length
    }

    /// The address of an offset that lies in it.
    pub fn address_of(&self, offset: u64) -> u64 {
        self.address + (offset - self.offset)
    }

    /// A range of addresses that lies in it as offsets.
    pub fn offsets(&self, addresses: &Range<u64>) -> Range<u64> {
        let offset = |address: u64| self.offset + (address - self.address);
        offset(addresses.start)..offset(addresses.end)
    }
}

/// A whole image in a process; the kernel and the process may have split it.
#[derive(Debug)]
pub struct Image {
    pid: u32,
    parts: Vec<Part>,
}

impl Image {
    /// Finds every mapping of `image`, by device and inode and not by a name that may be another
    /// file's in the process's mount namespace. They must be private and cover `size` bytes once.
    pub fn find(pid: u32, image: &File, size: u64) -> Result<Self, Failure> {
        let failed =
            |error: io::Error| Failure::io(format_args!("read the maps of process {pid}"), error);
        let wanted = image.metadata().map_err(failed)?;
        let maps = fs::read_to_string(format!("/proc/{pid}/maps")).map_err(failed)?;
        let mut parts = Vec::new();
        for line in maps.lines() {
            let Some(found) = MapsLine::parse(line).filter(|found| found.inode == wanted.ino())
            else {
                continue;
            };
            // Only a stat of the mapped file tells its device as the caller's stat does (btrfs, overlayfs).
            let link = format!("/proc/{pid}/map_files/{}", found.range);
            if fs::metadata(link).map_err(failed)?.dev() != wanted.dev() {
                continue;
            }
            if !found.private {
                let message = format!("Cannot use the image of process {pid}: it maps it shared");
                return Err(Failure::new(Code::InvalidState, message));
            }
            parts.push(found.part);
        }
        parts.sort_unstable_by_key(|part| part.offset);
        let mut covered = 0;
        for part in &parts {
            if part.offset != covered {
                break;
            }
            covered = part.end();
        }
        if covered != size || parts.last().is_some_and(|last| last.end() != size) {
            let message = format!(
                "Cannot use the image of process {pid}: it maps {covered} of {size} bytes of it"
            );
            return Err(Failure::new(Code::InvalidState, message));
        }
        Ok(Self { pid, parts })
    }

    /// The VMAs, by offset.
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// Writes at an offset of the image, across VMAs.
    pub fn write(
        &self,
        memory: &ProcessMemory,
        offset: u64,
        mut bytes: &[u8],
    ) -> Result<(), Failure> {
        let mut at = offset;
        while !bytes.is_empty() {
            let part = &self.parts[self.parts.partition_point(|part| part.end() <= at)];
            let length = bytes.len().min((part.end() - at) as usize);
            memory
                .write(part.address_of(at), &bytes[..length])
                .map_err(|error| {
                    Failure::io(
                        format_args!("write the memory of process {}", self.pid),
                        error,
                    )
                })?;
            at += length as u64;
            bytes = &bytes[length..];
        }
        Ok(())
    }
}

struct MapsLine<'a> {
    range: &'a str,
    part: Part,
    private: bool,
    inode: u64,
}

impl<'a> MapsLine<'a> {
    /// `address-address perms offset device inode path`
    fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let range = fields.next()?;
        let permissions = fields.next()?;
        let offset = u64::from_str_radix(fields.next()?, 16).ok()?;
        let inode = fields.nth(1)?.parse().ok()?;
        let (start, end) = range.split_once('-')?;
        let start = u64::from_str_radix(start, 16).ok()?;
        let end = u64::from_str_radix(end, 16).ok()?;
        let part = Part {
            address: start,
            length: end.checked_sub(start)?,
            offset,
        };
        Some(Self {
            range,
            part,
            private: permissions.ends_with('p'),
            inode,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_maps_is_read() {
        let line =
            "7f1c2c000000-7f1c2c021000 rw-p 00002000 fe:00 131077                     /var/lib/a b";
        let parsed = MapsLine::parse(line).unwrap();
        assert_eq!(
            parsed.part,
            Part {
                address: 0x7f1c_2c00_0000,
                length: 0x21000,
                offset: 0x2000
            }
        );
        assert!(parsed.private);
        assert_eq!(parsed.inode, 131_077);
        assert_eq!(parsed.range, "7f1c2c000000-7f1c2c021000");
        assert!(MapsLine::parse("").is_none());
        assert!(MapsLine::parse("1-0 r--p 0 0:0 1").is_none());
    }
}
