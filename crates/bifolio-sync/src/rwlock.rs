//! `RwLock`: one writer or many readers, none of whom blocks the others by dying.
//!
//! A writer holds the lock word, as that of a mutex; each reading process has a slot with the count
//! of its readers (`slots`).
//!
//! 0. A reference to the data exists only through a guard. The guard of a writer exists only while
//!    its process holds the lock word and after all slots were seen free. The guard of a reader
//!    exists only while its slot counts it, and after the lock word was seen free by it thereafter.
//! 1. A writer changes the lock word and then looks at the slots; a reader changes its slot and
//!    then looks at the lock word. One of them sees the other: the reader steps back, or the writer
//!    waits.
//! 2. Who waits for a writer sleeps on the lock word, and all are woken when it is given back. Who
//!    waits for readers, a writer or one that found no slot, sleeps as `slots` says.
//!
//! What is true if the process dies between two steps: a writer leaves the lock word with its name,
//! a reader its slot; whoever is woken by the death proves it, and takes the lock word as
//! inconsistent, or frees the slot. A reader cannot leave anything inconsistent. A writer that died
//! while it waited for readers counts as one that died writing.
//!
//! # Safety
//!
//! The guards lend the data; the lock word and the slots say who may.
#![allow(unsafe_code, reason = "lends the data that the lock guards")]

use core::fmt;
use core::mem::size_of;
use core::ops::{Deref, DerefMut};
use core::time::Duration;

use bifolio_sys::futex::Deadline;

use crate::held::{Held, inside};
use crate::owner::Owner;
use crate::peers::Peers;
use crate::raw::{RawLock, Taken, Wake};
use crate::refusal::LockError;
use crate::shared::{Fingerprint, Shared};
use crate::slots::{Slot, Slots};
use crate::wait::{Patience, Refused};
use crate::word::{Guarded, constructor};

/// A value in shared memory that many read at a time, or one changes.
///
/// Up to `READERS` processes read at once, each with any number of threads; one more waits until
/// another has read. A reader that is killed hinders nobody. When a writer is killed the next one,
/// reader or writer, gets the lock as [`OwnerDead`](LockError::OwnerDead), until a writer has
/// [repaired](WriteGuard::repaired) the value or [given it up](WriteGuard::poison). A writer that
/// waits comes before readers that come later, so that a thread that reads must not wait to read
/// again. Memory of zeros is a lock that is free, with a value
/// of zeros.
///
/// The size of the value is a multiple of 8 bytes and its alignment 8 at most, else the lock has
/// padding and is not [`Shared`]: that is an error when the program is compiled.
///
/// # Examples
///
/// ```
/// use bifolio_sync::{LockError, Peers, RwLock};
///
/// fn total(shares: &RwLock<[u64; 3]>, peers: &impl Peers) -> std::io::Result<u64> {
///     match shares.read(peers) {
///         Ok(shares) => Ok(shares.iter().sum()),
///         Err(LockError::OwnerDead(_)) => Err(std::io::Error::other("half written")),
///         Err(why) => Err(why.into()),
///     }
/// }
/// ```
#[repr(C)]
pub struct RwLock<T, const READERS: usize = 16> {
    lock: RawLock,
    readers: Slots<READERS>,
    value: Guarded<T>,
}

// SAFETY: the value is lent to one writer of any thread (Send) or to many readers (Sync) (0).
unsafe impl<T: Send + Sync, const READERS: usize> Sync for RwLock<T, READERS> {}

// SAFETY: repr(C) of words and T, whose alignment and size leave no gap before or behind it, as is
// asserted where the fingerprint is asked for (0); nothing but words and T (1, 3); zeros are a free
// lock and, by T's promise, a value (2); T, the name and the number are told (4).
unsafe impl<T: Shared, const READERS: usize> Shared for RwLock<T, READERS> {
    const FINGERPRINT: Fingerprint = {
        let words = size_of::<RawLock>() + size_of::<Slots<READERS>>();
        assert!(
            size_of::<Self>() == words + size_of::<T>(),
            "in an RwLock, the size of T is a multiple of 8, and its alignment 8 at most"
        );
        Fingerprint::of_type::<Self>("RwLock").number(READERS as u64).field("", T::FINGERPRINT)
    };
}

impl<T, const READERS: usize> RwLock<T, READERS> {
    constructor! {
        /// A lock that is free.
        #[must_use]
        pub fn new(value: T) -> RwLock<T, READERS> {
            RwLock { lock: RawLock::new(), readers: Slots::new(), value: Guarded::new(value) }
        }
    }

    /// The value, of which nobody else knows.
    pub fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    /// Who writes, or waits to write, dead or alive.
    #[must_use]
    pub fn writer(&self) -> Option<Owner> {
        self.lock.holder()
    }

    /// How many readers there were when it was asked, dead or alive.
    #[must_use]
    pub fn readers(&self) -> u64 {
        self.readers.sum()
    }

    /// Whether it was [given up](WriteGuard::poison).
    #[must_use]
    pub fn is_poisoned(&self) -> bool {
        self.lock.is_shut()
    }

