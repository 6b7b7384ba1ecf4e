//! Signals by their names in the protocol.

use rustix::process::Signal;
use serde::de::{Deserialize, Deserializer, Error as _};

use crate::connect::{Code, Error};

const NAMES: [(&str, Signal); 10] = [
    ("SIGNAL_SIGHUP", Signal::HUP),
    ("SIGNAL_SIGINT", Signal::INT),
    ("SIGNAL_SIGQUIT", Signal::QUIT),
    ("SIGNAL_SIGKILL", Signal::KILL),
    ("SIGNAL_SIGUSR1", Signal::USR1),
    ("SIGNAL_SIGUSR2", Signal::USR2),
    ("SIGNAL_SIGTERM", Signal::TERM),
    ("SIGNAL_SIGCONT", Signal::CONT),
    ("SIGNAL_SIGSTOP", Signal::STOP),
    ("SIGNAL_SIGWINCH", Signal::WINCH),
];

/// A proto enum value: clients may send its name or its number.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum SignalName {
    #[default]
    Unspecified,
    Number(i64),
    Name(String),
}

impl SignalName {
    pub fn signal(&self) -> Result<Signal, Error> {
        let found = match self {
            SignalName::Unspecified | SignalName::Number(0) => {
                return Err(Error::invalid("signal is missing"));
            }
            SignalName::Name(name) if name == "SIGNAL_UNSPECIFIED" => {
                return Err(Error::invalid("signal is missing"));
            }
            SignalName::Name(name) => NAMES.iter().find(|(known, _)| known == name),
            SignalName::Number(number) => NAMES
                .iter()
                .find(|(_, signal)| i64::from(signal.as_raw()) == *number),
        };
        found.map(|(_, signal)| *signal).ok_or_else(|| {
            Error::new(
                Code::Unimplemented,
                format!("signal {self:?} is not supported"),
            )
        })
    }
}

impl<'de> Deserialize<'de> for SignalName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match serde_json::Value::deserialize(deserializer)? {
            serde_json::Value::Null => Ok(SignalName::Unspecified),
            serde_json::Value::String(name) => Ok(SignalName::Name(name)),
            serde_json::Value::Number(number) => number
                .as_i64()
                .map(SignalName::Number)
                .ok_or_else(|| D::Error::custom("invalid enum value")),
            _ => Err(D::Error::custom("invalid enum value")),
        }
    }
}

/// The name of a signal as Go's `os` package writes it, which clients show: "killed", "terminated".
pub fn description(signal: i32) -> String {
    match signal {
        libc::SIGHUP => "hangup",
        libc::SIGINT => "interrupt",
        libc::SIGQUIT => "quit",
        libc::SIGILL => "illegal instruction",
        libc::SIGTRAP => "trace/breakpoint trap",
        libc::SIGABRT => "aborted",
        libc::SIGBUS => "bus error",
        libc::SIGFPE => "floating point exception",
        libc::SIGKILL => "killed",
        libc::SIGUSR1 => "user defined signal 1",
        libc::SIGSEGV => "segmentation fault",
        libc::SIGUSR2 => "user defined signal 2",
        libc::SIGPIPE => "broken pipe",
        libc::SIGALRM => "alarm clock",
        libc::SIGTERM => "terminated",
        libc::SIGXCPU => "CPU time limit exceeded",
        libc::SIGXFSZ => "file size limit exceeded",
        libc::SIGSYS => "bad system call",
        other => return format!("signal {other}"),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_names_and_numbers() {
        let parse = |text: &str| {
            serde_json::from_str::<SignalName>(text)
                .expect(text)
                .signal()
        };
        assert_eq!(parse("\"SIGNAL_SIGKILL\""), Ok(Signal::KILL));
        assert_eq!(parse("15"), Ok(Signal::TERM));
        assert_eq!(
            parse("null").expect_err("missing").code,
            Code::InvalidArgument
        );
        assert_eq!(parse("11").expect_err("SEGV").code, Code::Unimplemented);
        assert_eq!(
            parse("\"SIGSEGV\"").expect_err("SEGV").code,
            Code::Unimplemented
        );
    }
}
