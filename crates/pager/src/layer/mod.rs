//! Memory layers: what they say of a guest's memory, and the work on their bytes.

pub mod header;
pub mod mapping;
