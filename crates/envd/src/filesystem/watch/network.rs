//! What may be watched: directories, and only on request those of other machines, where changes
//! that others make cause no events.

use std::fs;
use std::path::Path;

use crate::blocking::blocking;
use crate::connect::Error;

/// `f_type` of network and user space file systems, see statfs(2).
const NETWORK: [i64; 9] = [
    0x6969,      // NFS
    0x517b,      // SMB
    0xff53_4d42, // CIFS
    0xfe53_4d42, // SMB2
    0x6573_5546, // FUSE
    0x0102_1997, // 9P
    0x00c3_6400, // Ceph
    0x5346_414f, // AFS
    0x7375_7245, // Coda
];

/// Refuses what is no directory, and unless allowed what lies on a network mount.
pub async fn check(path: &Path, allow_network_mounts: bool) -> Result<(), Error> {
    let path = path.to_owned();
    blocking(move || {
        let shown = path.display();
        let metadata = fs::metadata(&path).map_err(|error| Error::from_io(&format!("watch '{shown}'"), &error))?;
        if !metadata.is_dir() {
            return Err(Error::invalid(format!("Cannot watch '{shown}': it is not a directory")));
        }
        let on_network = rustix::fs::statfs(&path).is_ok_and(|file_system| is_network(file_system.f_type));
        if on_network && !allow_network_mounts {
            return Err(Error::invalid(format!(
                "Cannot watch '{shown}': it is on a network mount, where changes by others cause no events; allow network mounts to watch it all the same"
            )));
        }
        Ok(())
    })
    .await
}

fn is_network(kind: i64) -> bool {
    NETWORK.contains(&kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known() {
        for (kind, expected) in [
            (libc::NFS_SUPER_MAGIC, true),
            (libc::FUSE_SUPER_MAGIC, true),
            (0x0102_1997, true),
            (libc::EXT4_SUPER_MAGIC, false),
            (libc::TMPFS_MAGIC, false),
            (libc::OVERLAYFS_SUPER_MAGIC, false),
        ] {
            assert_eq!(is_network(kind), expected, "{kind:#x}");
        }
    }
}
