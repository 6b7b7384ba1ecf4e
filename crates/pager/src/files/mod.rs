//! Files: which ones may be touched, where their data is, and how one becomes visible whole.

pub mod extents;
pub mod holes;
pub mod new_file;
pub mod page;
pub mod roots;
