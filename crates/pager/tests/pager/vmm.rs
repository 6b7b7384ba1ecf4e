//! A process that does what a VMM does with its guest's memory, on command: one line each, one
//! line of answer, over the Unix socket in `WRENN_TEST_VMM`.

use std::fs::File;
use std::io::{BufRead, BufReader, IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::ptr;
use std::thread::{self, JoinHandle};
use std::time::Instant;

use rustix::mm::{MapFlags, ProtFlags, mmap, mmap_anonymous};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

pub const PAGE: usize = 4096;
pub const EVENT_FORK: u64 = 1 << 1;
pub const EVENT_REMOVE: u64 = 1 << 3;

#[repr(C)]
struct ApiArgument {
    api: u64,
    features: u64,
    ioctls: u64,
}

#[repr(C)]
struct RegisterArgument {
    start: u64,
    length: u64,
    mode: u64,
    ioctls: u64,
}

/// Makes a userfaultfd that tells of `features`.
pub fn make_uffd(features: u64) -> OwnedFd {
    // SAFETY: the call takes flags only; what it returns is a new descriptor.
    let fd = unsafe {
        let flags = libc::O_CLOEXEC | libc::O_NONBLOCK;
        OwnedFd::from_raw_fd(libc::syscall(libc::SYS_userfaultfd, flags) as i32)
    };
    let mut argument = ApiArgument {
        api: 0xaa,
        features,
        ioctls: 0,
    };
    // SAFETY: the argument has the kernel's layout.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), 0xc018_aa3f, &mut argument) };
    assert_eq!(result, 0, "UFFDIO_API: {}", std::io::Error::last_os_error());
    fd
}

/// Registers a range for missing pages.
pub fn register(uffd: BorrowedFd<'_>, start: u64, length: u64) {
    let mut argument = RegisterArgument {
        start,
        length,
        mode: 1,
        ioctls: 0,
    };
    // SAFETY: the argument has the kernel's layout.
    let result = unsafe { libc::ioctl(uffd.as_raw_fd(), 0xc020_aa00, &mut argument) };
    assert_eq!(
        result,
        0,
        "UFFDIO_REGISTER: {}",
        std::io::Error::last_os_error()
    );
}

/// Guest memory: private and anonymous, never a huge page.
pub fn anonymous(length: usize) -> u64 {
    // SAFETY: a new mapping at an address that the kernel chooses.
    unsafe {
        let access = ProtFlags::READ | ProtFlags::WRITE;
        let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
        mmap_anonymous(ptr::null_mut(), length, access, flags).unwrap() as u64
    }
}

/// Gives pages back.
pub fn remove(address: u64, length: usize) {
    // SAFETY: the caller's own mapping, of which no reference exists.
    let result = unsafe { libc::madvise(address as *mut _, length, libc::MADV_DONTNEED) };
    assert_eq!(result, 0);
}

pub fn read_word(address: u64) -> u64 {
    // SAFETY: the caller's own mapping; others may write it, so volatile.
    unsafe { (address as *const u64).read_volatile() }
}

fn write_page(address: u64, byte: u8) {
    // SAFETY: the caller's own mapping, of which no reference exists.
    unsafe { ptr::write_bytes(address as *mut u8, byte, PAGE) };
}

/// Sends one message with descriptors.
pub fn send(stream: &UnixStream, text: &str, descriptors: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); 256];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)));
    }
    let sent = sendmsg(
        stream,
        &[IoSlice::new(text.as_bytes())],
        &mut control,
        SendFlags::NOSIGNAL,
    );
    assert_eq!(sent, Ok(text.len()));
}

#[derive(Default)]
struct State {
    base: u64,
    length: usize,
    uffd: Option<OwnedFd>,
    /// Firecracker keeps it open and silent.
    socket: Option<UnixStream>,
    threads: Vec<JoinHandle<u64>>,
    /// Nanoseconds of each touch, sorted.
    samples: Vec<u64>,
}

/// Runs until the control socket ends.
pub fn play() {
    let path = std::env::var("WRENN_TEST_VMM").unwrap();
    let control = UnixStream::connect(path).unwrap();
    let mut out = control.try_clone().unwrap();
    let mut state = State::default();
    for line in BufReader::new(control).lines() {
        let line = line.unwrap();
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = obey(&mut state, words[0], &words[1..]);
        writeln!(out, "{answer}").unwrap();
    }
    std::process::exit(0);
}

