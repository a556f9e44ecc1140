//! Random ranges over pages of which random ones are missing, against a model.
//!
//! # Safety
//!
//! This file calls the guarded functions with pointers into an arena.
#![allow(unsafe_code, reason = "see # Safety above")]

use bifolio_sys::guard::{self, Cause, Fault, Pair};
use rustix::mm::MprotectFlags;

use crate::arena::Arena;

/// SplitMix64 (Steele, Lea, Flood, 2014).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn new() -> Self {
        let seed = std::env::var("BIFOLIO_SEED").ok().and_then(|seed| seed.parse().ok());
        let seed = seed.unwrap_or_else(|| {
            let since = std::time::UNIX_EPOCH.elapsed().expect("a clock after 1970");
            since.as_nanos() as u64
        });
        println!("BIFOLIO_SEED={seed}");
        Self(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// An offset, often next to a page's boundary.
    fn offset(&mut self, len: usize, page: usize) -> usize {
        let near = self.below(len / page) * page + page - 70 + self.below(140);
        if self.below(4) == 0 { self.below(len) } else { near.min(len - 1) }
    }
}

const PAGES: usize = 6;

/// An arena, what lies in it, and which of its pages can be read and written.
struct Model {
    arena: Arena,
    readable: [bool; PAGES],
    writable: [bool; PAGES],
}

impl Model {
    fn new() -> Self {
        Self { arena: Arena::new(PAGES), readable: [true; PAGES], writable: [true; PAGES] }
    }

    fn len(&self) -> usize {
        PAGES * self.arena.page()
    }

    fn shuffle(&mut self, random: &mut Random) {
        for page in 0..PAGES {
            let protection = match random.below(6) {
                0 | 1 => MprotectFlags::empty(),
                2 => MprotectFlags::READ,
                _ => MprotectFlags::READ | MprotectFlags::WRITE,
            };
            self.readable[page] = protection.contains(MprotectFlags::READ);
            self.writable[page] = protection.contains(MprotectFlags::WRITE);
            self.arena.protect(page, protection);
        }
    }

    /// How many bytes from `start` on lie in `pages`.
    fn run(&self, pages: &[bool; PAGES], start: usize, len: usize) -> usize {
        (start..start + len).take_while(|offset| pages[offset / self.arena.page()]).count()
    }

    fn bytes(&mut self) -> &mut [u8] {
        let len = self.len();
        self.arena.bytes(len)
    }
}

#[track_caller]
fn check<T: PartialEq + std::fmt::Debug>(
    result: Result<T, Fault>,
    expected: Result<T, usize>,
    what: &str,
) {
    let result = result.map_err(|fault| {
        assert_eq!(fault.code.cause(), Cause::NoPermission);
        fault.done
    });
    assert_eq!(result, expected, "{what}");
}

#[test]
fn agrees_with_the_model() {
    let mut random = Random::new();
    let (mut a, mut b) = (Model::new(), Model::new());
    let len_max = a.len();
    for round in 0..60_000 {
        if round % 64 == 0 {
            a.shuffle(&mut random);
            b.shuffle(&mut random);
            // A few values only, so that equal runs are long.
            let value = random.next() as u8;
            a.bytes().fill(value);
            b.bytes().fill(value);
        }
        let (from, to) =
            (random.offset(len_max, a.arena.page()), random.offset(len_max, a.arena.page()));
        let len = random.offset(len_max, a.arena.page()) >> random.below(12);
        let len = len.min(len_max - from.max(to));
        let byte = random.next() as u8;
        let spot = random.below(len_max);
        a.bytes()[spot] = byte;
        let what = format!("round {round}: {from}, {to}, {len}, {byte}");
        match random.below(5) {
            0 => {
                let done = a.run(&a.readable, from, len).min(b.run(&b.writable, to, len));
                let mut expected = b.bytes().to_vec();
                expected[to..to + done].copy_from_slice(&a.bytes()[from..from + done]);
                // SAFETY: `len` bytes of the arena, which nothing refers to.
                let result = unsafe { guard::copy(b.arena.at(to), a.arena.at(from), len) };
                check(result, if done == len { Ok(()) } else { Err(done) }, &what);
                assert!(expected == b.bytes(), "{what}");
            }
            1 => {
                let done = b.run(&b.writable, to, len);
                let mut expected = b.bytes().to_vec();
                expected[to..to + done].fill(byte);
                // SAFETY: as above.
                let result = unsafe { guard::fill(b.arena.at(to), byte, len) };
                check(result, if done == len { Ok(()) } else { Err(done) }, &what);
                assert!(expected == b.bytes(), "{what}");
            }
            2 => {
                let done = a.run(&a.readable, from, len).min(b.run(&b.readable, to, len));
                let (left, right) = (&a.bytes()[from..from + done], &b.bytes()[to..to + done]);
                let differs = left.iter().zip(right).position(|(left, right)| left != right);
                let expected =
                    if done == len || differs.is_some() { Ok(differs) } else { Err(done) };
                // SAFETY: it only reads.
                let result = unsafe { guard::compare(a.arena.at(from), b.arena.at(to), len) };
                check(result, expected, &what);
            }
            3 => {
                let done = a.run(&a.readable, from, len);
                let distance = random.below(len.min(90) + 1);
                let second = a.bytes()[from];
                let bytes = &a.bytes()[from..from + done];
                let expected = first_pair(bytes, len, byte, second, distance);
                let pair = Pair { first: byte, second, distance };
                // SAFETY: it only reads.
                let result = unsafe { guard::find_pair(a.arena.at(from), pair, len) };
                check(result, expected, &what);
            }
            _ => {
                let done = a.run(&a.readable, from, len);
                let found = a.bytes()[from..from + done].iter().position(|&other| other == byte);
                let expected = if done == len || found.is_some() { Ok(found) } else { Err(done) };
                // SAFETY: it only reads.
                let result = unsafe { guard::find_byte(a.arena.at(from), byte, len) };
                check(result, expected, &what);
            }
        }
    }
}

/// Where a pair stands first in `len` bytes of which `bytes` can be read; an error at the first
/// place that a missing byte leaves open.
fn first_pair(
    bytes: &[u8],
    len: usize,
    first: u8,
    second: u8,
    distance: usize,
) -> Result<Option<usize>, usize> {
    for place in 0..len - distance {
        match (bytes.get(place), bytes.get(place + distance)) {
            (Some(&byte), _) if byte != first => {}
            (Some(_), Some(&byte)) if byte == second => return Ok(Some(place)),
            (Some(_), Some(_)) => {}
            _ => return Err(place),
        }
    }
    Ok(None)
}
