//! The parent of one VM.
fn main() {}
