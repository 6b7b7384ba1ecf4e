//! Metadata of files: `X-Metadata-<key>` headers of an upload, kept as extended attributes.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use hyper::HeaderMap;
use rustix::fs::XattrFlags;
use rustix::io::Errno;

use crate::http::error::HttpError;

/// Keys and values; keys are lower-case.
pub type Metadata = BTreeMap<String, String>;

const HEADER: &str = "x-metadata-";
const ATTRIBUTE: &str = "user.e2b.";
/// The kernel allows 255 bytes for the attribute's whole name.
const MAX_KEY: usize = 246;
const MAX_TOTAL: usize = 4096;

/// The metadata that an upload's headers set.
pub fn from_headers(headers: &HeaderMap) -> Result<Metadata, HttpError> {
    let mut metadata = Metadata::new();
    let mut total = 0;
    for (name, value) in headers {
        let Some(key) = name.as_str().strip_prefix(HEADER) else {
            continue;
        };
        if key.is_empty() || key.len() > MAX_KEY {
            return Err(HttpError::bad_request(format!(
                "a metadata key has {} bytes, expected 1 to {MAX_KEY}",
                key.len()
            )));
        }
        let text = std::str::from_utf8(value.as_bytes())
            .ok()
            .filter(|text| text.bytes().all(|byte| (0x20..0x7f).contains(&byte)));
        let text = text.ok_or_else(|| {
            HttpError::bad_request(format!(
                "the metadata value of '{key}' is not printable ASCII"
            ))
        })?;
        total += key.len() + text.len();
        if total > MAX_TOTAL {
            return Err(HttpError::bad_request(format!(
                "the metadata is larger than {MAX_TOTAL} bytes"
            )));
        }
        metadata.insert(key.to_owned(), text.to_owned());
    }
    Ok(metadata)
}

/// Makes `metadata` the whole metadata of an open file. Touches no attribute that is right already:
/// each change is an event for watchers.
pub fn replace(file: impl AsFd, metadata: &Metadata) -> io::Result<()> {
    let file = file.as_fd();
    let existing = match names(
        || rustix::fs::flistxattr_query(file),
        |list| rustix::fs::flistxattr(file, list),
    ) {
        Ok(names) => names,
        Err(error) if metadata.is_empty() && error.raw_os_error() == Some(libc::EOPNOTSUPP) => {
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    for key in existing.iter().filter(|key| !metadata.contains_key(*key)) {
        rustix::fs::fremovexattr(file, format!("{ATTRIBUTE}{key}"))?;
    }
    for (key, value) in metadata {
        rustix::fs::fsetxattr(
            file,
            format!("{ATTRIBUTE}{key}"),
            value.as_bytes(),
            XattrFlags::empty(),
        )?;
    }
    Ok(())
}

/// The metadata of the entry at `path`, links followed; empty where there is none to be had.
pub fn of(path: &Path) -> Metadata {
    let names = names(
        || rustix::fs::listxattr_query(path),
        |list| rustix::fs::listxattr(path, list),
    )
    .unwrap_or_default();
    let value = |key: &str| {
        let mut value = vec![0; MAX_TOTAL];
        let length = rustix::fs::getxattr(path, format!("{ATTRIBUTE}{key}"), &mut value).ok()?;
        value.truncate(length);
        String::from_utf8(value).ok()
    };
    names
        .into_iter()
        .filter_map(|key| value(&key).map(|value| (key, value)))
        .collect()
}

/// The keys among an entry's attribute names. Most entries have no attributes: `size` is asked first.
fn names(
    size: impl Fn() -> rustix::io::Result<usize>,
    list: impl Fn(&mut [u8]) -> rustix::io::Result<usize>,
) -> io::Result<Vec<String>> {
    loop {
        let needed = size()?;
        if needed == 0 {
            return Ok(Vec::new());
        }
        let mut buffer = vec![0; needed];
        match list(&mut buffer) {
            Ok(length) => {
                let names = buffer[..length]
                    .split(|byte| *byte == 0)
                    .filter_map(|name| std::str::from_utf8(name).ok());
                return Ok(names
                    .filter_map(|name| name.strip_prefix(ATTRIBUTE))
                    .map(str::to_owned)
                    .collect());
            }
            // It has grown since it was measured.
            Err(Errno::RANGE) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::{HeaderName, HeaderValue};

    use super::*;

    fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| {
                (
                    name.parse::<HeaderName>().expect("name"),
                    HeaderValue::from_str(value).expect("value"),
                )
            })
            .collect()
    }

    #[test]
    fn takes_keys_from_headers() {
        let metadata = from_headers(&headers(&[
            ("X-Metadata-Author", "me"),
            ("content-type", "x"),
        ]))
        .expect("valid");
        assert_eq!(
            metadata,
            Metadata::from([("author".to_owned(), "me".to_owned())])
        );
    }

    #[test]
    fn refuses_what_attributes_cannot_hold() {
        let long = format!("x-metadata-{}", "k".repeat(247));
        assert!(from_headers(&headers(&[(&long, "v")])).is_err());
        assert!(from_headers(&headers(&[("x-metadata-", "v")])).is_err());
        assert!(from_headers(&headers(&[("x-metadata-a", "tab\tbed")])).is_err());
        assert!(from_headers(&headers(&[("x-metadata-a", &"v".repeat(4096))])).is_err());
        assert!(from_headers(&headers(&[("x-metadata-a", &"v".repeat(4095))])).is_ok());
    }
}
