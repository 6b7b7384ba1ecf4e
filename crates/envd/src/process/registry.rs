//! The processes that can be named in a request: the live ones, and for a while those that ended.

use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use rustix::process::Resource;
use tokio::time::Instant;

use super::cgroup::{Cgroup, Cgroups};
use super::handle::{Life, Process};
use super::messages::Selector;
use super::oom::OomLog;
use super::output::Budget;
use crate::connect::Error;

/// How long an end is remembered, so that a late Connect still learns of it.
const REMEMBERED: Duration = Duration::from_secs(30);
/// Ends that are remembered at most.
const MAX_ENDED: usize = 1024;
/// Output of ended processes that is kept at most, in bytes.
const MAX_ENDED_OUTPUT: usize = 8 * 1024 * 1024;

/// All processes.
pub struct Processes {
    live: RefCell<BTreeMap<u32, Rc<Process>>>,
    ended: RefCell<VecDeque<(Instant, Rc<Life>)>>,
    cgroups: Option<Cgroups>,
    pub budget: Rc<Budget>,
    pub oom_log: Rc<OomLog>,
    /// The limit of open files that processes get: the one that the agent itself was given.
    pub open_files: (u64, u64),
}

impl Processes {
    pub fn new(cgroup_root: Option<&Path>) -> Rc<Self> {
        let cgroups = cgroup_root.and_then(|root| {
            Cgroups::new(root)
                .inspect_err(|error| {
                    eprintln!("envd: no cgroups below {}: {error}", root.display())
                })
                .ok()
        });
        let limit = rustix::process::getrlimit(Resource::Nofile);
        Rc::new(Processes {
            live: RefCell::default(),
            ended: RefCell::default(),
            cgroups,
            budget: Rc::default(),
            oom_log: OomLog::open(),
            open_files: (
                limit.current.unwrap_or(u64::MAX),
                limit.maximum.unwrap_or(u64::MAX),
            ),
        })
    }

    /// A cgroup for a new process; `None` where there are none.
    pub fn new_cgroup(&self) -> Option<Cgroup> {
        let cgroups = self.cgroups.as_ref()?;
        cgroups
            .create()
            .inspect_err(|error| eprintln!("envd: Cannot make a cgroup: {error}"))
            .ok()
    }

    pub fn add(&self, process: &Rc<Process>) {
        self.live
            .borrow_mut()
            .insert(process.life.pid, Rc::clone(process));
    }

    /// Moves a process to those that ended.
    pub fn has_ended(self: &Rc<Self>, life: &Rc<Life>) {
        self.live.borrow_mut().remove(&life.pid);
        let mut ended = self.ended.borrow_mut();
        if ended.is_empty() {
            tokio::task::spawn_local(Rc::clone(self).forget());
        }
        ended.push_back((Instant::now(), Rc::clone(life)));
        if ended.len() > MAX_ENDED {
            ended.pop_front();
        }
        let mut kept: usize = ended.iter().map(|(_, life)| life.output.held()).sum();
        for (_, oldest) in ended.iter() {
            if kept <= MAX_ENDED_OUTPUT {
                break;
            }
            kept -= oldest.output.held();
            oldest.output.forget();
        }
    }

    /// Forgets ends as their time comes, until none is left.
    async fn forget(self: Rc<Self>) {
        loop {
            let Some(oldest) = self.ended.borrow().front().map(|(at, _)| *at) else {
                return;
            };
            tokio::time::sleep_until(oldest + REMEMBERED).await;
            self.ended
                .borrow_mut()
                .retain(|(at, _)| at.elapsed() < REMEMBERED);
        }
    }

    /// The live processes, by their pid.
    pub fn live(&self) -> Vec<Rc<Process>> {
        self.live.borrow().values().cloned().collect()
    }

    /// The live process that is meant.
    pub fn find_live(&self, selector: &Selector) -> Result<Rc<Process>, Error> {
        let live = self.live.borrow();
        match (selector.pid, &selector.tag) {
            (Some(pid), _) => live
                .get(&pid)
                .cloned()
                .ok_or_else(|| Error::not_found(format!("there is no process {pid}"))),
            (None, Some(tag)) => {
                let found = live
                    .values()
                    .find(|process| process.life.tag.as_deref() == Some(tag));
                found.cloned().ok_or_else(|| {
                    Error::not_found(format!("there is no process with the tag '{tag}'"))
                })
            }
            (None, None) => Err(Error::invalid("process needs a pid or a tag")),
        }
    }

    /// The life of the process that is meant, which may have ended lately.
    pub fn find(&self, selector: &Selector) -> Result<Rc<Life>, Error> {
        match self.find_live(selector) {
            Ok(process) => Ok(Rc::clone(&process.life)),
            Err(error) => self.find_ended(selector).ok_or(error),
        }
    }

    fn find_ended(&self, selector: &Selector) -> Option<Rc<Life>> {
        let ended = self.ended.borrow();
        let is_meant = |life: &&Rc<Life>| match selector.pid {
            Some(pid) => life.pid == pid,
            None => selector.tag.is_some() && life.tag == selector.tag,
        };
        ended
            .iter()
            .rev()
            .map(|(_, life)| life)
            .find(is_meant)
            .cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::process::output::Output;

    #[tokio::test(start_paused = true)]
    async fn ends_are_forgotten_after_their_time() {
        let forgotten = async {
            let processes = Processes::new(None);
            let selector = Selector {
                pid: Some(7),
                tag: None,
            };
            processes.has_ended(&Life::new(
                7,
                None,
                Output::new(Rc::clone(&processes.budget)),
            ));
            tokio::time::sleep(REMEMBERED - Duration::from_secs(1)).await;
            assert!(processes.find(&selector).is_ok());
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert!(processes.find(&selector).is_err());
            // And again after there were none.
            processes.has_ended(&Life::new(
                7,
                None,
                Output::new(Rc::clone(&processes.budget)),
            ));
            assert!(processes.find(&selector).is_ok());
            tokio::time::sleep(REMEMBERED + Duration::from_secs(1)).await;
            assert!(processes.find(&selector).is_err());
        };
        tokio::task::LocalSet::new().run_until(forgotten).await;
    }
}
