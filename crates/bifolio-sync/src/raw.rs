//! The lock word: who holds it, in what state the last one left it, and whether somebody sleeps.
//!
//! ```text
//!  31       30            29                                                   0
//! +---------+--------------+----------------------------------------------------+
//! | WAITERS | INCONSISTENT | owner: 0 nobody, 1 shut, else seat and generation  |
//! +---------+--------------+----------------------------------------------------+
//! ```
//!
//! 1. Whoever changed the owner from nobody, or from one who is proved dead, to itself holds the
//!    lock until it changes that again. Nobody else changes an owner whose process lives.
//! 2. If somebody sleeps, then WAITERS is set; or somebody who was woken and lives is about to
//!    look; or who must wake the sleepers lives and is about to; or a death is about to be told.
//!    So the lock is never free for good while somebody sleeps.
//! 3. INCONSISTENT stays until a holder gives the lock back without it.
//!
//! What is true if the process dies between two steps:
//!
//! | it has | what stands there | who goes on |
//! |---|---|---|
//! | set WAITERS | one bit too many | the holder wakes nobody, once |
//! | been woken, not taken it | a free lock without WAITERS | the others, woken by the death |
//! | taken it | a dead owner | whoever proves that, warned |
//! | given it back, woken nobody | a free lock without WAITERS | the others, woken by the death |
//! | taken it from the dead | a dead owner, INCONSISTENT | whoever proves that, warned |

use crate::owner::Owner;
use crate::peers::Peers;
use crate::wait::{Pace, Patience, Refused};
use crate::word::{Word, constructor};
use bifolio_sys::futex::Expect;

const INCONSISTENT: u32 = 1 << 30;
const WAITERS: u32 = 1 << 31;
/// Seat 1 of generation 0, whom nobody is.
const SHUT: u32 = 1;

const _: () = assert!(Owner::MASK & (INCONSISTENT | WAITERS) == 0);
const _: () = assert!(Owner::in_word(SHUT).is_none());

/// A lock without data.
#[repr(C)]
pub(crate) struct RawLock {
    word: Word,
    pace: Pace,
}

/// What there is of the lock for whoever asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is held now; the last holder gave it back.
    Clean,
    /// It is held now; the last holder died, or left it inconsistent.
    Inconsistent,
    /// It is shut, and not held.
    Shut,
}

/// How many of those who sleep go on when a lock is given back.
#[derive(Clone, Copy)]
pub(crate) enum Wake {
    One,
    All,
}

impl RawLock {
    constructor! {
        pub(crate) fn new() -> RawLock {
            RawLock { word: Word::new(0), pace: Pace::new() }
        }
    }

    /// Takes the lock for `me`.
    ///
    /// # Errors
    ///
    /// Patience is at an end, or the kernel refuses to let it sleep.
    #[inline]
    pub(crate) fn take(
        &self,
        peers: &impl Peers,
        me: Owner,
        patience: Patience,
    ) -> Result<Taken, Refused> {
        if self.word.replace(0, me.bits()) {
            return Ok(Taken::Clean);
        }
        self.take_slowly(peers, me, patience)
    }

    #[cold]
    fn take_slowly(
        &self,
        peers: &impl Peers,
        me: Owner,
        patience: Patience,
    ) -> Result<Taken, Refused> {
        if matches!(patience, Patience::Until(_)) {
            self.pace.spin(|| self.word.peek() & Owner::MASK == 0);
        }
        // Whoever slept cannot know whether others still do, and says that they do.
        let mut waiters = 0;
        loop {
            let deaths = peers.deaths();
            let word = self.word.peek();
            let dead = match word & Owner::MASK {
                0 => 0,
                holder => match Owner::in_word(holder) {
                    None => return Ok(Taken::Shut),
                    Some(holder) if peers.is_dead(holder) => INCONSISTENT,
                    Some(_) => {
                        self.sleep(word, deaths, patience)?;
                        waiters = WAITERS;
                        continue;
                    }
                },
            };
            let flags = (word & !Owner::MASK) | dead | waiters;
            if self.word.replace(word, me.bits() | flags) {
                let inconsistent = flags & INCONSISTENT != 0;
                return Ok(if inconsistent { Taken::Inconsistent } else { Taken::Clean });
            }
        }
    }

    /// Waits until nobody who lives holds it, without taking it; puts it down for a dead holder.
    /// Whether what it guards is inconsistent; `None` where it is shut.
    pub(crate) fn await_free(
        &self,
        peers: &impl Peers,
        patience: Patience,
    ) -> Result<Option<bool>, Refused> {
        loop {
            let deaths = peers.deaths();
            let word = self.word.peek();
            match Owner::in_word(word) {
                None if word & Owner::MASK != 0 => return Ok(None),
                None => return Ok(Some(word & INCONSISTENT != 0)),
                Some(holder) if peers.is_dead(holder) => {
                    if self.word.replace(word, INCONSISTENT) && word & WAITERS != 0 {
                        self.wake(Wake::All);
                    }
                }
                Some(_) => self.sleep(word, deaths, patience)?,
            }
        }
    }

    /// Whether nobody holds it, dead or alive, and what there is then.
    #[inline]
    pub(crate) fn is_free(&self) -> Option<Taken> {
        match self.word.load() & !WAITERS {
            0 => Some(Taken::Clean),
            INCONSISTENT => Some(Taken::Inconsistent),
            _ => None,
        }
    }

    /// Sleeps as long as `word` stands there.
    fn sleep(&self, word: u32, deaths: Expect<'_>, patience: Patience) -> Result<(), Refused> {
        let asleep = word | WAITERS;
        if matches!(patience, Patience::None) {
            return Err(Refused::WouldBlock);
        }
        if word == asleep || self.word.flag(word, asleep) {
            patience.sleep(self.word.expect(asleep), deaths)?;
        }
        Ok(())
    }

    /// Gives back what the caller holds; inconsistent if its next holder is to know that.
    #[inline]
    pub(crate) fn give_back(&self, inconsistent: bool, wake: Wake) {
        self.leave(if inconsistent { INCONSISTENT } else { 0 }, wake);
    }

    /// Refuses the lock, which the caller holds, to all from now on.
    pub(crate) fn shut(&self) {
        self.leave(SHUT, Wake::All);
    }

    /// Makes a lock that is shut one that is free and inconsistent; whether it was shut.
    pub(crate) fn reopen(&self) -> bool {
        self.word.replace(SHUT, INCONSISTENT)
    }

    #[inline]
    fn leave(&self, word: u32, wake: Wake) {
        if self.word.swap(word) & WAITERS != 0 {
            self.wake(wake);
        }
    }

    #[cold]
    fn wake(&self, wake: Wake) {
        self.word.wake(match wake {
            Wake::One => 1,
            Wake::All => u32::MAX,
        });
    }

    /// Who holds it, dead or alive.
    pub(crate) fn holder(&self) -> Option<Owner> {
        Owner::in_word(self.word.peek())
    }

    /// Whether it is refused to all.
    #[inline]
    pub(crate) fn is_shut(&self) -> bool {
        self.word.load() & Owner::MASK == SHUT
    }
}
