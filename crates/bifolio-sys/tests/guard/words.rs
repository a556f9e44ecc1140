//! The atomic operations: their results, their atomicity, and their faults.
//!
//! # Safety
//!
//! This file calls the guarded operations with pointers into an arena.
#![allow(unsafe_code, reason = "see # Safety above")]

use std::fmt::Debug;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use bifolio_sys::guard::{Cause, Fault, Word};
use rustix::mm::MprotectFlags;

use crate::arena::{Arena, Missing};

/// Every operation that writes, on one word that is `value`, with `value`; whether each succeeded.
fn write_all<W: Word>(at: *mut W, value: W) -> [Result<(), Fault>; 8] {
    // SAFETY: a word of an arena, which nothing refers to, here and below.
    let store = unsafe { W::store(at, value) };
    // SAFETY: as above.
    let store_seqcst = unsafe { W::store_seqcst(at, value) };
    // SAFETY: as above.
    let swap = unsafe { W::swap(at, value) };
    // SAFETY: as above.
    let add = unsafe { W::fetch_add(at, value) };
    // SAFETY: as above.
    let and = unsafe { W::fetch_and(at, value) };
    // SAFETY: as above.
    let or = unsafe { W::fetch_or(at, value) };
    // SAFETY: as above.
    let xor = unsafe { W::fetch_xor(at, value) };
    // SAFETY: as above.
    let exchange = unsafe { W::compare_exchange(at, value, value) };
    let replaced = [swap, add, and, or, xor].map(|result| result.map(drop));
    let [swap, add, and, or, xor] = replaced;
    [store, store_seqcst, swap, add, and, or, xor, exchange.map(drop)]
}

