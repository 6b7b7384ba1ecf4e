//! Lists of directories, made piece by piece: neither a large tree nor a slow client costs memory.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::entry::EntryInfo;
use crate::users::Names;

/// JSON that is made at a time.
const PIECE: usize = 64 * 1024;

/// The entries below a directory in pre-order, as the JSON of a `ListDirResponse`.
pub struct Listing {
    names: Arc<Names>,
    max_depth: u32,
    /// The directories that are being listed, outermost first.
    open: Vec<Directory>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    First,
    Next,
    Done,
}

struct Directory {
    path: PathBuf,
    /// What is left to list, in reverse.
    left: Vec<OsString>,
}

impl Listing {
    /// Opens the directory at `root`, which may be a link to one. Blocks.
    pub fn open(root: &Path, depth: u32, names: Arc<Names>) -> io::Result<Self> {
        let directory = Directory::read(root.to_owned())?;
        Ok(Listing {
            names,
            max_depth: depth.max(1),
            open: vec![directory],
            stage: Stage::First,
        })
    }

    /// The next piece; empty when all is listed. Blocks.
    pub fn next_piece(&mut self) -> Vec<u8> {
        let mut piece = Vec::new();
        if self.stage == Stage::Done {
            return piece;
        }
        if self.stage == Stage::First {
            piece.extend_from_slice(br#"{"entries":["#);
        }
        while piece.len() < PIECE {
            let Some(entry) = self.next_entry() else {
                piece.extend_from_slice(b"]}");
                self.stage = Stage::Done;
                break;
            };
            if self.stage == Stage::Next {
                piece.push(b',');
            }
            self.stage = Stage::Next;
            serde_json::to_writer(&mut piece, &entry).expect("strings and numbers are JSON");
        }
        piece
    }

    fn next_entry(&mut self) -> Option<EntryInfo> {
        loop {
            let directory = self.open.last_mut()?;
            let Some(name) = directory.left.pop() else {
                self.open.pop();
                continue;
            };
            let path = directory.path.join(name);
            // What disappeared since its directory was read is not there.
            let Ok(entry) = EntryInfo::read(&path, &self.names) else {
                continue;
            };
            let depth = self.open.len() as u32;
            if depth < self.max_depth
                && fs::symlink_metadata(&path).is_ok_and(|metadata| metadata.is_dir())
            {
                self.open.extend(Directory::read(path));
            }
            return Some(entry);
        }
    }
}

impl Directory {
    fn read(path: PathBuf) -> io::Result<Self> {
        let mut left: Vec<Vec<u8>> = fs::read_dir(&path)?
            .map(|entry| Ok(entry?.file_name().into_vec()))
            .collect::<io::Result<_>>()?;
        left.sort_unstable_by(|a, b| b.cmp(a));
        Ok(Directory {
            path,
            left: left.into_iter().map(OsString::from_vec).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn list(root: &Path, depth: u32) -> Vec<String> {
        let mut listing = Listing::open(root, depth, Arc::default()).expect("opens");
        let mut text = Vec::new();
        loop {
            let piece = listing.next_piece();
            if piece.is_empty() {
                break;
            }
            text.extend(piece);
        }
        let parsed: serde_json::Value = serde_json::from_slice(&text).expect("JSON");
        let prefix = format!("{}/", root.display());
        let paths = parsed["entries"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|entry| entry["path"].as_str().expect("a path"));
        paths
            .map(|path| {
                path.strip_prefix(&prefix)
                    .expect("the requested prefix")
                    .to_owned()
            })
            .collect()
    }

    #[test]
    fn lists_in_pre_order_to_the_depth() {
        let base = tempfile::tempdir().expect("a directory");
        fs::create_dir_all(base.path().join("d/e/f")).expect("made");
        for file in ["a", "d/x", "d/e/y", "Z", "d.txt"] {
            fs::write(base.path().join(file), "").expect("written");
        }
        symlink("d", base.path().join("l")).expect("linked");
        assert_eq!(list(base.path(), 0), ["Z", "a", "d", "d.txt", "l"]);
        assert_eq!(
            list(base.path(), 2),
            ["Z", "a", "d", "d/e", "d/x", "d.txt", "l"]
        );
        assert_eq!(
            list(base.path(), 9),
            ["Z", "a", "d", "d/e", "d/e/f", "d/e/y", "d/x", "d.txt", "l"]
        );
        assert_eq!(list(&base.path().join("l"), 1), ["e", "x"]);
        assert_eq!(list(&base.path().join("d/e/f"), 1), [] as [&str; 0]);
    }

    #[test]
    fn comes_in_pieces() {
        let base = tempfile::tempdir().expect("a directory");
        for number in 0..1000 {
            fs::write(base.path().join(format!("{number:04}")), "").expect("written");
        }
        let mut listing = Listing::open(base.path(), 1, Arc::default()).expect("opens");
        assert!(listing.next_piece().len() < 2 * PIECE);
        assert_eq!(list(base.path(), 1).len(), 1000);
    }
}
