//! The seats that this process has, and what becomes of them when it forks.
//!
//! They stand in one list under one lock, which is taken before a fork and given back after it, so
//! that no child is made while a seat is half taken or half given up. The child closes the
//! descriptors of the locks: a lock would outlive the parent while a child had a descriptor of it.
//!
//! A child that is made without the handlers of fork(3) keeps the descriptors until it ends, calls
//! exec, or takes a seat of its own by the same [`Seats`](super::Seats). Until then the death of
//! its parent is not proved.
//!
//! # Safety
//!
//! The guard of the lock waits in a static while the process forks.
#![allow(unsafe_code, reason = "handlers of fork")]

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bifolio_sys::Errno;
use bifolio_sys::fs::fd::OwnedFd;
use bifolio_sys::process::pthread_atfork;

use crate::keeper::Keeper;

/// A seat that this process has, or that the one had which it was forked from.
pub(super) struct Sitting {
    /// The open file description that has the lock; none in a forked child.
    pub(super) lock: Option<OwnedFd>,
    pub(super) keeper: Keeper,
}

/// Which [`Seats`](super::Seats) it is, in this process and those forked from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Id(u64);

impl Id {
    pub(super) fn new() -> Id {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Id(NEXT.fetch_add(1, SeqCst))
    }
}

type List = BTreeMap<Id, Sitting>;

static SITTINGS: Mutex<List> = Mutex::new(BTreeMap::new());

/// The list, which no fork comes between.
pub(super) fn sittings() -> MutexGuard<'static, List> {
    SITTINGS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Has forks from now on take the lock and close the descriptors.
///
/// # Errors
///
/// There is no memory.
pub(super) fn expect_forks() -> Result<(), Errno> {
    static EXPECTED: AtomicBool = AtomicBool::new(false);
    if EXPECTED.swap(true, SeqCst) {
        return Ok(());
    }
    // SAFETY: none of them unwinds. That of the child closes files and gives a lock back.
    let registered = unsafe { pthread_atfork(before_fork, after_fork, in_child) };
    EXPECTED.store(registered.is_ok(), SeqCst);
    registered
}

/// Where the guard waits.
struct Forking(UnsafeCell<Option<MutexGuard<'static, List>>>);

// SAFETY: only who has the lock looks inside, and the guard comes back to the thread that put it
// there: the one that forks, which is the child's only one.
unsafe impl Sync for Forking {}

static FORKING: Forking = Forking(UnsafeCell::new(None));

extern "C" fn before_fork() {
    let guard = sittings();
    // SAFETY: this thread has the lock.
    unsafe { *FORKING.0.get() = Some(guard) };
}

/// The guard that `before_fork` of this thread has put down.
fn take_guard() -> Option<MutexGuard<'static, List>> {
    // SAFETY: `before_fork` of this thread has taken the lock.
    unsafe { (*FORKING.0.get()).take() }
}

extern "C" fn after_fork() {
    drop(take_guard());
}

extern "C" fn in_child() {
    if let Some(mut sittings) = take_guard() {
        for sitting in sittings.values_mut() {
            sitting.lock = None;
        }
    }
}
