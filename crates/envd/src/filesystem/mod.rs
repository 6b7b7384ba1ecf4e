//! Entries of the file system: descriptions, lists, changes and watches.

pub mod directories;
