//! Which directories are watched for whom, and what an event of the kernel means for each.
//!
//! While a watcher is being set up, directories are added in another thread, and their events may
//! come before their numbers are known here. Events are logged meanwhile, and played again for the
//! new watcher once it is complete.

use std::collections::{HashMap, VecDeque};
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use rustix::fs::inotify::ReadFlags;

use super::kernel::{self, Found, RawEvent};
use super::watcher::Watcher;
use crate::filesystem::messages::EventType;

/// Events that are logged at most.
const MAX_LOG: usize = 16_384;

/// The watched directories.
#[derive(Default)]
pub struct Tree {
    watchers: HashMap<u64, Rc<Watcher>>,
    /// By their numbers.
    directories: HashMap<i32, Vec<Subscription>>,
    /// Events that are not handled yet.
    backlog: VecDeque<RawEvent>,
    set_ups: usize,
    log: Vec<RawEvent>,
    log_is_cut: bool,
    /// Directories that nobody watches any more; a set-up may be about to.
    abandoned: Vec<i32>,
}

struct Subscription {
    watcher: u64,
    /// The directory's name below the watcher's root.
    relative: Box<Path>,
}

/// A set-up that has begun: where its part of the log begins.
pub struct SetUp(usize);

impl Tree {
    pub fn begin_set_up(&mut self) -> SetUp {
        self.set_ups += 1;
        SetUp(self.log.len())
    }

    /// Registers a watcher with the directories that were found, and gives it what it missed.
    pub fn end_set_up(
        &mut self,
        instance: Option<BorrowedFd>,
        set_up: SetUp,
        watcher: &Rc<Watcher>,
        found: Found,
    ) {
        let Some(instance) = instance else { return };
        self.watchers.insert(watcher.id, Rc::clone(watcher));
        for (directory, relative) in found {
            self.subscribe(directory, watcher.id, relative);
        }
        if self.log_is_cut {
            watcher.lose();
        }
        let missed = self.log[set_up.0.min(self.log.len())..].to_vec();
        for event in missed {
            self.deliver(instance, &event, Some(watcher.id));
        }
        self.set_ups -= 1;
        if self.set_ups == 0 {
            self.log = Vec::new();
            self.log_is_cut = false;
            for directory in std::mem::take(&mut self.abandoned) {
                self.drop_if_unwatched(instance, directory);
            }
        }
    }

    /// Ends a watcher.
    pub fn remove(&mut self, instance: Option<BorrowedFd>, watcher: u64) {
        self.watchers.remove(&watcher);
        if let Some(instance) = instance {
            self.unsubscribe(instance, watcher, Path::new(""));
        }
    }

    /// Handles the events from before the call. Says whether there may be more by now.
    pub fn catch_up(&mut self, instance: BorrowedFd) -> bool {
        let more = self.read(instance);
        while let Some(event) = self.backlog.pop_front() {
            self.deliver(instance, &event, None);
        }
        more
    }

    fn read(&mut self, instance: BorrowedFd) -> bool {
        let events = kernel::read(instance);
        let more = events.len() >= kernel::MAX_READ;
        if self.set_ups > 0 {
            let room = MAX_LOG.saturating_sub(self.log.len());
            self.log_is_cut |= events.len() > room;
            self.log.extend(events.iter().take(room).cloned());
        }
        self.backlog.extend(events);
        more
    }

    /// Gives an event to those it is for; with `only`, to that watcher alone.
    fn deliver(&mut self, instance: BorrowedFd, event: &RawEvent, only: Option<u64>) {
        if event.what.contains(ReadFlags::QUEUE_OVERFLOW) {
            self.watchers.values().for_each(|watcher| watcher.lose());
            return;
        }
        if event.what.contains(ReadFlags::IGNORED) {
            self.directories.remove(&event.directory);
            return;
        }
        let subscriptions = self.directories.get(&event.directory).into_iter().flatten();
        let receivers: Vec<(Rc<Watcher>, PathBuf)> = subscriptions
            .filter(|subscription| only.is_none_or(|only| only == subscription.watcher))
            .filter_map(|subscription| {
                Some((
                    Rc::clone(self.watchers.get(&subscription.watcher)?),
                    subscription.relative.to_path_buf(),
                ))
            })
            .collect();
        for (watcher, relative) in receivers {
            match &event.name {
                Some(name) => {
                    self.entry_changed(instance, &watcher, &relative.join(name), event.what)
                }
                // Of a nested directory its parent tells the same.
                None if relative.as_os_str().is_empty() => root_changed(&watcher, event.what),
                None => {}
            }
        }
    }

