//! The VMM's standard output and error, kept on disk in bounded space and never interpreted.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::failure::{Failure, Step};

/// A ring of two halves: `path` is written; full, it becomes `path.1` and replaces the one before.
pub struct Console {
    path: PathBuf,
    older: PathBuf,
    file: File,
    written: u64,
    half: u64,
}

impl Console {
    /// Starts an empty ring of at most `max_bytes`.
    pub fn create(path: &Path, max_bytes: u64) -> Result<Self, Failure> {
        let mut older = path.as_os_str().to_owned();
        older.push(".1");
        let older = PathBuf::from(older);
        let step = || format!("make console {}", path.display());
        match fs::remove_file(&older) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error).step(step),
            _ => {}
        }
        let file = open_empty(path).step(step)?;
        Ok(Self {
            path: path.to_owned(),
            older,
            file,
            written: 0,
            half: max_bytes / 2,
        })
    }

    /// Appends `bytes`. What the disk does not take is lost: a full disk must not stop a VM.
    pub fn write(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.written >= self.half && self.turn().is_err() {
                return;
            }
            let room = usize::try_from(self.half - self.written).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            if self.file.write_all(now).is_err() {
                return;
            }
            self.written += now.len() as u64;
            bytes = later;
        }
    }

    fn turn(&mut self) -> io::Result<()> {
        fs::rename(&self.path, &self.older)?;
        self.file = open_empty(&self.path)?;
        self.written = 0;
        Ok(())
    }
}

fn open_empty(path: &Path) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .custom_flags(flags)
        .open(path)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn console_keeps_the_newest_bytes_in_order_and_within_its_bound(
            max in 2u64..200,
            chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..90), 0..20),
        ) {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path().join("console");
            let mut console = Console::create(&path, max).unwrap();
            for chunk in &chunks {
                console.write(chunk);
            }
            let all = chunks.concat();
            let mut kept = fs::read(directory.path().join("console.1")).unwrap_or_default();
            kept.extend(fs::read(&path).unwrap());
            prop_assert!(kept.len() as u64 <= max);
            prop_assert!(kept.len() as u64 >= (max / 2).min(all.len() as u64));
            prop_assert!(all.ends_with(&kept));
        }
    }

    #[test]
    fn create_discards_what_an_earlier_vm_wrote() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("console");
        fs::write(&path, "old").unwrap();
        fs::write(directory.path().join("console.1"), "older").unwrap();
        Console::create(&path, 4096).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
