//! Who holds something in shared memory: a seat, and how often it was taken before.

use core::fmt;
use core::num::NonZeroU32;

/// A process, as it stands in the words of what it holds: the number of its seat, and the
/// generation of whoever sits there.
///
/// It takes the low [`Owner::BITS`] bits of a word and is never zero, so that a lock has zero for
/// nobody and the two bits above for itself. Two processes never have the same in one region: a
/// seat whose generations are used up is not given out again.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner(NonZeroU32);

impl Owner {
    /// How many bits of a word it takes.
    pub const BITS: u32 = Self::SEAT_BITS + Self::GENERATION_BITS;
    /// The bits that it takes.
    pub const MASK: u32 = (1 << Self::BITS) - 1;
    /// How many processes may share a region at once.
    pub const SEATS_MAX: u32 = 1 << Self::SEAT_BITS;
    /// The last generation of a seat; the first is 1.
    pub const GENERATION_MAX: u32 = (1 << Self::GENERATION_BITS) - 1;

    const SEAT_BITS: u32 = 10;
    const GENERATION_BITS: u32 = 20;

    /// The one of this seat and generation; `None` beyond [`SEATS_MAX`](Self::SEATS_MAX) seats or
    /// outside of 1..=[`GENERATION_MAX`](Self::GENERATION_MAX).
    #[must_use]
    pub const fn new(seat: u32, generation: u32) -> Option<Owner> {
        if seat >= Self::SEATS_MAX || generation > Self::GENERATION_MAX || generation == 0 {
            return None;
        }
        match NonZeroU32::new(generation << Self::SEAT_BITS | seat) {
            Some(bits) => Some(Owner(bits)),
            None => None,
        }
    }

    /// The one that stands in the low bits of `word`; `None` for nobody.
    ///
    /// ```
    /// use bifolio_sync::Owner;
    ///
    /// let owner = Owner::new(3, 7).unwrap();
    /// assert_eq!(Owner::in_word(owner.bits() | 1 << 31), Some(owner));
    /// assert_eq!(Owner::in_word(1 << 31), None);
    /// ```
    #[must_use]
    pub const fn in_word(word: u32) -> Option<Owner> {
        let bits = word & Self::MASK;
        Self::new(bits & (Self::SEATS_MAX - 1), bits >> Self::SEAT_BITS)
    }

    /// The one of these bits, which [`bits`](Self::bits) gave.
    #[cfg(all(feature = "std", not(loom)))]
    pub(crate) const fn from_bits(bits: NonZeroU32) -> Owner {
        Owner(bits)
    }

    /// What stands in a word.
    #[must_use]
    pub const fn bits(self) -> u32 {
        self.0.get()
    }

    /// The number of the seat, below [`SEATS_MAX`](Self::SEATS_MAX).
    #[must_use]
    pub const fn seat(self) -> u32 {
        self.bits() & (Self::SEATS_MAX - 1)
    }

    /// How many have sat there, with this one.
    #[must_use]
    pub const fn generation(self) -> u32 {
        self.bits() >> Self::SEAT_BITS
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Owner({}.{})", self.seat(), self.generation())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_owner_is_what_its_word_says() {
        let ends = [(0, 1), (1023, 1), (0, Owner::GENERATION_MAX), (1023, Owner::GENERATION_MAX)];
        for (seat, generation) in ends {
            let owner = Owner::new(seat, generation).unwrap();
            assert_eq!((owner.seat(), owner.generation()), (seat, generation));
            assert_eq!(owner.bits() & !Owner::MASK, 0);
            assert_eq!(Owner::in_word(owner.bits() | !Owner::MASK), Some(owner));
        }
    }

    #[test]
    fn nobody_is_no_owner() {
        assert_eq!(Owner::new(0, 0), None);
        assert_eq!(Owner::new(Owner::SEATS_MAX, 1), None);
        assert_eq!(Owner::new(0, Owner::GENERATION_MAX + 1), None);
        // A seat without a generation is what a damaged word may say.
        assert_eq!(Owner::in_word(5), None);
    }
}
