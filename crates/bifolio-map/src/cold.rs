//! Reading what is not cached, before it is mapped, in the faster of two ways.
//!
//! A page that is touched is read with what the kernel reads ahead; several threads that read the
//! file give the device several requests at once. Which is faster depends on the device, on what
//! else it does, and on the pattern that was told of the mapping, by which read-ahead may be off.
//! So the first block that is not cached is read one way and the second the other, both are timed,
//! and the rest is read the faster way.

use crate::body::Body;
use crate::reading::Reading;
use crate::residency::{self, Residency};
use bifolio_sys::fs::{self, FileSystem, fd::BorrowedFd};
use core::ops::Range;
use core::time::Duration;
use std::time::Instant;
use std::vec::Vec;

/// How much is read at once, once that is known to be the faster way.
const WINDOW: usize = 32 << 20;

/// The file behind a mapping, and what reading it took so far.
pub(crate) struct Cold<'a> {
    file: BorrowedFd<'a>,
    file_offset: u64,
    /// The time that a block took by reads, and by touching, for each MiB.
    by_reads: Option<Duration>,
    by_touching: Option<Duration>,
}

/// A block that is about to be touched, and timed.
pub(crate) struct Trial(Instant);

impl<'a> Cold<'a> {
    /// `None` where nothing has to come from a disk.
    pub(crate) fn of(body: &'a Body) -> Option<Cold<'a>> {
        let file = body.origin.fd()?;
        body.origin.file_len()?;
        let is_in_memory =
            matches!(fs::file_system(file), Ok(FileSystem::Tmpfs | FileSystem::Hugetlbfs));
        let file_offset = body.origin.file_offset;
        (!is_in_memory).then_some(Cold { file, file_offset, by_reads: None, by_touching: None })
    }

    /// Reads a block that is not cached, and some of what follows up to `end`; `Some` if it is
    /// rather to be touched.
    pub(crate) fn begin(&mut self, block: &Range<usize>, end: usize) -> Option<Trial> {
        if !self.is_cold(block) {
            return None;
        }
        let window = match (self.by_reads, self.by_touching) {
            (None, _) => block.clone(),
            (Some(_), None) => return Some(Trial(Instant::now())),
            (Some(reads), Some(touching)) if touching <= reads => return None,
            _ => block.start..block.start.saturating_add(WINDOW).clamp(block.end, end),
        };
        let start = Instant::now();
        let reading = Reading::new(Vec::from_iter(Some(self.in_file(&window))));
        // What cannot be read is found when it is touched.
        if reading.run(self.file).is_ok() {
            self.by_reads.get_or_insert(per_mib(start.elapsed(), window.len()));
        }
        None
    }

    /// Notes how long it took to touch the block.
    pub(crate) fn end(&mut self, trial: Trial, block: &Range<usize>) {
        self.by_touching = Some(per_mib(trial.0.elapsed(), block.len()));
    }

    fn in_file(&self, range: &Range<usize>) -> Range<u64> {
        let at = |offset: usize| self.file_offset.saturating_add(offset as u64);
        at(range.start)..at(range.end)
    }

    /// Whether an eighth of a block or more is not cached; `false` also where that cannot be told.
    fn is_cold(&self, block: &Range<usize>) -> bool {
        let mut answer = [Residency::default()];
        let told = residency::of_file(self.file, self.in_file(block), &mut answer);
        matches!((told, answer), (Ok(()), [Residency::Known(pages)])
            if pages.resident_pages < pages.total_pages / 8 * 7)
    }
}

fn per_mib(time: Duration, len: usize) -> Duration {
    time.mul_f64((1 << 20) as f64 / len.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Access;
    use crate::file::FileMap;
    use crate::pages::Pages;
    use crate::pages::sealed::HasBody;

    #[test]
    fn the_way_that_was_faster_does_the_rest() {
        let path = std::env::temp_dir().join(std::format!("bifolio-cold-{}", std::process::id()));
        std::fs::write(&path, std::vec![7; 1 << 20]).unwrap();
        let file = std::fs::File::open(&path).unwrap();
        file.sync_all().unwrap();
        let map = FileMap::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let block = 0..map.len();
        let is_cold = || Cold::of(map.body()).is_some_and(|cold| cold.is_cold(&block));
        let (short, long) = (Some(Duration::from_millis(1)), Some(Duration::from_millis(2)));
        for (by_reads, by_touching, is_tried, is_read) in [
            (None, None, false, true),
            (short, None, true, false),
            (short, long, false, true),
            (long, short, false, false),
        ] {
            map.evict(block.clone(), crate::Dirty::Leave).unwrap();
            if !is_cold() {
                std::println!("skipped: the pages of {} cannot be evicted", path.display());
                return;
            }
            let mut cold = Cold { by_reads, by_touching, ..Cold::of(map.body()).unwrap() };
            let case = std::format!("{by_reads:?} {by_touching:?}");
            assert_eq!(cold.begin(&block, block.end).is_some(), is_tried, "{case}");
            assert_eq!(!is_cold(), is_read, "{case}");
            assert_eq!(cold.by_reads.is_some(), by_reads.is_some() || is_read, "{case}");
        }
    }
}