macro_rules! each_width {
    ($($word:ident),*) => {$(
        mod $word {
            use super::*;

            type W = $word;
            type Operation<'a> = dyn Fn() -> Result<W, Fault> + 'a;

            /// Every operation does what the operator does, and touches no neighbour.
            #[test]
            fn results() {
                let mut arena = Arena::new(1);
                const SIZE: usize = size_of::<W>();
                let at: *mut W = arena.at(64).cast();
                // The place as it was before, as the operation must leave it, and what the
                // operation must return.
                let mut check = |old: W, new: W, operation: &Operation<'_>| {
                    arena.bytes(192).fill(0xa5);
                    arena.bytes(192)[64..][..SIZE].copy_from_slice(&old.to_ne_bytes());
                    assert_eq!(operation(), Ok(old));
                    let mut expected = [0xa5; 192];
                    expected[64..][..SIZE].copy_from_slice(&new.to_ne_bytes());
                    assert_eq!(arena.bytes(192), expected);
                };
                let bits = [0, 1, 0x5a, 1 << (W::BITS - 1), W::MAX - 1, W::MAX];
                for old in bits {
                    for value in bits {
                        // SAFETY: a word of the arena, which nothing refers to, here and below.
                        check(old, old, &|| unsafe { W::load(at) });
                        // SAFETY: as above.
                        check(old, value, &|| unsafe { W::store(at, value) }.map(|()| old));
                        // SAFETY: as above.
                        check(old, value, &|| unsafe { W::store_seqcst(at, value) }.map(|()| old));
                        // SAFETY: as above.
                        check(old, value, &|| unsafe { W::swap(at, value) });
                        // SAFETY: as above.
                        check(old, old.wrapping_add(value), &|| unsafe { W::fetch_add(at, value) });
                        // SAFETY: as above.
                        check(old, old & value, &|| unsafe { W::fetch_and(at, value) });
                        // SAFETY: as above.
                        check(old, old | value, &|| unsafe { W::fetch_or(at, value) });
                        // SAFETY: as above.
                        check(old, old ^ value, &|| unsafe { W::fetch_xor(at, value) });
                        // SAFETY: as above.
                        let exchange = |old| unsafe { W::compare_exchange(at, old, value) };
                        check(old, value, &|| exchange(old).map(|was| was.expect("equal")));
                        check(old, old, &|| exchange(!old).map(|is| is.expect_err("different")));
                    }
                }
            }

            #[test]
            fn nothing_is_lost_between_threads() {
                const ROUNDS: W = 10_000_u64 as W;
                let arena = Arena::new(1);
                let at = |index: usize| arena.at(64 * index).cast::<W>().expose_provenance();
                let words = [at(0), at(1), at(2), at(3), at(4), at(5)];
                let word = |index: usize| std::ptr::with_exposed_provenance_mut::<W>(words[index]);
                let threads = 4;
                let start = Barrier::new(threads);
                thread::scope(|scope| {
                    for thread in 0..threads {
                        let (word, start) = (&word, &start);
                        scope.spawn(move || {
                            start.wait();
                            let bit = 1 << thread;
                            // One operation each, so that the threads meet in it.
                            for _ in 0..10_000 {
                                // SAFETY: a word of the arena, which nothing refers to, here and
                                // below.
                                unsafe { W::fetch_add(word(0), 1) }.expect("mapped");
                            }
                            for _ in 0..10_000 {
                                loop {
                                    // SAFETY: as above.
                                    let old = unsafe { W::load(word(1)) }.expect("mapped");
                                    let new = old.wrapping_add(3);
                                    // SAFETY: as above.
                                    let result = unsafe { W::compare_exchange(word(1), old, new) };
                                    if result.expect("mapped").is_ok() {
                                        break;
                                    }
                                }
                            }
                            // Each thread has a bit of its own, and finds it as it left it.
                            for _ in 0..10_000 {
                                // SAFETY: as above.
                                let old = unsafe { W::fetch_or(word(2), bit) }.expect("mapped");
                                assert_eq!(old & bit, 0);
                                // SAFETY: as above.
                                let old = unsafe { W::fetch_and(word(2), !bit) }.expect("mapped");
                                assert_eq!(old & bit, bit);
                            }
                            for round in 0..10_000 {
                                // SAFETY: as above.
                                let old = unsafe { W::fetch_xor(word(3), bit) }.expect("mapped");
                                assert_eq!(old & bit, if round % 2 == 0 { 0 } else { bit });
                            }
                            // A lock by swap, over a count that is not atomic.
                            for _ in 0..10_000 {
                                // SAFETY: as above.
                                while unsafe { W::swap(word(4), 1) }.expect("mapped") == 1 {
                                    thread::yield_now();
                                }
                                // SAFETY: as above.
                                let count = unsafe { W::load(word(5)) }.expect("mapped");
                                // SAFETY: as above.
                                let stored = unsafe { W::store(word(5), count.wrapping_add(1)) };
                                stored.expect("mapped");
                                // SAFETY: as above.
                                unsafe { W::store(word(4), 0) }.expect("mapped");
                            }
                        });
                    }
                });
                let all = ROUNDS.wrapping_mul(threads as W);
                // SAFETY: as above.
                let ends = [0, 1, 2, 3, 4, 5].map(|index| unsafe { W::load(word(index)) });
                let expected = [all, all.wrapping_mul(3), 0, 0, 0, all];
                assert_eq!(ends, expected.map(Ok));
            }

            /// Two threads write one word each and read the other's: in no order of these four do
            /// both miss the other's.
            #[test]
            fn a_seqcst_store_is_seen_before_later_loads() {
                let arena = Arena::new(1);
                let words = [0, 1].map(|index| arena.at(64 * index).expose_provenance());
                let (start, missed) = (SpinBarrier::default(), SpinBarrier::default());
                let read = [AtomicU64::new(0), AtomicU64::new(0)];
                let run = |me: usize| {
                    let [mine, other] = [words[me], words[1 - me]]
                        .map(std::ptr::with_exposed_provenance_mut::<W>);
                    for round in 1..=20_000_u64 {
                        // Never zero, and never what this word was.
                        let value = (round % 200 + 1) as W;
                        start.wait(2 * round);
                        // SAFETY: a word of the arena, which nothing refers to, here and below.
                        unsafe { W::store_seqcst(mine, value) }.expect("mapped");
                        // SAFETY: as above.
                        let seen = unsafe { W::load(other) }.expect("mapped");
                        read[me].store(u64::from(seen == value), Ordering::SeqCst);
                        missed.wait(2 * round);
                        let seen = read.iter().map(|one| one.load(Ordering::SeqCst)).sum::<u64>();
                        assert!(seen > 0, "round {round}: both read before the other wrote");
                    }
                };
                thread::scope(|scope| {
                    scope.spawn(|| run(0));
                    run(1);
                });
            }

            #[test]
            fn faults() {
                for missing in Missing::ALL {
                    let arena = Arena::without_last_page(2, missing);
                    expect_faults::<W>(arena.at(arena.page()).cast(), 1, missing.cause());
                }
                expect_faults::<W>(std::ptr::without_provenance_mut(64), 1, Cause::NotMapped);
            }

            #[test]
            fn a_read_only_word_is_read_and_not_written() {
                let mut arena = Arena::new(1);
                arena.bytes(8).fill(0x11);
                arena.protect(0, MprotectFlags::READ);
                let at: *mut W = arena.at(0).cast();
                // SAFETY: a word of the arena, which nothing refers to, here and below.
                assert_eq!(unsafe { W::load(at) }, Ok(W::from_ne_bytes([0x11; _])));
                for result in write_all(at, W::from_ne_bytes([0x11; _])) {
                    let cause = result.map_err(|fault| fault.code.cause());
                    assert_eq!(cause, Err(Cause::NoPermission));
                }
                assert_eq!(arena.bytes(8), [0x11; 8]);
            }
        }
    )*};
}

each_width!(u8, u16, u32, u64);

/// Lets two threads go on at the same moment, as nearly as can be: each waits until both have come
/// `count` times.
#[derive(Default)]
struct SpinBarrier(AtomicU64);

impl SpinBarrier {
    fn wait(&self, count: u64) {
        self.0.fetch_add(1, Ordering::SeqCst);
        let mut spins = 0_u32;
        while self.0.load(Ordering::SeqCst) < count {
            spins += 1;
            if spins.is_multiple_of(1000) { thread::yield_now() } else { std::hint::spin_loop() }
        }
    }
}

fn expect_faults<W: Word + Debug>(at: *mut W, value: W, cause: Cause) {
    // SAFETY: only a load.
    let load = unsafe { W::load(at) };
    assert_eq!(load.map_err(|fault| (fault.done, fault.code.cause())), Err((0, cause)));
    for result in write_all(at, value) {
        assert_eq!(result.map_err(|fault| (fault.done, fault.code.cause())), Err((0, cause)));
    }
}
