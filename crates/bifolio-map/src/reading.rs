//! Reading parts of a file into the page cache, by several threads at once.
//!
//! By reads and not by hints (`POSIX_FADV_WILLNEED`, readahead(2)): a read is done when it returns,
//! tells what went wrong, and lets the kernel cache the file in large folios, which are mapped many
//! pages at a time; hints were seen to fill the cache with single pages (ext4, Linux 6.18).
//!
//! It keeps nothing of what it read.

use crate::residency::{self, Residency};
use bifolio_sys::Errno;
use bifolio_sys::fs::fd::{BorrowedFd, OwnedFd};
use bifolio_sys::fs::{self, CWD, DescriptorPath, Mode, OFlags};
use core::ops::Range;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::vec;
use std::vec::Vec;

/// How many threads read at once, so that a device has several requests to serve.
const READERS: usize = 4;

/// What one thread takes at a time.
const PIECE: u64 = 1 << 20;

/// What is read by one call: small enough for the caches of the CPU.
const BUFFER: usize = 256 << 10;

/// A file to be read, by whoever has a thread for it.
pub(crate) struct Reading {
    ranges: Vec<Range<u64>>,
    next: Mutex<Next>,
    done_bytes: AtomicU64,
    is_stopped: AtomicBool,
}

/// Where the next piece begins, and what went wrong first.
#[derive(Default)]
struct Next {
    range: usize,
    taken_bytes: u64,
    failure: Option<Failure>,
}

/// Where reading stopped, and why.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    /// The page that could not be had.
    pub(crate) at: u64,
    /// Without a reason the file ends there.
    pub(crate) errno: Option<Errno>,
}

impl Reading {
    /// Reads these ranges of a file, in this order.
    pub(crate) fn new(ranges: Vec<Range<u64>>) -> Reading {
        Reading {
            ranges,
            next: Mutex::default(),
            done_bytes: AtomicU64::new(0),
            is_stopped: AtomicBool::new(false),
        }
    }

    /// All bytes of the ranges.
    pub(crate) fn total_bytes(&self) -> u64 {
        self.ranges.iter().map(|range| range.end - range.start).sum()
    }

    /// The bytes that are in memory by now, or need not be.
    pub(crate) fn done_bytes(&self) -> u64 {
        // Relaxed: a number to be shown, which publishes nothing.
        self.done_bytes.load(Ordering::Relaxed)
    }

    /// Lets whoever reads end soon.
    pub(crate) fn stop(&self) {
        // Relaxed: each reader sees it sooner or later, and nothing else depends on it.
        self.is_stopped.store(true, Ordering::Relaxed);
    }

    /// Whether they were told to.
    pub(crate) fn is_stopped(&self) -> bool {
        // Relaxed: see `stop`.
        self.is_stopped.load(Ordering::Relaxed)
    }

    /// Reads everything, and returns when that is done, stopped or failed.
    pub(crate) fn run(&self, file: BorrowedFd<'_>) -> Result<(), Failure> {
        thread::scope(|scope| {
            let others = self.total_bytes().div_ceil(PIECE).clamp(1, READERS as u64) - 1;
            for _ in 0..others {
                // Where there are no more threads, those that there are read all of it.
                let _ = thread::Builder::new().spawn_scoped(scope, || self.read(file));
            }
            self.read(file);
        });
        let next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        next.failure.clone().map_or(Ok(()), Err)
    }

    fn read(&self, file: BorrowedFd<'_>) {
        // Read-ahead goes by the open file, and several readers of one would confuse it.
        let own = reopen(file);
        let own_file = own.as_ref().map_or(file, |own| fs::fd::AsFd::as_fd(own));
        let mut buffer = vec![0; BUFFER];
        while let Some(piece) = self.take() {
            if let Err(failure) = self.read_piece(own_file, own.is_some(), piece, &mut buffer) {
                let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
                if next.failure.as_ref().is_none_or(|first| failure.at < first.at) {
                    next.failure = Some(failure);
                }
                // Nothing more is begun; what was begun before it may fail before it.
                next.range = self.ranges.len();
            }
        }
    }

