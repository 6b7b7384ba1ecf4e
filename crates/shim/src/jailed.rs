//! What the jailer executes, in the VM's root and as its user: the rest of the way to the VMM.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;

use nix::sys::stat::{Mode, umask};
use nix::unistd::{chdir, dup2_stdin, getgid, getuid};
use serde::{Deserialize, Serialize};

use crate::failure::{Failure, Step};
use crate::spec::Spec;
use crate::{launch, privileges, sys};

/// The argument before the `Rest`.
pub const COMMAND: &str = "jailed";

/// What is left of a spec.
#[derive(Deserialize, Serialize)]
pub struct Rest {
    uid: u32,
    gid: u32,
    directory: PathBuf,
    devices: Vec<PathBuf>,
    argv: Vec<String>,
    env: BTreeMap<String, String>,
}

impl Rest {
    pub fn of(spec: &Spec) -> Self {
        Self {
            uid: spec.uid,
            gid: spec.gid,
            directory: spec.directory.clone(),
            devices: spec.devices.clone(),
            argv: spec.argv.clone(),
            env: spec.env.clone(),
        }
    }
}

/// Becomes the VMM; fails when it cannot, which it tells the shim by the status pipe that is its standard input.
pub fn run(rest: &OsStr) -> ExitCode {
    let Ok(status) = io::stdin().as_fd().try_clone_to_owned() else {
        return ExitCode::FAILURE;
    };
    let mut status = File::from(status);
    let Err(failure) = become_vmm(rest, &mut status);
    let _ = status.write_all(&serde_json::to_vec(&failure).unwrap_or_default());
    ExitCode::FAILURE
}

fn become_vmm(rest: &OsStr, status: &mut File) -> Result<Infallible, Failure> {
    let rest: Rest = serde_json::from_slice(rest.as_encoded_bytes())
        .map_err(io::Error::from)
        .step(|| "read what is left".to_owned())?;
    if (getuid().as_raw(), getgid().as_raw()) != (rest.uid, rest.gid) {
        return Err(Failure::new(
            format!("become user {}", rest.uid),
            "the jailer did not",
        ));
    }
    sys::reset_signals();
    privileges::clear_capabilities()?;
    launch::die_with_parent(status)?;
    umask(Mode::from_bits_truncate(0o077));
    // Of some devices the jailer says nothing when it cannot make them.
    for device in &rest.devices {
        fs::metadata(device).step(|| format!("find device {}", device.display()))?;
    }
    let directory = &rest.directory;
    chdir(directory).step(|| format!("enter {}", directory.display()))?;
    let null = File::open("/dev/null").step(|| "open /dev/null".to_owned())?;
    dup2_stdin(&null).step(|| "connect the console".to_owned())?;
    sys::close_from_on_exec(3).step(|| "close descriptors".to_owned())?;
    launch::execute(rest.argv.into_iter(), &rest.env, status)
}
