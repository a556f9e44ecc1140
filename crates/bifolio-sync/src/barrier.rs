//! `Barrier`: a number of participants wait for each other, and learn it when one of them dies.
//!
//! ```text
//! round    31        30       29                             0
//!         +---------+--------+--------------------------------+
//!         | WAITERS | BROKEN | how many rounds are over        |
//!         +---------+--------+--------------------------------+
//! place    63                      34 33    30 29            0
//!         +--------------------------+--------+---------------+
//!         | owner: seat, generation  | zeros  | arrived for   |
//!         +--------------------------+--------+---------------+
//! ```
//!
//! 1. A place goes from free to its owner, and from round to round, in one step, by its owner
//!    alone; to free also by whoever proved that the owner is dead.
//! 2. The participant of a place arrived for this round if its place names the round that comes
//!    then. A round is over when all places say so, by whoever sees that first.
//! 3. Whoever arrives changes its place and then looks at all: of two, one sees both.
//!
//! What is true if the process dies between two steps: what it did not arrive for is never over,
//! and whoever is woken by the death proves that and breaks the barrier; what it arrived for is
//! ended by whoever is woken by the death. Whoever was to be woken by it is woken by its death.

use core::fmt;
use core::time::Duration;

use bifolio_sys::futex::Deadline;

use crate::error::{Error, Result};
use crate::held::{Held, inside};
use crate::owner::Owner;
use crate::peers::Peers;
use crate::raw::Taken;
use crate::wait::{Pace, Patience, Refused};
use crate::word::{Long, Word, constructor};

const WAITERS: u32 = 1 << 31;
const BROKEN: u32 = 1 << 30;
const ROUND: u32 = BROKEN - 1;
const OWNER_SHIFT: u32 = 64 - Owner::BITS;

/// A place where `N` participants wait until all have come, again and again.
///
/// A participant [joins](Self::join) once and then [waits](Participant::wait) in each round. When
/// one of them is killed, or does not wait as long as the others take, the barrier is broken: all
/// who wait, now or later, are told ([`BarrierError::Broken`]), until somebody
/// [resets](Self::reset) it. One that never joined is waited for. Memory of zeros is one that
/// nobody joined.
///
/// # Examples
///
/// ```
/// use bifolio_sync::{Barrier, BarrierError, Peers};
///
/// fn work(barrier: &Barrier<4>, peers: &impl Peers) -> Result<(), BarrierError> {
///     let mut participant = barrier.join(peers)?;
///     for _step in 0..100 {
///         // Something that all must have done before any goes on.
///         participant.wait()?;
///     }
///     Ok(())
/// }
/// ```
#[repr(C)]
pub struct Barrier<const N: usize> {
    round: Word,
    pace: Pace,
    places: [Long; N],
}

/// Why one is not where all are.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BarrierError {
    /// A participant was killed, or did not wait as long as the others took.
    Broken,
    /// All places are taken.
    Full,
    /// The others did not come in time; now it is broken for them, too.
    TimedOut,
    /// The kernel refuses a seat, or to let it sleep.
    Failed(Error),
}

impl<const N: usize> Barrier<N> {
    constructor! {
        /// One that nobody joined.
        #[must_use]
        pub fn new() -> Barrier<N> {
            const { assert!(N > 0, "somebody must take part") };
            Barrier { round: Word::new(0), pace: Pace::new(), places: Self::free() }
        }
    }

    #[cfg(not(loom))]
    const fn free() -> [Long; N] {
        [const { Long::new(0) }; N]
    }

    #[cfg(loom)]
    fn free() -> [Long; N] {
        [(); N].map(|()| Long::new(0))
    }

