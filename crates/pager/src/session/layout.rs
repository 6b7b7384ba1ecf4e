//! Where the VMM has the guest's memory. What it says is checked: it may be broken into.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::run::HOLE_BYTES;
use crate::layer::mapping::BLOCK_BYTES;

const MAX_REGIONS: usize = 1024;

/// One run of guest memory in the VMM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Region {
    /// Where it begins in the VMM.
    pub address: u64,
    /// Its bytes.
    pub size: u64,
    /// Where it begins in the memory image.
    pub offset: u64,
}

impl Region {
    fn end(&self) -> u64 {
        self.address + self.size
    }
}

/// Why regions are no layout.
#[derive(Debug, PartialEq, Eq)]
pub enum InvalidLayout {
    /// None, or more than a VMM has.
    Count(usize),
    /// Empty, not in whole pages, or beyond the end of the memory or of all addresses.
    Region(usize),
    /// Two regions have a byte in common.
    Overlap,
}

impl fmt::Display for InvalidLayout {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(out, "it has {count} regions"),
            Self::Region(index) => write!(out, "region {index} is not inside of the memory"),
            Self::Overlap => out.write_str("regions overlap"),
        }
    }
}

/// All regions, by address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    regions: Vec<Region>,
}

/// A run of pages that is in one region.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Its address in the VMM.
    pub address: u64,
    /// Bytes from there to the region's end.
    pub length: u64,
}

impl Place {
    /// Bytes up to where a hole that was given back to the kernel may begin or end. A range of zeros
    /// beyond it would be of two mappings, which the kernel refuses to fill at once.
    pub fn to_hole_border(&self) -> u64 {
        HOLE_BYTES - self.address % HOLE_BYTES
    }
}

impl Layout {
    /// Checks regions of a memory of `size` bytes.
    pub fn new(mut regions: Vec<Region>, size: u64) -> Result<Self, InvalidLayout> {
        if regions.is_empty() || regions.len() > MAX_REGIONS {
            return Err(InvalidLayout::Count(regions.len()));
        }
        for (index, region) in regions.iter().enumerate() {
            let aligned = [region.address, region.size, region.offset]
                .iter()
                .all(|value| value % BLOCK_BYTES == 0);
            let inside = region
                .offset
                .checked_add(region.size)
                .is_some_and(|end| end <= size);
            let addressable = region.address.checked_add(region.size).is_some();
            if !aligned || !inside || !addressable || region.size == 0 {
                return Err(InvalidLayout::Region(index));
            }
        }
        regions.sort_unstable_by_key(|region| region.offset);
        let overlap_in_memory = regions
            .windows(2)
            .any(|pair| pair[0].offset + pair[0].size > pair[1].offset);
        regions.sort_unstable_by_key(|region| region.address);
        let overlap_in_vmm = regions
            .windows(2)
            .any(|pair| pair[0].end() > pair[1].address);
        if overlap_in_memory || overlap_in_vmm {
            return Err(InvalidLayout::Overlap);
        }
        Ok(Self { regions })
    }

    /// The regions, by address.
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// The offset in memory of an address, if it is the guest's.
    pub fn offset_of(&self, address: u64) -> Option<u64> {
        let after = self
            .regions
            .partition_point(|region| region.address <= address);
        let region = &self.regions[after.checked_sub(1)?];
        (address < region.end()).then(|| region.offset + (address - region.address))
    }

    /// Where an offset in memory is in the VMM.
    pub fn place_of(&self, offset: u64) -> Option<Place> {
        let inside =
            |region: &&Region| (region.offset..region.offset + region.size).contains(&offset);
        let region = self.regions.iter().find(inside)?;
        let skipped = offset - region.offset;
        Some(Place {
            address: region.address + skipped,
            length: region.size - skipped,
        })
    }

    /// The offsets of a range of addresses, as far as they are the guest's.
    pub fn offsets(&self, start: u64, end: u64) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.regions.iter().filter_map(move |region| {
            let from = start.max(region.address);
            let to = end.min(region.end());
            let offset = |address: u64| region.offset + (address - region.address);
            (from < to).then(|| (offset(from), offset(to)))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn region(address: u64, size: u64, offset: u64) -> Region {
        Region {
            address: address * BLOCK_BYTES,
            size: size * BLOCK_BYTES,
            offset: offset * BLOCK_BYTES,
        }
    }

    #[test]
    fn addresses_and_offsets_find_each_other() {
        let layout = Layout::new(
            vec![region(500, 10, 20), region(100, 20, 0)],
            40 * BLOCK_BYTES,
        )
        .unwrap();
        assert_eq!(layout.offset_of(100 * BLOCK_BYTES + 5), Some(5));
        assert_eq!(layout.offset_of(509 * BLOCK_BYTES), Some(29 * BLOCK_BYTES));
        for outside in [0, 99, 120, 499, 510] {
            assert_eq!(layout.offset_of(outside * BLOCK_BYTES), None);
        }
        let place = layout.place_of(21 * BLOCK_BYTES).unwrap();
        assert_eq!(
            (place.address, place.length),
            (501 * BLOCK_BYTES, 9 * BLOCK_BYTES)
        );
        assert_eq!(layout.place_of(30 * BLOCK_BYTES), None);
        let cut: Vec<_> = layout
            .offsets(119 * BLOCK_BYTES, 501 * BLOCK_BYTES)
            .collect();
        assert_eq!(
            cut,
            [
                (19 * BLOCK_BYTES, 20 * BLOCK_BYTES),
                (20 * BLOCK_BYTES, 21 * BLOCK_BYTES)
            ]
        );
    }

    #[test]
    fn what_is_not_inside_of_the_memory_is_refused() {
        let check = |regions: Vec<Region>| Layout::new(regions, 40 * BLOCK_BYTES).unwrap_err();
        assert_eq!(check(vec![]), InvalidLayout::Count(0));
        assert_eq!(check(vec![region(1, 0, 0)]), InvalidLayout::Region(0));
        assert_eq!(check(vec![region(1, 41, 0)]), InvalidLayout::Region(0));
        let far = Region {
            address: u64::MAX - 4095,
            size: 8192,
            offset: 0,
        };
        assert_eq!(check(vec![far]), InvalidLayout::Region(0));
        let odd = Region {
            address: 4097,
            ..region(1, 1, 0)
        };
        assert_eq!(check(vec![odd]), InvalidLayout::Region(0));
        assert_eq!(
            check(vec![region(1, 4, 0), region(4, 4, 8)]),
            InvalidLayout::Overlap
        );
        assert_eq!(
            check(vec![region(1, 4, 0), region(8, 4, 3)]),
            InvalidLayout::Overlap
        );
    }

    proptest! {
        #[test]
        fn no_regions_make_it_panic(numbers in proptest::collection::vec(any::<[u64; 3]>(), 0..6), size in any::<u64>(), address in any::<u64>()) {
            let regions = numbers.iter().map(|[address, size, offset]| Region { address: address & !4095, size: size & !4095, offset: offset & !4095 });
            if let Ok(layout) = Layout::new(regions.collect(), size) {
                let _ = (layout.offset_of(address), layout.place_of(address));
            }
        }
    }
}
