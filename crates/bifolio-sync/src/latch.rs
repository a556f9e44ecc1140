//! `Latch`: a door that opens when it was counted down, and stays open.
//!
//! The word is the count, and bit 31: somebody may sleep. What is true if the process dies between
//! two steps: whoever counted down to zero and woke nobody leaves an open door, which the others
//! find when they are woken by the death.

use bifolio_sys::futex::Expect;

use crate::error::Result;
use crate::held::expect_to_wake;
use crate::peers::Peers;
use crate::wait::{Pace, Source};
use crate::word::{Word, constructor};

const WAITERS: u32 = 1 << 31;

/// A door that opens when it was [counted down](Self::count_down) as often as was said, and stays
/// open.
///
/// It counts what was done, not who lives: a process that is killed before it counted down is
/// missed for ever. Whoever must know of that uses a [`Barrier`](crate::Barrier). Memory of zeros
/// is an open door.
///
/// # Examples
///
/// ```
/// use bifolio_sync::{Latch, Peers};
///
/// fn prepare(prepared: &Latch, peers: &impl Peers) -> bifolio_sync::Result<()> {
///     // One of the things that all wait for, then:
///     prepared.count_down(peers)?;
///     prepared.wait(peers)
/// }
/// ```
#[repr(C)]
pub struct Latch {
    word: Word,
    pace: Pace,
}

impl Latch {
    /// The highest count.
    pub const MAX: u32 = WAITERS - 1;

    constructor! {
        /// One that opens after that many.
        ///
        /// # Panics
        ///
        /// The count is beyond [`MAX`](Self::MAX).
        #[must_use]
        pub fn new(count: u32) -> Latch {
            assert!(count <= Latch::MAX, "a latch counts from 2^31 - 1");
            Latch { word: Word::new(count), pace: Pace::new() }
        }
    }

    /// Counts down by one; the last one opens the door and wakes all who wait. Whether it is open
    /// now.
    ///
    /// # Errors
    ///
    /// The kernel refuses a seat.
    ///
    /// # Panics
    ///
    /// It is open already, or it does not lie in the memory of `peers`.
    pub fn count_down(&self, peers: &impl Peers) -> Result<bool> {
        expect_to_wake(peers, self)?;
        loop {
            let word = self.word.peek();
            let last = match word & Self::MAX {
                0 => panic!("the latch was counted down more often than was said"),
                count => count == 1,
            };
            if self.word.replace(word, if last { 0 } else { word - 1 }) {
                if last && word & WAITERS != 0 {
                    self.word.wake(u32::MAX);
                }
                return Ok(last);
            }
        }
    }

    /// Whether it is open.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.take(false)
    }

    /// How often it must be counted down still.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.word.peek() & Self::MAX
    }
}

impl Source for Latch {
    #[inline]
    fn take(&self, _: bool) -> bool {
        self.word.load() & Self::MAX == 0
    }

    fn prepare(&self) -> Option<Expect<'_>> {
        let word = self.word.peek();
        let asleep = word | WAITERS;
        let ready = word & Self::MAX == 0;
        let flagged = !ready && (word == asleep || self.word.flag(word, asleep));
        flagged.then(|| self.word.expect(asleep))
    }
}

crate::waiting::waiting!(Latch, "it is open");
