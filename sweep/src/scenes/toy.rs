//! The machine's own proof: a transaction on two words with a journal, right and in four wrong
//! ways. The right one must pass, each wrong one must be caught.
//!
//! | dies | the next one finds |
//! |---|---|
//! | before `full` is 1 | the words as they were; what is in the journal does not count |
//! | while `full` is 1 | the words in any state, the journal whole: it writes both again |
//! | after `full` is 0 | the new words |
//!
//! # Safety
//!
//! Lends the memory of a trial as a struct of atomics.
#![allow(unsafe_code, reason = "lends shared memory as a struct of atomics")]

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use crate::place::{DATA, Place};
use crate::scene::Scene;

/// Everything in order.
pub(crate) const RIGHT: u8 = 0;
/// The journal counts before it is written.
pub(crate) const FULL_TOO_EARLY: u8 = 1;
/// The journal is given up before the second word is written.
pub(crate) const EMPTY_TOO_EARLY: u8 = 2;
/// The recovery gives up the journal before it has used it.
pub(crate) const RECOVERY_IN_HASTE: u8 = 3;
/// The recovery stores what nobody misses.
pub(crate) const FOR_NOTHING: u8 = 4;

/// Two words that are equal, and a journal. Zeros are its first state.
#[repr(C)]
struct Pair {
    full: AtomicU64,
    journal: [AtomicU64; 2],
    words: [AtomicU64; 2],
    recoveries: AtomicU64,
}

/// The scene, in one of the orders.
pub(crate) struct Toy<const ORDER: u8>(*const Pair);

impl<const ORDER: u8> Toy<ORDER> {
    fn pair(&self) -> &Pair {
        // SAFETY: `attach` took it from the memory of the place, which the process has for life; it
        // is large enough, well aligned, and holds atomics alone.
        unsafe { &*self.0 }
    }
}

impl<const ORDER: u8> Scene for Toy<ORDER> {
    const NAME: &'static str = match ORDER {
        RIGHT => "toy",
        FULL_TOO_EARLY => "toy-full-too-early",
        EMPTY_TOO_EARLY => "toy-empty-too-early",
        RECOVERY_IN_HASTE => "toy-recovery-in-haste",
        _ => "toy-for-nothing",
    };
    fn attach(place: &Place) -> Self {
        Toy(place.memory().wrapping_add(DATA).cast_const().cast())
    }

    #[inline(never)]
    fn operate(&mut self) {
        let pair = self.pair();
        repair::<ORDER>(pair);
        transact::<ORDER>(pair);
    }

    fn check(&mut self) -> Result<u64, String> {
        let [first, second] = [0, 1].map(|index| self.pair().words[index].load(SeqCst));
        if first != second {
            return Err(format!("torn: {first} and {second}"));
        }
        if self.pair().full.load(SeqCst) != 0 {
            return Err("the journal is still full".into());
        }
        Ok(first)
    }
}

#[inline(never)]
fn repair<const ORDER: u8>(pair: &Pair) {
    if pair.full.load(SeqCst) == 0 {
        return;
    }
    if ORDER == RECOVERY_IN_HASTE {
        pair.full.store(0, SeqCst);
    }
    if ORDER == FOR_NOTHING {
        pair.recoveries.fetch_add(1, SeqCst);
    }
    pair.words[0].store(pair.journal[0].load(SeqCst), SeqCst);
    pair.words[1].store(pair.journal[1].load(SeqCst), SeqCst);
    pair.full.store(0, SeqCst);
}

#[inline(never)]
fn transact<const ORDER: u8>(pair: &Pair) {
    let new = [0, 1].map(|index| pair.words[index].load(SeqCst) + 1);
    if ORDER == FULL_TOO_EARLY {
        pair.full.store(1, SeqCst);
    }
    pair.journal[0].store(new[0], SeqCst);
    pair.journal[1].store(new[1], SeqCst);
    pair.full.store(1, SeqCst);
    pair.words[0].store(new[0], SeqCst);
    if ORDER == EMPTY_TOO_EARLY {
        pair.full.store(0, SeqCst);
    }
    pair.words[1].store(new[1], SeqCst);
    pair.full.store(0, SeqCst);
}
