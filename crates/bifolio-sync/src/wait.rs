//! How all of them wait: a bounded spin, then sleep on the word and on the deaths of others.
//!
//! Who waits does this in a loop, in this order, which loses no wake-up:
//!
//! 1. asks for [`Peers::deaths`];
//! 2. looks at what it waits for, and at whoever has it;
//! 3. says in the word that it will sleep, so that others know to wake it;
//! 4. sleeps as long as neither the word nor the deaths changed since.
//!
//! A process that was woken and killed before it acted, or killed before it woke those whom it had
//! to, is made good by 1: all who sleep wake up and look again after each death. For that whoever
//! sleeps, and whoever may have to wake, has a seat ([`Peers::me`]) before it
//! does: nobody hears of the death of a process that has none.
//!
//! Where the kernel has no futex_waitv (before Linux 5.16) one cannot sleep on two words, and looks
//! again every [`LOOK_AGAIN`]. That is never taken for a proof of anything.

use core::time::Duration;

use bifolio_sys::Errno;
use bifolio_sys::futex::{self, Deadline, Expect};

use crate::error::{Error, Operation, Result};
use crate::peers::Peers;
use crate::word::{Word, constructor};

/// How long one sleeps at most where one cannot sleep on the deaths, too.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// How long one is ready to wait.
#[derive(Clone, Copy)]
pub(crate) enum Patience {
    /// Not at all.
    None,
    /// Until then; for ever where there is no moment.
    Until(Option<Deadline>),
}

impl Patience {
    pub(crate) const ENDLESS: Patience = Patience::Until(None);

    pub(crate) fn until(deadline: Deadline) -> Patience {
        Patience::Until(Some(deadline))
    }

    /// Beyond the end of the clock is for ever.
    pub(crate) fn lasting(duration: Duration) -> Patience {
        Patience::Until(Deadline::after(duration))
    }
}

/// Why somebody does not have what it waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    WouldBlock,
    TimedOut,
    Failed(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Refused {
        Refused::Failed(error)
    }
}

impl Patience {
    /// Sleeps as long as both words are as expected; may return for no reason.
    ///
    /// # Errors
    ///
    /// There is no patience left, or the kernel refuses.
    pub(crate) fn sleep(self, word: Expect<'_>, deaths: Expect<'_>) -> Result<(), Refused> {
        self.sleep_on(&[word, deaths])
    }

    /// The same for any number of words, the deaths among them.
    pub(crate) fn sleep_on(self, words: &[Expect<'_>]) -> Result<(), Refused> {
        let Patience::Until(deadline) = self else { return Err(Refused::WouldBlock) };
        match futex::wait_any(words, deadline) {
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => Ok(()),
            Err(Errno::TIMEDOUT) => Err(Refused::TimedOut),
            // What seccomp refuses is told as either.
            Err(Errno::NOSYS | Errno::PERM) => sleep_briefly(words[0], deadline),
            Err(errno) => Err(Error::new(Operation::Wait, errno).into()),
        }
    }
}

/// Sleeps on one word, for as long as one may without knowing of deaths.
fn sleep_briefly(word: Expect<'_>, deadline: Option<Deadline>) -> Result<(), Refused> {
    if deadline.is_some_and(Deadline::is_past) {
        return Err(Refused::TimedOut);
    }
    let soon = Deadline::after(LOOK_AGAIN);
    let until = deadline.map_or(soon, |deadline| soon.map(|soon| soon.min(deadline)));
    match futex::wait(word.word, word.value, until) {
        Ok(()) | Err(Errno::AGAIN | Errno::INTR | Errno::TIMEDOUT) => Ok(()),
        Err(errno) => Err(Error::new(Operation::Wait, errno).into()),
    }
}

/// What one can wait for: an event, a count, a word.
pub(crate) trait Source {
    /// Takes what there is, if there is something; `slept` says that others may sleep, too.
    fn take(&self, slept: bool) -> bool;

    /// Says that somebody will sleep, and on what; `None` if something may be there by now.
    fn prepare(&self) -> Option<Expect<'_>>;

    /// Gives a wake-up to another, since whoever got it took something else.
    fn pass_on(&self) {}
}

/// Waits for one source.
#[inline]
pub(crate) fn wait_for(
    peers: &impl Peers,
    source: &impl Source,
    pace: &Pace,
    patience: Patience,
) -> Result<(), Refused> {
    if source.take(false) { Ok(()) } else { wait_slowly(peers, source, pace, patience) }
}

#[cold]
fn wait_slowly(
    peers: &impl Peers,
    source: &impl Source,
    pace: &Pace,
    patience: Patience,
) -> Result<(), Refused> {
    if pace.spin(|| source.take(false)) {
        return Ok(());
    }
    // Who sleeps may be woken, and killed with that: its death must be noticed.
    peers.me()?;
    let mut slept = false;
    loop {
        let deaths = peers.deaths();
        if source.take(slept) {
            return Ok(());
        }
        if let Some(word) = source.prepare() {
            patience.sleep(word, deaths)?;
            slept = true;
        }
    }
}

/// Whether something came in time.
pub(crate) fn in_time(waited: Result<(), Refused>) -> Result<bool> {
    match waited {
        Ok(()) => Ok(true),
        Err(Refused::WouldBlock | Refused::TimedOut) => Ok(false),
        Err(Refused::Failed(error)) => Err(error),
    }
}

/// How many turns those who waited lately needed: a hint, whatever stands in it.
#[repr(transparent)]
pub(crate) struct Pace(Word);

impl Pace {
    /// A few microseconds, while falling asleep and waking up takes tens.
    const TURNS_MAX: u32 = 200;

    constructor! {
        pub(crate) fn new() -> Pace {
            Pace(Word::new(0))
        }
    }

    /// Looks a bounded number of times, about twice as many as those before needed; whether it is
    /// `ready`.
    #[cfg(not(loom))]
    pub(crate) fn spin(&self, mut ready: impl FnMut() -> bool) -> bool {
        let lately = self.0.peek().min(Self::TURNS_MAX);
        let limit = Self::TURNS_MAX.min(2 * lately + 10);
        let turns = (0..limit).find(|_| {
            core::hint::spin_loop();
            ready()
        });
        // A mean in which each counts an eighth.
        self.0.swap(lately - lately / 8 + turns.unwrap_or(limit) / 8);
        turns.is_some()
    }

    /// A model gains nothing by looking twice.
    #[cfg(loom)]
    pub(crate) fn spin(&self, ready: impl FnMut() -> bool) -> bool {
        let _ = (&self.0, Self::TURNS_MAX, ready);
        false
    }
}
