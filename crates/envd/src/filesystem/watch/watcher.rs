//! One watcher: what it watches, and the events that wait for it.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::Notify;

use crate::connect::{Code, Error};
use crate::filesystem::entry::EntryInfo;
use crate::filesystem::messages::{EventType, FilesystemEvent};
use crate::users::Names;

/// Events that wait at most, as many as the kernel keeps by default.
const MAX_WAITING: usize = 16_384;

/// What is to be watched.
#[derive(Debug, Clone)]
pub struct Watch {
    pub path: PathBuf,
    pub recursive: bool,
    pub include_entry: bool,
}

/// A watcher.
pub struct Watcher {
    pub id: u64,
    pub watch: Watch,
    names: Arc<Names>,
    waiting: RefCell<Vec<FilesystemEvent>>,
    lost: Cell<bool>,
    pub changed: Notify,
}

impl Watcher {
    pub fn new(id: u64, watch: Watch, names: Arc<Names>) -> Self {
        Watcher {
            id,
            watch,
            names,
            waiting: RefCell::default(),
            lost: Cell::new(false),
            changed: Notify::new(),
        }
    }

    /// Adds an event of the entry called `relative` below the root; the root itself is ".".
    pub fn add(&self, r#type: EventType, relative: &Path) {
        let described = self.watch.include_entry
            && matches!(
                r#type,
                EventType::Create | EventType::Write | EventType::Chmod
            );
        let entry = described
            .then(|| EntryInfo::read(&self.watch.path.join(relative), &self.names).ok())
            .flatten();
        let name = if relative.as_os_str().is_empty() {
            ".".to_owned()
        } else {
            relative.to_string_lossy().into_owned()
        };
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= MAX_WAITING {
            drop(waiting);
            self.lose();
            return;
        }
        waiting.push(FilesystemEvent {
            name,
            r#type,
            entry: entry.map(Box::new),
        });
        self.changed.notify_waiters();
    }

    /// Notes that events were lost.
    pub fn lose(&self) {
        self.lost.set(true);
        self.waiting.borrow_mut().clear();
        self.changed.notify_waiters();
    }

    pub fn drain(&self) -> Result<Vec<FilesystemEvent>, Error> {
        if self.lost.take() {
            return Err(Error::new(
                Code::DataLoss,
                "events were lost: there were too many at a time, or too many directories to watch",
            ));
        }
        Ok(self.waiting.take())
    }
}
