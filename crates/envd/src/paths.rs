//! What a path in a request means.

use std::path::{Component, Path, PathBuf};

/// The absolute path that `path` stands for: empty is the default directory, else home; `~` and
/// `~/x` are below home; absolute stays as given; all else is relative to home.
pub fn resolve(
    path: &str,
    home: &Path,
    default_directory: Option<&Path>,
) -> Result<PathBuf, String> {
    if path.contains('\0') {
        return Err("a path cannot contain a NUL byte".to_owned());
    }
    if path.is_empty() {
        return Ok(default_directory.unwrap_or(home).to_owned());
    }
    if path == "~" {
        return Ok(home.to_owned());
    }
    if let Some(rest) = path.strip_prefix("~/") {
        return Ok(below(home, rest));
    }
    if path.starts_with('~') {
        return Err(format!(
            "Cannot resolve '{path}': only '~' and '~/...' are known, not other users' homes"
        ));
    }
    if path.starts_with('/') {
        // Components drop doubled and trailing slashes; `..` stays, since what it means depends on links.
        return Ok(Path::new(path).components().collect());
    }
    Ok(below(home, path))
}

/// `relative` below `base`, with `.` and `..` taken out by their letters.
fn below(base: &Path, relative: &str) -> PathBuf {
    let mut path = base.to_owned();
    for component in Path::new(relative).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::ParentDir => {
                path.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    path
}

/// The last part of a path; of the root, the root.
pub fn name(path: &Path) -> String {
    path.file_name()
        .map_or_else(|| path.to_string_lossy(), |name| name.to_string_lossy())
        .into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(path: &str) -> String {
        resolve(path, Path::new("/home/user"), None)
            .expect(path)
            .display()
            .to_string()
    }

    #[test]
    fn follows_the_contract() {
        for (path, expected) in [
            ("", "/home/user"),
            ("~", "/home/user"),
            ("~/a", "/home/user/a"),
            ("a/b é.txt", "/home/user/a/b é.txt"),
            ("./a/../b/", "/home/user/b"),
            ("../root/x", "/home/root/x"),
            ("../../../../x", "/x"),
            ("/", "/"),
            ("/etc//passwd/", "/etc/passwd"),
            ("/a/../b", "/a/../b"),
        ] {
            assert_eq!(of(path), expected, "{path:?}");
        }
        let work = resolve("", Path::new("/root"), Some(Path::new("/work"))).expect("default");
        assert_eq!(work, Path::new("/work"));
        assert_eq!(
            resolve("a", Path::new("/root"), Some(Path::new("/work"))).expect("relative"),
            Path::new("/root/a")
        );
        resolve("~other/x", Path::new("/root"), None).expect_err("another's home");
        resolve("a\0b", Path::new("/root"), None).expect_err("NUL");
    }

    proptest! {
        #[test]
        fn every_path_is_absolute_or_refused(path in ".*") {
            if let Ok(resolved) = resolve(&path, Path::new("/home/user"), None) {
                prop_assert!(resolved.is_absolute());
            }
        }
    }
}
