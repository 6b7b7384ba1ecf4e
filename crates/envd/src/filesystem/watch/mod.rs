//! Watches of directories.
//!
//! One inotify instance serves all watchers: users may have few instances, but many watches. Each
//! watched directory knows who watches it, and by which name below the watcher's root.

mod follow;
mod kernel;
mod network;
mod tree;
mod watcher;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::sync::Arc;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::Instant;

pub use network::check;
use tree::Tree;
pub use watcher::Watch;
use watcher::Watcher;

use super::messages::FilesystemEvent;
use crate::blocking::blocking;
use crate::connect::Error;
use crate::users::Names;
use crate::watched::watched;

/// Watchers without a stream that are kept at most. Clients may forget theirs: one more replaces
/// the one that was not asked for longest.
const MAX_KEPT: usize = 256;

/// All watchers.
#[derive(Default)]
pub struct Watches {
    kernel: OnceCell<AsyncFd<OwnedFd>>,
    tree: RefCell<Tree>,
    kept: RefCell<BTreeMap<String, Kept>>,
    next: Cell<u64>,
}

struct Kept {
    watching: Rc<Watching>,
    asked: Instant,
}

impl Watches {
    /// Starts to watch. Events from before the answer may be among those that follow.
    pub async fn start(
        self: &Rc<Self>,
        watch: Watch,
        names: Arc<Names>,
    ) -> Result<Watching, Error> {
        let failed = |error: &io::Error| Error::from_io("watch", error);
        let kernel = self.kernel().map_err(|error| failed(&error))?;
        let scan_fd = kernel
            .get_ref()
            .try_clone()
            .map_err(|error| failed(&error))?;
        self.catch_up();
        let set_up = self.tree.borrow_mut().begin_set_up();
        let (path, recursive) = (watch.path.clone(), watch.recursive);
        let watches = Rc::clone(self);
        // In a task of its own: the set-up has to be ended even when the caller leaves.
        let set_up = tokio::task::spawn_local(async move {
            let (found, error) = blocking(move || kernel::scan(&scan_fd, &path, recursive)).await;
            let id = watches.next.get();
            watches.next.set(id + 1);
            let watcher = Rc::new(Watcher::new(id, watch, names));
            watches
                .tree
                .borrow_mut()
                .end_set_up(watches.kernel_fd(), set_up, &watcher, found);
            let watching = Watching { watches, watcher };
            match error {
                Some(error) => Err(error),
                None => Ok(watching),
            }
        });
        set_up
            .await
            .map_err(|error| Error::internal(error.to_string()))?
            .map_err(|error| failed(&error))
    }

    /// Handles all events that the kernel has reported so far. Says whether there may be more by now.
    pub fn catch_up(&self) -> bool {
        self.kernel
            .get()
            .is_some_and(|kernel| self.tree.borrow_mut().catch_up(kernel.as_fd()))
    }

    /// Keeps a watcher for `kept`; answers its id.
    pub fn keep(&self, watching: Watching) -> String {
        let id = format!("w{}", watching.watcher.id);
        let mut kept = self.kept.borrow_mut();
        if kept.len() >= MAX_KEPT {
            let oldest = kept
                .iter()
                .min_by_key(|(_, kept)| kept.asked)
                .map(|(id, _)| id.clone());
            oldest.and_then(|oldest| kept.remove(&oldest));
        }
        kept.insert(
            id.clone(),
            Kept {
                watching: Rc::new(watching),
                asked: Instant::now(),
            },
        );
        id
    }

    /// The watcher with this id.
    pub fn kept(&self, id: &str) -> Result<Rc<Watching>, Error> {
        let mut kept = self.kept.borrow_mut();
        let found = kept.get_mut(id).ok_or_else(|| unknown(id))?;
        found.asked = Instant::now();
        Ok(Rc::clone(&found.watching))
    }

    /// Ends the watcher with this id.
    pub fn forget(&self, id: &str) -> Result<(), Error> {
        let removed = self.kept.borrow_mut().remove(id);
        removed.map(drop).ok_or_else(|| unknown(id))
    }

    fn kernel(self: &Rc<Self>) -> io::Result<&AsyncFd<OwnedFd>> {
        if self.kernel.get().is_none() {
            let _ = self
                .kernel
                .set(watched(kernel::open()?, Interest::READABLE)?);
            tokio::task::spawn_local(follow::follow(Rc::clone(self)));
        }
        self.kernel
            .get()
            .ok_or_else(|| io::Error::other("inotify is not open"))
    }

    fn kernel_fd(&self) -> Option<std::os::fd::BorrowedFd<'_>> {
        self.kernel.get().map(AsFd::as_fd)
    }
}

fn unknown(id: &str) -> Error {
    Error::not_found(format!("there is no watcher '{id}'"))
}

/// A running watch; it ends when this is dropped.
pub struct Watching {
    watches: Rc<Watches>,
    watcher: Rc<Watcher>,
}

impl Watching {
    /// Takes the events that have come so far; an error if some were lost.
    pub fn drain(&self) -> Result<Vec<FilesystemEvent>, Error> {
        self.watcher.drain()
    }

    /// Completes when an event comes after this call.
    pub fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.watcher.changed.notified()
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.watches
            .tree
            .borrow_mut()
            .remove(self.watches.kernel_fd(), self.watcher.id);
    }
}