    /// Takes part from the round that is under way on.
    ///
    /// # Errors
    ///
    /// [`BarrierError::Full`], [`BarrierError::Failed`].
    ///
    /// # Panics
    ///
    /// It does not lie in the memory of `peers`.
    pub fn join<'a, P: Peers>(
        &'a self,
        peers: &'a P,
    ) -> Result<Participant<'a, P, N>, BarrierError> {
        inside(peers, self);
        let me = peers.me()?;
        let round = self.round.peek() & ROUND;
        let place = self.places.iter().position(|place| place.replace(0, arrived(me, round)));
        let place = place.ok_or(BarrierError::Full)?;
        Ok(Participant { barrier: self, place, held: Held::new(peers, me, Taken::Clean) })
    }

    /// Whether it is broken.
    #[must_use]
    pub fn is_broken(&self) -> bool {
        self.round.peek() & BROKEN != 0
    }

    /// Begins a new round where it is broken, with those who live; the places of the dead are free.
    /// Whether it was broken.
    pub fn reset(&self, peers: &impl Peers) -> bool {
        inside(peers, self);
        let word = self.round.load();
        if word & BROKEN == 0 {
            return false;
        }
        for place in &self.places {
            let taken = place.peek();
            if owner_of(taken).is_some_and(|owner| peers.is_dead(owner)) {
                place.replace(taken, 0);
            }
        }
        self.turn(word, next(word))
    }

    /// Changes the round if it is as it was, and wakes all.
    fn turn(&self, word: u32, new: u32) -> bool {
        let turned = self.round.replace(word, new);
        if turned && word & WAITERS != 0 {
            self.round.wake(u32::MAX);
        }
        turned
    }

    /// Waits for the end of the round that `word` was seen in, for which this one has arrived.
    fn await_others(
        &self,
        peers: &impl Peers,
        round: u32,
        patience: Patience,
    ) -> Result<bool, BarrierError> {
        loop {
            let deaths = peers.deaths();
            let word = self.round.load();
            if word & ROUND != round {
                return Ok(false);
            }
            if word & BROKEN != 0 {
                return Err(BarrierError::Broken);
            }
            let [mut missing, mut dead] = [false, false];
            for place in self.places.iter().map(Long::load) {
                if place as u32 & ROUND != next(round) || place == 0 {
                    missing = true;
                    dead |= owner_of(place).is_some_and(|owner| peers.is_dead(owner));
                }
            }
            if !missing {
                if self.turn(word, next(round)) {
                    return Ok(true);
                }
            } else if dead {
                self.turn(word, round | BROKEN);
            } else {
                self.sleep(word, deaths, patience)?;
            }
        }
    }

    fn sleep(
        &self,
        word: u32,
        deaths: bifolio_sys::futex::Expect<'_>,
        patience: Patience,
    ) -> Result<(), BarrierError> {
        let asleep = word | WAITERS;
        if self.pace.spin(|| self.round.peek() != word) {
            return Ok(());
        }
        if word != asleep && !self.round.flag(word, asleep) {
            return Ok(());
        }
        match patience.sleep(self.round.expect(asleep), deaths) {
            Ok(()) => Ok(()),
            Err(Refused::Failed(error)) => Err(error.into()),
            Err(Refused::WouldBlock | Refused::TimedOut) => {
                // Unless the round ended just now; then that is found.
                let broken = self.turn(asleep, (asleep & ROUND) | BROKEN);
                if broken { Err(BarrierError::TimedOut) } else { Ok(()) }
            }
        }
    }
}

fn next(round: u32) -> u32 {
    round.wrapping_add(1) & ROUND
}

fn arrived(owner: Owner, round: u32) -> u64 {
    u64::from(owner.bits()) << OWNER_SHIFT | u64::from(round)
}

fn owner_of(place: u64) -> Option<Owner> {
    Owner::in_word((place >> OWNER_SHIFT) as u32)
}

/// One who takes part in a [`Barrier`], until this is dropped or its process ends.
///
/// Dropped, its place is free for another, for whom the others wait. In a child by fork(2) it is
/// not one.
#[must_use = "the place is free again when this is dropped"]
pub struct Participant<'a, P: Peers, const N: usize> {
    barrier: &'a Barrier<N>,
    place: usize,
    held: Held<'a, P>,
}

impl<P: Peers, const N: usize> Participant<'_, P, N> {
    /// Waits until all participants do; true for one of them, whichever it is.
    ///
    /// # Errors
    ///
    /// [`BarrierError::Broken`], [`BarrierError::Failed`].
    pub fn wait(&mut self) -> Result<bool, BarrierError> {
        self.within(Patience::ENDLESS)
    }

    /// As [`wait`](Self::wait), until `deadline` at most; then the barrier is broken.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait), and [`BarrierError::TimedOut`].
    pub fn wait_until(&mut self, deadline: Deadline) -> Result<bool, BarrierError> {
        self.within(Patience::until(deadline))
    }

    /// As [`wait`](Self::wait), for `duration` at most; then the barrier is broken.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait), and [`BarrierError::TimedOut`].
    pub fn wait_for(&mut self, duration: Duration) -> Result<bool, BarrierError> {
        self.within(Patience::lasting(duration))
    }

    fn within(&mut self, patience: Patience) -> Result<bool, BarrierError> {
        let word = self.barrier.round.peek();
        if word & BROKEN != 0 || !self.held.is_mine() {
            return Err(BarrierError::Broken);
        }
        let round = word & ROUND;
        let place = &self.barrier.places[self.place];
        // Nobody else changes it as long as this process lives (1).
        place.replace(place.peek(), arrived(self.held.me(), next(round)));
        self.barrier.await_others(self.held.peers(), round, patience)
    }
}

impl<P: Peers, const N: usize> Drop for Participant<'_, P, N> {
    fn drop(&mut self) {
        if self.held.is_mine() {
            let place = &self.barrier.places[self.place];
            place.replace(place.peek(), 0);
        }
    }
}

impl<P: Peers, const N: usize> fmt::Debug for Participant<'_, P, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Participant").field(&self.place).finish()
    }
}

impl<const N: usize> Default for Barrier<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> fmt::Debug for Barrier<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let round = self.round.peek();
        let mut barrier = f.debug_struct("Barrier");
        barrier.field("round", &(round & ROUND)).field("broken", &(round & BROKEN != 0));
        barrier.finish_non_exhaustive()
    }
}

impl From<Error> for BarrierError {
    fn from(error: Error) -> Self {
        BarrierError::Failed(error)
    }
}

impl fmt::Display for BarrierError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BarrierError::Broken => f.write_str("a participant of the barrier is missing for good"),
            BarrierError::Full => f.write_str("all places of the barrier are taken"),
            BarrierError::TimedOut => f.write_str("the others did not come to the barrier in time"),
            BarrierError::Failed(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for BarrierError {}