    /// The next piece that nobody has taken.
    fn take(&self) -> Option<Range<u64>> {
        if self.is_stopped() {
            return None;
        }
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let range = self.ranges.get(next.range)?;
            let start = range.start + next.taken_bytes;
            if start < range.end {
                // Pieces end where folios do.
                let end = (start / PIECE + 1).saturating_mul(PIECE).min(range.end);
                next.taken_bytes += end - start;
                return Some(start..end);
            }
            (next.range, next.taken_bytes) = (next.range + 1, 0);
        }
    }

    /// Reads a piece, but neither what is cached already nor holes, which need no disk.
    fn read_piece(
        &self,
        file: BorrowedFd<'_>,
        may_seek: bool,
        piece: Range<u64>,
        buffer: &mut [u8],
    ) -> Result<(), Failure> {
        let mut at = piece.start;
        // What the file has lost may be cached still, as part of a large folio.
        let reaches = |end| fs::fstat(file).is_ok_and(|stat| stat.st_size as u64 >= end);
        if is_cached(file, &piece) && reaches(piece.end) {
            at = piece.end;
            self.add(piece.start, at);
        }
        while at < piece.end && !self.is_stopped() {
            let data =
                if may_seek { fs::seek_data(file, at).unwrap_or(Some(at)) } else { Some(at) };
            // A hole to the end of the file, if the file reaches so far.
            let data = data.unwrap_or(piece.end).min(piece.end);
            if data > at && reaches(data) {
                self.add(at, data);
                at = data;
                continue;
            }
            let len = buffer.len().min((piece.end - at) as usize);
            match fs::pread(file, &mut buffer[..len], at) {
                Ok(0) => return Err(Failure { at, errno: None }),
                Ok(count) => {
                    self.add(at, at + count as u64);
                    at += count as u64;
                }
                Err(Errno::INTR) => {}
                Err(errno) => return Err(Failure { at, errno: Some(errno) }),
            }
        }
        Ok(())
    }

    fn add(&self, from: u64, to: u64) {
        // Relaxed: see `done_bytes`.
        self.done_bytes.fetch_add(to - from, Ordering::Relaxed);
    }
}

/// The same file, opened once more; it has an offset and a read-ahead of its own.
fn reopen(file: BorrowedFd<'_>) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    fs::openat(CWD, DescriptorPath::of(file).as_c_str(), flags, Mode::empty()).ok()
}

/// Whether all of it is in the page cache; `false` also where that cannot be told.
pub(crate) fn is_cached(file: BorrowedFd<'_>, range: &Range<u64>) -> bool {
    let mut answer = [Residency::default()];
    let told = residency::of_file(file, range.clone(), &mut answer);
    matches!((told, answer), (Ok(()), [Residency::Known(pages)])
        if pages.resident_pages == pages.total_pages)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn pieces_cover_the_ranges_once_and_in_order() {
        let ranges = vec![5..6, 100..100, PIECE - 1..3 * PIECE + 7, 10 * PIECE..11 * PIECE];
        let reading = Reading::new(ranges);
        let pieces: Vec<_> = core::iter::from_fn(|| reading.take()).collect();
        let expected = [
            5..6,
            PIECE - 1..PIECE,
            PIECE..2 * PIECE,
            2 * PIECE..3 * PIECE,
            3 * PIECE..3 * PIECE + 7,
            10 * PIECE..11 * PIECE,
        ];
        assert_eq!(pieces, expected);
        assert_eq!(reading.total_bytes(), pieces.iter().map(|one| one.end - one.start).sum());
    }

    #[test]
    fn what_was_stopped_reads_nothing() {
        let file = File::open(std::env::current_exe().unwrap()).unwrap();
        let len = file.metadata().unwrap().len();
        let reading = Reading::new(Vec::from_iter(Some(0..len)));
        reading.stop();
        reading.run(file.as_fd()).unwrap();
        assert_eq!(reading.done_bytes(), 0);
        let reading = Reading::new(Vec::from_iter(Some(0..len)));
        reading.run(file.as_fd()).unwrap();
        assert_eq!(reading.done_bytes(), len);
    }
}
