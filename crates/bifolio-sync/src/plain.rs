//! Which of the locks may lie in shared memory whatever they guard: those of words alone.
//!
//! # Safety
//!
//! [`Shared`] is unsafe to implement.
#![allow(unsafe_code, reason = "implements an unsafe trait for types of words")]

use crate::barrier::Barrier;
use crate::condvar::Condvar;
use crate::event::{AutoEvent, Event};
use crate::latch::Latch;
use crate::once::Once;
use crate::permits::Permits;
use crate::semaphore::Semaphore;
use crate::shared::{Fingerprint, Shared};

macro_rules! words {
    ($($name:ident)*) => {$(
        // SAFETY: repr(C) of words of one size, without a gap (0, 1), of which zeros are values as
        // the type says (2), without drop glue (3), told by its name (4).
        unsafe impl Shared for $name {
            const FINGERPRINT: Fingerprint = Fingerprint::of_type::<$name>(stringify!($name));
        }
    )*};
}

words! { AutoEvent Condvar Event Latch Once Semaphore }

// SAFETY: as above; words of 4 bytes before those of 8 are even in number.
unsafe impl<const N: usize> Shared for Barrier<N> {
    const FINGERPRINT: Fingerprint = Fingerprint::of_type::<Self>("Barrier").number(N as u64);
}

// SAFETY: as above; words of 4 bytes before those of 8 are even in number.
unsafe impl<const N: usize> Shared for Permits<N> {
    const FINGERPRINT: Fingerprint = Fingerprint::of_type::<Self>("Permits").number(N as u64);
}
