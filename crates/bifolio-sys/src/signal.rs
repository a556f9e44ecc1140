//! Signals that are waited for instead of handled: real-time ones by a thread of their own, and
//! SIGXFSZ, which comes beside an error and ends the process although the call that raised it says
//! `EFBIG` as well. And what a thread that blocks the others must not block.
//!
//! It does not touch the disposition of any signal, which belongs to the whole process.
//!
//! # Safety
//!
//! Signal sets are filled in by the C library.
#![allow(unsafe_code, reason = "signal sets are out parameters")]

mod real_time;

use core::ffi::c_int;
use core::mem::MaybeUninit;
use core::ptr::null_mut;

use rustix::io::Errno;

pub use real_time::{AllBlocked, RealTime, sigtimedwait};

/// Calls `call`, which may make a file larger than `RLIMIT_FSIZE` permits: that is
/// [`Errno::FBIG`] then, and no signal.
///
/// The signal is blocked on this thread meanwhile, and taken back where the call raised it. One
/// that was pending before, blocked by the caller, stays pending.
///
/// # Errors
///
/// What `call` returns.
///
/// # References
///
/// [getrlimit(2)](https://man7.org/linux/man-pages/man2/getrlimit.2.html), `RLIMIT_FSIZE`;
/// [sigtimedwait(2)](https://man7.org/linux/man-pages/man2/sigtimedwait.2.html): Linux 2.2.
pub fn without_sigxfsz<T>(call: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    let signal = set_of(&[libc::SIGXFSZ]);
    let mut before = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: both sets are valid for the call, and the second is written by it; with a valid `how`
    // it cannot fail (pthread_sigmask(3)).
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &raw const signal, before.as_mut_ptr()) };
    // SAFETY: written by the call above.
    let before = unsafe { before.assume_init() };
    // SAFETY: a valid set and a valid signal number.
    let was_blocked = unsafe { libc::sigismember(&raw const before, libc::SIGXFSZ) } == 1;
    let was_pending = was_blocked && is_pending();
    let _restored = (!was_blocked).then(|| Unblock(signal));
    let result = call();
    if matches!(result, Err(Errno::FBIG)) && !was_pending {
        let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: the set and the time are valid; no information is asked for. Where the error came
        // without a signal, nothing is pending and nothing is taken.
        unsafe { libc::sigtimedwait(&raw const signal, null_mut(), &raw const at_once) };
    }
    result
}

/// Unblocks SIGBUS and SIGSEGV on this thread, so that a fault of it reaches the handler: one that
/// is blocked ends the process.
///
/// # References
///
/// [signal(7)](https://man7.org/linux/man-pages/man7/signal.7.html);
/// [pthread_sigmask(3)](https://man7.org/linux/man-pages/man3/pthread_sigmask.3.html): Linux 2.0.
pub fn unblock_faults() {
    drop(Unblock(set_of(&[libc::SIGBUS, libc::SIGSEGV])));
}

/// Unblocks its signals when it is dropped, by a panic of the call too.
struct Unblock(libc::sigset_t);

impl Drop for Unblock {
    fn drop(&mut self) {
        // SAFETY: a valid set; the old mask is not asked for (pthread_sigmask(3)).
        unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &raw const self.0, null_mut()) };
    }
}

/// The set of these signals.
fn set_of(signals: &[c_int]) -> libc::sigset_t {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset(3) writes the whole set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    for &signal in signals {
        // SAFETY: written by the call above, and the callers' numbers are those of signals.
        unsafe { libc::sigaddset(set.as_mut_ptr(), signal) };
    }
    // SAFETY: written by sigemptyset(3).
    unsafe { set.assume_init() }
}

/// Whether one waits for this thread.
fn is_pending() -> bool {
    let mut set = set_of(&[libc::SIGXFSZ]);
    // SAFETY: sigpending(2) writes a set.
    unsafe { libc::sigpending(&raw mut set) };
    // SAFETY: a valid set and a valid signal number.
    unsafe { libc::sigismember(&raw const set, libc::SIGXFSZ) == 1 }
}
