//! `Event` and `AutoEvent`: something happened, and whoever waits for that goes on.
//!
//! The word is 0: it did not happen; 1: it did; 2: it did not, and somebody may sleep.
//!
//! What is true if the process dies between two steps: whoever said 2 leaves a wake-up that reaches
//! nobody; whoever set 1 and woke nobody, or was woken and took nothing, leaves 1, which the others
//! find when they are woken by the death.

use bifolio_sys::futex::Expect;

use crate::error::Result;
use crate::held::expect_to_wake;
use crate::peers::Peers;
use crate::wait::{Pace, Source};
use crate::word::{Word, constructor};

const UNSET: u32 = 0;
const SET: u32 = 1;
const AWAITED: u32 = 2;

/// Something that happens, and stays so until somebody [resets](Self::reset) it: all who wait go
/// on.
///
/// Memory of zeros is an event that did not happen.
///
/// # Examples
///
/// ```
/// use bifolio_sync::{Event, Peers};
/// use std::time::Duration;
///
/// fn until_ready(ready: &Event, peers: &impl Peers) -> bifolio_sync::Result<()> {
///     while !ready.wait_for(peers, Duration::from_secs(1))? {
///         println!("still waiting");
///     }
///     Ok(())
/// }
/// ```
#[repr(C)]
pub struct Event {
    word: Word,
    pace: Pace,
}

/// Something that happens for one of those who wait, or for the next who does.
///
/// Whoever is killed after it went on takes that with it; whoever is killed before does not. Memory
/// of zeros is an event that did not happen.
#[repr(C)]
pub struct AutoEvent {
    word: Word,
    pace: Pace,
}

impl Source for Event {
    #[inline]
    fn take(&self, _: bool) -> bool {
        self.word.load() == SET
    }

    fn prepare(&self) -> Option<Expect<'_>> {
        await_set(&self.word)
    }
}

impl Source for AutoEvent {
    #[inline]
    fn take(&self, slept: bool) -> bool {
        // Whoever slept cannot know whether others still do, and says that they do.
        self.word.replace(SET, if slept { AWAITED } else { UNSET })
    }

    fn prepare(&self) -> Option<Expect<'_>> {
        await_set(&self.word)
    }

    fn pass_on(&self) {
        if self.word.peek() == SET {
            self.word.wake(1);
        }
    }
}

fn await_set(word: &Word) -> Option<Expect<'_>> {
    match word.peek() {
        SET => None,
        AWAITED => Some(word.expect(AWAITED)),
        other => word.flag(other, AWAITED).then(|| word.expect(AWAITED)),
    }
}

impl Event {
    constructor! {
        /// One that did not happen.
        #[must_use]
        pub fn new() -> Event {
            Event { word: Word::new(UNSET), pace: Pace::new() }
        }
    }

    /// It happens: wakes all who wait.
    ///
    /// # Errors
    ///
    /// The kernel refuses a seat.
    ///
    /// # Panics
    ///
    /// It does not lie in the memory of `peers`.
    pub fn set(&self, peers: &impl Peers) -> Result<()> {
        expect_to_wake(peers, self)?;
        if self.word.swap(SET) == AWAITED {
            self.word.wake(u32::MAX);
        }
        Ok(())
    }

    /// It did not happen: those who come from now on wait.
    pub fn reset(&self) {
        self.word.replace(SET, UNSET);
    }

    /// Whether it happened.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.take(false)
    }
}

impl AutoEvent {
    constructor! {
        /// One that did not happen.
        #[must_use]
        pub fn new() -> AutoEvent {
            AutoEvent { word: Word::new(UNSET), pace: Pace::new() }
        }
    }

    /// It happens for one: wakes one who waits. When it happened before for nobody, that is one.
    ///
    /// # Errors
    ///
    /// The kernel refuses a seat.
    ///
    /// # Panics
    ///
    /// It does not lie in the memory of `peers`.
    pub fn set(&self, peers: &impl Peers) -> Result<()> {
        expect_to_wake(peers, self)?;
        if self.word.swap(SET) == AWAITED {
            self.word.wake(1);
        }
        Ok(())
    }

    /// Goes on if it happened, as the only one.
    #[must_use]
    pub fn try_wait(&self) -> bool {
        self.take(false)
    }
}

impl Default for Event {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for AutoEvent {
    fn default() -> Self {
        Self::new()
    }
}

crate::waiting::waiting!(Event, "it happens");
crate::waiting::waiting!(AutoEvent, "it happens for this one");
