//! Words that the kernel marks when a thread ends.
//!
//! # Safety
//!
//! The words and lists outlive the threads that name them.
#![allow(unsafe_code, reason = "the calls under test are unsafe")]

use std::ptr::null_mut;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use bifolio_sys::futex::wait;
use bifolio_sys::process::gettid;
use bifolio_sys::robust::{
    FUTEX_OWNER_DIED, FUTEX_WAITERS, RobustList, RobustListHead, get_robust_list, set_robust_list,
};

/// Ends a thread that has put `value` in the word of its list; what stands there then.
fn end_of_a_thread(value: impl Fn(u32) -> u32 + Sync) -> u32 {
    let word = AtomicU32::new(0);
    let end = std::thread::scope(|scope| {
        let (word, value) = (&word, &value);
        let list = move || {
            // The C library reuses what lies on the stack before the thread has ended.
            let entry = Box::leak(Box::new(RobustList { next: null_mut() }));
            let offset = word.as_ptr().addr().wrapping_sub((&raw const *entry).addr());
            let list = RobustList { next: &raw mut *entry };
            let futex_offset = offset as _;
            let head = RobustListHead { list, futex_offset, list_op_pending: null_mut() };
            let head = Box::leak(Box::new(head));
            entry.next = &raw mut head.list;
            let head = &raw const *head;
            // SAFETY: neither is ever freed, and the word outlives the scope.
            unsafe { set_robust_list(head) }.unwrap();
            assert_eq!(get_robust_list(), Ok(head));
            word.store(value(gettid().as_raw_pid() as u32), SeqCst);
        };
        let thread = scope.spawn(list);
        thread.join().unwrap();
        word.load(SeqCst)
    });
    assert_eq!(end, word.load(SeqCst));
    end
}

#[test]
fn the_kernel_marks_the_word_of_a_thread_that_ends_and_no_other() {
    assert_eq!(end_of_a_thread(|tid| tid | FUTEX_WAITERS), FUTEX_OWNER_DIED | FUTEX_WAITERS);
    assert_eq!(end_of_a_thread(|tid| tid), FUTEX_OWNER_DIED);
    let other = |tid: u32| tid.wrapping_add(1) | FUTEX_WAITERS;
    assert_eq!(end_of_a_thread(other) & FUTEX_OWNER_DIED, 0);
    assert_eq!(end_of_a_thread(|_| 0), 0);
}

#[test]
fn the_mark_wakes_who_sleeps() {
    let word: &AtomicU32 = Box::leak(Box::new(AtomicU32::new(FUTEX_WAITERS)));
    std::thread::scope(|scope| {
        let sleeper = scope.spawn(|| {
            while word.load(SeqCst) & FUTEX_OWNER_DIED == 0 {
                // No time limits it.
                let _ = wait(word, word.load(SeqCst) & !FUTEX_OWNER_DIED, None);
            }
        });
        let entry = Box::leak(Box::new(RobustList { next: null_mut() }));
        let offset = word.as_ptr().addr().wrapping_sub((&raw const *entry).addr()) as _;
        let list = RobustList { next: &raw mut *entry };
        let head = RobustListHead { list, futex_offset: offset, list_op_pending: null_mut() };
        let head = Box::leak(Box::new(head));
        entry.next = &raw mut head.list;
        let address = (&raw const *head).expose_provenance();
        scope.spawn(move || {
            let head = std::ptr::with_exposed_provenance(address);
            // SAFETY: neither list nor word is ever freed.
            unsafe { set_robust_list(head) }.unwrap();
            word.store(gettid().as_raw_pid() as u32 | FUTEX_WAITERS, SeqCst);
        });
        sleeper.join().unwrap();
    });
}
