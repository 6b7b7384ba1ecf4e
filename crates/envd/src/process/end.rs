//! How a process ended, in the words of the protocol.

use rustix::process::WaitIdStatus;

use super::signal::description;

/// The end of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    /// -1 when a signal ended it.
    pub exit_code: i32,
    pub exited: bool,
    pub status: String,
    /// The status again unless it is success, and what the kernel killed for want of memory.
    pub error: Option<String>,
    pub oom: bool,
    pub signal: Option<i32>,
}

impl End {
    pub fn from_status(status: &WaitIdStatus) -> Self {
        match status.exit_status() {
            Some(code) => Self::exited(code),
            None => Self::signalled(
                status.terminating_signal().unwrap_or(libc::SIGKILL),
                status.dumped(),
            ),
        }
    }

    /// For a process whose end the kernel does not tell.
    pub fn unknown() -> Self {
        let status = "unknown".to_owned();
        End {
            exit_code: -1,
            exited: false,
            error: Some(status.clone()),
            status,
            oom: false,
            signal: None,
        }
    }

    fn exited(code: i32) -> Self {
        let status = format!("exit status {code}");
        let error = (code != 0).then(|| status.clone());
        End {
            exit_code: code,
            exited: true,
            status,
            error,
            oom: false,
            signal: None,
        }
    }

    fn signalled(signal: i32, dumped: bool) -> Self {
        let core = if dumped { " (core dumped)" } else { "" };
        let status = format!("signal: {}{core}", description(signal));
        End {
            exit_code: -1,
            exited: false,
            error: Some(status.clone()),
            status,
            oom: false,
            signal: Some(signal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speaks_the_protocols_words() {
        assert_eq!(End::exited(0).error, None);
        assert_eq!(End::exited(3).error.as_deref(), Some("exit status 3"));
        let killed = End::signalled(libc::SIGKILL, false);
        assert_eq!(
            (killed.exit_code, killed.exited, killed.status.as_str()),
            (-1, false, "signal: killed")
        );
        assert_eq!(
            End::signalled(libc::SIGSEGV, true).status,
            "signal: segmentation fault (core dumped)"
        );
    }
}
