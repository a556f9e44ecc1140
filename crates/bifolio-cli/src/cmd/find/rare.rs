//! Which two bytes of a needle are rare together in a file: from samples, since files differ.

use bifolio::{Pair, View};

/// How many bytes of each place are counted: few enough that counting costs nothing.
const SAMPLE_BYTES: usize = 1 << 10;

/// How many places there must be for each that can be expected to look like a match.
const PLACES_MIN: u64 = 512;

/// How often a byte occurs, in samples of a file.
pub(super) struct Sample {
    counts: [u32; 256],
    samples: u32,
}

impl Sample {
    pub(super) fn new() -> Sample {
        Sample { counts: [0; 256], samples: 0 }
    }

    /// Counts the bytes at a place; what cannot be read is not counted.
    pub(super) fn add(&mut self, view: &View<'_>, at: usize) {
        let mut bytes = [0; SAMPLE_BYTES];
        let len = view.read_at(&mut bytes, at).unwrap_or(0);
        for &byte in &bytes[..len] {
            self.counts[usize::from(byte)] += 1;
        }
        self.samples += 1;
    }

    /// The two bytes of the needle that are rarest and the index of the first, if both together can
    /// be expected at one place in [`PLACES_MIN`] at most, as far as they are independent.
    ///
    /// A needle of one byte is that byte twice.
    pub(super) fn rarest(&self, needle: &[u8]) -> Option<(usize, Pair)> {
        let count = |index: usize| u64::from(self.counts[usize::from(needle[index])]);
        let one = (0..needle.len()).min_by_key(|&index| count(index))?;
        // Another byte tells more than the same one again, which may stand in a run of its like.
        let another = (0..needle.len())
            .filter(|&index| index != one)
            .min_by_key(|&index| (needle[index] == needle[one], count(index)))
            .unwrap_or(one);
        let sampled = u64::from(self.samples) * SAMPLE_BYTES as u64;
        let together = if another == one {
            count(one).saturating_mul(sampled)
        } else {
            count(one).saturating_mul(count(another))
        };
        let (first, second) = (one.min(another), one.max(another));
        let pair = Pair { first: needle[first], second: needle[second], distance: second - first };
        let is_rare = together.saturating_mul(PLACES_MIN) <= sampled.saturating_mul(sampled);
        is_rare.then_some((first, pair))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_bytes_are_rare_together_where_their_counts_say_so() {
        let pair = |first, second, distance| Pair { first, second, distance };
        let mut sample = Sample::new();
        assert_eq!(
            sample.rarest(b"abc"),
            Some((0, pair(b'a', b'b', 1))),
            "nothing is known of any"
        );
        assert_eq!(sample.rarest(b""), None);
        sample.samples = 1;
        for (byte, count) in [(b'a', 90), (b'b', 20), (b'c', 30), (b'd', 500)] {
            sample.counts[usize::from(byte)] = count;
        }
        assert_eq!(sample.rarest(b"abcd"), Some((1, pair(b'b', b'c', 1))));
        assert_eq!(sample.rarest(b"cdddb"), Some((0, pair(b'c', b'b', 4))));
        assert_eq!(sample.rarest(b"dddd"), None, "a run of a common byte");
        assert_eq!(sample.rarest(b"b"), None, "one byte in fifty is not rare");
        sample.counts[usize::from(b'b')] = 1;
        assert_eq!(sample.rarest(b"b"), Some((0, pair(b'b', b'b', 0))));
        assert_eq!(
            sample.rarest(b"bbbc"),
            Some((0, pair(b'b', b'c', 3))),
            "not the same byte twice"
        );
    }
}
