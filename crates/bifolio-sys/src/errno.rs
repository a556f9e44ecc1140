//! The calling thread's `errno`, which a handler must leave as it found it.
//!
//! # Safety
//!
//! The C library gives out the address of a thread's own variable.
#![allow(unsafe_code, reason = "errno is a variable of the C library")]

use crate::Errno;

/// What the last call of the C library left.
pub(crate) fn last() -> Errno {
    Errno::from_raw_os_error(get())
}

/// The value of `errno`.
pub(crate) fn get() -> i32 {
    // SAFETY: it has no precondition (errno(3)).
    let location = unsafe { libc::__errno_location() };
    // SAFETY: the variable is this thread's own and lives as long as it.
    unsafe { *location }
}

/// Sets `errno`.
pub(crate) fn set(value: i32) {
    // SAFETY: it has no precondition (errno(3)).
    let location = unsafe { libc::__errno_location() };
    // SAFETY: the variable is this thread's own and lives as long as it.
    unsafe { *location = value };
}
