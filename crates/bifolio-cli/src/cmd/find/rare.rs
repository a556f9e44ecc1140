//! Which byte of a needle is rare in a file: from samples, since files differ.

use bifolio::View;

/// How many bytes of each place are counted: few enough that counting costs nothing.
const SAMPLE_BYTES: usize = 1 << 10;

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

    /// The index of the byte of the needle that is rarest, if it is rare: at most one in a sample.
    pub(super) fn rarest(&self, needle: &[u8]) -> Option<usize> {
        let count = |index: &usize| self.counts[usize::from(needle[*index])];
        (0..needle.len()).min_by_key(count).filter(|index| count(index) <= self.samples)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_is_rare_where_a_sample_has_it_once() {
        let mut sample = Sample::new();
        assert_eq!(sample.rarest(b"abc"), Some(0), "nothing is known of any");
        sample.samples = 2;
        (sample.counts[97], sample.counts[98], sample.counts[99]) = (9, 2, 3);
        assert_eq!(sample.rarest(b"abc"), Some(1));
        assert_eq!(sample.rarest(b"caac"), None);
    }
}
