//! What the counters did lately: rates, and the small curves beside them.

use super::source::{Counters, Rss};
use std::collections::VecDeque;

/// How many samples a curve can show.
const SAMPLES_MAX: usize = 120;

/// The counters of the last minutes, a sample each second or so.
#[derive(Debug, Default)]
pub(super) struct History {
    /// Milliseconds, and the counters then; ascending.
    samples: VecDeque<(u64, Counters)>,
}

/// How often something happens, now and before.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Rate {
    /// Per second; `None` where there are not yet two samples.
    pub(super) now: Option<u64>,
    /// Per second, the latest last.
    pub(super) before: Vec<u64>,
}

impl History {
    /// Adds a sample; one of an earlier moment, as when a recording is wound back, begins anew.
    pub(super) fn add(&mut self, at_ms: u64, counters: Counters) {
        if self.samples.back().is_some_and(|last| last.0 >= at_ms) {
            self.samples.clear();
        }
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back((at_ms, counters));
    }

    /// The last sample.
    pub(super) fn last(&self) -> Option<&Counters> {
        self.samples.back().map(|last| &last.1)
    }

    /// The rate of a counter.
    pub(super) fn rate(&self, of: impl Fn(&Counters) -> u64) -> Rate {
        let pairs = self.samples.iter().zip(self.samples.iter().skip(1));
        let before: Vec<u64> = pairs
            .map(|(a, b)| of(&b.1).saturating_sub(of(&a.1)).saturating_mul(1000) / (b.0 - a.0))
            .collect();
        Rate { now: before.last().copied(), before }
    }

    /// A size of a process, the latest last.
    pub(super) fn rss(&self, of: impl Fn(&Rss) -> u64) -> Vec<u64> {
        self.samples.iter().filter_map(|(_, counters)| counters.rss.as_ref().map(&of)).collect()
    }
}

/// The last `width` values as a curve of blocks: the greatest is a full one, and 0 is blank.
pub(super) fn curve(values: &[u64], width: usize) -> String {
    let values = &values[values.len().saturating_sub(width)..];
    let most = values.iter().copied().max().unwrap_or(0).max(1);
    let block = |value: u64| match (u128::from(value) * 8).div_ceil(u128::from(most)) {
        0 => ' ',
        eighths => char::from_u32(0x2580 + eighths as u32).unwrap_or(' '),
    };
    let drawn = values.iter().map(|&value| block(value));
    std::iter::repeat_n(' ', width - values.len()).chain(drawn).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(minor_faults: u64) -> Counters {
        Counters { minor_faults, ..Counters::default() }
    }

    #[test]
    fn a_rate_is_what_was_added_in_a_second() {
        let mut history = History::default();
        history.add(0, faults(100));
        assert_eq!(history.rate(|counters| counters.minor_faults), Rate::default());
        history.add(500, faults(200));
        history.add(2500, faults(200));
        history.add(3500, faults(150));
        let rate = history.rate(|counters| counters.minor_faults);
        assert_eq!(rate, Rate { now: Some(0), before: vec![200, 0, 0] });
        history.add(1000, faults(7));
        assert_eq!(history.rate(|counters| counters.minor_faults).before, [] as [u64; 0]);
        for at in 2000..3000 {
            history.add(at, faults(at));
        }
        assert_eq!(history.rate(|counters| counters.minor_faults).before.len(), SAMPLES_MAX - 1);
    }

    #[test]
    fn a_curve_ends_with_the_latest_value_and_its_greatest_is_full() {
        assert_eq!(curve(&[], 3), "   ");
        assert_eq!(curve(&[0, 1, 8], 5), "   \u{2581}\u{2588}");
        assert_eq!(curve(&[u64::MAX, 1, u64::MAX / 2], 2), "\u{2581}\u{2588}");
        assert_eq!(curve(&[5; 4], 2), "\u{2588}\u{2588}");
    }
}
