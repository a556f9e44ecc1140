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

/// The disposition that stood before. A handler may read it while it is kept anew: that is written
/// beside it and then published whole, so that no flags meet the handler of another.
pub(super) struct Previous {
    records: [Record; 2],
    current: AtomicUsize,
}

struct Record {
    handler: AtomicUsize,
    flags: AtomicI32,
    mask: AtomicU64,
}

impl Record {
    /// The default action.
    const fn new() -> Self {
        Record {
            handler: AtomicUsize::new(libc::SIG_DFL),
            flags: AtomicI32::new(0),
            mask: AtomicU64::new(0),
        }
    }
}

impl Previous {
    pub(super) const fn new() -> Self {
        Previous { records: [const { Record::new() }; 2], current: AtomicUsize::new(0) }
    }

    /// Keeps `action` to be called later. One thread at a time.
    pub(super) fn keep(&self, action: &libc::sigaction) {
        let next = 1 - self.current.load(Ordering::SeqCst);
        let record = &self.records[next];
        record.flags.store(action.sa_flags, Ordering::SeqCst);
        record.mask.store(mask_word(&action.sa_mask), Ordering::SeqCst);
        record.handler.store(action.sa_sigaction, Ordering::SeqCst);
        self.current.store(next, Ordering::SeqCst);
    }

    #[cfg(test)]
    pub(super) fn is(&self, handler: usize) -> bool {
        self.record().handler.load(Ordering::SeqCst) == handler
    }

    fn record(&self) -> &Record {
        &self.records[self.current.load(Ordering::SeqCst)]
    }

    /// Does with a signal what would have been done without us. `is_fault` is false for one that
    /// was sent or that the kernel only tells of.
    ///
    /// # Safety
    ///
    /// To be called from a handler of `signal`, with its own arguments.
    pub(super) unsafe fn call(
        &self,
        signal: Signal,
        is_fault: bool,
        info: *mut libc::siginfo_t,
        context: *mut c_void,
    ) {
        let record = self.record();
        let flags = record.flags.load(Ordering::SeqCst);
        let handler = if flags & libc::SA_RESETHAND != 0 {
            record.handler.swap(libc::SIG_DFL, Ordering::SeqCst)
        } else {
            record.handler.load(Ordering::SeqCst)
        };
        match handler {
            // A fault cannot be ignored: the kernel ends the process then, as for the default
            // (signal(7)).
            libc::SIG_IGN if !is_fault => {}
            libc::SIG_DFL | libc::SIG_IGN if is_fault => {
                // It is taken again on return, and meets the default action.
                let _ = replace(signal, &action(libc::SIG_DFL, 0));
            }
            libc::SIG_DFL => {
                // SAFETY: the caller's promise.
                unsafe { send_again(signal, info) }
            }
            _ => {
                block(signal, record.mask.load(Ordering::SeqCst), flags);
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
    if unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, null(), mask.as_mut_ptr()) } != 0 {
        return false;
    }
    // SAFETY: the call succeeded, so it wrote the mask.
    mask_word(unsafe { mask.assume_init_ref() }) & signal.bit() != 0
}

/// Sends `signal` to this thread once more, with the default action in place, which ends the
/// process: all but the first of a PID namespace, which has no default actions
/// (pid_namespaces(7)) and goes on with its handler.
///
/// # Safety
///
/// As `Previous::call`.
unsafe fn send_again(signal: Signal, info: *mut libc::siginfo_t) {
    let ours = replace(signal, &action(libc::SIG_DFL, 0));
    // A handler in front of ours may have it blocked; returning from that restores the old mask.
    change_mask(libc::SIG_UNBLOCK, signal.bit());
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
    if let Ok(ours) = ours {
        let _ = replace(signal, &ours);
    }
}

/// Blocks what the kernel would have blocked for a handler with `mask` and `flags`; returning from
/// the signal restores the old mask.
fn block(signal: Signal, mask: u64, flags: c_int) {
    let own = if flags & libc::SA_NODEFER == 0 { signal.bit() } else { 0 };
    change_mask(libc::SIG_BLOCK, mask | own);
}

/// Blocks or unblocks the signals of `mask`, whose lowest bit is signal 1.
fn change_mask(how: c_int, mask: u64) {
    // SAFETY: all-zero is the empty set.
    let mut set: libc::sigset_t = unsafe { zeroed() };
    let words = (&raw mut set).cast::<u64>();
    // SAFETY: the first 64 bits of the set are the signals 1 to 64 (the kernel's own form), and
    // `set` is at least that large.
    unsafe { words.write(mask) };
    // SAFETY: `set` lives in this frame; null discards the old mask.
    unsafe { libc::pthread_sigmask(how, &set, null_mut()) };
}

fn mask_word(set: &libc::sigset_t) -> u64 {
    // SAFETY: the first 64 bits of the set are the signals 1 to 64, and the set is at least that
    // large.
    unsafe { (&raw const *set).cast::<u64>().read() }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A handler that is half through reading one disposition while another is kept.
    #[test]
    fn a_disposition_is_read_whole() {
        let previous = Previous::new();
        previous.keep(&action(1000, 1));
        let record = previous.record();
        let flags = record.flags.load(Ordering::SeqCst);
        previous.keep(&action(2000, 2));
        assert_eq!((record.handler.load(Ordering::SeqCst), flags), (1000, 1));
        assert!(previous.is(2000));
    }
}
