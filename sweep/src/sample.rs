//! What is tried where not everything is: chosen by a seed that is printed, and that
//! `BIFOLIO_SEED` repeats.

/// SplitMix64: every seed gives another sequence.
#[derive(Clone)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, which is not zero.
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// The seed in the environment, or one of the clock.
pub(crate) fn seed() -> u64 {
    if let Ok(text) = std::env::var("BIFOLIO_SEED") {
        return text.parse().expect("BIFOLIO_SEED is a number");
    }
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed();
    since.map_or(1, |since| since.as_nanos() as u64)
}

/// Up to `max` of the items, in their order.
pub(crate) fn sample<T>(mut items: Vec<T>, max: usize, random: &mut Random) -> Vec<T> {
    while items.len() > max {
        // Removing the few or choosing the few: the lists are short.
        items.remove(random.below(items.len()));
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_in_order_and_repeats_by_its_seed() {
        let all: Vec<u32> = (0..100).collect();
        let some = sample(all.clone(), 10, &mut Random::new(7));
        assert_eq!(some.len(), 10);
        assert!(some.is_sorted());
        assert_eq!(some, sample(all.clone(), 10, &mut Random::new(7)));
        assert_ne!(some, sample(all.clone(), 10, &mut Random::new(8)));
        assert_eq!(sample(all.clone(), 100, &mut Random::new(7)), all);
    }
}
