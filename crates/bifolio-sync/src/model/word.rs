//! The words and the data of locks as the model checker has them.
//!
//! loom takes SeqCst for AcqRel, so that it would find mistakes in locks that have none. What
//! SeqCst gives beyond is put back here: between a SeqCst change of a word and a later SeqCst load
//! of the same thread stands a fence, as it does in the instructions. Where one of the two is
//! weakened there is none.
//!
//! # Safety
//!
//! [`Guarded`] lends references to what it holds; loom panics where two of them meet.
#![allow(unsafe_code, reason = "lends the data that a lock guards")]

use super::{IN_ORDER, SITES, WEAKENED, step};
use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering, Ordering::SeqCst, fence};
use std::panic::Location;

/// Whether this operation is as strong as it is written.
#[track_caller]
fn is_strong() -> bool {
    let site = Location::caller();
    SITES.with_borrow_mut(|sites| sites.insert(site));
    WEAKENED.get() != Some(site)
}

/// The ordering of a change of a word, which is a step.
#[track_caller]
fn change() -> Ordering {
    step();
    let strong = is_strong();
    IN_ORDER.with(|in_order| in_order.set(strong));
    // relaxed: a mistake made on purpose.
    if strong { SeqCst } else { Ordering::Relaxed }
}

/// The ordering of a load, which is a step.
#[track_caller]
fn look() -> Ordering {
    step();
    if !is_strong() {
        return Ordering::Relaxed; // relaxed: a mistake made on purpose.
    }
    if IN_ORDER.with(|in_order| in_order.get()) {
        fence(SeqCst);
    }
    SeqCst
}

macro_rules! word {
    ($(#[$meta:meta])* $name:ident, $atomic:ident, $bits:ident) => {
        $(#[$meta])*
        pub(crate) struct $name($atomic);

        impl $name {
            pub(crate) fn new(value: $bits) -> $name {
                $name($atomic::new(value))
            }

            #[track_caller]
            pub(crate) fn load(&self) -> $bits {
                self.0.load(look())
            }

            pub(crate) fn peek(&self) -> $bits {
                step();
                self.0.load(Ordering::Relaxed) // relaxed: so is what it stands for.
            }

            #[track_caller]
            pub(crate) fn replace(&self, current: $bits, new: $bits) -> bool {
                let ordering = change();
                self.0.compare_exchange(current, new, ordering, ordering).is_ok()
            }
        }
    };
}

word!(
    /// 32 bits in shared memory, to sleep on.
    Word, AtomicU32, u32
);
word!(
    /// 64 bits in shared memory.
    Long, AtomicU64, u64
);

impl Word {
    pub(crate) fn flag(&self, current: u32, new: u32) -> bool {
        step();
        let relaxed = Ordering::Relaxed; // relaxed: so is what it stands for.
        self.0.compare_exchange(current, new, relaxed, relaxed).is_ok()
    }

    #[track_caller]
    pub(crate) fn swap(&self, value: u32) -> u32 {
        self.0.swap(value, change())
    }

    #[track_caller]
    pub(crate) fn add(&self, value: u32) -> u32 {
        self.0.fetch_add(value, change())
    }

    pub(crate) fn futex(&self) -> &AtomicU32 {
        &self.0
    }
}

/// What a lock guards.
pub(crate) struct Guarded<T>(UnsafeCell<T>);

impl<T> Guarded<T> {
    pub(crate) fn new(value: T) -> Guarded<T> {
        Guarded(UnsafeCell::new(value))
    }

    /// # Safety
    ///
    /// As long as the reference lives nobody changes the value.
    pub(crate) unsafe fn shared(&self) -> &T {
        step();
        // SAFETY: the caller's promise, which loom looks after.
        self.0.with(|value| unsafe { &*value })
    }

    /// # Safety
    ///
    /// As long as the reference lives nobody else has a reference to the value.
    #[expect(clippy::mut_from_ref, reason = "the caller promises that it is the only one")]
    pub(crate) unsafe fn exclusive(&self) -> &mut T {
        step();
        // SAFETY: the caller's promise, which loom looks after.
        self.0.with_mut(|value| unsafe { &mut *value })
    }

    pub(crate) fn get_mut(&mut self) -> &mut T {
        // SAFETY: it is borrowed for this reference alone.
        self.0.with_mut(|value| unsafe { &mut *value })
    }
}
