//! Other processes: what they map, what they wrote, their memory, and their end.

pub mod image;
#[allow(unsafe_code)]
pub mod memory;
#[allow(unsafe_code)]
pub mod pagemap;
