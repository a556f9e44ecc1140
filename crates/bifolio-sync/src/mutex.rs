//! `Mutex`: one holder at a time, and the next one knows whether the last one died.
//!
//! 0. A reference to the data exists only through a guard, and a guard only while its process holds
//!    the lock word (`raw`, 1) and nobody made another from the same taking.
//! 1. A guard gives back only what its own process took: in a child by fork(2) it does nothing.
//!
//! # Safety
//!
//! The guards lend the data; the lock word says that there is one.
#![allow(unsafe_code, reason = "lends the data that the lock guards")]

use core::fmt;
use core::mem::size_of;
use core::ops::{Deref, DerefMut};
use core::time::Duration;

use bifolio_sys::futex::Deadline;

use crate::error::Result;
use crate::held::{Held, inside};
use crate::owner::Owner;
use crate::peers::Peers;
use crate::raw::{RawLock, Taken, Wake};
use crate::refusal::LockError;
use crate::shared::{Fingerprint, Shared};
use crate::wait::Patience;
use crate::word::{Guarded, constructor};

/// A value in shared memory that one process, and one thread of it, changes at a time.
///
/// When its holder is killed the next one gets the lock all the same, as
/// [`OwnerDead`](LockError::OwnerDead): it repairs the value and says so
/// ([`repaired`](MutexGuard::repaired)), or gives it up for all ([`poison`](MutexGuard::poison)).
/// A holder that is stopped, or slow, is never taken for dead. Memory of zeros is a mutex that is
/// free, with a value of zeros.
///
/// The size of the value is a multiple of 4 bytes and its alignment 8 at most, else the mutex has
/// padding and is not [`Shared`]: that is an error when the program is compiled.
///
/// It is not recursive: who locks it again waits for itself.
///
/// # Examples
///
/// ```
/// use bifolio_sync::{LockError, Mutex, Peers};
///
/// /// A count of events, and when the last one was.
/// fn count(events: &Mutex<[u64; 2]>, peers: &impl Peers, now: u64) -> std::io::Result<u64> {
///     let mut events = match events.lock(peers) {
///         Ok(events) => events,
///         Err(LockError::OwnerDead(mut events)) => {
///             events[1] = now; // Either half is good for itself.
///             events.repaired();
///             events
///         }
///         Err(why) => return Err(why.into()),
///     };
///     events[0] += 1;
///     events[1] = now;
///     Ok(events[0])
/// }
/// ```
#[repr(C)]
pub struct Mutex<T> {
    lock: RawLock,
    value: Guarded<T>,
}

// SAFETY: the lock makes sure that the value is lent to one at a time (0), to any thread: Send.
unsafe impl<T: Send> Sync for Mutex<T> {}

// SAFETY: repr(C) of two words and T, whose alignment and size leave no gap before or behind it, as
// is asserted where the fingerprint is asked for (0); nothing but words and T (1, 3); zeros are a
// free lock and, by T's promise, a value (2); T and the name are told (4).
unsafe impl<T: Shared> Shared for Mutex<T> {
    const FINGERPRINT: Fingerprint = {
        assert!(
            size_of::<Self>() == size_of::<RawLock>() + size_of::<T>(),
            "in a Mutex, the size of T is a multiple of 4, and its alignment 8 at most"
        );
        Fingerprint::of_type::<Self>("Mutex").field("", T::FINGERPRINT)
    };
}

impl<T> Mutex<T> {
    constructor! {
        /// A mutex that is free.
        #[must_use]
        pub fn new(value: T) -> Mutex<T> {
            Mutex { lock: RawLock::new(), value: Guarded::new(value) }
        }
    }

    /// The value, of which nobody else knows.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Who holds it, dead or alive, or held it when it was asked.
    #[must_use]
    pub fn holder(&self) -> Option<Owner> {
        self.lock.holder()
    }

    /// Whether it was [given up](MutexGuard::poison).
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.lock.is_shut()
    }

    /// Lets it be locked again after it was given up; the next holder gets it as
    /// [`OwnerDead`](LockError::OwnerDead). Whether it was.
    pub fn clear_poison(&self) -> bool {
        self.lock.reopen()
    }
}

impl<T: Shared> Mutex<T> {
    /// Waits until nobody holds it, and holds it.
    ///
    /// # Errors
    ///
    /// [`LockError::OwnerDead`] with the guard, [`LockError::Poisoned`], [`LockError::Failed`].
    ///
    /// # Panics
    ///
    /// The mutex does not lie in the memory of `peers`.
    #[inline]
    pub fn lock<'a, P: Peers>(&'a self, peers: &'a P) -> LockResult<'a, T, P> {
        self.take(peers, Patience::ENDLESS)
    }

