//! Atomics of core, or of the model checker: everything lock-free in Bifolio takes them from here.
//!
//! With `--cfg loom` the same source runs under loom, which explores its interleavings; without it
//! these are core's own types and cost nothing. Nothing else may name `core::sync::atomic` in a
//! file that has a model.

#[cfg(not(loom))]
pub use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};
#[cfg(loom)]
pub use loom::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, AtomicUsize, Ordering, fence};

/// Lets another thread run while this one waits for it.
pub fn yield_now() {
    #[cfg(not(loom))]
    rustix::thread::sched_yield();
    #[cfg(loom)]
    loom::thread::yield_now();
}
