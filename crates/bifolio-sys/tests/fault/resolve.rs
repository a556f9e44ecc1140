//! Resolvers: ranges that come and go, and what a resolver may do.
//!
//! # Safety
//!
//! Unsafe code registers resolvers and makes the faults that they are to resolve.
#![allow(unsafe_code, reason = "the attacks are made of raw faults")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "an attack's argument is that it is one")]
#![allow(clippy::multiple_unsafe_ops_per_block, reason = "as above")]

use bifolio_sys::fault::{self, Info, Resolution};
use bifolio_sys::guard::Word;
use core::ffi::c_void;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::attack::{closed_page, empty_file_page, page_len, plain_read};

/// Opens the page that faulted, as a pager would.
unsafe fn open_page(info: &Info, calls: usize) -> Resolution {
    let len = page_len();
    let page = info.addr & !(len - 1);
    unsafe { libc::mprotect(page as *mut c_void, len, libc::PROT_READ | libc::PROT_WRITE) };
    unsafe { &*(calls as *const AtomicUsize) }.fetch_add(1, Ordering::SeqCst);
    Resolution::Retry
}

unsafe fn decline(_: &Info, calls: usize) -> Resolution {
    unsafe { &*(calls as *const AtomicUsize) }.fetch_add(1, Ordering::SeqCst);
    Resolution::Decline
}

#[test]
fn a_resolver_serves_plain_and_guarded_access() {
    let calls = AtomicUsize::new(0);
    let data = &raw const calls as usize;
    let (plain, guarded, after) = (closed_page(), closed_page(), closed_page());
    let range = |page: *mut u8| page as usize..page as usize + page_len();
    let first = unsafe { fault::register(range(plain), open_page, data) }.unwrap();
    let second = unsafe { fault::register(range(guarded), open_page, data) }.unwrap();
    assert_eq!(plain_read(plain), 0);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    assert_eq!(unsafe { u64::load(guarded.cast()) }, Ok(0));
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    drop(first);
    let third = unsafe { fault::register(range(after), open_page, data) }.unwrap();
    drop(third);
    assert!(unsafe { u8::load(after) }.is_err(), "a range taken out still resolves");
    assert_eq!(calls.load(Ordering::SeqCst), 2);
    drop(second);
}

#[test]
fn a_resolver_that_declines_leaves_the_fault_to_the_next() {
    let (declined, opened) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let page = closed_page();
    let range = page as usize..page as usize + page_len();
    let first =
        unsafe { fault::register(range.clone(), decline, &raw const declined as usize) }.unwrap();
    assert!(unsafe { u8::load(page) }.is_err());
    assert_eq!(declined.load(Ordering::SeqCst), 1);
    let second = unsafe { fault::register(range, open_page, &raw const opened as usize) }.unwrap();
    assert!(unsafe { u8::load(page) }.is_ok());
    assert_eq!(opened.load(Ordering::SeqCst), 1);
    drop((first, second));
}

#[test]
fn more_ranges_than_one_slab_holds() {
    let calls = AtomicUsize::new(0);
    let data = &raw const calls as usize;
    let pages: Vec<*mut u8> = (0..400).map(|_| closed_page()).collect();
    let registrations: Vec<_> = pages
        .iter()
        .map(|&page| {
            let range = page as usize..page as usize + page_len();
            unsafe { fault::register(range, open_page, data) }.unwrap()
        })
        .collect();
    for &page in &pages {
        assert_eq!(unsafe { u8::load(page) }, Ok(0));
    }
    assert_eq!(calls.load(Ordering::SeqCst), pages.len());
    drop(registrations);
}

#[test]
fn ranges_come_and_go_while_others_fault() {
    let calls = AtomicUsize::new(0);
    let data = &raw const calls as usize;
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(Ordering::SeqCst) {
                    let page = closed_page();
                    let range = page as usize..page as usize + page_len();
                    let registration = unsafe { fault::register(range, open_page, data) }.unwrap();
                    assert_eq!(unsafe { u32::load(page.cast()) }, Ok(0));
                    drop(registration);
                    unsafe { libc::munmap(page.cast(), page_len()) };
                }
            });
        }
        let closed = closed_page();
        for _ in 0..20_000 {
            assert!(unsafe { u8::load(closed) }.is_err());
        }
        stop.store(true, Ordering::SeqCst);
    });
    assert!(calls.load(Ordering::SeqCst) > 0);
}

/// Meets a fault of its own by guarded access, on the handler's stack, before it opens the page.
unsafe fn look_elsewhere(info: &Info, calls: usize) -> Resolution {
    let elsewhere = empty_file_page();
    let fault = unsafe { u64::load(elsewhere.cast()) };
    unsafe { *libc::__errno_location() = 99 };
    unsafe { libc::munmap(elsewhere.cast(), page_len()) };
    match fault {
        Err(fault) if fault.code.signal() == libc::SIGBUS => unsafe { open_page(info, calls) },
        _ => Resolution::Decline,
    }
}

#[test]
fn a_resolver_may_use_guarded_access_and_errno_is_kept() {
    let calls = AtomicUsize::new(0);
    let page = closed_page();
    let range = page as usize..page as usize + page_len();
    let data = &raw const calls as usize;
    let registration = unsafe { fault::register(range, look_elsewhere, data) }.unwrap();
    unsafe { *libc::__errno_location() = 77 };
    assert_eq!(plain_read(page), 0);
    assert_eq!(unsafe { *libc::__errno_location() }, 77);
    assert_eq!(calls.load(Ordering::SeqCst), 1);
    drop(registration);
}

/// What the resolver is told of a fault, as 1 + `is_write`, or 0 where the CPU does not say.
unsafe fn note_write(info: &Info, data: usize) -> Resolution {
    let seen = info.is_write.map_or(0, |is_write| 1 + usize::from(is_write));
    unsafe { &*(data as *const AtomicUsize) }.store(seen, Ordering::SeqCst);
    Resolution::Decline
}

#[test]
fn a_resolver_is_told_reads_from_writes_where_the_cpu_says() {
    let seen = AtomicUsize::new(99);
    let page = closed_page();
    let range = page as usize..page as usize + page_len();
    let data = &raw const seen as usize;
    let registration = unsafe { fault::register(range, note_write, data) }.unwrap();
    let told = if cfg!(target_arch = "x86_64") { [1, 2] } else { [0, 0] };
    assert!(unsafe { u8::load(page) }.is_err());
    assert_eq!(seen.load(Ordering::SeqCst), told[0]);
    assert!(unsafe { u8::store(page, 1) }.is_err());
    assert_eq!(seen.load(Ordering::SeqCst), told[1]);
    drop(registration);
}
