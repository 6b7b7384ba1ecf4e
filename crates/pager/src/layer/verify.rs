//! Whether a layer is what its header and its checksum say.

use std::fs::File;
use std::path::Path;

use super::chain::needed_bytes;
use super::checksum::Checksum;
use super::header::Header;
use crate::failure::{Code, Failure};

/// Reads the layer's own memory file. `expected`: the checksum that it must have.
pub fn verify(
    header: &Header,
    memory: &File,
    path: &Path,
    expected: Option<&str>,
) -> Result<Checksum, Failure> {
    let damaged = |what: String| {
        let message = format!("Cannot use {}: {what}", path.display());
        Failure::new(Code::IncompatibleSnapshot, message)
    };
    let mapping = &header.mapping;
    let own = mapping
        .builds()
        .iter()
        .position(|build| *build == header.build_id);
    let needed = own.map_or(0, |index| needed_bytes(mapping, index as u32));
    let length = super::length_of(memory, path)?;
    if length < needed {
        return Err(damaged(format!("it has {length} of {needed} bytes")));
    }
    let found = Checksum::of(memory)
        .map_err(|error| Failure::io(format_args!("read {}", path.display()), error))?;
    match expected {
        Some(expected) if expected != found.to_string() => Err(damaged(format!(
            "its checksum is {found}, it was {expected}"
        ))),
        _ => Ok(found),
    }
}
