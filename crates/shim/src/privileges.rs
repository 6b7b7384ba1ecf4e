//! From root to the VM's own user, with no way back.

use nix::sys::prctl;
use nix::sys::resource::{Resource, setrlimit};
use nix::unistd::{Gid, Uid, setgroups, setresgid, setresuid};

use crate::failure::{Failure, Step};
use crate::sys;

const MAX_CAPABILITIES: u64 = 64;
const CAP_SETPCAP: u32 = 8;

/// Becomes `uid` and `gid` without groups, capabilities, core dumps, or a way to gain privileges on exec.
pub fn drop_to(uid: u32, gid: u32) -> Result<(), Failure> {
    // The bounding set needs CAP_SETPCAP, which the change of user takes away.
    forbid_more()?;
    let group = Gid::from_raw(gid);
    setresgid(group, group, group).step(|| format!("become group {gid}"))?;
    let user = Uid::from_raw(uid);
    setresuid(user, user, user).step(|| format!("become user {uid}"))?;
    clear_capabilities()?;
    prctl::set_no_new_privs().step(|| "forbid new privileges".to_owned())
}

/// Stays root, of whom the next program has `capabilities` (numbers) alone, and what that executes as another
/// user has none and cannot gain any.
pub fn keep_for_next_program(capabilities: &[u32]) -> Result<(), Failure> {
    let kept = capabilities.iter().fold(0, |set, number| set | 1 << number);
    // Root is given what is inheritable even where the bounding set is empty: capabilities(7).
    sys::set_capabilities(kept | 1 << CAP_SETPCAP, kept)
        .step(|| "limit capabilities".to_owned())?;
    forbid_more()?;
    prctl::set_no_new_privs().step(|| "forbid new privileges".to_owned())
}

/// Lets go of all that is left.
pub fn clear_capabilities() -> Result<(), Failure> {
    sys::set_capabilities(0, 0).step(|| "clear capabilities".to_owned())
}

fn forbid_more() -> Result<(), Failure> {
    setrlimit(Resource::RLIMIT_CORE, 0, 0).step(|| "forbid core dumps".to_owned())?;
    for capability in 0..MAX_CAPABILITIES {
        if !sys::drop_from_bounding_set(capability)
            .step(|| format!("drop capability {capability}"))?
        {
            break;
        }
    }
    setgroups(&[]).step(|| "leave all groups".to_owned())
}
