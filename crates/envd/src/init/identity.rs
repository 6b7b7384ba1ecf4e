//! What tells one sandbox from another: host name, machine id, and the platform's own variables.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use crate::http::error::HttpError;

/// Refuses names that the kernel or other programs would not take.
pub fn check(hostname: Option<&str>, machine_id: Option<&str>) -> Result<(), HttpError> {
    let name_byte = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.';
    if let Some(name) = hostname
        && (name.is_empty() || name.len() > 64 || !name.bytes().all(name_byte))
    {
        return Err(HttpError::bad_request(format!("invalid hostname '{name}'")));
    }
    let hex_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if let Some(id) = machine_id
        && (id.len() != 32 || !id.bytes().all(hex_digit))
    {
        return Err(HttpError::bad_request(format!(
            "invalid machineId '{id}', expected 32 hexadecimal digits"
        )));
    }
    Ok(())
}

pub fn set_hostname(name: &str) -> Result<(), HttpError> {
    let failed = |what: &'static str| move |error: io::Error| HttpError::from_io(what, &error);
    rustix::system::sethostname(name.as_bytes())
        .map_err(io::Error::from)
        .map_err(failed("set the host name"))?;
    fs::write("/etc/hostname", format!("{name}\n")).map_err(failed("write /etc/hostname"))?;
    let hosts = match fs::read_to_string("/etc/hosts") {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            "127.0.0.1\tlocalhost\n".to_owned()
        }
        Err(error) => return Err(failed("read /etc/hosts")(error)),
    };
    fs::write("/etc/hosts", with_own_line(&hosts, name)).map_err(failed("write /etc/hosts"))
}

/// The hosts file with one line for the machine's own name, as Debian has it.
fn with_own_line(hosts: &str, name: &str) -> String {
    let mut lines: Vec<String> = hosts
        .lines()
        .filter(|line| !line.trim_start().starts_with("127.0.1.1"))
        .map(str::to_owned)
        .collect();
    let at = lines
        .iter()
        .position(|line| line.trim_start().starts_with("127.0.0.1"))
        .map_or(0, |at| at + 1);
    lines.insert(at, format!("127.0.1.1\t{name}"));
    lines.join("\n") + "\n"
}

pub fn set_machine_id(id: &str) -> Result<(), HttpError> {
    let text = format!("{id}\n");
    fs::write("/etc/machine-id", &text)
        .map_err(|error| HttpError::from_io("write /etc/machine-id", &error))?;
    let dbus = Path::new("/var/lib/dbus/machine-id");
    // Usually a link to the file above.
    if dbus
        .symlink_metadata()
        .is_ok_and(|metadata| metadata.is_file())
    {
        fs::write(dbus, &text)
            .map_err(|error| HttpError::from_io("write /var/lib/dbus/machine-id", &error))?;
    }
    Ok(())
}

/// Writes each variable to `/run/e2b/.<NAME>`, where programs outside the agent's environment look.
pub fn publish(variables: &BTreeMap<String, String>) -> io::Result<()> {
    let directory = Path::new("/run/e2b");
    if !variables.is_empty() {
        fs::create_dir_all(directory)?;
    }
    for (name, value) in variables {
        fs::write(directory.join(format!(".{name}")), value)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_one_line_for_the_own_name() {
        let first = with_own_line("127.0.0.1\tlocalhost\n::1\tip6-localhost\n", "one");
        assert_eq!(
            first,
            "127.0.0.1\tlocalhost\n127.0.1.1\tone\n::1\tip6-localhost\n"
        );
        assert_eq!(with_own_line(&first, "two"), first.replace("one", "two"));
        assert_eq!(with_own_line("", "x"), "127.0.1.1\tx\n");
    }

    #[test]
    fn refuses_impossible_names() {
        assert!(
            check(
                Some("sb1-x.local"),
                Some("0123456789abcdef0123456789abcdef")
            )
            .is_ok()
        );
        for name in ["", "a b", "a\nb", &"x".repeat(65)] {
            assert!(check(Some(name), None).is_err(), "{name:?}");
        }
        for id in ["", "0123456789ABCDEF0123456789abcdef", "0123"] {
            assert!(check(None, Some(id)).is_err(), "{id:?}");
        }
    }
}
