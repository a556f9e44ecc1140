//! `Permits`: a number of permits that are lent, and come back when their holder is killed.
//!
//! Which process has how many stands in its slot (`slots`) and nowhere else: what is left is the
//! total less their sum. The lock word makes sure that one at a time looks at the sum and takes.
//!
//! 1. Only who holds the lock adds to a slot, after the sum of all slots was seen to leave room; so
//!    the sum is never beyond the total.
//!
//! What is true if the process dies between two steps: before it added to its slot it has nothing,
//! after that what stands there, which is freed by whoever is woken by the death, or needs it next.
//! The lock that it held guards nothing that could be half changed.

use core::fmt;
use core::time::Duration;

use bifolio_sys::futex::Deadline;

use crate::error::Result;
use crate::held::{Held, inside};
use crate::owner::Owner;
use crate::peers::Peers;
use crate::raw::{RawLock, Taken, Wake};
use crate::slots::{Slot, Slots};
use crate::wait::{Patience, Refused};
use crate::word::{Word, constructor};

/// A number of permits that are lent to up to `HOLDERS` processes at once, and come back when the
/// [`Permit`] is dropped or its holder is killed.
///
/// Memory of zeros has no permits at all.
///
/// # Examples
///
/// ```
/// use bifolio_sync::{Peers, Permits};
///
/// fn with_a_connection(connections: &Permits, peers: &impl Peers) -> bifolio_sync::Result<()> {
///     let _permit = connections.acquire(peers, 1)?;
///     Ok(())
/// }
/// ```
#[repr(C)]
pub struct Permits<const HOLDERS: usize = 16> {
    lock: RawLock,
    total: Word,
    reserved: Word,
    holders: Slots<HOLDERS>,
}

impl<const HOLDERS: usize> Permits<HOLDERS> {
    constructor! {
        /// That many, all to be had.
        #[must_use]
        pub fn new(total: u32) -> Permits<HOLDERS> {
            Permits {
                lock: RawLock::new(),
                total: Word::new(total),
                reserved: Word::new(0),
                holders: Slots::new(),
            }
        }
    }

    /// How many there are, lent or not.
    #[must_use]
    pub fn total(&self) -> u32 {
        self.total.peek()
    }

    /// How many were lent when it was asked, to processes dead or alive.
    #[must_use]
    pub fn lent(&self) -> u64 {
        self.holders.sum()
    }

    /// Waits until `count` of them are there and takes them.
    ///
    /// Who waits for many may wait while others that want few come and go.
    ///
    /// # Errors
    ///
    /// The kernel refuses a seat, or to let it sleep.
    ///
    /// # Panics
    ///
    /// It is for none, or for more than there are at all; or they do not lie in the memory of
    /// `peers`.
    pub fn acquire<'a, P: Peers>(
        &'a self,
        peers: &'a P,
        count: u32,
    ) -> Result<Permit<'a, P, HOLDERS>> {
        match self.within(peers, count, Patience::ENDLESS)? {
            Some(permit) => Ok(permit),
            None => unreachable!("patience without an end"),
        }
    }

    /// Takes `count` of them if they are there, and nobody else is taking some just now.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    pub fn try_acquire<'a, P: Peers>(
        &'a self,
        peers: &'a P,
        count: u32,
    ) -> Result<Option<Permit<'a, P, HOLDERS>>> {
        self.within(peers, count, Patience::None)
    }

    /// Waits until `count` of them are there, until `deadline` at most, and takes them; `None` if
    /// they were not.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    pub fn acquire_until<'a, P: Peers>(
        &'a self,
        peers: &'a P,
        count: u32,
        deadline: Deadline,
    ) -> Result<Option<Permit<'a, P, HOLDERS>>> {
        self.within(peers, count, Patience::until(deadline))
    }

    /// As [`acquire_until`](Self::acquire_until), for `duration` at most.
    ///
    /// # Errors
    ///
    /// As [`acquire`](Self::acquire).
    ///
    /// # Panics
    ///
    /// As [`acquire`](Self::acquire).
    pub fn acquire_for<'a, P: Peers>(
        &'a self,
        peers: &'a P,
        count: u32,
        duration: Duration,
    ) -> Result<Option<Permit<'a, P, HOLDERS>>> {
        self.within(peers, count, Patience::lasting(duration))
    }

    fn within<'a, P: Peers>(
        &'a self,
        peers: &'a P,
        count: u32,
        patience: Patience,
    ) -> Result<Option<Permit<'a, P, HOLDERS>>> {
        inside(peers, self);
        assert!((1..=self.total()).contains(&count), "{count} permits of {}", self.total());
        let me = peers.me()?;
        match self.take(peers, me, count, patience) {
            Ok(slot) => {
                let held = Held::new(peers, me, Taken::Clean);
                Ok(Some(Permit { permits: self, slot, count, held }))
            }
            Err(Refused::WouldBlock | Refused::TimedOut) => Ok(None),
            Err(Refused::Failed(error)) => Err(error),
        }
    }

    fn take(
        &self,
        peers: &impl Peers,
        me: Owner,
        count: u32,
        patience: Patience,
    ) -> Result<Slot, Refused> {
        let fits = |lent: u64| lent + u64::from(count) <= u64::from(self.total());
        loop {
            self.lock.take(peers, me, patience)?;
            // Only the lock makes what is seen here stay true (1); the dead are asked of if need
            // be.
            let room = fits(self.holders.sum()) || fits(self.holders.sum_alive(peers));
            let slot = if room { self.holders.enter(me, count) } else { None };
            self.lock.give_back(false, Wake::One);
            if let Some(slot) = slot {
                return Ok(slot);
            }
            self.holders.sleep_unless(peers, patience, || {
                fits(self.holders.sum_alive(peers)) && self.holders.has_room(peers, me)
            })?;
        }
    }
}

/// Permits that this process has until this is dropped.
///
/// In a child by fork(2) dropping it does nothing.
#[must_use = "the permits go back when this is dropped"]
pub struct Permit<'a, P: Peers, const HOLDERS: usize = 16> {
    permits: &'a Permits<HOLDERS>,
    slot: Slot,
    count: u32,
    held: Held<'a, P>,
}

impl<P: Peers, const HOLDERS: usize> Permit<'_, P, HOLDERS> {
    /// How many they are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }
}

impl<P: Peers, const HOLDERS: usize> Drop for Permit<'_, P, HOLDERS> {
    fn drop(&mut self) {
        if self.held.is_mine() {
            self.permits.holders.leave(self.slot, self.count);
        }
    }
}

impl<P: Peers, const HOLDERS: usize> fmt::Debug for Permit<'_, P, HOLDERS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Permit").field(&self.count).finish()
    }
}

impl<const HOLDERS: usize> fmt::Debug for Permits<HOLDERS> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut permits = f.debug_struct("Permits");
        permits.field("total", &self.total()).field("lent", &self.lent());
        permits.finish_non_exhaustive()
    }
}
