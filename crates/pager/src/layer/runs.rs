//! Collects the runs of a new layer page by page.

use super::mapping::{BLOCK_BYTES, Run};

/// Runs of a layer whose storage offsets are its memory offsets.
#[derive(Debug, Default)]
pub struct Runs {
    runs: Vec<Run>,
    data_bytes: u64,
    zero_bytes: u64,
}

impl Runs {
    /// The page at `offset`, beyond all before, is the layer's: zeros or data.
    pub fn push(&mut self, offset: u64, zeros: bool) {
        let count = if zeros {
            &mut self.zero_bytes
        } else {
            &mut self.data_bytes
        };
        *count += BLOCK_BYTES;
        let storage_offset = (!zeros).then_some(offset);
        match self.runs.last_mut() {
            Some(last)
                if last.offset + last.length == offset
                    && last.storage_offset.is_none() == zeros =>
            {
                last.length += BLOCK_BYTES;
            }
            _ => self.runs.push(Run {
                offset,
                length: BLOCK_BYTES,
                storage_offset,
            }),
        }
    }

    /// What was collected, in order.
    pub fn as_slice(&self) -> &[Run] {
        &self.runs
    }

    /// Bytes of pages with data.
    pub fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// Bytes of pages of zeros.
    pub fn zero_bytes(&self) -> u64 {
        self.zero_bytes
    }
}
