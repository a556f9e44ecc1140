//! The page cache of a file, by cachestat(2); and files of huge pages, by what fstat(2) tells.
//!
//! Counting walks what is cached, and each question costs a system call besides. So where there are
//! many buckets a group of them is asked about first, and its members only where the answer is
//! neither "nothing" nor "everything": what was never read costs a few questions in all.
//!
//! It does not know what is mapped, nor by whom.

use super::{CacheState, Cut, Residency, Resident};
use bifolio_sys::Errno;
use bifolio_sys::fs::fd::BorrowedFd;
use bifolio_sys::fs::{self, CacheStat, FileSystem};
use bifolio_sys::page::page_size;
use core::num::NonZeroU64;

/// So many buckets are asked about one by one: that costs less than walking anything twice.
const FEW: usize = 64;

/// How many parts a group is cut into.
const PARTS: usize = 8;

/// Cached pages that are walked in the time of a system call, about.
const PAGES_PER_CALL: u64 = 8;

/// Counts the buckets of a file.
///
/// `PERM` where the caller may not know, or may not ask; `NOSYS` where nobody can; `OPNOTSUPP`
/// where the answer would mean nothing.
pub(super) fn count(
    cut: &Cut,
    file: BorrowedFd<'_>,
    answers: &mut [Residency],
) -> Result<(), Errno> {
    let system = fs::file_system(file).ok();
    let cache = Cache { cut, file, is_in_memory: system == Some(FileSystem::Tmpfs) };
    if may_lie_elsewhere(system) && is_nothing(&cache.ask(0, answers.len())?) {
        return Err(Errno::OPNOTSUPP);
    }
    cache.count_all(answers)
}

/// As [`count`], for a file that is known to lie on a disk of this machine.
#[cfg(feature = "std")]
pub(super) fn count_on_disk(
    cut: &Cut,
    file: BorrowedFd<'_>,
    answers: &mut [Residency],
) -> Result<(), Errno> {
    Cache { cut, file, is_in_memory: false }.count_all(answers)
}

/// Counts the buckets of a file of the pool of huge pages, of which the kernel tells how much is
/// there in all; `OPNOTSUPP` where that is neither nothing nor everything, and for other files.
pub(super) fn count_of_pool(
    cut: &Cut,
    file: BorrowedFd<'_>,
    answers: &mut [Residency],
) -> Result<(), Errno> {
    if fs::file_system(file) != Ok(FileSystem::Hugetlbfs) {
        return Err(Errno::OPNOTSUPP);
    }
    let stat = fs::fstat(file)?;
    let (there, len) = (stat.st_blocks as u64 * 512, stat.st_size as u64);
    if there > 0 && there < len {
        return Err(Errno::OPNOTSUPP);
    }
    let end = if there == 0 { 0 } else { len };
    for (index, answer) in answers.iter_mut().enumerate() {
        let pages = cut.pages(index..index + 1)?;
        let resident = pages.end.min(end).saturating_sub(pages.start) >> page_size().log2();
        *answer = Residency::Known(Resident::count(resident, cut.total_pages(index)?));
    }
    Ok(())
}

/// Whether files may keep their pages in the cache of others: those of overlayfs do, so that
/// cachestat(2) counts none (seen on Linux 6.18), and those of FUSE may, by passthrough.
fn may_lie_elsewhere(system: Option<FileSystem>) -> bool {
    matches!(system, Some(FileSystem::Overlayfs | FileSystem::Fuse))
}

fn is_nothing(stat: &CacheStat) -> bool {
    stat.cached == 0 && stat.evicted == 0
}

struct Cache<'a> {
    cut: &'a Cut,
    file: BorrowedFd<'a>,
    /// Whether what is evicted goes to swap.
    is_in_memory: bool,
}

impl Cache<'_> {
    /// Asks about so many buckets at once.
    fn ask(&self, first: usize, count: usize) -> Result<CacheStat, Errno> {
        let pages = self.cut.pages(first..first + count)?;
        match NonZeroU64::new(pages.end - pages.start) {
            // The kernel takes no length for all of the file.
            None => Ok(CacheStat::default()),
            len => fs::cachestat(self.file, pages.start, len),
        }
    }

    fn count_all(&self, answers: &mut [Residency]) -> Result<(), Errno> {
        let group = if answers.len() <= FEW { 1 } else { answers.len().div_ceil(FEW) };
        self.count_groups(0, answers, group)
    }

    /// Counts the buckets from `first` on, in groups of so many.
    fn count_groups(
        &self,
        first: usize,
        answers: &mut [Residency],
        group: usize,
    ) -> Result<(), Errno> {
        for (index, answers) in answers.chunks_mut(group).enumerate() {
            self.count_group(first + index * group, answers)?;
        }
        Ok(())
    }

    fn count_group(&self, first: usize, answers: &mut [Residency]) -> Result<(), Errno> {
        let count = answers.len();
        let stat = self.ask(first, count)?;
        let is_clean = stat.dirty == 0 && stat.writeback == 0;
        if is_nothing(&stat) || count == 1 {
            return self.fill(first, answers, |_| stat);
        }
        let all = self.cut.pages(first..first + count)?;
        if is_clean && stat.cached == (all.end - all.start) >> page_size().log2() {
            return self
                .fill(first, answers, |cached| CacheStat { cached, ..CacheStat::default() });
        }
        // To walk it once more, deeper down, may cost as much as one question for each.
        let is_dense = stat.cached + stat.evicted > PAGES_PER_CALL * count as u64;
        let group = if is_dense { 1 } else { count.div_ceil(PARTS) };
        self.count_groups(first, answers, group)
    }

    /// Answers for buckets by what is known of one that has so many pages.
    fn fill(
        &self,
        first: usize,
        answers: &mut [Residency],
        stat: impl Fn(u64) -> CacheStat,
    ) -> Result<(), Errno> {
        for (index, answer) in (first..).zip(answers) {
            let pages = self.cut.total_pages(index)?;
            *answer = self.resident(&stat(pages), pages);
        }
        Ok(())
    }

    fn resident(&self, stat: &CacheStat, total_pages: u64) -> Residency {
        let resident = Resident::count(stat.cached, total_pages);
        if total_pages == 0 {
            return Residency::Known(resident);
        }
        let cache = CacheState {
            dirty_pages: stat.dirty,
            writeback_pages: stat.writeback,
            evicted_pages: stat.evicted,
            recently_evicted_pages: stat.recently_evicted,
        };
        let swapped_pages = self.is_in_memory.then_some(stat.evicted);
        Residency::Known(Resident { cache: Some(cache), swapped_pages, ..resident })
    }
}
