//! The directories below which requests may name files. Paths are resolved by the kernel beneath an
//! open root (`openat2(2)`), so neither `..` nor a link leads out of it, however the tree changes.

use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags, fstat, open, openat2};

use crate::failure::{Code, Failure};

/// The allowed directories, held open.
#[derive(Debug)]
pub struct Roots {
    roots: Vec<(PathBuf, OwnedFd)>,
}

impl Roots {
    /// Opens each root; they must exist.
    pub fn open(paths: &[PathBuf]) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let roots = paths
            .iter()
            .map(|path| Ok((path.clone(), open(path, flags, Mode::empty())?)))
            .collect::<io::Result<_>>()?;
        Ok(Self { roots })
    }

    /// Paths of the roots.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.roots.iter().map(|(path, _)| path.as_path())
    }

    /// Opens an existing regular file for reading.
    pub fn read(&self, path: &Path) -> Result<File, Failure> {
        self.regular(path, OFlags::RDONLY)
    }

    /// Opens an existing regular file for reading and writing.
    pub fn modify(&self, path: &Path) -> Result<File, Failure> {
        self.regular(path, OFlags::RDWR)
    }

    /// Opens an existing directory.
    pub fn directory(&self, path: &Path) -> Result<OwnedFd, Failure> {
        self.beneath(path, OFlags::RDONLY | OFlags::DIRECTORY)
    }

    /// Opens the directory that holds `path`, and gives the last name: for a file that is to be made.
    pub fn parent(&self, path: &Path) -> Result<(OwnedFd, OsString), Failure> {
        match (path.parent(), path.file_name()) {
            (Some(parent), Some(name)) => Ok((self.directory(parent)?, name.to_owned())),
            _ => Err(outside(path)),
        }
    }

    fn regular(&self, path: &Path, access: OFlags) -> Result<File, Failure> {
        // NONBLOCK: opening a FIFO must not wait for its other end.
        let file = self.beneath(path, access | OFlags::NONBLOCK)?;
        let kind = fstat(&file)
            .map_err(|error| Failure::io(format_args!("open {}", path.display()), error))?;
        if FileType::from_raw_mode(kind.st_mode) != FileType::RegularFile {
            let message = format!("Cannot open {}: it is not a regular file", path.display());
            return Err(Failure::new(Code::InvalidRequest, message));
        }
        Ok(File::from(file))
    }

    fn beneath(&self, path: &Path, flags: OFlags) -> Result<OwnedFd, Failure> {
        let plain = path
            .components()
            .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        let found = self
            .roots
            .iter()
            .filter_map(|(root, directory)| Some((path.strip_prefix(root).ok()?, directory)))
            .min_by_key(|(rest, _)| rest.as_os_str().len());
        let (rest, root) = found.filter(|_| plain).ok_or_else(|| outside(path))?;
        let rest = if rest.as_os_str().is_empty() {
            Path::new(".")
        } else {
            rest
        };
        let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NOCTTY;
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        openat2(root, rest, flags, Mode::empty(), resolve)
            .map_err(|error| Failure::io(format_args!("open {}", path.display()), error))
    }
}

/// A path by which a system call without a `*at` form reaches `name` in an open directory.
pub fn path_in(directory: impl AsFd, name: &OsString) -> PathBuf {
    use std::os::fd::AsRawFd;
    let number = directory.as_fd().as_raw_fd();
    Path::new("/proc/self/fd")
        .join(number.to_string())
        .join(name)
}

/// Opens a directory of the pager's own, which no request names.
pub fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::openat(CWD, path, flags, Mode::empty())?)
}

fn outside(path: &Path) -> Failure {
    let message = format!(
        "Cannot open {}: it is not a plain path below a root",
        path.display()
    );
    Failure::new(Code::InvalidRequest, message)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn nothing_outside_of_the_roots_can_be_opened() {
        let directory = tempfile::tempdir().unwrap();
        let inside = directory.path().join("root");
        fs::create_dir_all(inside.join("a")).unwrap();
        fs::write(directory.path().join("secret"), "s").unwrap();
        fs::write(inside.join("a/file"), "f").unwrap();
        symlink("../secret", inside.join("link")).unwrap();
        symlink("a", inside.join("directory-link")).unwrap();
        let roots = Roots::open(std::slice::from_ref(&inside)).unwrap();
        assert!(roots.read(&inside.join("a/file")).is_ok());
        assert!(roots.directory(&inside).is_ok());
        let refused = |path: PathBuf| {
            let code = roots.read(&path).unwrap_err().code;
            assert_eq!(code, Code::InvalidRequest, "{}", path.display());
        };
        refused(inside.join("link"));
        refused(inside.join("directory-link/file"));
        refused(inside.join("../secret"));
        refused(inside.join("a/../../secret"));
        refused(directory.path().join("secret"));
        refused(directory.path().join("root-not/x"));
        refused(PathBuf::from("a/file"));
        refused(PathBuf::from("/etc/passwd"));
        refused(inside.join("a"));
        assert_eq!(
            roots.read(&inside.join("absent")).unwrap_err().code,
            Code::NotFound
        );
    }

    #[test]
    fn a_fifo_is_refused_without_waiting_for_its_writer() {
        let directory = tempfile::tempdir().unwrap();
        let fifo = directory.path().join("fifo");
        rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let roots = Roots::open(&[directory.path().to_owned()]).unwrap();
        assert_eq!(roots.read(&fifo).unwrap_err().code, Code::InvalidRequest);
    }
}
