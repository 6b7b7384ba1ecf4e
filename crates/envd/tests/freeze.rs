//! The freeze of the root file system, with a real one on a loop device.

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use support::{Envd, Setup, json};

/// An ext4 file system in a file, mounted.
struct Disk {
    directory: tempfile::TempDir,
}

impl Disk {
    fn new() -> Self {
        let disk = Disk {
            directory: tempfile::tempdir().expect("a directory"),
        };
        std::fs::create_dir(disk.root()).expect("made");
        let image = disk.directory.path().join("image");
        let run = |program: &str, arguments: &[&Path]| {
            let status = Command::new(program)
                .args(arguments)
                .status()
                .expect(program);
            assert!(status.success(), "{program} {arguments:?}");
        };
        run("truncate", &["-s".as_ref(), "32M".as_ref(), &image]);
        run("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), &image]);
        run(
            "mount",
            &["-o".as_ref(), "loop".as_ref(), &image, &disk.root()],
        );
        disk
    }

    fn root(&self) -> PathBuf {
        self.directory.path().join("root")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount")
            .arg(self.root())
            .status()
            .expect("umount");
        assert!(
            unmounted.success() || std::thread::panicking(),
            "the file system is still in use"
        );
    }
}

#[test]
fn a_frozen_file_system_takes_no_writes_until_it_is_thawed() {
    let disk = Disk::new();
    let envd = Envd::boot_with(Setup {
        chroot: Some(disk.root()),
        ..Setup::default()
    });
    envd.write("/before", b"1");
    for _ in 0..2 {
        assert_eq!(
            envd.post("/fsfreeze", &[], b"").status,
            204,
            "freezing twice is success"
        );
    }
    let write = |path: &'static str| {
        let port = envd.port;
        std::thread::spawn(move || {
            support::request(
                port,
                "POST",
                &format!("/files?path={path}"),
                &[("content-type", "application/octet-stream")],
                b"2",
            )
        })
    };
    let late = write("/late");
    std::thread::sleep(Duration::from_millis(500));
    assert!(!late.is_finished(), "a write waits");
    // The agent itself does not.
    assert_eq!(envd.read("/before"), b"1");
    assert_eq!(
        envd.call("process.Process/List", json!({}))["processes"],
        json!([])
    );
    for _ in 0..2 {
        assert_eq!(
            envd.post("/fsthaw", &[], b"").status,
            204,
            "thawing twice is success"
        );
    }
    assert_eq!(late.join().expect("answered").status, 200);

    // The guest hook thaws too: it writes files.
    assert_eq!(envd.post("/fsfreeze", &[], b"").status, 204);
    envd.init(json!({}));
    assert_eq!(write("/after").join().expect("answered").status, 200);
}

#[test]
fn what_cannot_be_frozen_says_so() {
    let directory = tempfile::tempdir().expect("a directory");
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "tmpfs"])
        .arg(directory.path())
        .status()
        .expect("mount");
    assert!(mounted.success());
    let envd = Envd::boot_with(Setup {
        chroot: Some(directory.path().to_owned()),
        ..Setup::default()
    });
    let answer = envd.post("/fsfreeze", &[], b"");
    drop(envd);
    let unmounted = Command::new("umount")
        .arg(directory.path())
        .status()
        .expect("umount");
    assert!(unmounted.success());
    assert_eq!(answer.status, 501, "{}", answer.text());
}
