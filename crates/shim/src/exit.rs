//! How a VM ended, and the durable record of it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use serde::Serialize;

use crate::sys::Ended;

/// The end of the VMM.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub struct Exit {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<i32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signal: Option<String>,
    oom: bool,
}

impl Exit {
    /// From what the kernel reported; `oom_killed`: it killed a process of the cgroup for memory.
    pub fn new(ended: Ended, oom_killed: bool) -> Self {
        match ended {
            Ended::Exited(code) => Self {
                kind: "exit",
                code: Some(code),
                signal: None,
                oom: oom_killed,
            },
            Ended::Signaled(number) => {
                let name = Signal::try_from(number).map_or_else(
                    |_| format!("SIG{number}"),
                    |signal| signal.as_str().to_owned(),
                );
                Self {
                    kind: "signal",
                    code: None,
                    signal: Some(name),
                    oom: oom_killed,
                }
            }
        }
    }
}

/// Makes `line` the content of `record`, all or nothing, also across a power cut.
pub fn write_record(record: &Path, line: &[u8]) -> io::Result<()> {
    let temporary = temporary_path(record);
    let mut file = File::create(&temporary)?;
    file.write_all(line)?;
    file.sync_all()?;
    fs::rename(&temporary, record)?;
    sync_parent(record)
}

/// Removes the record of an earlier run, which would be taken for this one's. Fails when a record could not be
/// kept there.
pub fn remove_record(record: &Path) -> io::Result<()> {
    match fs::remove_file(record) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => sync_parent(record),
    }
}

fn temporary_path(record: &Path) -> PathBuf {
    let mut name = record.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

fn sync_parent(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_names_the_signal_and_numbers_a_real_time_one() {
        let json = |ended| serde_json::to_string(&Exit::new(ended, false)).unwrap();
        assert_eq!(
            json(Ended::Exited(3)),
            r#"{"kind":"exit","code":3,"oom":false}"#
        );
        assert_eq!(
            json(Ended::Signaled(libc::SIGSEGV)),
            r#"{"kind":"signal","signal":"SIGSEGV","oom":false}"#
        );
        assert_eq!(
            json(Ended::Signaled(40)),
            r#"{"kind":"signal","signal":"SIG40","oom":false}"#
        );
    }

    #[test]
    fn write_record_replaces_the_record_and_leaves_no_temporary_file() {
        let directory = tempfile::tempdir().unwrap();
        let record = directory.path().join("exit.json");
        write_record(&record, b"old old old\n").unwrap();
        write_record(&record, b"new\n").unwrap();
        assert_eq!(fs::read(&record).unwrap(), b"new\n");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
        remove_record(&record).unwrap();
        remove_record(&record).unwrap();
        assert!(!record.exists());
    }
}
