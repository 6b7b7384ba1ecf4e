//! What the agent asks for, checked before anything is made. Fields: `docs/reference/shim.md`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use crate::failure::{Failure, Step};

const MAX_SPEC_BYTES: u64 = 1024 * 1024;
const MIN_CONSOLE_BYTES: u64 = 4096;
const MAX_NAME_BYTES: usize = 64; // HOST_NAME_MAX
const MAX_TAP_BYTES: usize = 15; // IFNAMSIZ with its NUL

/// Stands for the TAP's descriptor in an argument.
pub const TAP_FD: &str = "{tap_fd}";

/// One VM: what is executed, as whom, and what it may see.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Spec {
    pub name: String,
    pub argv: Vec<String>,
    pub jailer: Option<PathBuf>,
    pub env: BTreeMap<String, String>,
    pub uid: u32,
    pub gid: u32,
    pub directory: PathBuf,
    pub network_namespace: Option<PathBuf>,
    pub tap: Option<String>,
    pub mounts: Vec<Mount>,
    pub devices: Vec<PathBuf>,
    pub cgroup: Option<String>,
    pub memory_max_bytes: Option<u64>,
    pub pids_max: Option<u64>,
    pub cpu_max: Option<String>,
    pub io_max_bytes_per_second: Option<u64>,
    pub control_socket: PathBuf,
    pub exit_record: PathBuf,
    pub console: PathBuf,
    pub console_max_bytes: u64,
}

/// A file or directory of the host that the VMM sees at the same path.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    pub path: PathBuf,
    pub read_only: bool,
}

/// Reads and checks the spec at `path`: a regular file that nobody but root can write.
pub fn load(path: &Path) -> Result<Spec, Failure> {
    let step = || format!("read spec {}", path.display());
    let file = File::open(path).step(step)?;
    let metadata = file.metadata().step(step)?;
    if !metadata.is_file() {
        return Err(Failure::new(step(), "not a regular file"));
    }
    if metadata.uid() != 0 || metadata.mode() & 0o022 != 0 {
        return Err(Failure::new(step(), "others than root may write it"));
    }
    let mut text = Vec::new();
    file.take(MAX_SPEC_BYTES + 1)
        .read_to_end(&mut text)
        .step(step)?;
    if text.len() as u64 > MAX_SPEC_BYTES {
        return Err(Failure::new(
            step(),
            format!("longer than {MAX_SPEC_BYTES} bytes"),
        ));
    }
    parse(&text).map_err(|message| Failure::new(step(), message))
}

/// Parses and checks a spec; the error is a sentence for people.
pub fn parse(text: &[u8]) -> Result<Spec, String> {
    let spec: Spec = serde_json::from_slice(text).map_err(|error| error.to_string())?;
    spec.check()?;
    Ok(spec)
}

impl Spec {
    /// Everything of the host that is bound into the VM's root, its own directory included; outer
    /// paths before inner ones.
    pub fn all_mounts(&self) -> Vec<Mount> {
        let own = Mount {
            path: self.directory.clone(),
            read_only: false,
        };
        let mut mounts: Vec<_> = self.mounts.iter().cloned().chain([own]).collect();
        mounts.sort_by_key(|mount| mount.path.components().count());
        mounts
    }

    fn check(&self) -> Result<(), String> {
        check_name(&self.name)?;
        self.check_program()?;
        if self.uid == 0 || self.uid == u32::MAX {
            return Err(format!("uid {} is not an unprivileged user", self.uid));
        }
        if self.gid == 0 || self.gid == u32::MAX {
            return Err(format!("gid {} is not an unprivileged group", self.gid));
        }
        if let Some(path) = &self.network_namespace {
            check_path("network_namespace", path)?;
        }
        if let Some(tap) = &self.tap {
            check_tap(tap)?;
        } else if self.argv.iter().any(|argument| argument.contains(TAP_FD)) {
            return Err(format!("argv has {TAP_FD}, but there is no tap"));
        }
        for device in &self.devices {
            check_path("device", device)?;
            if !device.starts_with("/dev") || device == Path::new("/dev") {
                return Err(format!("device {} is not below /dev", device.display()));
            }
        }
        if let Some(cgroup) = &self.cgroup {
            check_cgroup(cgroup)?;
        }
        self.check_mounts()?;
        self.check_jailer()?;
        self.check_own_files()
    }

