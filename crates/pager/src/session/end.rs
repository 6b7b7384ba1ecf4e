//! How a session ends.

/// The end of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The VMM ended by itself, or somebody else ended it.
    Exited,
    /// A page could not be served, or the VMM did what it must not. It was killed.
    Failed(String),
}