fn obey(state: &mut State, command: &str, words: &[&str]) -> u64 {
    let number = |index: usize| words[index].parse::<u64>().unwrap();
    let (base, length) = (state.base, state.length);
    let address = move |page: u64| base + page * PAGE as u64;
    match command {
        // map BYTES FEATURES: memory behind a new userfaultfd
        "map" => {
            state.length = number(0) as usize;
            state.base = anonymous(state.length);
            let uffd = make_uffd(number(1));
            register(uffd.as_fd(), state.base, state.length as u64);
            state.uffd = Some(uffd);
            state.base
        }
        // plain BYTES: memory that the kernel alone serves
        "plain" => {
            state.length = number(0) as usize;
            state.base = anonymous(state.length);
            state.base
        }
        // image PATH BYTES: memory as a private mapping of a file, in two VMAs
        "image" => {
            state.length = number(1) as usize;
            let file = File::open(words[0]).unwrap();
            let access = ProtFlags::READ | ProtFlags::WRITE;
            // SAFETY: a new mapping at an address that the kernel chooses.
            state.base = unsafe {
                mmap(
                    ptr::null_mut(),
                    state.length,
                    access,
                    MapFlags::PRIVATE,
                    &file,
                    0,
                )
                .unwrap() as u64
            };
            let half = state.length / 2 / PAGE * PAGE;
            // SAFETY: the second half of the mapping from above.
            let result = unsafe {
                let second = (state.base + half as u64) as *mut _;
                libc::madvise(second, state.length - half, libc::MADV_DONTDUMP)
            };
            assert_eq!(result, 0);
            state.base
        }
        // handshake SOCKET JSON: with the userfaultfd
        "handshake" => {
            let stream = UnixStream::connect(words[0]).unwrap();
            send(&stream, words[1], &[state.uffd.as_ref().unwrap().as_fd()]);
            state.socket = Some(stream);
            0
        }
        // connect SOCKET: and say nothing
        "connect" => {
            state.socket = Some(UnixStream::connect(words[0]).unwrap());
            0
        }
        // send JSON WHAT: without a userfaultfd
        "send" => {
            let stream = state.socket.as_ref().unwrap();
            let null = File::open("/dev/null").unwrap();
            let descriptors = vec![null.as_fd(); number(1) as usize];
            send(stream, words[0], &descriptors);
            0
        }
        "touch" => read_word(address(number(0))),
        // measure PAGE COUNT STEP: touches, with the time of each
        "measure" => {
            let (first, count, step) = (number(0), number(1), number(2));
            let touch = |index| {
                let since = Instant::now();
                read_word(address(first + index * step));
                since.elapsed().as_nanos() as u64
            };
            state.samples = (0..count).map(touch).collect();
            state.samples.sort_unstable();
            0
        }
        // permille N: of the touches that were measured
        "permille" => state.samples[(state.samples.len() - 1) * number(0) as usize / 1000],
        // touch-later PAGE COUNT STEP: by a thread of its own
        "touch-later" => {
            let (first, count, step) = (number(0), number(1), number(2));
            state.threads.push(thread::spawn(move || {
                (0..count).fold(0, |sum: u64, index| {
                    sum.wrapping_add(read_word(address(first + index * step)))
                })
            }));
            0
        }
        "remove-later" => {
            let (page, count) = (number(0), number(1));
            state.threads.push(thread::spawn(move || {
                remove(address(page), count as usize * PAGE);
                0
            }));
            0
        }
        // join: the sum of what all threads read
        "join" => state
            .threads
            .drain(..)
            .fold(0, |sum, thread| sum.wrapping_add(thread.join().unwrap())),
        "write" => {
            write_page(address(number(0)), number(1) as u8);
            0
        }
        "fill" => {
            let pages = number(0)..number(0) + number(1);
            pages.for_each(|page| write_page(address(page), number(2) as u8));
            0
        }
        "remove" => {
            remove(address(number(0)), number(1) as usize * PAGE);
            0
        }
        // sum FROM COUNT: CRC-32 of pages
        "sum" => {
            let length = number(1) as usize * PAGE;
            // SAFETY: the mapping from above; nobody writes it meanwhile.
            let bytes =
                unsafe { std::slice::from_raw_parts(address(number(0)) as *const u8, length) };
            crc32fast::hash(bytes).into()
        }
        // storm THREADS ROUNDS: each gives pages back and touches them, at odds with the others
        "storm" => {
            let (threads, rounds) = (number(0), number(1));
            let storms: Vec<_> = (0..threads)
                .map(|thread| thread::spawn(move || storm(base, length, thread, rounds)))
                .collect();
            storms.into_iter().map(|storm| storm.join().unwrap()).sum()
        }
        "unmap" => {
            // SAFETY: the mapping from above; what uses it afterwards dies of it, as it should.
            unsafe { rustix::mm::munmap(address(number(0)) as *mut _, number(1) as usize * PAGE) }
                .unwrap();
            0
        }
        "close-uffd" => {
            state.uffd = None;
            0
        }
        "fork" => {
            // SAFETY: the child does nothing but end.
            match unsafe { libc::fork() } {
                // SAFETY: ends the child at once.
                0 => unsafe { libc::_exit(0) },
                pid => pid as u64,
            }
        }
        other => panic!("{other}?"),
    }
}

/// How many pages were neither zeros nor what their own page number says: must be none.
fn storm(base: u64, length: usize, seed: u64, rounds: u64) -> u64 {
    let pages = (length / PAGE) as u64;
    let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut wrong = 0;
    for round in 0..rounds {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let page = random % pages;
        let address = base + page * PAGE as u64;
        if round % 3 == 0 {
            let count = (1 + random % 7).min(pages - page);
            remove(address, count as usize * PAGE);
        }
        let word = read_word(address);
        wrong += u64::from(word != 0 && word != super::harness::word_of(page));
    }
    wrong
}
