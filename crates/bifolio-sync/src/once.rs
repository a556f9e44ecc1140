//! `Once` and `OnceLock`: what is done, or made, by the first who needs it, once.
//!
//! The lock word (`raw`) of one that is done is shut. Until then whoever does it holds the lock,
//! and what is true if it dies is what is true of a lock: the next one gets it.
//!
//! 0. The value of a `OnceLock` is written by whoever holds the lock, and is not changed any more
//!    from the moment at which the lock is shut. References exist only after that.
//!
//! # Safety
//!
//! `OnceLock` lends its value.
#![allow(unsafe_code, reason = "lends the value once it stays")]

use core::fmt;
use core::mem::size_of;

use bifolio_sys::futex::Deadline;

use crate::error::Result;
use crate::held::{Held, inside};
use crate::peers::Peers;
use crate::raw::{RawLock, Taken, Wake};
use crate::shared::{Fingerprint, Shared};
use crate::wait::{Patience, Refused};
use crate::word::{Guarded, constructor};

/// Something that is to be done once, by whichever process comes first.
///
/// When that process is killed half-way, or panics, the next one does it. Memory of zeros is
/// something that was not done.
#[repr(C)]
pub struct Once {
    lock: RawLock,
}

/// The right to do it, which goes back if it is not used.
struct Turn<'a, P: Peers> {
    lock: &'a RawLock,
    held: Held<'a, P>,
}

impl<P: Peers> Drop for Turn<'_, P> {
    fn drop(&mut self) {
        if self.held.is_mine() {
            self.lock.give_back(true, Wake::One);
        }
    }
}

impl<P: Peers> Turn<'_, P> {
    /// It is done. A child by fork(2) that came out of it did nothing.
    fn finish(self) {
        if self.held.is_mine() {
            self.lock.shut();
            core::mem::forget(self);
        }
    }
}

impl Once {
    constructor! {
        /// Something that was not done.
        #[must_use]
        pub fn new() -> Once {
            Once { lock: RawLock::new() }
        }
    }

    /// Whether it was done.
    #[inline]
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.lock.is_shut()
    }

    /// Does it unless it was done; waits for whoever is doing it.
    ///
    /// `deed` is told whether somebody began it before and was killed, or panicked.
    ///
    /// # Errors
    ///
    /// The kernel refuses a seat, or to let it sleep.
    ///
    /// # Panics
    ///
    /// It does not lie in the memory of `peers`.
    #[inline]
    pub fn call(&self, peers: &impl Peers, deed: impl FnOnce(bool)) -> Result<()> {
        self.within(peers, Patience::ENDLESS, deed).map(drop)
    }

    /// Does it unless it was done, or another is doing it; whether it is done.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    ///
    /// # Panics
    ///
    /// As [`call`](Self::call).
    pub fn try_call(&self, peers: &impl Peers, deed: impl FnOnce(bool)) -> Result<bool> {
        self.within(peers, Patience::None, deed)
    }

    /// As [`call`](Self::call), and waits for another until `deadline` at most; whether it is done.
    ///
    /// # Errors
    ///
    /// As [`call`](Self::call).
    ///
    /// # Panics
    ///
    /// As [`call`](Self::call).
    pub fn call_until(
        &self,
        peers: &impl Peers,
        deadline: Deadline,
        deed: impl FnOnce(bool),
    ) -> Result<bool> {
        self.within(peers, Patience::until(deadline), deed)
    }

    fn within(
        &self,
        peers: &impl Peers,
        patience: Patience,
        deed: impl FnOnce(bool),
    ) -> Result<bool> {
        inside(peers, self);
        if self.is_done() {
            return Ok(true);
        }
        let Some((turn, interrupted)) = turn(&self.lock, peers, patience)? else {
            return Ok(self.is_done());
        };
        deed(interrupted);
        turn.finish();
        Ok(true)
    }
}