    fn check_program(&self) -> Result<(), String> {
        let Some(program) = self.argv.first() else {
            return Err("argv is empty".to_owned());
        };
        check_path("argv[0]", Path::new(program))?;
        if self.argv.iter().any(|argument| argument.contains('\0')) {
            return Err("an argument has a NUL byte".to_owned());
        }
        for (key, value) in &self.env {
            if key.is_empty() || key.contains(['=', '\0']) || value.contains('\0') {
                return Err(format!("env {key:?} is not a variable"));
            }
        }
        Ok(())
    }

    fn check_jailer(&self) -> Result<(), String> {
        let Some(jailer) = &self.jailer else {
            return Ok(());
        };
        check_path("jailer", jailer)?;
        self.check_not_writable_by_vm("jailer", jailer)?;
        if self.tap.is_some() {
            return Err("a jailer closes the descriptor of tap".to_owned());
        }
        Ok(())
    }

    /// What the VM can write, it can replace by a link: nothing may be looked up below that.
    fn check_mounts(&self) -> Result<(), String> {
        check_path("directory", &self.directory)?;
        let mut seen = BTreeSet::from([Path::new("/"), Path::new("/usr"), Path::new("/dev")]);
        let mounts = self.all_mounts();
        for mount in &mounts {
            check_path("mount", &mount.path)?;
            if !seen.insert(&mount.path) || mount.path.starts_with("/dev") {
                return Err(format!("mount {} is there already", mount.path.display()));
            }
            self.check_not_writable_by_vm("mount", &mount.path)?;
        }
        Ok(())
    }

    fn check_own_files(&self) -> Result<(), String> {
        for (field, path) in [
            ("control_socket", &self.control_socket),
            ("exit_record", &self.exit_record),
            ("console", &self.console),
        ] {
            check_path(field, path)?;
            if path.file_name().is_none() {
                return Err(format!("{field} {} is not a file", path.display()));
            }
            self.check_not_writable_by_vm(field, path)?;
        }
        if self.console_max_bytes < MIN_CONSOLE_BYTES {
            return Err(format!(
                "console_max_bytes {} is less than {MIN_CONSOLE_BYTES}",
                self.console_max_bytes
            ));
        }
        Ok(())
    }

    fn check_not_writable_by_vm(&self, field: &str, path: &Path) -> Result<(), String> {
        let writable = self
            .mounts
            .iter()
            .filter(|mount| !mount.read_only)
            .map(|mount| &mount.path)
            .chain([&self.directory]);
        for outer in writable {
            if path != outer && path.starts_with(outer) {
                return Err(format!(
                    "{field} {} is below {}, which the VM may write",
                    path.display(),
                    outer.display()
                ));
            }
        }
        Ok(())
    }
}

/// Absolute, and spelled as the kernel would: only then can paths be compared.
fn check_path(field: &str, path: &Path) -> Result<(), String> {
    let plain: PathBuf = path
        .components()
        .filter(|part| matches!(part, Component::RootDir | Component::Normal(_)))
        .collect();
    if !path.is_absolute()
        || plain.as_os_str() != path.as_os_str()
        || path.as_os_str().as_encoded_bytes().contains(&0)
    {
        return Err(format!(
            "{field} {} is not a plain absolute path",
            path.display()
        ));
    }
    Ok(())
}

fn check_name(name: &str) -> Result<(), String> {
    let plain = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !plain {
        return Err(format!(
            "name {name:?} is not 1 to {MAX_NAME_BYTES} of [A-Za-z0-9._-]"
        ));
    }
    Ok(())
}

fn check_tap(tap: &str) -> Result<(), String> {
    let plain = tap
        .bytes()
        .all(|byte| byte.is_ascii_graphic() && !b"/:%".contains(&byte));
    if tap.is_empty() || tap.len() > MAX_TAP_BYTES || !plain {
        return Err(format!("tap {tap:?} is not an interface name"));
    }
    Ok(())
}

fn check_cgroup(cgroup: &str) -> Result<(), String> {
    let plain = |part: &str| {
        !part.is_empty() && part != "." && part != ".." && !part.contains(['\0', '\n'])
    };
    if !cgroup.split('/').all(plain) {
        return Err(format!(
            "cgroup {cgroup:?} is not a path below the cgroup root, such as wrenn/sb1"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
