//! Pages of zeros.

use crate::layer::mapping::BLOCK_BYTES;

/// A guest page, in bytes.
pub const PAGE_BYTES: usize = BLOCK_BYTES as usize;

/// A page of zeros.
pub static ZERO_PAGE: [u8; PAGE_BYTES] = [0; PAGE_BYTES];

/// Whether a page holds nothing but zeros. A comparison is `memcmp`, which the C library has
/// written for this CPU; a loop of ours would be as slow as the release profile is small.
pub fn is_zero(page: &[u8]) -> bool {
    page == &ZERO_PAGE[..page.len()]
}