/// The right to do it, and whether somebody had it before; `None` where it was done, or another is
/// still at it.
fn turn<'a, P: Peers>(
    lock: &'a RawLock,
    peers: &'a P,
    patience: Patience,
) -> Result<Option<(Turn<'a, P>, bool)>> {
    let me = peers.me()?;
    match lock.take(peers, me, patience) {
        Ok(Taken::Shut) | Err(Refused::WouldBlock | Refused::TimedOut) => Ok(None),
        Ok(taken) => {
            let turn = Turn { lock, held: Held::new(peers, me, taken) };
            Ok(Some((turn, taken == Taken::Inconsistent)))
        }
        Err(Refused::Failed(error)) => Err(error),
    }
}

/// A value that is made once, by whichever process needs it first, and stays.
///
/// When the one that makes it is killed half-way, or panics, the next one makes it. Memory of zeros
/// is one that was not made. The size of the value is a multiple of 4 bytes and its alignment 8 at
/// most, as in a [`Mutex`](crate::Mutex).
///
/// # Examples
///
/// ```
/// use bifolio_sync::{OnceLock, Peers};
///
/// fn started(at: &OnceLock<u64>, peers: &impl Peers, now: u64) -> bifolio_sync::Result<u64> {
///     at.get_or_init(peers, || now).copied()
/// }
/// ```
#[repr(C)]
pub struct OnceLock<T> {
    lock: RawLock,
    value: Guarded<T>,
}

// SAFETY: the value is lent to all (Sync) once it stays (0), and may have been made by another
// thread (Send).
unsafe impl<T: Send + Sync> Sync for OnceLock<T> {}

// SAFETY: repr(C) of two words and T, whose alignment and size leave no gap before or behind it, as
// is asserted where the fingerprint is asked for (0); nothing but words and T (1, 3); zeros are a
// value that was not made (2); T and the name are told (4).
unsafe impl<T: Shared> Shared for OnceLock<T> {
    const FINGERPRINT: Fingerprint = {
        assert!(
            size_of::<Self>() == size_of::<RawLock>() + size_of::<T>(),
            "in a OnceLock, the size of T is a multiple of 4, and its alignment 8 at most"
        );
        Fingerprint::of_type::<Self>("OnceLock").field("", T::FINGERPRINT)
    };
}

impl<T: Shared> OnceLock<T> {
    constructor! {
        /// One that is not made; `before` is what lies there until it is, and is never lent.
        #[must_use]
        pub fn new(before: T) -> OnceLock<T> {
            OnceLock { lock: RawLock::new(), value: Guarded::new(before) }
        }
    }

    /// The value if it was made.
    #[inline]
    #[must_use]
    pub fn get(&self) -> Option<&T> {
        // SAFETY: the lock is shut: nobody changes the value any more (0).
        self.lock.is_shut().then(|| unsafe { self.value.shared() })
    }

    /// The value; makes it if nobody did, waits for whoever is making it.
    ///
    /// # Errors
    ///
    /// The kernel refuses a seat, or to let it sleep.
    ///
    /// # Panics
    ///
    /// It does not lie in the memory of `peers`; or a child by fork(2) comes out of `make`.
    pub fn get_or_init(&self, peers: &impl Peers, make: impl FnOnce() -> T) -> Result<&T> {
        inside(peers, self);
        if let Some(value) = self.get() {
            return Ok(value);
        }
        if let Some((turn, _)) = turn(&self.lock, peers, Patience::ENDLESS)? {
            let made = make();
            if turn.held.is_mine() {
                // SAFETY: this process holds the lock, and nobody has a reference (0).
                let value = unsafe { self.value.exclusive() };
                *value = made;
            }
            turn.finish();
        }
        Ok(self.get().expect("it was made"))
    }
}

impl Default for Once {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Once").field(&self.is_done()).finish()
    }
}

impl<T: Shared + fmt::Debug> fmt::Debug for OnceLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OnceLock").field(&self.get()).finish()
    }
}
