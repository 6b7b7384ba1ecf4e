//! From what a caller asks for to what `execve` takes: program search, arguments, environment.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::connect::Error;
use crate::users::User;

/// Where programs are looked for when the environment has no PATH.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A command line in the kernel's form.
pub struct Command {
    pub programs: Vec<CString>,
    pub arguments: Vec<CString>,
    pub environment: Vec<CString>,
}

impl Command {
    /// `environments`: later ones win.
    pub fn new(
        program: &str,
        arguments: &[String],
        user: &User,
        environments: &[&BTreeMap<String, String>],
    ) -> Result<Self, Error> {
        environments
            .iter()
            .try_for_each(|environment| check_environment(environment))?;
        let environment = environment(user, environments);
        let path = environment.get("PATH").map_or(DEFAULT_PATH, String::as_str);
        let programs = candidates(program, path)?;
        let mut all = vec![c_string("cmd", program.as_bytes())?];
        for argument in arguments {
            all.push(c_string("args", argument.as_bytes())?);
        }
        let environment = environment
            .iter()
            .map(|(name, value)| c_string("envs", format!("{name}={value}").as_bytes()))
            .collect::<Result<_, _>>()?;
        Ok(Command {
            programs,
            arguments: all,
            environment,
        })
    }
}

/// Refuses variables that no process can get.
pub fn check_environment(environment: &BTreeMap<String, String>) -> Result<(), Error> {
    let is_possible = |(name, value): &(&String, &String)| {
        !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0')
    };
    match environment.iter().find(|entry| !is_possible(entry)) {
        None => Ok(()),
        Some((name, _)) => Err(Error::invalid(format!(
            "invalid environment variable '{}': a name is not empty and has no '=', nothing has a NUL byte",
            name.escape_debug()
        ))),
    }
}

fn environment(
    user: &User,
    environments: &[&BTreeMap<String, String>],
) -> BTreeMap<String, String> {
    let path = std::env::var("PATH").ok().filter(|path| !path.is_empty());
    let mut environment = BTreeMap::from([
        (
            "PATH".to_owned(),
            path.unwrap_or_else(|| DEFAULT_PATH.to_owned()),
        ),
        ("HOME".to_owned(), user.home.display().to_string()),
        ("USER".to_owned(), user.name.clone()),
        ("LOGNAME".to_owned(), user.name.clone()),
        ("SHELL".to_owned(), user.shell.clone()),
    ]);
    for (name, value) in environments.iter().copied().flatten() {
        environment.insert(name.clone(), value.clone());
    }
    environment
}

/// Files that `program` may stand for, in the order of a search.
fn candidates(program: &str, path: &str) -> Result<Vec<CString>, Error> {
    if program.is_empty() {
        return Err(Error::invalid("Cannot start a process: cmd is empty"));
    }
    if program.contains('/') {
        return Ok(vec![c_string("cmd", program.as_bytes())?]);
    }
    path.split(':')
        .map(|directory| {
            if directory.is_empty() {
                Path::new(".")
            } else {
                Path::new(directory)
            }
        })
        .map(|directory| c_string("cmd", directory.join(program).as_os_str().as_bytes()))
        .collect()
}

/// A string for the kernel.
pub fn c_string(field: &str, bytes: &[u8]) -> Result<CString, Error> {
    CString::new(bytes).map_err(|_| Error::invalid(format!("{field} cannot contain a NUL byte")))
}

/// A path for the kernel.
pub fn c_path(path: &Path) -> Result<CString, Error> {
    let text: &OsStr = path.as_os_str();
    c_string("path", text.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> User {
        User {
            name: "ada".into(),
            uid: 7,
            gid: 7,
            home: "/home/ada".into(),
            shell: "/bin/bash".into(),
            groups: vec![7],
        }
    }

    fn text(strings: &[CString]) -> Vec<&str> {
        strings
            .iter()
            .map(|string| string.to_str().expect("UTF-8"))
            .collect()
    }

    #[test]
    fn searches_the_callers_path() {
        let calls = BTreeMap::from([("PATH".to_owned(), "/a:/b".to_owned())]);
        let command =
            Command::new("x", &["-1".into()], &user(), &[&BTreeMap::new(), &calls]).expect("valid");
        assert_eq!(text(&command.programs), ["/a/x", "/b/x"]);
        assert_eq!(text(&command.arguments), ["x", "-1"]);
        assert!(text(&command.environment).contains(&"PATH=/a:/b"));
        let direct = Command::new("./x", &[], &user(), &[]).expect("valid");
        assert_eq!(text(&direct.programs), ["./x"]);
    }

    #[test]
    fn later_environments_win() {
        let sandbox = BTreeMap::from([
            ("A".to_owned(), "1".to_owned()),
            ("HOME".to_owned(), "/h".to_owned()),
        ]);
        let call = BTreeMap::from([("A".to_owned(), "2".to_owned())]);
        let environment = environment(&user(), &[&sandbox, &call]);
        assert_eq!(
            (
                environment["A"].as_str(),
                environment["HOME"].as_str(),
                environment["USER"].as_str()
            ),
            ("2", "/h", "ada")
        );
    }

    #[test]
    fn refuses_what_the_kernel_cannot_take() {
        assert!(Command::new("", &[], &user(), &[]).is_err());
        assert!(Command::new("a\0b", &[], &user(), &[]).is_err());
        assert!(Command::new("a", &["b\0".into()], &user(), &[]).is_err());
    }

    #[test]
    fn refuses_impossible_variables() {
        for (name, value) in [("", "x"), ("A=B", "x"), ("A\0", "x"), ("A", "x\0")] {
            let environment = BTreeMap::from([(name.to_owned(), value.to_owned())]);
            assert!(check_environment(&environment).is_err(), "{name:?}");
            assert!(Command::new("x", &[], &user(), &[&environment]).is_err());
        }
        let environment = BTreeMap::from([("A b.c-é".to_owned(), "=".to_owned())]);
        assert!(check_environment(&environment).is_ok());
    }
}
