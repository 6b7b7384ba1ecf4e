//! Threads that wait for the disk, so that no fault thread does. All sessions share them; each gets
//! its bytes back in a mailbox.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use rustix::event::{EventfdFlags, eventfd};

use super::window::Window;
use super::working_set::Extent;
use crate::files::page::PAGE_BYTES;

const THREADS: usize = 4;
const STACK_BYTES: usize = 128 << 10;
/// A read that fails is repeated after these pauses; a page that cannot be read after them, cannot be served.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(20),
    Duration::from_millis(80),
    Duration::from_millis(200),
];

/// What a thread of the pool is to do.
#[derive(Debug)]
pub struct Job {
    /// What.
    pub task: Task,
    /// Who is told of its end.
    pub mailbox: Arc<Mailbox>,
}

/// What may have to wait for the disk.
#[derive(Debug)]
pub enum Task {
    /// To read a page of memory for which a thread waits.
    Page {
        /// Its offset in memory.
        offset: u64,
        /// Where it is read from.
        file: Arc<File>,
        /// At which byte.
        storage_offset: u64,
    },
    /// To map a run of memory that will be copied.
    Run {
        /// Which.
        extent: Extent,
        /// Where it is copied from.
        window: Arc<Window>,
        /// At which byte.
        storage_offset: u64,
    },
}

/// What was done.
#[derive(Debug)]
pub enum Completion {
    /// A page was read.
    Page {
        /// Its offset in memory.
        offset: u64,
        /// Its bytes.
        bytes: io::Result<Vec<u8>>,
    },
    /// A run was mapped.
    Run {
        /// Which.
        extent: Extent,
        /// Whether all of it is.
        result: io::Result<()>,
    },
}

/// Where one session gets its completions, and its order to stop.
#[derive(Debug)]
pub struct Mailbox {
    completions: Mutex<Vec<Completion>>,
    stop: AtomicBool,
    bell: OwnedFd,
}

impl Mailbox {
    /// An empty one.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            completions: Mutex::default(),
            stop: AtomicBool::new(false),
            bell: eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?,
        })
    }

    /// Readable when something is in it.
    pub fn bell(&self) -> BorrowedFd<'_> {
        self.bell.as_fd()
    }

    /// Empties it.
    pub fn take(&self) -> Vec<Completion> {
        let mut count = [0; 8];
        // Not readable: nobody rang.
        let _ = rustix::io::read(&self.bell, &mut count);
        std::mem::take(&mut *lock(&self.completions))
    }

    /// Orders the session to stop.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.ring();
    }

    /// Whether it was ordered to.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }

    fn put(&self, completion: Completion) {
        lock(&self.completions).push(completion);
        self.ring();
    }

    fn ring(&self) {
        // Full means rung 2^64 - 2 times and not heard: it will be.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }
}

#[derive(Debug, Default)]
struct Queue {
    pages: VecDeque<Job>,
    runs: VecDeque<Job>,
}

/// The threads' queue.
#[derive(Debug, Default)]
pub struct IoPool {
    queue: Mutex<Queue>,
    ready: Condvar,
}

impl IoPool {
    /// Starts the threads, which stay until the process ends.
    pub fn start() -> io::Result<Arc<Self>> {
        let pool = Arc::new(Self::default());
        for _ in 0..THREADS {
            let pool = Arc::clone(&pool);
            thread::Builder::new()
                .name("io".into())
                .stack_size(STACK_BYTES)
                .spawn(move || pool.work())?;
        }
        Ok(pool)
    }

    /// Hands a job over; pages go before runs, for which nobody waits yet.
    pub fn submit(&self, job: Job) {
        let mut queue = lock(&self.queue);
        match job.task {
            Task::Page { .. } => queue.pages.push_back(job),
            Task::Run { .. } => queue.runs.push_back(job),
        }
        drop(queue);
        self.ready.notify_one();
    }

    fn work(&self) {
        loop {
            let Job { task, mailbox } = self.next();
            mailbox.put(match task {
                Task::Page {
                    offset,
                    file,
                    storage_offset,
                } => Completion::Page {
                    offset,
                    bytes: read_page(&file, storage_offset),
                },
                Task::Run {
                    extent,
                    window,
                    storage_offset,
                } => Completion::Run {
                    extent,
                    result: window.populate(storage_offset, extent.length),
                },
            });
        }
    }

    fn next(&self) -> Job {
        let mut queue = lock(&self.queue);
        loop {
            let job = queue.pages.pop_front().or_else(|| queue.runs.pop_front());
            if let Some(job) = job {
                return job;
            }
            queue = self
                .ready
                .wait(queue)
                .unwrap_or_else(|poisoned| poisoned.into_inner());
        }
    }
}

fn read_page(file: &File, offset: u64) -> io::Result<Vec<u8>> {
    let mut page = vec![0; PAGE_BYTES];
    let mut pauses = PAUSES.iter();
    loop {
        match file.read_exact_at(&mut page, offset) {
            Ok(()) => return Ok(page),
            // A file that is too short stays so.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Err(error),
            Err(error) => match pauses.next() {
                Some(pause) => thread::sleep(*pause),
                None => return Err(error),
            },
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    fn read(file: File) -> (io::Result<Vec<u8>>, Duration) {
        let pool = IoPool::start().unwrap();
        let mailbox = Arc::new(Mailbox::new().unwrap());
        let since = Instant::now();
        pool.submit(Job {
            task: Task::Page {
                offset: 4096,
                file: Arc::new(file),
                storage_offset: 0,
            },
            mailbox: Arc::clone(&mailbox),
        });
        let mut bell = [rustix::event::PollFd::from_borrowed_fd(
            mailbox.bell(),
            rustix::event::PollFlags::IN,
        )];
        rustix::event::poll(&mut bell, None).unwrap();
        let Completion::Page { offset, bytes } = mailbox.take().remove(0) else {
            panic!("a page was asked for");
        };
        assert_eq!(offset, 4096);
        assert!(mailbox.take().is_empty());
        (bytes, since.elapsed())
    }

    #[test]
    fn a_page_comes_back_and_what_cannot_be_read_is_told_within_a_second() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(&[7; PAGE_BYTES], 0).unwrap();
        assert_eq!(read(file).0.unwrap(), [7; PAGE_BYTES]);
        let short = read(tempfile::tempfile().unwrap()).0.unwrap_err();
        assert_eq!(short.kind(), io::ErrorKind::UnexpectedEof);
        // A directory answers every read with an error, as a broken disk does.
        let (result, taken) = read(File::open("/").unwrap());
        assert_eq!(result.unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert!(taken >= PAUSES.iter().sum() && taken < Duration::from_secs(1));
    }
}
