//! The words and the data of locks: core's atomics, or the model checker's.
//!
//! Operations on a [`Word`] are SeqCst: locks are read-modify-write operations, which cost the same
//! with any ordering on x86-64, and little more on aarch64. What need not be ordered has another
//! name, and the models show of all the rest that it must be.
//!
//! With `--cfg loom` the same locks run under loom. Then each operation is a step at which the
//! model can kill the process, and a place that the model can weaken: see `model`.
//!
//! # Safety
//!
//! [`Guarded`] lends references to what it holds to whoever says that nobody else has any.
#![allow(unsafe_code, reason = "lends the data that a lock guards")]

/// A constructor: const, but for the model checker, whose words have none.
macro_rules! constructor {
    ($(#[$meta:meta])* $visibility:vis fn $($rest:tt)*) => {
        #[cfg(not(loom))]
        $(#[$meta])*
        $visibility const fn $($rest)*

        #[cfg(loom)]
        $(#[$meta])*
        $visibility fn $($rest)*
    };
}
pub(crate) use constructor;

#[cfg(not(loom))]
pub(crate) use plain::{Guarded, Long, Word};

#[cfg(loom)]
pub(crate) use crate::model::word::{Guarded, Long, Word};

use bifolio_sys::futex::{self, Expect};

impl Word {
    /// This word, as long as it has the value.
    pub(crate) fn expect(&self, value: u32) -> Expect<'_> {
        Expect { word: self.futex(), value }
    }

    /// Wakes up to `count` of those who sleep on it; how many there were.
    pub(crate) fn wake(&self, count: u32) -> usize {
        // Refused only where the memory is gone, and with it those who slept on it.
        futex::wake(self.futex(), count).unwrap_or(0)
    }
}

#[cfg(not(loom))]
mod plain {
    //! As core has them.
    use bifolio_sys::sync::{AtomicU32, AtomicU64, Ordering, Ordering::SeqCst};
    use core::cell::UnsafeCell;

    /// 32 bits in shared memory, to sleep on.
    #[repr(transparent)]
    pub(crate) struct Word(AtomicU32);

    impl Word {
        pub(crate) const fn new(value: u32) -> Word {
            Word(AtomicU32::new(value))
        }

        #[inline]
        pub(crate) fn load(&self) -> u32 {
            self.0.load(SeqCst)
        }

        /// What stood there lately, for whoever acts on it by [`replace`](Self::replace) or sleep.
        #[inline]
        pub(crate) fn peek(&self) -> u32 {
            // relaxed: whoever acts on it compares again.
            self.0.load(Ordering::Relaxed)
        }

        #[inline]
        pub(crate) fn swap(&self, value: u32) -> u32 {
            self.0.swap(value, SeqCst)
        }

        /// Adds, beyond the end from zero on.
        #[inline]
        pub(crate) fn add(&self, value: u32) -> u32 {
            self.0.fetch_add(value, SeqCst)
        }

        /// Whether it was `current` and is `new` now.
        #[inline]
        pub(crate) fn replace(&self, current: u32, new: u32) -> bool {
            self.0.compare_exchange(current, new, SeqCst, SeqCst).is_ok()
        }

        /// The same, for a flag that asks for a wake-up: the kernel compares it before the sleep.
        #[inline]
        pub(crate) fn flag(&self, current: u32, new: u32) -> bool {
            let relaxed = Ordering::Relaxed; // relaxed: what follows is a comparison by the kernel.
            self.0.compare_exchange(current, new, relaxed, relaxed).is_ok()
        }

        #[inline]
        pub(super) fn futex(&self) -> &AtomicU32 {
            &self.0
        }
    }

    /// 64 bits in shared memory.
    #[repr(transparent)]
    pub(crate) struct Long(AtomicU64);

    impl Long {
        pub(crate) const fn new(value: u64) -> Long {
            Long(AtomicU64::new(value))
        }

        #[inline]
        pub(crate) fn load(&self) -> u64 {
            self.0.load(SeqCst)
        }

        /// What stood there lately, for whoever acts on it by [`replace`](Self::replace).
        #[inline]
        pub(crate) fn peek(&self) -> u64 {
            // relaxed: whoever acts on it compares again.
            self.0.load(Ordering::Relaxed)
        }

        /// Whether it was `current` and is `new` now.
        #[inline]
        pub(crate) fn replace(&self, current: u64, new: u64) -> bool {
            self.0.compare_exchange(current, new, SeqCst, SeqCst).is_ok()
        }
    }

    /// What a lock guards.
    #[repr(transparent)]
    pub(crate) struct Guarded<T>(UnsafeCell<T>);

    impl<T> Guarded<T> {
        pub(crate) const fn new(value: T) -> Guarded<T> {
            Guarded(UnsafeCell::new(value))
        }

        /// # Safety
        ///
        /// As long as the reference lives nobody changes the value.
        #[inline]
        pub(crate) unsafe fn shared(&self) -> &T {
            // SAFETY: the caller's promise; the pointer is that of a cell which is borrowed.
            unsafe { &*self.0.get() }
        }

        /// # Safety
        ///
        /// As long as the reference lives nobody else has a reference to the value.
        #[inline]
        #[expect(clippy::mut_from_ref, reason = "the caller promises that it is the only one")]
        pub(crate) unsafe fn exclusive(&self) -> &mut T {
            // SAFETY: the caller's promise; the pointer is that of a cell which is borrowed.
            unsafe { &mut *self.0.get() }
        }

        pub(crate) fn get_mut(&mut self) -> &mut T {
            self.0.get_mut()
        }
    }
}
