//! The table of descriptors, which the threads of a process share until one leaves it.
//!
//! # Safety
//!
//! A descriptor is a number, and means what the table of the thread that uses it says: so to change
//! tables is an unsafe function.
#![allow(unsafe_code, reason = "a system call that changes what descriptors mean")]

use core::ffi::c_uint;

use rustix::io::Errno;

use crate::uapi::check;

/// Gives the calling thread a table of descriptors of its own: with those below `first` of the one
/// that it shared, and no others.
///
/// The other threads keep theirs, and no file stays open for it that they close (before Linux 6.12
/// up to 64 of them do for as long as the call takes). Locks of others stay: of those of fcntl(2)
/// `F_SETLK` the owner is the table, which is a new one.
///
/// # Errors
///
/// [`Errno::NOSYS`] before Linux 5.9, [`Errno::NOMEM`], and what a filter of system calls answers;
/// the table is the shared one then.
///
/// # Safety
///
/// From now on the thread uses, and closes, no descriptor from `first` on that was opened before,
/// and no other thread one that this thread opens; handlers of signals that run on it are part of
/// it. Where no other thread shares the table, nobody uses a descriptor in it from `first` on any
/// more: it is closed.
///
/// # References
///
/// [close_range(2)](https://man7.org/linux/man-pages/man2/close_range.2.html),
/// `CLOSE_RANGE_UNSHARE`: Linux 5.9.
pub unsafe fn close_range_unshare(first: u32) -> Result<(), Errno> {
    let (last, flags): (c_uint, c_uint) = (c_uint::MAX, libc::CLOSE_RANGE_UNSHARE);
    // SAFETY: close_range(2) takes no pointer; the caller answers for what the numbers mean then.
    let ret = unsafe { libc::syscall(libc::SYS_close_range, first, last, flags) };
    check(ret).map(drop)
}
