//! The handler that stood before ours, called as the kernel would have called it.
//!
//! # Safety
//!
//! Calls a foreign handler with the arguments the kernel gave to ours. Everything here is
//! async-signal-safe (signal-safety(7)).
#![allow(unsafe_code, reason = "dispositions are read, set and called through the C interface")]

use super::Signal;
use crate::{Errno, errno};
use core::ffi::{c_int, c_void};
use core::mem::{MaybeUninit, transmute, zeroed};
use core::ptr::{null, null_mut};
use core::sync::atomic::{AtomicI32, AtomicU64, AtomicUsize, Ordering};

type InfoHandler = unsafe extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);
type PlainHandler = unsafe extern "C" fn(c_int);

/// A disposition that a handler may read while another thread still writes it: each field is a word
/// of its own.
pub(super) struct Previous {
    handler: AtomicUsize,
    flags: AtomicI32,
    mask: AtomicU64,
}

impl Previous {
    pub(super) const fn new() -> Self {
        Previous {
            handler: AtomicUsize::new(libc::SIG_DFL),
            flags: AtomicI32::new(0),
            mask: AtomicU64::new(0),
        }
    }

    /// Keeps `action` to be called later.
    pub(super) fn keep(&self, action: &libc::sigaction) {
        self.flags.store(action.sa_flags, Ordering::SeqCst);
        self.mask.store(mask_word(&action.sa_mask), Ordering::SeqCst);
        self.handler.store(action.sa_sigaction, Ordering::SeqCst);
    }

    /// Does with a signal what would have been done without us.
    ///
    /// # Safety
    ///
    /// To be called from a handler of `signal`, with its own arguments.
    pub(super) unsafe fn call(
        &self,
        signal: Signal,
        info: *mut libc::siginfo_t,
        context: *mut c_void,
    ) {
        let flags = self.flags.load(Ordering::SeqCst);
        let handler = if flags & libc::SA_RESETHAND != 0 {
            self.handler.swap(libc::SIG_DFL, Ordering::SeqCst)
        } else {
            self.handler.load(Ordering::SeqCst)
        };
        // SAFETY: the caller's arguments are the kernel's.
        let code = unsafe { (*info).si_code };
        let is_sent = code <= 0;
        match handler {
            // A fault cannot be ignored: the kernel ends the process then, as for the default
            // (signal(7)).
            libc::SIG_IGN if is_sent => {}
            libc::SIG_DFL | libc::SIG_IGN => {
                // SAFETY: the caller's promise.
                unsafe { die(signal, info, is_sent) }
            }
            _ => {
                block(signal, self.mask.load(Ordering::SeqCst), flags);
                if flags & libc::SA_SIGINFO != 0 {
                    // SAFETY: a disposition with SA_SIGINFO holds a function of this type
                    // (sigaction(2)).
                    let function = unsafe { transmute::<usize, InfoHandler>(handler) };
                    // SAFETY: called as the kernel would have called it.
                    unsafe { function(signal.number(), info, context) };
                } else {
                    // SAFETY: a disposition without SA_SIGINFO holds a function of this type
                    // (sigaction(2)).
                    let function = unsafe { transmute::<usize, PlainHandler>(handler) };
                    // SAFETY: called as the kernel would have called it.
                    unsafe { function(signal.number()) };
                }
            }
        }
    }
}

/// The disposition of `signal` now.
pub(super) fn current(signal: Signal) -> Result<libc::sigaction, Errno> {
    let mut action = MaybeUninit::uninit();
    // SAFETY: a null new action only asks; the answer is written to `action`.
    if unsafe { libc::sigaction(signal.number(), null(), action.as_mut_ptr()) } != 0 {
        return Err(errno::last());
    }
    // SAFETY: the call succeeded, so it wrote the answer.
    Ok(unsafe { action.assume_init() })
}

/// Sets the disposition of `signal` and returns the one before.
pub(super) fn replace(signal: Signal, new: &libc::sigaction) -> Result<libc::sigaction, Errno> {
    let mut old = MaybeUninit::uninit();
    // SAFETY: both point to actions of this frame.
    if unsafe { libc::sigaction(signal.number(), new, old.as_mut_ptr()) } != 0 {
        return Err(errno::last());
    }
    // SAFETY: the call succeeded, so it wrote the old action.
    Ok(unsafe { old.assume_init() })
}

/// An action with `handler`, `flags` and an empty mask.
pub(super) fn action(handler: usize, flags: c_int) -> libc::sigaction {
    // SAFETY: all-zero is a valid action: the default one, with an empty mask and no flags.
    let mut action: libc::sigaction = unsafe { zeroed() };
    action.sa_sigaction = handler;
    action.sa_flags = flags;
    action
}

/// Whether the calling thread blocks `signal`: then a fault ends the process, whatever handler
/// stands.
pub(super) fn thread_blocks(signal: Signal) -> bool {
    let mut mask = MaybeUninit::uninit();
    // SAFETY: a null new mask only asks; the answer is written to `mask`.
    if unsafe { libc::sigprocmask(libc::SIG_BLOCK, null(), mask.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: the call succeeded, so it wrote the mask.
    mask_word(unsafe { mask.assume_init_ref() }) & signal.bit() != 0
}

/// Lets the default action end the process: a fault is taken again on return, a signal that was
/// sent is sent again.
///
/// # Safety
///
/// As `Previous::call`.
unsafe fn die(signal: Signal, info: *mut libc::siginfo_t, is_sent: bool) {
    let _ = replace(signal, &action(libc::SIG_DFL, 0));
    if is_sent {
        let (process, thread) = (rustix::process::getpid(), rustix::thread::gettid());
        // SAFETY: `info` is the kernel's; it is only copied (rt_tgsigqueueinfo(2)).
        unsafe {
            libc::syscall(
                libc::SYS_rt_tgsigqueueinfo,
                process.as_raw_nonzero().get(),
                thread.as_raw_nonzero().get(),
                signal.number(),
                info,
            )
        };
    }
}

/// Blocks what the kernel would have blocked for a handler with `mask` and `flags`; returning from
/// the signal restores the old mask.
fn block(signal: Signal, mask: u64, flags: c_int) {
    let own = if flags & libc::SA_NODEFER == 0 { signal.bit() } else { 0 };
    // SAFETY: all-zero is the empty set.
    let mut set: libc::sigset_t = unsafe { zeroed() };
    let words = (&raw mut set).cast::<u64>();
    // SAFETY: the first 64 bits of the set are the signals 1 to 64 (the kernel's own form), and
    // `set` is at least that large.
    unsafe { words.write(mask | own) };
    // SAFETY: `set` lives in this frame; null discards the old mask.
    unsafe { libc::sigprocmask(libc::SIG_BLOCK, &set, null_mut()) };
}

fn mask_word(set: &libc::sigset_t) -> u64 {
    // SAFETY: the first 64 bits of the set are the signals 1 to 64, and the set is at least that
    // large.
    unsafe { (&raw const *set).cast::<u64>().read() }
}
