//! How many bytes may be under a lease: as many as can be copied in a third of the time after which
//! the kernel takes leases away.
//!
//! All leases of the process count together, since all may be broken at once. It does not know what
//! else the machine will be doing by then, nor what will have left the page cache.

use crate::error::{Operation, Result};
use crate::options::{HugePages, Options};
use crate::stable::{Refusal, Source};
use bifolio_sys::Errno;
use bifolio_sys::fs::fd::BorrowedFd;
use bifolio_sys::fs::{self, lease_break_time};
use std::time::{Duration, Instant};

/// Bytes a second that are taken for granted: what can be copied in time at this speed is leased
/// without measuring.
const ASSUMED_SPEED: u64 = 32 << 20;

/// How many pieces of a file are read to measure, and how long each is.
const PIECES: usize = 4;
const PIECE: usize = 1 << 20;

/// The time that copying may take, and how fast it is thought to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// `None` where the kernel waits for ever.
    limit: Option<Duration>,
    bytes_per_second: u64,
    is_measured: bool,
}

impl Budget {
    /// The budget of what needs no measuring.
    pub(super) fn assumed(source: &Source<'_>) -> Result<Budget> {
        let time = lease_break_time().map_err(|errno| source.refused(Operation::Inspect, errno))?;
        let limit = time.map(|time| time / 3);
        Ok(Budget { limit, bytes_per_second: ASSUMED_SPEED, is_measured: false })
    }

    /// The budget at the speed at which pieces of this file, spread over it, can be copied to fresh
    /// memory now: from the page cache where they are there, else from the medium.
    pub(super) fn measured(
        self,
        source: &Source<'_>,
        file: BorrowedFd<'_>,
        range: core::ops::Range<u64>,
    ) -> Result<Budget> {
        let start = Instant::now();
        let mut memory = Options::new().huge_pages(HugePages::Transparent).anon(PIECES * PIECE)?;
        let stride = (range.end - range.start) / PIECES as u64;
        let offsets = (range.start..).step_by(stride.max(1) as usize);
        let mut done = 0;
        for (piece, offset) in memory.chunks_mut(PIECE).zip(offsets) {
            done += match fs::pread(file, piece, offset) {
                Ok(count) => count as u64,
                Err(Errno::INTR) => 0,
                Err(errno) => return Err(source.refused(Operation::Read, errno)),
            };
        }
        let nanos = start.elapsed().as_nanos().max(1);
        let bytes_per_second = (u128::from(done) * 1_000_000_000 / nanos).max(1) as u64;
        Ok(Budget { bytes_per_second, is_measured: true, ..self })
    }

    pub(super) fn is_measured(self) -> bool {
        self.is_measured
    }

    /// Checks that so many bytes are copied in time.
    pub(super) fn check(self, bytes: u64) -> Result<(), Refusal> {
        let Some(limit) = self.limit else { return Ok(()) };
        let copy_ms = u128::from(bytes) * 1000 / u128::from(self.bytes_per_second);
        match limit.as_millis() {
            max_ms if copy_ms > max_ms => {
                let copy_ms = copy_ms.try_into().unwrap_or(u64::MAX);
                Err(Refusal::TooSlow { copy_ms, max_ms: max_ms as u64 })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(limit_s: u64, bytes_per_second: u64) -> Budget {
        let limit = Some(Duration::from_secs(limit_s));
        Budget { limit, bytes_per_second, is_measured: true }
    }

    #[test]
    fn what_takes_longer_than_the_limit_is_refused_with_both_times() {
        assert_eq!(budget(15, 1 << 30).check(15 << 30), Ok(()));
        let refusal = Refusal::TooSlow { copy_ms: 16_000, max_ms: 15_000 };
        assert_eq!(budget(15, 1 << 30).check(16 << 30), Err(refusal));
        let endless = Refusal::TooSlow { copy_ms: u64::MAX, max_ms: 1000 };
        assert_eq!(budget(1, 1).check(u64::MAX), Err(endless));
    }

    #[test]
    fn where_the_kernel_waits_for_ever_nothing_is_too_slow() {
        assert_eq!(Budget { limit: None, ..budget(0, 1) }.check(u64::MAX), Ok(()));
    }
}
