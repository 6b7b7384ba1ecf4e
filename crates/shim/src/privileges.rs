//! From root to the VM's own user, with no way back.

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

use crate::failure::{Failure, Step};
use crate::sys;

const MAX_CAPABILITIES: u64 = 64;

/// Becomes `uid` and `gid` without groups, capabilities, core dumps, or a way to gain privileges on exec.
pub fn drop_to(uid: u32, gid: u32) -> Result<(), Failure> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0).step(|| "forbid core dumps".to_owned())?;
    // The bounding set needs CAP_SETPCAP, which the change of user takes away.
    for capability in 0..MAX_CAPABILITIES {
        if !sys::drop_from_bounding_set(capability)
            .step(|| format!("drop capability {capability}"))?
        {
            break;
        }
    }
    setgroups(&[]).step(|| "leave all groups".to_owned())?;
    let group = Gid::from_raw(gid);
    setresgid(group, group, group).step(|| format!("become group {gid}"))?;
    let user = Uid::from_raw(uid);
    setresuid(user, user, user).step(|| format!("become user {uid}"))?;
    sys::clear_capabilities().step(|| "clear capabilities".to_owned())?;
    prctl::set_no_new_privs().step(|| "forbid new privileges".to_owned())
}
