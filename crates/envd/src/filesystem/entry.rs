//! The description of an entry.

use std::collections::BTreeMap;
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use serde::Serialize;

use crate::files::metadata;
use crate::paths;
use crate::timestamp::Timestamp;
use crate::users::Names;

/// `filesystem.EntryInfo` in proto-JSON.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EntryInfo {
    pub name: String,
    /// Of a link: its target's; unspecified when the link is broken.
    pub r#type: FileType,
    pub path: String,
    /// Proto-JSON writes 64-bit integers as strings.
    pub size: String,
    /// Permission bits; of a link, its target's.
    pub mode: u32,
    pub permissions: String,
    pub owner: String,
    pub group: String,
    pub modified_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub symlink_target: Option<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum FileType {
    #[serde(rename = "FILE_TYPE_UNSPECIFIED")]
    Unspecified,
    #[serde(rename = "FILE_TYPE_FILE")]
    File,
    #[serde(rename = "FILE_TYPE_DIRECTORY")]
    Directory,
}

impl EntryInfo {
    /// Describes the entry at `path`, links not followed.
    pub fn read(path: &Path, names: &Names) -> io::Result<Self> {
        let own = fs::symlink_metadata(path)?;
        let is_link = own.file_type().is_symlink();
        let target = if is_link {
            fs::metadata(path).ok()
        } else {
            None
        };
        let described = if is_link { target.as_ref() } else { Some(&own) };
        Ok(EntryInfo {
            name: paths::name(path),
            r#type: described.map_or(FileType::Unspecified, file_type),
            path: path.to_string_lossy().into_owned(),
            size: own.size().to_string(),
            mode: described.map_or(0, |metadata| metadata.mode() & 0o777),
            permissions: permissions(&own),
            owner: names.user(own.uid()),
            group: names.group(own.gid()),
            modified_time: Timestamp {
                seconds: own.mtime(),
                nanoseconds: own.mtime_nsec() as u32,
            }
            .to_string(),
            symlink_target: is_link.then(|| link_target(path)),
            metadata: if described.is_some_and(Metadata::is_file) {
                metadata::of(path)
            } else {
                BTreeMap::new()
            },
        })
    }
}

fn file_type(metadata: &Metadata) -> FileType {
    if metadata.is_file() {
        FileType::File
    } else if metadata.is_dir() {
        FileType::Directory
    } else {
        FileType::Unspecified
    }
}

/// Where a link leads in the end; of a broken one, what it says.
fn link_target(path: &Path) -> String {
    let target = fs::canonicalize(path).or_else(|_| fs::read_link(path));
    target
        .unwrap_or_else(|_| path.to_owned())
        .to_string_lossy()
        .into_owned()
}

/// The mode in Go's form, which clients know: letters for the type and the special bits, or a dash,
/// then the nine permissions.
fn permissions(metadata: &Metadata) -> String {
    let kind = metadata.file_type();
    let mode = metadata.mode();
    let letters = [
        (kind.is_dir(), 'd'),
        (kind.is_symlink(), 'L'),
        (kind.is_block_device() || kind.is_char_device(), 'D'),
        (kind.is_fifo(), 'p'),
        (kind.is_socket(), 'S'),
        (mode & libc::S_ISUID != 0, 'u'),
        (mode & libc::S_ISGID != 0, 'g'),
        (kind.is_char_device(), 'c'),
        (mode & libc::S_ISVTX != 0, 't'),
    ];
    let mut text: String = letters
        .iter()
        .filter(|(holds, _)| *holds)
        .map(|(_, letter)| letter)
        .collect();
    if text.is_empty() {
        text.push('-');
    }
    text.extend((0..9).map(|bit| {
        if mode & (0o400 >> bit) != 0 {
            ['r', 'w', 'x'][bit % 3]
        } else {
            '-'
        }
    }));
    text
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn describes_files_directories_and_links() {
        let base = tempfile::tempdir().expect("a directory");
        let at = |name: &str| base.path().join(name);
        let read = |name: &str| EntryInfo::read(&at(name), &Names::default()).expect(name);
        fs::write(at("file"), "four").expect("written");
        fs::set_permissions(at("file"), fs::Permissions::from_mode(0o4640)).expect("set");
        symlink("file", at("link")).expect("linked");
        symlink("link", at("chain")).expect("linked");
        symlink("nowhere", at("broken")).expect("linked");

        let file = read("file");
        assert_eq!(
            (file.r#type, file.mode, file.size.as_str()),
            (FileType::File, 0o640, "4")
        );
        assert_eq!(
            (file.permissions.as_str(), file.symlink_target),
            ("urw-r-----", None)
        );
        let chain = read("chain");
        assert_eq!(
            (chain.r#type, chain.mode, chain.permissions.as_str()),
            (FileType::File, 0o640, "Lrwxrwxrwx")
        );
        assert_eq!(
            chain.symlink_target,
            Some(
                at("file")
                    .canonicalize()
                    .expect("there")
                    .display()
                    .to_string()
            )
        );
        let broken = read("broken");
        assert_eq!(
            (broken.r#type, broken.mode, broken.symlink_target.as_deref()),
            (FileType::Unspecified, 0, Some("nowhere"))
        );
        let root = EntryInfo::read(Path::new("/tmp"), &Names::default()).expect("there");
        assert_eq!(
            (root.r#type, root.permissions.as_str()),
            (FileType::Directory, "dtrwxrwxrwx")
        );
        let null = EntryInfo::read(Path::new("/dev/null"), &Names::default()).expect("there");
        assert_eq!(
            (null.r#type, null.permissions.as_str()),
            (FileType::Unspecified, "Dcrw-rw-rw-")
        );
    }
}
