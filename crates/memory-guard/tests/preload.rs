//! The guard inside a real program: a shell, whose `<>` opens for reading and writing.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::LazyLock;

/// Built as the README says: cargo builds no shared library for a test.
static LIBRARY: LazyLock<PathBuf> = LazyLock::new(|| {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut cargo = Command::new(env!("CARGO"));
    cargo
        .args(["build", "--release", "--quiet", "--manifest-path"])
        .arg(package.join("Cargo.toml"));
    assert!(cargo.env("RUSTFLAGS", "").status().unwrap().success());
    package.join("target/x86_64-unknown-linux-gnu/release/libmemory_guard.so")
});

fn shell(script: &str, image: &Path) -> Output {
    Command::new("/bin/sh")
        .args(["-c", script])
        .env("LD_PRELOAD", &*LIBRARY)
        .env("WRENN_MEMORY_IMAGE", image)
        .output()
        .unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn the_image_is_opened_read_only_and_everything_else_as_asked() {
    let directory = tempfile::tempdir().unwrap();
    let (image, other) = (directory.path().join("mem"), directory.path().join("other"));
    fs::write(&image, "image").unwrap();
    fs::write(&other, "other").unwrap();
    let script = |path: &Path| {
        format!(
            "exec 3<>{}; cat <&3; echo more 2>/dev/null >&3 && echo written",
            path.display()
        )
    };

    assert_eq!(stdout(&shell(&script(&image), &image)), "image");
    assert_eq!(fs::read_to_string(&image).unwrap(), "image");
    assert_eq!(stdout(&shell(&script(&other), &image)), "otherwritten\n");
    assert_eq!(fs::read_to_string(&other).unwrap(), "othermore\n");
}

#[test]
fn the_image_is_not_created_and_other_files_are_with_their_mode() {
    let directory = tempfile::tempdir().unwrap();
    let (image, other) = (directory.path().join("mem"), directory.path().join("other"));
    let script = |path: &Path| format!("umask 027; exec 3<>{}", path.display());

    let refused = shell(&script(&image), &image);
    assert!(!refused.status.success());
    assert!(!image.exists());
    stdout(&shell(&script(&other), &image));
    let mode = std::os::unix::fs::MetadataExt::mode(&fs::metadata(&other).unwrap());
    assert_eq!(mode & 0o777, 0o640);
}

#[test]
fn an_image_that_is_opened_to_write_only_stays_writable() {
    let directory = tempfile::tempdir().unwrap();
    let image = directory.path().join("mem");
    stdout(&shell(&format!("echo text >{}", image.display()), &image));
    assert_eq!(fs::read_to_string(&image).unwrap(), "text\n");
}