    fn entry_changed(
        &mut self,
        instance: BorrowedFd,
        watcher: &Rc<Watcher>,
        relative: &Path,
        what: ReadFlags,
    ) {
        let nested = watcher.watch.recursive && what.contains(ReadFlags::ISDIR);
        if what.contains(ReadFlags::CREATE) {
            watcher.add(EventType::Create, relative);
            if nested {
                self.add_directory(instance, watcher, relative, true);
            }
        } else if what.contains(ReadFlags::MOVED_TO) {
            watcher.add(EventType::Create, relative);
            if nested {
                // What was in it before is as old as the directory: no news.
                self.add_directory(instance, watcher, relative, false);
            }
        } else if what.contains(ReadFlags::DELETE) {
            watcher.add(EventType::Remove, relative);
        } else if what.contains(ReadFlags::MOVED_FROM) {
            watcher.add(EventType::Rename, relative);
            if nested {
                self.unsubscribe(instance, watcher.id, relative);
            }
        } else if what.contains(ReadFlags::MODIFY) {
            watcher.add(EventType::Write, relative);
        } else if what.contains(ReadFlags::ATTRIB) {
            watcher.add(EventType::Chmod, relative);
        }
    }

    /// Watches a directory that appeared. With `announce` its entries are new too: those that were
    /// there before the watch, and so have no event on its way, are told of now.
    fn add_directory(
        &mut self,
        instance: BorrowedFd,
        watcher: &Rc<Watcher>,
        relative: &Path,
        announce: bool,
    ) {
        let path = watcher.watch.path.join(relative);
        let directory = match kernel::add(instance, &path, false) {
            Ok(directory) => directory,
            Err(error) if kernel::has_vanished(&error) => return,
            Err(_) => return watcher.lose(),
        };
        if !self.subscribe(directory, watcher.id, relative.to_owned()) {
            return;
        }
        let Ok(entries) = fs::read_dir(&path) else {
            return;
        };
        let entries: Vec<(OsString, Option<fs::Metadata>)> = entries
            .flatten()
            .map(|entry| (entry.file_name(), entry.metadata().ok()))
            .collect();
        // Whatever happened since the watch began is in here now.
        self.read(instance);
        for (name, metadata) in entries {
            let below = relative.join(&name);
            let is_told = |what| self.is_pending(directory, &name, what);
            if is_told(ReadFlags::CREATE | ReadFlags::MOVED_TO) {
                continue;
            }
            let has_content = metadata
                .as_ref()
                .is_some_and(|metadata| metadata.is_file() && metadata.len() > 0);
            if announce {
                watcher.add(EventType::Create, &below);
                if has_content && !is_told(ReadFlags::MODIFY) {
                    watcher.add(EventType::Write, &below);
                }
            }
            if metadata.is_some_and(|metadata| metadata.is_dir()) {
                self.add_directory(instance, watcher, &below, announce);
            }
        }
    }

    fn is_pending(&self, directory: i32, name: &OsStr, what: ReadFlags) -> bool {
        self.backlog.iter().any(|event| {
            event.directory == directory
                && event.what.intersects(what)
                && event.name.as_deref() == Some(name)
        })
    }

    /// Says whether this is new.
    fn subscribe(&mut self, directory: i32, watcher: u64, relative: PathBuf) -> bool {
        let subscriptions = self.directories.entry(directory).or_default();
        match subscriptions
            .iter_mut()
            .find(|subscription| subscription.watcher == watcher)
        {
            Some(known) => {
                known.relative = relative.into();
                false
            }
            None => {
                subscriptions.push(Subscription {
                    watcher,
                    relative: relative.into(),
                });
                true
            }
        }
    }

    /// Ends a watcher's interest in the directory called `below`, and in all below it.
    fn unsubscribe(&mut self, instance: BorrowedFd, watcher: u64, below: &Path) {
        let mut unwatched = Vec::new();
        for (directory, subscriptions) in &mut self.directories {
            subscriptions.retain(|subscription| {
                subscription.watcher != watcher || !subscription.relative.starts_with(below)
            });
            if subscriptions.is_empty() {
                unwatched.push(*directory);
            }
        }
        if self.set_ups > 0 {
            self.abandoned.extend(unwatched);
            return;
        }
        for directory in unwatched {
            self.drop_if_unwatched(instance, directory);
        }
    }

    fn drop_if_unwatched(&mut self, instance: BorrowedFd, directory: i32) {
        if self.directories.get(&directory).is_some_and(Vec::is_empty) {
            self.directories.remove(&directory);
            kernel::remove(instance, directory);
        }
    }
}

fn root_changed(watcher: &Watcher, what: ReadFlags) {
    let root = Path::new("");
    if what.contains(ReadFlags::DELETE_SELF) {
        watcher.add(EventType::Remove, root);
    } else if what.contains(ReadFlags::MOVE_SELF) {
        watcher.add(EventType::Rename, root);
    } else if what.contains(ReadFlags::ATTRIB) {
        watcher.add(EventType::Chmod, root);
    }
}
