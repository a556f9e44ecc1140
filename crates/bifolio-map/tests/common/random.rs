//! Random numbers that can be had again: splitmix64, seeded by `BIFOLIO_SEED` or by the clock.

use std::time::SystemTime;

/// A stream of random numbers.
pub(crate) struct Random(u64);

impl Random {
    /// Prints its seed, which the test shows where it fails.
    pub(crate) fn new() -> Self {
        let seed = match std::env::var("BIFOLIO_SEED") {
            Ok(seed) => seed.parse().expect("BIFOLIO_SEED is a number"),
            Err(_) => {
                let now = SystemTime::UNIX_EPOCH.elapsed().expect("a clock after 1970");
                now.as_nanos() as u64
            }
        };
        println!("BIFOLIO_SEED={seed}");
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `end`, without it; 0 where `end` is.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        if end == 0 { 0 } else { (self.next() % end as u64) as usize }
    }

    /// A length or offset up to `max`: small, page-sized or anything.
    pub(crate) fn length(&mut self, max: usize) -> usize {
        let max = match self.below(4) {
            0 => max.min(20),
            1 => max.min(5000),
            _ => max,
        };
        self.below(max + 1)
    }

    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    /// Bytes of few kinds, so that needles nearly occur, with lines among them.
    pub(crate) fn text(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| b"aaaabbc\n"[self.below(8)]).collect()
    }
}
