//! `wait_any`: waiting for whichever comes first of several events, counts, doors and words.
//!
//! What is true if the process dies between two steps: as for each of those it waits for. A wake-up
//! that it got from one while it took another it passes on, or its death does.

use bifolio_sys::Errno;
use bifolio_sys::futex::{Deadline, Expect, WORDS_MAX};
use bifolio_sys::sync::{AtomicU32, Ordering};

use crate::error::{Error, Operation, Result};
use crate::event::{AutoEvent, Event};
use crate::latch::Latch;
use crate::peers::Peers;
use crate::semaphore::Semaphore;
use crate::wait::{Patience, Refused, Source};

/// One of those that [`wait_any`] waits for.
#[non_exhaustive]
#[derive(Clone, Copy)]
pub enum Waitable<'a> {
    /// That it happened.
    Event(&'a Event),
    /// That it happened for this one.
    AutoEvent(&'a AutoEvent),
    /// One of the count, which is taken.
    Semaphore(&'a Semaphore),
    /// That it is open.
    Latch(&'a Latch),
    /// That the word has another value than expected; whoever changes it wakes it by futex(2).
    Word(Expect<'a>),
}

/// A word of which nothing is known but its value.
struct Bare<'a>(Expect<'a>);

impl Source for Bare<'_> {
    fn take(&self, _: bool) -> bool {
        self.0.word.load(Ordering::SeqCst) != self.0.value
    }

    fn prepare(&self) -> Option<Expect<'_>> {
        Some(self.0)
    }
}

impl<'a> Waitable<'a> {
    fn take(&self, slept: bool) -> bool {
        match self {
            Waitable::Event(event) => event.take(slept),
            Waitable::AutoEvent(event) => event.take(slept),
            Waitable::Semaphore(semaphore) => semaphore.take(slept),
            Waitable::Latch(latch) => latch.take(slept),
            Waitable::Word(word) => Bare(*word).take(slept),
        }
    }

    fn prepare(&self) -> Option<Expect<'a>> {
        match *self {
            Waitable::Event(event) => event.prepare(),
            Waitable::AutoEvent(event) => event.prepare(),
            Waitable::Semaphore(semaphore) => semaphore.prepare(),
            Waitable::Latch(latch) => latch.prepare(),
            Waitable::Word(word) => Some(word),
        }
    }

    fn pass_on(&self) {
        match self {
            Waitable::AutoEvent(event) => event.pass_on(),
            Waitable::Semaphore(semaphore) => semaphore.pass_on(),
            Waitable::Event(_) | Waitable::Latch(_) | Waitable::Word(_) => {}
        }
    }

    fn bytes(&self) -> (*const u8, usize) {
        fn of<T>(what: &T) -> (*const u8, usize) {
            (core::ptr::from_ref(what).cast(), size_of::<T>())
        }
        match *self {
            Waitable::Event(event) => of(event),
            Waitable::AutoEvent(event) => of(event),
            Waitable::Semaphore(semaphore) => of(semaphore),
            Waitable::Latch(latch) => of(latch),
            Waitable::Word(word) => of::<AtomicU32>(word.word),
        }
    }
}

/// How many [`wait_any`] takes.
pub const WAITABLES_MAX: usize = WORDS_MAX - 1;

/// Waits for the first of several; says which it was, and has taken that and no other. The earlier
/// in the list comes first when there are several. `None` if there was none until `deadline`.
///
/// Before Linux 5.16 it looks again every few milliseconds.
///
/// # Errors
///
/// The kernel refuses a seat, or to let it sleep: `EINVAL` where there are more than
/// [`WAITABLES_MAX`].
///
/// # Panics
///
/// One of them does not lie in the memory of `peers`, or there is none.
///
/// # Examples
///
/// ```
/// use bifolio_sync::{Event, Peers, Semaphore, Waitable, wait_any};
///
/// fn serve(work: &Semaphore, end: &Event, peers: &impl Peers) -> bifolio_sync::Result<()> {
///     let sources = [Waitable::Event(end), Waitable::Semaphore(work)];
///     while wait_any(peers, &sources, None)? == Some(1) {
///         // There is work.
///     }
///     Ok(())
/// }
/// ```
pub fn wait_any(
    peers: &impl Peers,
    sources: &[Waitable<'_>],
    deadline: Option<Deadline>,
) -> Result<Option<usize>> {
    assert!(!sources.is_empty(), "there must be something to wait for");
    for source in sources {
        let (start, len) = source.bytes();
        assert!(peers.contains(start, len), "{start:?} is not in the memory that the peers share");
    }
    if sources.len() > WAITABLES_MAX {
        return Err(Error::new(Operation::Wait, Errno::INVAL));
    }
    if let Some(index) = sources.iter().position(|source| source.take(false)) {
        return Ok(Some(index));
    }
    // Who sleeps may be woken, and killed with that: its death must be noticed.
    peers.me()?;
    let mut slept = false;
    let came = loop {
        let deaths = peers.deaths();
        if let Some(index) = sources.iter().position(|source| source.take(slept)) {
            break Ok(Some(index));
        }
        let mut words = [deaths; WORDS_MAX];
        let prepared = words[1..]
            .iter_mut()
            .zip(sources)
            .all(|(word, source)| source.prepare().map(|prepared| *word = prepared).is_some());
        if !prepared {
            continue;
        }
        // The first is what is slept on where the kernel takes one word only.
        words.swap(0, 1);
        match Patience::Until(deadline).sleep_on(&words[..=sources.len()]) {
            Ok(()) => slept = true,
            Err(Refused::WouldBlock | Refused::TimedOut) => break Ok(None),
            Err(Refused::Failed(error)) => break Err(error),
        }
    };
    if slept {
        let taken = came.unwrap_or_default();
        let others = sources.iter().enumerate().filter(|(index, _)| Some(*index) != taken);
        others.for_each(|(_, source)| source.pass_on());
    }
    came
}
