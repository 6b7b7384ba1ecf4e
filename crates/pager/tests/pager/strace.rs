//! strace(1) at a pager: to see its system calls, or to make some of them fail or wait.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::harness::Pager;

/// strace(1), attached to a pager with all its threads, also those to come.
pub struct Strace {
    child: Child,
    /// It names every new thread there, and would end were it closed.
    _errors: BufReader<ChildStderr>,
}

impl Strace {
    /// From when this returns.
    pub fn attach(pager: &Pager, arguments: &[&str], log: &Path) -> Self {
        let mut child = Command::new("strace")
            .args(["-f", "-y", "-p", &pager.pid().to_string()])
            .args(arguments)
            .arg("-o")
            .arg(log)
            .stderr(Stdio::piped())
            .spawn()
            .expect("needs strace");
        let mut said = String::new();
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        errors.read_line(&mut said).unwrap();
        assert!(said.contains("attached"), "{said}");
        Self {
            child,
            _errors: errors,
        }
    }

    /// When every call that it holds up has ended.
    pub fn detach(mut self) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, Signal::INT).unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Strace {
    /// Whoever waits because of it goes on.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
