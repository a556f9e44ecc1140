//! What is done once, and what is lent to a number of holders.
//!
//! # Safety
//!
//! Declares what lies in shared memory: words, and locks of words.
#![allow(unsafe_code, reason = "declares what lies in shared memory")]

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use bifolio_sync::{Once, OnceLock, Permits};

use super::ground::{Ground, LOCK, PACE, shared};
use crate::place::Place;
use crate::scene::{Excuse, Scene};

shared! {
    /// Two numbers that are set once, to the same; and how often somebody saw to it.
    unsafe Deed { once: Once, numbers: [AtomicU64; 2], times: AtomicU64 }
}

/// Whoever comes first does it.
pub(crate) struct Done(Ground<Deed>);

impl Scene for Done {
    const NAME: &'static str = "once";
    const EXCUSED: &'static [Excuse] = &[PACE];

    fn attach(place: &Place) -> Self {
        Done(Ground::attach(place))
    }

    #[inline(never)]
    fn operate(&mut self) {
        let Deed { once, numbers, times } = self.0.value;
        let deed = |interrupted: bool| {
            let another = once.try_call(self.0.seats, |_| panic!("done twice at once"));
            assert_eq!(another.ok(), Some(false), "whoever does it says so");
            let first = numbers[0].load(SeqCst);
            assert!(first == 0 || interrupted, "done twice");
            numbers[0].store(7, SeqCst);
            assert!(numbers[1].load(SeqCst) == 0 || interrupted, "done twice");
            numbers[1].store(7, SeqCst);
        };
        once.call(self.0.seats, deed).expect("a seat");
        assert_eq!([0, 1].map(|index| numbers[index].load(SeqCst)), [7, 7], "not done");
        times.fetch_add(1, SeqCst);
    }

    fn check(&mut self) -> Result<u64, String> {
        if !self.0.once.is_done() {
            return Err("it is not done".into());
        }
        Ok(self.0.times.load(SeqCst))
    }
}

shared! {
    /// A value that is made once, and how often it was read.
    unsafe Made { value: OnceLock<[u64; 2]>, times: AtomicU64 }
}

/// Whoever comes first makes it.
pub(crate) struct Make(Ground<Made>);

impl Scene for Make {
    const NAME: &'static str = "once-lock";
    const EXCUSED: &'static [Excuse] = &[PACE, LOCK];

    fn attach(place: &Place) -> Self {
        Make(Ground::attach(place))
    }

    #[inline(never)]
    fn operate(&mut self) {
        let made = self.0.value.value.get_or_init(self.0.seats, || [7, 7]).expect("a seat");
        assert_eq!(*made, [7, 7], "torn");
        self.0.times.fetch_add(1, SeqCst);
    }

    fn check(&mut self) -> Result<u64, String> {
        match self.0.value.value.get() {
            Some([7, 7]) => Ok(self.0.times.load(SeqCst)),
            other => Err(format!("{other:?}")),
        }
    }
}

shared! {
    /// One permit, and what its holder changes.
    unsafe Lent { permits: Permits<8>, inside: AtomicU64, times: AtomicU64 }
}

/// Taken and given back.
pub(crate) struct Permitted(Ground<Lent>);

impl Scene for Permitted {
    const NAME: &'static str = "permits";
    const BY_MANY: bool = true;
    const EXCUSED: &'static [Excuse] =
        &[PACE, LOCK, ("sum_alive<", "who died is asked of again where its slot is not freed")];

    fn prepare(place: &Place) {
        let (inside, times) = (AtomicU64::new(0), AtomicU64::new(0));
        Ground::prepare(place, Lent { permits: Permits::new(1), inside, times });
    }

    fn attach(place: &Place) -> Self {
        Permitted(Ground::attach(place))
    }

    #[inline(never)]
    fn operate(&mut self) {
        let me = u64::from(std::process::id());
        let permit = self.0.permits.acquire(self.0.seats, 1).expect("to be let sleep");
        self.0.inside.store(me, SeqCst);
        self.0.times.fetch_add(1, SeqCst);
        assert_eq!(self.0.inside.load(SeqCst), me, "two have the only permit");
        drop(permit);
    }

    fn check(&mut self) -> Result<u64, String> {
        let permit = self.0.permits.try_acquire(self.0.seats, 1).map_err(|why| why.to_string())?;
        let lent = self.0.permits.lent();
        match permit {
            Some(_) if lent == 1 => Ok(self.0.times.load(SeqCst)),
            other => Err(format!("{lent} permits are lent, and one more: {}", other.is_some())),
        }
    }
}
