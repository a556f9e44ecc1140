//! Real-time signals that one thread waits for while every other is left alone.
//!
//! A signal sent to a thread that blocks it stays pending until that thread takes it: no handler
//! runs, and no default action ends the process.
//!
//! # Safety
//!
//! Signal sets are filled in by the C library, and dispositions are asked for, never changed.
#![allow(unsafe_code, reason = "signal sets are out parameters")]

use core::ffi::c_int;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ptr::{null, null_mut};
use core::time::Duration;

use rustix::io::Errno;

use crate::uapi::check;

/// A real-time signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RealTime(c_int);

impl RealTime {
    /// The highest real-time signal whose disposition is the default: one that nobody has claimed
    /// so far. `None` where all are taken.
    ///
    /// The lowest ones are those that programs count up from.
    #[must_use]
    pub fn unclaimed() -> Option<Self> {
        let mut signals = (libc::SIGRTMIN()..=libc::SIGRTMAX()).rev();
        signals.find(|&number| is_default(number)).map(Self)
    }

    /// The kernel's number of it.
    #[must_use]
    pub fn number(self) -> i32 {
        self.0
    }
}

/// Whether the signal of this number does what it does without a handler.
fn is_default(number: c_int) -> bool {
    let mut action = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: without a new action only the old one is written.
    if unsafe { libc::sigaction(number, null(), action.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: written by the call above, which succeeded.
    unsafe { action.assume_init() }.sa_sigaction == libc::SIG_DFL
}

/// Blocks every signal on this thread until it is dropped; threads that are started meanwhile
/// inherit that and keep it.
///
/// It stays on the thread that made it.
#[derive(Debug)]
pub struct AllBlocked {
    before: libc::sigset_t,
    not_send: PhantomData<*mut ()>,
}

impl AllBlocked {
    /// Blocks them.
    #[must_use]
    pub fn new() -> Self {
        let mut all = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: sigfillset(3) writes the whole set.
        unsafe { libc::sigfillset(all.as_mut_ptr()) };
        let mut before = MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: the first set was written above and the second is written here; with a valid
        // `how` it cannot fail (pthread_sigmask(3)).
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, all.as_ptr(), before.as_mut_ptr()) };
        // SAFETY: written by the call above.
        Self { before: unsafe { before.assume_init() }, not_send: PhantomData }
    }
}

impl Default for AllBlocked {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for AllBlocked {
    fn drop(&mut self) {
        // SAFETY: the set is this thread's own of before (pthread_sigmask(3)).
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const self.before, null_mut()) };
    }
}

/// Takes one pending `signal` of this thread, which blocks it, and waits for one for up to
/// `timeout`.
///
/// One that was sent to the whole process and that no other thread takes is taken too.
///
/// # Errors
///
/// [`Errno::AGAIN`] when the time was up, [`Errno::INTR`] where another signal's handler ran.
///
/// # References
///
/// [sigtimedwait(2)](https://man7.org/linux/man-pages/man2/sigtimedwait.2.html): Linux 2.2.
pub fn sigtimedwait(signal: RealTime, timeout: Duration) -> Result<(), Errno> {
    let mut set = MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: sigemptyset(3) writes the whole set.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: written by the call above, and the number is that of a signal.
    unsafe { libc::sigaddset(set.as_mut_ptr(), signal.number()) };
    let timeout = libc::timespec {
        tv_sec: timeout.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: timeout.subsec_nanos().into(),
    };
    // SAFETY: the set and the time are valid; no information is asked for.
    let ret = unsafe { libc::sigtimedwait(set.as_ptr(), null_mut(), &raw const timeout) };
    check(ret.into()).map(drop)
}