    /// Lets it be locked again after it was given up, as [`OwnerDead`](LockError::OwnerDead).
    /// Whether it was.
    pub fn clear_poison(&self) -> bool {
        self.lock.reopen()
    }
}

impl<T: Shared, const READERS: usize> RwLock<T, READERS> {
    /// Waits until nobody writes or waits to write, and reads.
    ///
    /// # Errors
    ///
    /// [`LockError::OwnerDead`] with the guard, [`LockError::Poisoned`], [`LockError::Failed`].
    ///
    /// # Panics
    ///
    /// The lock does not lie in the memory of `peers`.
    #[inline]
    pub fn read<'a, P: Peers>(&'a self, peers: &'a P) -> ReadResult<'a, T, P, READERS> {
        self.take_shared(peers, Patience::ENDLESS)
    }

    /// Reads if nobody writes or waits to write, and a slot is free.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), and [`LockError::WouldBlock`].
    ///
    /// # Panics
    ///
    /// As [`read`](Self::read).
    pub fn try_read<'a, P: Peers>(&'a self, peers: &'a P) -> ReadResult<'a, T, P, READERS> {
        self.take_shared(peers, Patience::None)
    }

    /// As [`read`](Self::read), until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), and [`LockError::TimedOut`].
    ///
    /// # Panics
    ///
    /// As [`read`](Self::read).
    pub fn read_until<'a, P: Peers>(
        &'a self,
        peers: &'a P,
        deadline: Deadline,
    ) -> ReadResult<'a, T, P, READERS> {
        self.take_shared(peers, Patience::until(deadline))
    }

    /// As [`read`](Self::read), for `duration` at most.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read), and [`LockError::TimedOut`].
    ///
    /// # Panics
    ///
    /// As [`read`](Self::read).
    pub fn read_for<'a, P: Peers>(
        &'a self,
        peers: &'a P,
        duration: Duration,
    ) -> ReadResult<'a, T, P, READERS> {
        self.take_shared(peers, Patience::lasting(duration))
    }

    /// Waits until nobody reads or writes, and writes.
    ///
    /// # Errors
    ///
    /// [`LockError::OwnerDead`] with the guard, [`LockError::Poisoned`], [`LockError::Failed`].
    ///
    /// # Panics
    ///
    /// The lock does not lie in the memory of `peers`.
    #[inline]
    pub fn write<'a, P: Peers>(&'a self, peers: &'a P) -> WriteResult<'a, T, P, READERS> {
        self.take_alone(peers, Patience::ENDLESS)
    }

    /// Writes if nobody reads or writes.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write), and [`LockError::WouldBlock`].
    ///
    /// # Panics
    ///
    /// As [`write`](Self::write).
    pub fn try_write<'a, P: Peers>(&'a self, peers: &'a P) -> WriteResult<'a, T, P, READERS> {
        self.take_alone(peers, Patience::None)
    }

    /// As [`write`](Self::write), until `deadline` at most.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write), and [`LockError::TimedOut`].
    ///
    /// # Panics
    ///
    /// As [`write`](Self::write).
    pub fn write_until<'a, P: Peers>(
        &'a self,
        peers: &'a P,
        deadline: Deadline,
    ) -> WriteResult<'a, T, P, READERS> {
        self.take_alone(peers, Patience::until(deadline))
    }

    /// As [`write`](Self::write), for `duration` at most.
    ///
    /// # Errors
    ///
    /// As [`write`](Self::write), and [`LockError::TimedOut`].
    ///
    /// # Panics
    ///
    /// As [`write`](Self::write).
    pub fn write_for<'a, P: Peers>(
        &'a self,
        peers: &'a P,
        duration: Duration,
    ) -> WriteResult<'a, T, P, READERS> {
        self.take_alone(peers, Patience::lasting(duration))
    }

    #[inline]
    fn take_shared<'a, P: Peers>(
        &'a self,
        peers: &'a P,
        patience: Patience,
    ) -> ReadResult<'a, T, P, READERS> {
        inside(peers, self);
        let me = peers.me()?;
        loop {
            if self.lock.await_free(peers, patience)?.is_none() {
                return Err(LockError::Poisoned);
            }
            let Some(slot) = self.readers.enter(me, 1) else {
                self.await_slot(peers, me, patience)?;
                continue;
            };
            // The slot counts this reader: now a writer sees it, or is seen here (1).
            if let Some(taken) = self.lock.is_free() {
                let guard = ReadGuard { lock: self, slot, held: Held::new(peers, me, taken) };
                return match taken {
                    Taken::Clean => Ok(guard),
                    _ => Err(LockError::OwnerDead(guard)),
                };
            }
            self.readers.leave(slot, 1);
        }
    }

    #[cold]
    fn await_slot(&self, peers: &impl Peers, me: Owner, patience: Patience) -> Result<(), Refused> {
        self.readers.sleep_unless(peers, patience, || self.readers.has_room(peers, me))
    }

    #[inline]
    fn take_alone<'a, P: Peers>(
        &'a self,
        peers: &'a P,
        patience: Patience,
    ) -> WriteResult<'a, T, P, READERS> {
        inside(peers, self);
        let me = peers.me()?;
        let taken = self.lock.take(peers, me, patience)?;
        if taken == Taken::Shut {
            return Err(LockError::Poisoned);
        }
        // From here on readers that come wait (1); those that are there are waited for.
        if self.readers.sum() != 0
            && let Err(refused) = self.drain(peers, patience)
        {
            self.lock.give_back(taken == Taken::Inconsistent, Wake::All);
            return Err(refused.into());
        }
        let guard = WriteGuard { lock: self, held: Held::new(peers, me, taken) };
        match taken {
            Taken::Clean => Ok(guard),
            _ => Err(LockError::OwnerDead(guard)),
        }
    }

    /// Waits until nobody who lives reads.
    #[cold]
    fn drain(&self, peers: &impl Peers, patience: Patience) -> Result<(), Refused> {
        let is_empty = || self.readers.sum_alive(peers) == 0;
        if matches!(patience, Patience::None) {
            return if is_empty() { Ok(()) } else { Err(Refused::WouldBlock) };
        }
        if self.readers.pace.spin(|| self.readers.sum() == 0) {
            return Ok(());
        }
        let mut empty = false;
        while !empty {
            self.readers.sleep_unless(peers, patience, || {
                empty = is_empty();
                empty
            })?;
        }
        Ok(())
    }
}

