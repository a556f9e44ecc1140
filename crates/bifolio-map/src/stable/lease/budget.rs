//! How many bytes may be under a lease: as many as can be copied in a third of the time after which
//! the kernel takes leases away.
//!
//! All leases of the process count together, since all may be broken at once. It does not know what
//! else the machine will be doing by then, nor what will have left the page cache.

use crate::anon::AnonMap;
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

/// How often to measure, each time other pieces, before the answer is that it is too slow: the
/// thread may have been kept from running.
const MEASURES: u32 = 3;

/// The time that copying may take, and how fast it is thought to be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// `None` where the kernel waits for ever.
    limit: Option<Duration>,
    bytes_per_second: u64,
    knowledge: Knowledge,
}

/// What a budget rests on. More of it costs time, and is asked for when there is need.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Knowledge {
    /// The shortest time that the kernel can be set to wait, and the assumed speed.
    Nothing,
    /// The time that it is set to.
    Time,
    /// The speed too, measured so many times; the last one counts.
    Speed(u32),
}

impl Budget {
    /// What holds on any machine.
    pub(super) fn minimal() -> Budget {
        let limit = Some(Duration::from_secs(1) / 3);
        Budget { limit, bytes_per_second: ASSUMED_SPEED, knowledge: Knowledge::Nothing }
    }

    /// Whether no more can be known.
    pub(super) fn is_final(self) -> bool {
        self.knowledge == Knowledge::Speed(MEASURES)
    }

    /// The budget for somewhat more work.
    pub(super) fn better_known(self, source: &Source<'_>, file: BorrowedFd<'_>) -> Result<Budget> {
        let before = match self.knowledge {
            Knowledge::Nothing => {
                let time = lease_break_time();
                let time = time.map_err(|errno| source.refused(Operation::Inspect, errno))?;
                let limit = time.map(|time| time / 3);
                return Ok(Budget { limit, knowledge: Knowledge::Time, ..self });
            }
            Knowledge::Time => 0,
            Knowledge::Speed(measures) => measures,
        };
        let bytes_per_second = measure(source, file, before as usize * PIECE)?;
        Ok(Budget { bytes_per_second, knowledge: Knowledge::Speed(before + 1), ..self })
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

/// Bytes a second at which pieces of the file, spread over the bytes that are wanted, `shift` bytes
/// further on each, are copied to fresh memory now: from the page cache where they are there, else
/// from the medium.
///
/// A file with few bytes is one of many where this is asked, and for these memory is measured
/// alone.
fn measure(source: &Source<'_>, file: BorrowedFd<'_>, shift: usize) -> Result<u64> {
    if source.len < MEASURES as usize * PIECES * PIECE {
        let mut from = fresh_memory()?;
        from.fill(1);
        return speed_of(|memory| {
            memory.copy_from_slice(&from);
            Ok(memory.len())
        });
    }
    let offsets = (source.offset + shift as u64..).step_by(source.len / PIECES);
    speed_of(|memory| {
        let pieces = memory.chunks_mut(PIECE).zip(offsets);
        let counts = pieces.map(|(piece, offset)| fs::pread(file, piece, offset));
        let done: Result<usize, Errno> = counts.sum();
        done.map_err(|errno| source.refused(Operation::Read, errno))
    })
}

fn fresh_memory() -> Result<AnonMap> {
    Options::new().huge_pages(HugePages::Transparent).anon(PIECES * PIECE)
}

/// Bytes a second at which `copy` fills fresh memory; it returns how many those were.
fn speed_of(copy: impl FnOnce(&mut [u8]) -> Result<usize>) -> Result<u64> {
    let start = Instant::now();
    let done = copy(&mut fresh_memory()?)? as u128;
    let bytes_per_second = done * 1_000_000_000 / start.elapsed().as_nanos().max(1);
    Ok((bytes_per_second as u64).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(limit_s: u64, bytes_per_second: u64) -> Budget {
        let limit = Some(Duration::from_secs(limit_s));
        Budget { limit, bytes_per_second, knowledge: Knowledge::Speed(MEASURES) }
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
