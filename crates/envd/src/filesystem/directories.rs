//! The making of directories that belong to a user.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

/// Who owns what is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

/// Makes the directory at `path` and its missing parents, mode 0755, owned by `owner`. Says whether
/// anything was made; what exists is left as it is.
pub fn make(path: &Path, owner: Owner) -> io::Result<bool> {
    let mut missing = Vec::new();
    let mut made = false;
    for ancestor in path.ancestors() {
        match make_one(ancestor, owner) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(ancestor),
            result => {
                made = result?;
                break;
            }
        }
    }
    // What is still not found has its parent: the file system takes no directories, such as /proc.
    for directory in missing.into_iter().rev() {
        made |= make_one(directory, owner)?;
    }
    Ok(made)
}

fn make_one(path: &Path, owner: Owner) -> io::Result<bool> {
    match fs::DirBuilder::new().mode(0o755).create(path) {
        Ok(()) => {
            // Not following: nobody may put a link here between the two calls and get its target.
            std::os::unix::fs::lchown(path, Some(owner.uid), Some(owner.gid))?;
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if fs::metadata(path)?.is_dir() {
                Ok(false)
            } else {
                Err(io::Error::from_raw_os_error(libc::ENOTDIR))
            }
        }
        Err(error) => Err(error),
    }
}

/// Makes the directory that the entry at `path` lies in.
pub fn make_parent(path: &Path, owner: Owner) -> io::Result<bool> {
    path.parent()
        .map_or(Ok(false), |parent| make(parent, owner))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn makes_what_is_missing() {
        let base = tempfile::tempdir().expect("a directory");
        let owner = Owner {
            uid: rustix::process::getuid().as_raw(),
            gid: rustix::process::getgid().as_raw(),
        };
        let path = base.path().join("a/b/c");
        assert!(make(&path, owner).expect("made"));
        assert!(!make(&path, owner).expect("there"));
        fs::write(path.join("file"), "").expect("written");
        let error = make(&path.join("file/d"), owner).expect_err("a file is in the way");
        assert_eq!(error.raw_os_error(), Some(libc::ENOTDIR));
        assert_eq!(
            make(&path.join("file"), owner)
                .expect_err("a file")
                .raw_os_error(),
            Some(libc::ENOTDIR)
        );
        let error = make(Path::new("/proc/nothing/here"), owner).expect_err("none there");
        assert_eq!(error.raw_os_error(), Some(libc::ENOENT));
    }
}
