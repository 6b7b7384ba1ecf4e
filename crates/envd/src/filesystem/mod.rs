//! Entries of the file system: descriptions, lists, changes and watches.

pub mod change;
pub mod directories;
pub mod entry;
pub mod listing;
pub mod messages;
pub mod remove_tree;
pub mod service;
pub mod watch;