/// What reading leads to.
pub type ReadResult<'a, T, P, const READERS: usize> =
    Result<ReadGuard<'a, T, P, READERS>, LockError<ReadGuard<'a, T, P, READERS>>>;

/// What writing leads to.
pub type WriteResult<'a, T, P, const READERS: usize> =
    Result<WriteGuard<'a, T, P, READERS>, LockError<WriteGuard<'a, T, P, READERS>>>;

/// The value of an [`RwLock`] that nobody writes until this is dropped.
///
/// As a [`MutexGuard`](crate::MutexGuard) it may go to another thread, and does nothing in a child
/// by fork(2).
#[must_use = "the lock is given back when this is dropped"]
pub struct ReadGuard<'a, T: Shared, P: Peers, const READERS: usize = 16> {
    lock: &'a RwLock<T, READERS>,
    slot: Slot,
    held: Held<'a, P>,
}

/// The value of an [`RwLock`] that this process writes until this is dropped.
///
/// As a [`MutexGuard`](crate::MutexGuard) it may go to another thread, and does nothing in a child
/// by fork(2).
#[must_use = "the lock is given back when this is dropped"]
pub struct WriteGuard<'a, T: Shared, P: Peers, const READERS: usize = 16> {
    lock: &'a RwLock<T, READERS>,
    held: Held<'a, P>,
}

impl<T: Shared, P: Peers, const READERS: usize> WriteGuard<'_, T, P, READERS> {
    /// Says that the value is as it should be, so that the next one gets it without a warning.
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
    /// [`Poisoned`](LockError::Poisoned), until somebody [clears](RwLock::clear_poison) that.
    pub fn poison(self) {
        if self.held.is_mine() {
            self.lock.lock.shut();
            core::mem::forget(self);
        }
    }
}

impl<T: Shared, P: Peers, const READERS: usize> Deref for ReadGuard<'_, T, P, READERS> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the slot counts this guard: nobody writes (0).
        unsafe { self.lock.value.shared() }
    }
}

impl<T: Shared, P: Peers, const READERS: usize> Deref for WriteGuard<'_, T, P, READERS> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this guard is the only one (0), and is borrowed: nobody changes the value.
        unsafe { self.lock.value.shared() }
    }
}

impl<T: Shared, P: Peers, const READERS: usize> DerefMut for WriteGuard<'_, T, P, READERS> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard is the only one (0), and is borrowed for this reference alone.
        unsafe { self.lock.value.exclusive() }
    }
}

impl<T: Shared, P: Peers, const READERS: usize> Drop for ReadGuard<'_, T, P, READERS> {
    #[inline]
    fn drop(&mut self) {
        if self.held.is_mine() {
            self.lock.readers.leave(self.slot, 1);
        }
    }
}

impl<T: Shared, P: Peers, const READERS: usize> Drop for WriteGuard<'_, T, P, READERS> {
    #[inline]
    fn drop(&mut self) {
        if self.held.is_mine() {
            self.lock.lock.give_back(self.held.leaves_inconsistent(), Wake::All);
        }
    }
}

impl<T: Shared + fmt::Debug, P: Peers, const N: usize> fmt::Debug for ReadGuard<'_, T, P, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: Shared + fmt::Debug, P: Peers, const N: usize> fmt::Debug for WriteGuard<'_, T, P, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T, const READERS: usize> fmt::Debug for RwLock<T, READERS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lock = f.debug_struct("RwLock");
        lock.field("writer", &self.writer()).field("readers", &self.readers());
        lock.finish_non_exhaustive()
    }
}
