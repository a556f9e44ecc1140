//! What the attacks are made of: pages that fault, plain accesses, dispositions, masks.
//!
//! # Safety
//!
//! Unsafe code maps memory to fault and sets what the process has of signals.
#![allow(unsafe_code, reason = "the attacks are made of raw faults and raw handlers")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "an attack's argument is that it is one")]
#![allow(clippy::multiple_unsafe_ops_per_block, reason = "as above")]

use bifolio_sys::guard::Word;
use core::ffi::c_int;
use std::ptr::null_mut;

pub(crate) fn assert_guarded() {
    assert!(unsafe { u8::load(closed_page()) }.is_err());
    assert!(unsafe { u8::load(empty_file_page()) }.is_err());
}

pub(crate) fn page_len() -> usize {
    unsafe { libc::sysconf(libc::_SC_PAGESIZE) as usize }
}

/// A page of reserved addresses: any access is a SIGSEGV.
pub(crate) fn closed_page() -> *mut u8 {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let page = unsafe { libc::mmap(null_mut(), page_len(), libc::PROT_NONE, flags, -1, 0) };
    assert_ne!(page, libc::MAP_FAILED);
    page.cast()
}

/// A page of a file without bytes: any access is a SIGBUS.
pub(crate) fn empty_file_page() -> *mut u8 {
    let file = unsafe { libc::memfd_create(c"empty".as_ptr(), 0) };
    assert!(file >= 0);
    let page =
        unsafe { libc::mmap(null_mut(), page_len(), libc::PROT_READ, libc::MAP_SHARED, file, 0) };
    assert_ne!(page, libc::MAP_FAILED);
    unsafe { libc::close(file) };
    page.cast()
}

#[inline(never)]
pub(crate) fn plain_read(at: *const u8) -> u8 {
    unsafe { at.read_volatile() }
}

#[allow(unconditional_recursion, reason = "the stack is to overflow")]
#[inline(never)]
pub(crate) fn overflow(depth: u64) -> u64 {
    let frame = [depth; 64];
    std::hint::black_box(&frame);
    overflow(depth + 1) + std::hint::black_box(frame)[3]
}

/// Sets a disposition and returns the handler before.
pub(crate) fn set(signal: c_int, handler: usize, flags: c_int) -> usize {
    let mut old: libc::sigaction = unsafe { std::mem::zeroed() };
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    assert_eq!(unsafe { libc::sigaction(signal, &action, &mut old) }, 0);
    old.sa_sigaction
}

pub(crate) fn is_blocked(signal: c_int) -> bool {
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    unsafe { libc::sigprocmask(libc::SIG_BLOCK, std::ptr::null(), &mut set) };
    unsafe { libc::sigismember(&set, signal) == 1 }
}

pub(crate) fn block(signal: c_int) {
    change_mask(libc::SIG_BLOCK, signal);
}

pub(crate) fn unblock(signal: c_int) {
    change_mask(libc::SIG_UNBLOCK, signal);
}

pub(crate) fn change_mask(how: c_int, signal: c_int) {
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    unsafe { libc::sigaddset(&mut set, signal) };
    assert_eq!(unsafe { libc::pthread_sigmask(how, &set, null_mut()) }, 0);
}
