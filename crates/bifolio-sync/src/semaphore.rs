//! `Semaphore`: a count that some raise and others wait for.
//!
//! ```text
//!  31        30                             0
//! +---------+--------------------------------+
//! | WAITERS | count                          |
//! +---------+--------------------------------+
//! ```
//!
//! 1. If somebody sleeps while the count is not zero, then somebody who was woken and lives is
//!    about to look, and when it leaves something behind it wakes the next; or a death is about to
//!    be told.
//! 2. If somebody sleeps while the count is zero, then WAITERS is set, or as above.
//!
//! What is true if the process dies between two steps: whoever raised the count and woke nobody, or
//! was woken and took nothing, leaves a count that the others find when they are woken by the
//! death. What was counted down is gone with whoever counted it down: for that there are
//! [permits](crate::Permits).

use bifolio_sys::futex::Expect;

use crate::error::Result;
use crate::held::expect_to_wake;
use crate::peers::Peers;
use crate::wait::{Pace, Source};
use crate::word::{Word, constructor};

const WAITERS: u32 = 1 << 31;

/// A count that one process raises and another waits for and takes from.
///
/// It belongs to nobody: what a process took and did not give back is gone when it is killed.
/// Memory of zeros is a count of zero.
///
/// # Examples
///
/// ```
/// use bifolio_sync::{Peers, Semaphore};
///
/// fn produce(ready: &Semaphore, peers: &impl Peers) -> bifolio_sync::Result<()> {
///     ready.post(peers, 1)
/// }
///
/// fn consume(ready: &Semaphore, peers: &impl Peers) -> bifolio_sync::Result<()> {
///     ready.wait(peers)
/// }
/// ```
#[repr(C)]
pub struct Semaphore {
    word: Word,
    pace: Pace,
}

impl Semaphore {
    /// The highest count.
    pub const MAX: u32 = WAITERS - 1;

    constructor! {
        /// One of that count.
        ///
        /// # Panics
        ///
        /// The count is beyond [`MAX`](Self::MAX).
        #[must_use]
        pub fn new(count: u32) -> Semaphore {
            assert!(count <= Semaphore::MAX, "a semaphore counts to 2^31 - 1");
            Semaphore { word: Word::new(count), pace: Pace::new() }
        }
    }

    /// Raises the count, and wakes as many as wait for it.
    ///
    /// # Errors
    ///
    /// The kernel refuses a seat.
    ///
    /// # Panics
    ///
    /// The count would be beyond [`MAX`](Self::MAX), or it does not lie in the memory of `peers`.
    pub fn post(&self, peers: &impl Peers, count: u32) -> Result<()> {
        expect_to_wake(peers, self)?;
        loop {
            let word = self.word.peek();
            let sum = u64::from(word & Self::MAX) + u64::from(count);
            assert!(sum <= u64::from(Self::MAX), "a semaphore counts to 2^31 - 1");
            if self.word.replace(word, sum as u32) {
                if word & WAITERS != 0 {
                    self.word.wake(count);
                }
                return Ok(());
            }
        }
    }

    /// Takes one if there is one.
    #[inline]
    #[must_use]
    pub fn try_wait(&self) -> bool {
        self.take(false)
    }

    /// How many there were when it was asked.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.word.peek() & Self::MAX
    }
}

impl Source for Semaphore {
    #[inline]
    fn take(&self, slept: bool) -> bool {
        loop {
            let word = self.word.peek();
            let count = word & Self::MAX;
            if count == 0 {
                return false;
            }
            // Whoever slept cannot know whether others still do, and says that they do.
            let waiters = if slept { WAITERS } else { word & WAITERS };
            if self.word.replace(word, (count - 1) | waiters) {
                if slept && count > 1 {
                    self.word.wake(1);
                }
                return true;
            }
        }
    }

    fn prepare(&self) -> Option<Expect<'_>> {
        let word = self.word.peek();
        let asleep = word == WAITERS || word == 0 && self.word.flag(0, WAITERS);
        asleep.then(|| self.word.expect(WAITERS))
    }

    fn pass_on(&self) {
        if self.count() != 0 {
            self.word.wake(1);
        }
    }
}

crate::waiting::waiting!(Semaphore, "it takes one from the count");
