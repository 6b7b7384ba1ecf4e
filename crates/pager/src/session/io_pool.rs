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

use crate::files::page::PAGE_BYTES;

const THREADS: usize = 4;
const STACK_BYTES: usize = 128 << 10;
/// A read that fails is repeated after these pauses; a page that cannot be read after them, cannot be served.
const PAUSES: [Duration; 3] = [
    Duration::from_millis(20),
    Duration::from_millis(80),
    Duration::from_millis(200),
];

/// What a thread of the pool is to read.
#[derive(Debug)]
pub struct Job {
    /// From where.
    pub file: Arc<File>,
    /// At which byte.
    pub storage_offset: u64,
    /// What for.
    pub purpose: Purpose,
    /// Who gets it.
    pub mailbox: Arc<Mailbox>,
}

/// What is read for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A page of memory for which a thread waits.
    Page {
        /// Its offset in memory.
        offset: u64,
    },
    /// A run of memory that will be copied from the page cache.
    Warm {
        /// Its offset in memory.
        offset: u64,
        /// Its bytes.
        length: u64,
    },
}

/// What was read.
#[derive(Debug)]
pub struct Completion {
    /// What for.
    pub purpose: Purpose,
    /// The page; empty for what was only warmed.
    pub result: io::Result<Vec<u8>>,
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
    warm: VecDeque<Job>,
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

    /// Hands a job over; pages go before what is only warmed.
    pub fn submit(&self, job: Job) {
        let mut queue = lock(&self.queue);
        match job.purpose {
            Purpose::Page { .. } => queue.pages.push_back(job),
            Purpose::Warm { .. } => queue.warm.push_back(job),
        }
        drop(queue);
        self.ready.notify_one();
    }

    fn work(&self) {
        let mut scratch = vec![0; 64 << 10];
        loop {
            let job = self.next();
            let result = match job.purpose {
                Purpose::Page { .. } => read_page(&job.file, job.storage_offset),
                Purpose::Warm { length, .. } => {
                    warm(&job.file, job.storage_offset, length, &mut scratch)
                }
            };
            job.mailbox.put(Completion {
                purpose: job.purpose,
                result,
            });
        }
    }

    fn next(&self) -> Job {
        let mut queue = lock(&self.queue);
        loop {
            let job = queue.pages.pop_front().or_else(|| queue.warm.pop_front());
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

/// Reads into the page cache and nowhere else; what fails is found out when it is needed.
fn warm(file: &File, offset: u64, length: u64, scratch: &mut [u8]) -> io::Result<Vec<u8>> {
    let mut done = 0;
    while done < length {
        let count = scratch.len().min((length - done) as usize);
        file.read_exact_at(&mut scratch[..count], offset + done)?;
        done += count as u64;
    }
    Ok(Vec::new())
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
            file: Arc::new(file),
            storage_offset: 0,
            purpose: Purpose::Page { offset: 4096 },
            mailbox: Arc::clone(&mailbox),
        });
        let mut bell = [rustix::event::PollFd::from_borrowed_fd(
            mailbox.bell(),
            rustix::event::PollFlags::IN,
        )];
        rustix::event::poll(&mut bell, None).unwrap();
        let completion = mailbox.take().remove(0);
        assert_eq!(completion.purpose, Purpose::Page { offset: 4096 });
        assert!(mailbox.take().is_empty());
        (completion.result, since.elapsed())
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