    /// Holds it if nobody does.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock), and [`LockError::WouldBlock`].
    ///
    /// # Panics
    ///
    /// As [`lock`](Self::lock).
    #[inline]
    pub fn try_lock<'a, P: Peers>(&'a self, peers: &'a P) -> LockResult<'a, T, P> {
        self.take(peers, Patience::None)
    }

    /// Waits for it until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock), and [`LockError::TimedOut`].
    ///
    /// # Panics
    ///
    /// As [`lock`](Self::lock).
    pub fn lock_until<'a, P: Peers>(
        &'a self,
        peers: &'a P,
        deadline: Deadline,
    ) -> LockResult<'a, T, P> {
        self.take(peers, Patience::until(deadline))
    }

    /// Waits for it as long as `duration` at most.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock), and [`LockError::TimedOut`].
    ///
    /// # Panics
    ///
    /// As [`lock`](Self::lock).
    pub fn lock_for<'a, P: Peers>(
        &'a self,
        peers: &'a P,
        duration: Duration,
    ) -> LockResult<'a, T, P> {
        self.take(peers, Patience::lasting(duration))
    }

    #[inline]
    fn take<'a, P: Peers>(&'a self, peers: &'a P, patience: Patience) -> LockResult<'a, T, P> {
        inside(peers, self);
        let me = peers.me()?;
        let taken = self.lock.take(peers, me, patience)?;
        if taken == Taken::Shut {
            return Err(LockError::Poisoned);
        }
        let guard = MutexGuard { mutex: self, held: Held::new(peers, me, taken) };
        match taken {
            Taken::Clean => Ok(guard),
            _ => Err(LockError::OwnerDead(guard)),
        }
    }
}

/// What locking a mutex leads to.
pub type LockResult<'a, T, P> = Result<MutexGuard<'a, T, P>, LockError<MutexGuard<'a, T, P>>>;

/// The value of a [`Mutex`] that this process holds, until this is dropped.
///
/// The memory stays mapped as long as it lives. It may go to another thread: a lock belongs to a
/// process. In a child by fork(2), which is another process, dropping it does nothing; the value
/// must not be used there.
#[must_use = "the lock is given back when this is dropped"]
pub struct MutexGuard<'a, T: Shared, P: Peers> {
    mutex: &'a Mutex<T>,
    held: Held<'a, P>,
}

impl<'a, T: Shared, P: Peers> MutexGuard<'a, T, P> {
    /// Says that the value is as it should be, so that the next holder gets it without a warning.
    pub fn repaired(&mut self) {
        self.held.repaired();
    }

    /// Whether the value may be half changed, and nobody said that it is
    /// [repaired](Self::repaired).
    #[must_use]
    pub fn is_inconsistent(&self) -> bool {
        self.held.is_inconsistent()
    }

    /// Gives the value up: all who lock it, and all who wait for it now, get
    /// [`Poisoned`](LockError::Poisoned), until somebody [clears](Mutex::clear_poison) that.
    pub fn poison(self) {
        if self.held.is_mine() {
            self.mutex.lock.shut();
            core::mem::forget(self);
        }
    }

    /// The mutex, and those who share it.
    pub(crate) fn parts(&self) -> (&'a Mutex<T>, &'a P) {
        (self.mutex, self.held.peers())
    }
}

impl<T: Shared, P: Peers> Deref for MutexGuard<'_, T, P> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this guard is the only one (0), and is borrowed: nobody changes the value.
        unsafe { self.mutex.value.shared() }
    }
}

impl<T: Shared, P: Peers> DerefMut for MutexGuard<'_, T, P> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard is the only one (0), and is borrowed for this reference alone.
        unsafe { self.mutex.value.exclusive() }
    }
}

impl<T: Shared, P: Peers> Drop for MutexGuard<'_, T, P> {
    #[inline]
    fn drop(&mut self) {
        if self.held.is_mine() {
            self.mutex.lock.give_back(self.held.leaves_inconsistent(), Wake::One);
        }
    }
}

impl<T: Shared + fmt::Debug, P: Peers> fmt::Debug for MutexGuard<'_, T, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T> fmt::Debug for Mutex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut mutex = f.debug_struct("Mutex");
        mutex.field("holder", &self.holder()).field("poisoned", &self.is_poisoned());
        mutex.finish_non_exhaustive()
    }
}
