//! Users and groups, read from `/etc/passwd` and `/etc/group`: a static program cannot use NSS.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::SystemTime;

/// A user that processes can run as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub uid: u32,
    pub gid: u32,
    pub home: PathBuf,
    pub shell: String,
    /// All groups, the primary one first.
    pub groups: Vec<u32>,
}

/// The user data base; read again when its files change.
#[derive(Default)]
pub struct Users {
    passwd: Cached,
    group: Cached,
}

impl Users {
    pub fn find(&self, name: &str) -> Option<User> {
        let mut user =
            passwd_lines(&self.passwd.text("/etc/passwd")).find(|user| user.name == name)?;
        for (gid, members) in
            group_lines(&self.group.text("/etc/group")).map(|(_, gid, members)| (gid, members))
        {
            if members.split(',').any(|member| member == name) && !user.groups.contains(&gid) {
                user.groups.push(gid);
            }
        }
        Some(user)
    }

    /// Names of all users and groups by number, for the descriptions of files.
    pub fn names(&self) -> Arc<Names> {
        let mut names = Names::default();
        for user in passwd_lines(&self.passwd.text("/etc/passwd")) {
            names.users.entry(user.uid).or_insert(user.name);
        }
        for (name, gid, _) in group_lines(&self.group.text("/etc/group")) {
            names.groups.entry(gid).or_insert_with(|| name.to_owned());
        }
        Arc::new(names)
    }
}

/// Names by number; the first line of a file wins.
#[derive(Clone, Debug, Default)]
pub struct Names {
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
}

impl Names {
    pub fn user(&self, uid: u32) -> String {
        self.users
            .get(&uid)
            .cloned()
            .unwrap_or_else(|| uid.to_string())
    }

    pub fn group(&self, gid: u32) -> String {
        self.groups
            .get(&gid)
            .cloned()
            .unwrap_or_else(|| gid.to_string())
    }
}

fn passwd_lines(text: &str) -> impl Iterator<Item = User> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields
            .next()
            .filter(|name| !name.is_empty() && !name.starts_with('#'))?;
        let (uid, gid) = (fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?);
        let home = fields
            .nth(1)
            .filter(|home| home.starts_with('/'))
            .unwrap_or("/");
        let shell = fields
            .next()
            .filter(|shell| !shell.is_empty())
            .unwrap_or("/bin/sh");
        Some(User {
            name: name.into(),
            uid,
            gid,
            home: home.into(),
            shell: shell.into(),
            groups: vec![gid],
        })
    })
}

fn group_lines(text: &str) -> impl Iterator<Item = (&str, u32, &str)> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let gid = fields.nth(1)?.parse().ok()?;
        Some((name, gid, fields.next().unwrap_or_default()))
    })
}

/// A small file's text, kept until the file changes.
#[derive(Default)]
struct Cached(RefCell<Option<(Stamp, Rc<str>)>>);

#[derive(PartialEq, Eq)]
struct Stamp {
    inode: u64,
    size: u64,
    modified: Option<SystemTime>,
    changed: (i64, i64),
}

impl Cached {
    fn text(&self, path: impl AsRef<Path>) -> Rc<str> {
        use std::os::unix::fs::MetadataExt;
        let stamp = fs::metadata(&path).ok().map(|metadata| Stamp {
            inode: metadata.ino(),
            size: metadata.size(),
            modified: metadata.modified().ok(),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        });
        let mut kept = self.0.borrow_mut();
        match (&*kept, &stamp) {
            (Some((known, text)), Some(stamp)) if known == stamp => return Rc::clone(text),
            _ => {}
        }
        let bytes = fs::read(&path).unwrap_or_default();
        let text: Rc<str> = String::from_utf8_lossy(&bytes).into();
        *kept = stamp.map(|stamp| (stamp, Rc::clone(&text)));
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_passwd_lines() {
        let text = "# comment\nroot:x:0:0:root:/root:/bin/bash\nbroken:x\nuser:x:1000:1001:,,,:/home/user:\nn:x:5:5::rel:/x\n";
        let users: Vec<User> = passwd_lines(text).collect();
        assert_eq!(users.len(), 3);
        assert_eq!(
            (
                users[0].uid,
                users[0].home.to_str(),
                users[0].shell.as_str()
            ),
            (0, Some("/root"), "/bin/bash")
        );
        assert_eq!(
            (users[1].uid, users[1].gid, users[1].shell.as_str()),
            (1000, 1001, "/bin/sh")
        );
        assert_eq!(users[2].home, Path::new("/"));
    }

    #[test]
    fn reads_group_lines() {
        let lines: Vec<_> = group_lines("root:x:0:\nsudo:x:27:user,other\nbad\n").collect();
        assert_eq!(lines, [("root", 0, ""), ("sudo", 27, "user,other")]);
    }

    #[test]
    fn root_exists_here() {
        let root = Users::default()
            .find("root")
            .expect("every machine has root");
        assert_eq!((root.uid, root.groups.contains(&0)), (0, true));
        assert_eq!(Users::default().names().user(0), "root");
        assert_eq!(Users::default().names().user(4_000_000_000), "4000000000");
    }
}
