//! Where a sparse file has data (`lseek(2)`, `SEEK_DATA`): the cost follows what is there, not the size.

use std::fs::File;
use std::io;
use std::ops::Range;

use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

use crate::layer::mapping::BLOCK_BYTES;

/// The runs of `[from, to)` that are not holes, in order, rounded outward to whole blocks.
pub fn data_extents(file: &File, from: u64, to: u64) -> DataExtents<'_> {
    DataExtents { file, at: from, to }
}

/// Iterator of [`data_extents`]; ends after the first error.
#[derive(Debug)]
pub struct DataExtents<'a> {
    file: &'a File,
    at: u64,
    to: u64,
}

impl DataExtents<'_> {
    fn find(&mut self) -> io::Result<Option<Range<u64>>> {
        if self.at >= self.to {
            return Ok(None);
        }
        let start = match seek(self.file, SeekFrom::Data(self.at)) {
            Ok(start) if start < self.to => start,
            Ok(_) | Err(Errno::NXIO) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let end = seek(self.file, SeekFrom::Hole(start))?.min(self.to);
        // A file that is cut short meanwhile may answer with an end that is not beyond the start.
        let end = end.max(start + 1);
        let start = (start / BLOCK_BYTES * BLOCK_BYTES).max(self.at);
        let end = end.next_multiple_of(BLOCK_BYTES).min(self.to);
        Ok(Some(start..end))
    }
}

impl Iterator for DataExtents<'_> {
    type Item = io::Result<Range<u64>>;

    fn next(&mut self) -> Option<Self::Item> {
        match self.find() {
            Ok(Some(extent)) => {
                self.at = extent.end;
                Some(Ok(extent))
            }
            Ok(None) => None,
            Err(error) => {
                self.at = self.to;
                Some(Err(error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    fn extents(file: &File, from: u64, to: u64) -> Vec<Range<u64>> {
        data_extents(file, from, to)
            .collect::<io::Result<_>>()
            .unwrap()
    }

    #[test]
    fn data_extents_are_what_was_written_cut_to_the_range() {
        let file = tempfile::tempfile().unwrap();
        file.set_len(64 * BLOCK_BYTES).unwrap();
        assert_eq!(extents(&file, 0, 64 * BLOCK_BYTES), []);
        file.write_all_at(&[7; 8192], 3 * BLOCK_BYTES).unwrap();
        file.write_all_at(&[0; 4096], 9 * BLOCK_BYTES).unwrap();
        let whole = [
            3 * BLOCK_BYTES..5 * BLOCK_BYTES,
            9 * BLOCK_BYTES..10 * BLOCK_BYTES,
        ];
        assert_eq!(
            extents(&file, 0, 64 * BLOCK_BYTES),
            whole,
            "written zeros are data"
        );
        let cut = [
            4 * BLOCK_BYTES..5 * BLOCK_BYTES,
            9 * BLOCK_BYTES..10 * BLOCK_BYTES,
        ];
        assert_eq!(extents(&file, 4 * BLOCK_BYTES, 10 * BLOCK_BYTES), cut);
        assert_eq!(extents(&file, 5 * BLOCK_BYTES, 9 * BLOCK_BYTES), []);
    }
}
