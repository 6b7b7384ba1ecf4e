//! The removal of a directory with all below it, at any depth: users can nest directories deeper than
//! any stack, any path or any limit of open files allows.

use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, fstat, open, openat, rmdir, unlinkat};
use rustix::io::Errno;

const DIRECTORY: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// A directory above the one that is being emptied.
struct Above {
    /// Device and inode: where the way up has to lead.
    identity: (u64, u64),
    /// The directory below it that is being emptied.
    name: CString,
    /// Its other directories that are still to be removed.
    left: Vec<CString>,
}

/// Removes the directory at `path`. Links are removed, not followed. Blocks.
pub fn remove_tree(path: &Path) -> io::Result<()> {
    let mut here = open(path, DIRECTORY, Mode::empty())?;
    let mut left = remove_files(&here)?;
    let mut above = Vec::new();
    loop {
        if let Some(name) = left.pop() {
            let below = match openat(&here, &name, DIRECTORY, Mode::empty()) {
                Err(Errno::NOENT) => continue,
                result => result?,
            };
            let rest = std::mem::replace(&mut left, remove_files(&below)?);
            above.push(Above {
                identity: identity(&here)?,
                name,
                left: rest,
            });
            here = below;
        } else if let Some(parent) = above.pop() {
            here = openat(&here, c"..", DIRECTORY, Mode::empty())?;
            if identity(&here)? != parent.identity {
                return Err(io::Error::other("it was moved meanwhile"));
            }
            gone(unlinkat(&here, &parent.name, AtFlags::REMOVEDIR))?;
            left = parent.left;
        } else {
            return gone(rmdir(path));
        }
    }
}

/// Removes all but the directories in `directory`, and tells those.
fn remove_files(directory: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut directories = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        if entry.file_type() == FileType::Directory {
            directories.push(name.to_owned());
            continue;
        }
        match unlinkat(directory, name, AtFlags::empty()) {
            // Not every file system tells the types of its entries.
            Err(Errno::ISDIR) => directories.push(name.to_owned()),
            result => gone(result)?,
        }
    }
    Ok(directories)
}

fn gone(result: Result<(), Errno>) -> io::Result<()> {
    match result {
        Err(Errno::NOENT) => Ok(()),
        result => Ok(result?),
    }
}

fn identity(directory: &OwnedFd) -> io::Result<(u64, u64)> {
    let status = fstat(directory)?;
    Ok((status.st_dev, status.st_ino))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn removes_all_below_and_nothing_beside() {
        let base = tempfile::tempdir().expect("a directory");
        let (tree, kept) = (base.path().join("tree"), base.path().join("kept"));
        fs::create_dir_all(&kept).expect("made");
        fs::write(kept.join("file"), "1").expect("written");
        for branch in ["a/b/c", "a/d", "e", "a/b/f/g"] {
            fs::create_dir_all(tree.join(branch)).expect("made");
            fs::write(tree.join(branch).join("file"), "2").expect("written");
            symlink(&kept, tree.join(branch).join("link")).expect("linked");
        }
        remove_tree(&tree).expect("removed");
        assert!(!tree.exists());
        assert_eq!(fs::read(kept.join("file")).expect("kept"), b"1");
        assert!(remove_tree(&kept.join("file")).is_err(), "no directory");
        symlink(&kept, &tree).expect("linked");
        assert!(remove_tree(&tree).is_err(), "a link");
        assert!(kept.join("file").exists());
    }
}
