//! What the kernel's userfaultfd really answers, as the wrappers tell it: rows 1, 2, 3, 5 and 7 of
//! the table in `docs/reference/pager.md`.

use std::os::fd::AsFd;
use std::thread;

use wrenn_pager::session::uffd::{Event, EventBuffer, Install, Uffd};

use super::vmm::{EVENT_REMOVE, PAGE, anonymous, make_uffd, read_word, register, remove};

const PAGES: usize = 16;

fn registered(features: u64) -> (Uffd, u64) {
    let memory = anonymous(PAGES * PAGE);
    let fd = make_uffd(features);
    register(fd.as_fd(), memory, (PAGES * PAGE) as u64);
    (Uffd::new(fd).unwrap(), memory)
}

fn page(number: usize) -> u64 {
    (number * PAGE) as u64
}

#[test]
fn a_present_page_is_told_apart_first_and_in_the_middle() {
    let (uffd, memory) = registered(0);
    let source = vec![7; PAGES * PAGE];
    assert_eq!(
        uffd.copy(memory + page(3), &source[..PAGE]),
        Install::Complete
    );
    assert_eq!(
        uffd.copy(memory + page(3), &source[..PAGE]),
        Install::Present
    );
    assert_eq!(uffd.zero(memory + page(3), page(1)), Install::Present);
    assert_eq!(uffd.copy(memory, &source), Install::Partial(page(3)));
    assert_eq!(uffd.zero(memory + page(4), page(2)), Install::Complete);
    assert_eq!(read_word(memory), 0x0707_0707_0707_0707);
    assert_eq!(read_word(memory + page(4)), 0);
}

#[test]
fn nothing_is_installed_while_an_event_is_unread() {
    let (uffd, memory) = registered(EVENT_REMOVE);
    let source = vec![7; PAGE];
    assert_eq!(uffd.copy(memory, &source), Install::Complete);
    let madvise = thread::spawn(move || remove(memory, PAGES * PAGE));
    while uffd.copy(memory + page(1), &source) != Install::Changing {
        // Until the thread is in the kernel; pages that were copied before are taken away by it.
        uffd.zero(memory + page(2), page(1));
        thread::yield_now();
        if madvise.is_finished() {
            panic!("the event was never waited for");
        }
        if uffd.copy(memory + page(1), &source) == Install::Present {
            continue;
        }
    }
    assert_eq!(uffd.zero(memory + page(5), page(1)), Install::Changing);
    let mut buffer = EventBuffer::default();
    let events: Vec<_> = uffd.read(&mut buffer).unwrap().collect();
    assert!(
        matches!(events[..], [Event::Remove { start, end }] if start == memory && end == memory + page(PAGES)),
        "{events:?}"
    );
    madvise.join().unwrap();
    assert_eq!(uffd.copy(memory + page(5), &source), Install::Complete);
}

#[test]
fn an_address_outside_of_the_memory_is_an_error() {
    let (uffd, _memory) = registered(0);
    let elsewhere = anonymous(PAGE);
    assert_eq!(uffd.copy(elsewhere, &[1; PAGE]), Install::Unregistered);
}

#[test]
fn a_source_that_cannot_be_read_is_an_error_and_no_signal() {
    let (uffd, memory) = registered(0);
    assert_eq!(
        uffd.copy_from(memory, 4096, page(1)),
        Install::Failed(libc::EFAULT)
    );
}

#[test]
fn a_fault_is_told_with_its_address_and_a_wake_repeats_it() {
    let (uffd, memory) = registered(0);
    let reader = thread::spawn(move || read_word(memory + page(2)));
    let mut buffer = EventBuffer::default();
    let mut next = || loop {
        let event = uffd.read(&mut buffer).unwrap().next();
        match event {
            Some(Event::Fault { address }) => return address,
            None => thread::yield_now(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(next(), memory + page(2));
    uffd.wake(memory, page(PAGES)).unwrap();
    assert_eq!(next(), memory + page(2), "told again: nothing was lost");
    assert_eq!(uffd.copy(memory + page(2), &[9; PAGE]), Install::Complete);
    assert_eq!(reader.join().unwrap(), 0x0909_0909_0909_0909);
}
