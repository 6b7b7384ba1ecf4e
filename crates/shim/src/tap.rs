//! The VM's end of its network.

use std::fs::{File, OpenOptions};
use std::os::fd::AsFd;

use crate::failure::{Failure, Step};
use crate::sys;

/// Opens the persistent TAP device `name` of the current network namespace.
pub fn open(name: &str) -> Result<File, Failure> {
    let step = || format!("open TAP {name}");
    let tun = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/net/tun")
        .step(|| "open /dev/net/tun".to_owned())?;
    let wanted = libc::IFF_TAP | libc::IFF_NO_PI | libc::IFF_VNET_HDR;
    let flags = sys::attach_tap(tun.as_fd(), name, wanted).step(step)?;
    // TUNSETIFF makes a device that does not exist; that one goes when `tun` is closed.
    if flags & libc::IFF_PERSIST == 0 {
        return Err(Failure::new(
            step(),
            "there is no such persistent device in the network namespace",
        ));
    }
    Ok(tun)
}
