//! All sessions, and who waits for news of them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use serde::Serialize;

use super::end::End;
use super::io_pool::Mailbox;
use super::stats::{Counts, Stats};
use super::tracker::Tracker;
use crate::failure::{Code, Failure};

/// A host has room for fewer VMs.
const MAX_SESSIONS: usize = 4096;

/// Where a session is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum State {
    /// It waits for the VMM.
    Listening,
    /// It serves the VMM.
    Serving {
        /// The VMM.
        pid: u32,
    },
    /// The VMM ended.
    Ended,
    /// The VMM could not be served; it was killed if it was there.
    Failed {
        /// Why.
        reason: String,
    },
}

impl State {
    fn is_final(&self) -> bool {
        matches!(self, Self::Ended | Self::Failed { .. })
    }
}

/// What is known of a session.
#[derive(Clone, Debug)]
pub struct Session {
    /// Where it is.
    pub state: State,
    /// What it counted.
    pub stats: Arc<Stats>,
    /// Its orders.
    pub mailbox: Arc<Mailbox>,
    /// Its pages, once it serves.
    pub tracker: Option<Arc<Tracker>>,
    /// The working set that it was given.
    pub working_set: Option<PathBuf>,
}

/// What is told of a session.
#[derive(Debug, Serialize)]
pub struct Status {
    id: String,
    #[serde(flatten)]
    state: State,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Sessions {
    revision: u64,
    by_id: BTreeMap<String, Session>,
}

/// The sessions of this pager.
#[derive(Debug, Default)]
pub struct Registry {
    sessions: Mutex<Sessions>,
    changed: Condvar,
}

impl Registry {
    /// Adds a session; its id must be free.
    pub fn add(&self, id: &str, session: Session) -> Result<(), Failure> {
        let mut sessions = self.lock();
        if sessions.by_id.contains_key(id) {
            let message = format!("Cannot make session {id}: it exists");
            return Err(Failure::new(Code::AlreadyExists, message));
        }
        if sessions.by_id.len() >= MAX_SESSIONS {
            let message = format!("Cannot make session {id}: there are {MAX_SESSIONS}");
            return Err(Failure::new(Code::Capacity, message));
        }
        sessions.by_id.insert(id.to_owned(), session);
        self.announce(&mut sessions);
        Ok(())
    }

    /// A session serves now.
    pub fn serving(&self, id: &str, pid: u32, tracker: Arc<Tracker>) {
        let mut sessions = self.lock();
        if let Some(session) = sessions.by_id.get_mut(id) {
            session.state = State::Serving { pid };
            session.tracker = Some(tracker);
        }
        self.announce(&mut sessions);
    }

    /// A session is over.
    pub fn end(&self, id: &str, end: End) {
        let mut sessions = self.lock();
        if let Some(session) = sessions.by_id.get_mut(id) {
            session.state = match end {
                End::Exited => State::Ended,
                End::Failed(reason) => State::Failed { reason },
            };
        }
        self.announce(&mut sessions);
    }

    /// A session, by id.
    pub fn get(&self, id: &str) -> Result<Session, Failure> {
        self.lock()
            .by_id
            .get(id)
            .cloned()
            .ok_or_else(|| missing(id))
    }

    /// What is told of one session.
    pub fn status(&self, id: &str) -> Result<Status, Failure> {
        Ok(status(id, &self.get(id)?))
    }

    /// The revision and all sessions, as soon as the revision is beyond `after` or the time is over.
    pub fn all(&self, after: u64, timeout: Duration) -> (u64, Vec<Status>) {
        let (sessions, _) = self
            .changed
            .wait_timeout_while(self.lock(), timeout, |sessions| sessions.revision <= after)
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        let all = sessions
            .by_id
            .iter()
            .map(|(id, session)| status(id, session));
        (sessions.revision, all.collect())
    }

    /// Orders a session to stop, waits for its end, forgets it.
    pub fn remove(&self, id: &str, timeout: Duration) -> Result<(), Failure> {
        self.get(id)?.mailbox.stop();
        let deadline = Instant::now() + timeout;
        let mut sessions = self.lock();
        loop {
            match sessions.by_id.get(id) {
                None => return Err(missing(id)),
                Some(session) if session.state.is_final() => break,
                Some(_) => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let message = format!("Cannot delete session {id}: its VMM does not end");
                return Err(Failure::new(Code::Internal, message));
            }
            sessions = self
                .changed
                .wait_timeout(sessions, left)
                .unwrap_or_else(|poisoned| poisoned.into_inner())
                .0;
        }
        sessions.by_id.remove(id);
        self.announce(&mut sessions);
        Ok(())
    }

    fn announce(&self, sessions: &mut Sessions) {
        sessions.revision += 1;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Sessions> {
        self.sessions
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

fn status(id: &str, session: &Session) -> Status {
    Status {
        id: id.to_owned(),
        state: session.state.clone(),
        counts: session.stats.counts(),
    }
}

fn missing(id: &str) -> Failure {
    Failure::new(
        Code::NotFound,
        format!("Cannot find session {id}: there is none of that name"),
    )
}
