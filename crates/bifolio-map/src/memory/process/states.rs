//! The states of the pages of another process: asked from its page tables.
//!
//! A page counts as resident if the process has it mapped: a page that is in the page cache, but
//! that this process did not touch, does not.

use super::folder::{Folder, Process};
use crate::error::Result;
use crate::residency::{Residency, Resident, Untold, bucket};
use bifolio_sys::Errno;
use bifolio_sys::mm::{
    Categories, PageRegion, PagemapEntry, PagemapScan, pagemap_read, pagemap_scan,
};
use bifolio_sys::page::page_size;
use core::ops::Range;
use std::fs::File;

/// Counts the pages that a process has in memory at each part of `range`, which is rounded outward
/// to whole pages, as [`bucket`] cuts it.
///
/// The page of zeros that all share, which memory shows that was read and never written, counts as
/// resident. Addresses where nothing is mapped are not. Pages in swap are counted for private
/// memory; where the kernel cannot tell them from pages that are only marked for tracking,
/// `swapped_pages` is `None`. Huge pages are counted since Linux 6.7. Every answer is
/// [`Unknown`](Residency::Unknown) with [`NotPermitted`](Untold::NotPermitted) where the caller may
/// not look into the process.
///
/// # Errors
///
/// [`NoSuchProcess`](crate::ErrorKind::NoSuchProcess) and
/// [`KernelThread`](crate::ErrorKind::KernelThread); what ioctl(2) and pread(2) report for
/// `/proc/PID/pagemap`.
///
/// # Panics
///
/// Where `range` ends before it starts.
///
/// # Examples
///
/// ```
/// use bifolio_map::memory::{Process, pages_of};
/// use bifolio_map::{AnonMap, Mapping, Residency, page::page_size};
///
/// let page = page_size().bytes();
/// let mut map = AnonMap::new(4 * page)?;
/// map[0] = 1;
/// let start = map.as_ptr().addr();
/// let mut buckets = [Residency::default(); 2];
/// pages_of(Process::this(), start..start + map.len(), &mut buckets)?;
/// if let [Residency::Known(first), Residency::Known(second)] = buckets {
///     assert_eq!((first.resident_pages, second.resident_pages), (1, 0));
/// }
/// # Ok::<(), bifolio_map::Error>(())
/// ```
///
/// # References
///
/// PAGEMAP_SCAN(2const), Linux 6.7; before that proc_pid_pagemap(5).
pub fn pages_of(
    process: impl Into<Process>,
    range: Range<usize>,
    buckets: &mut [Residency],
) -> Result<()> {
    assert!(range.start <= range.end, "a range that ends before it starts: {range:?}");
    let folder = Folder::open(process.into())?;
    let pagemap = match folder.file(c"pagemap") {
        Ok(pagemap) => pagemap,
        Err(Errno::ACCESS | Errno::PERM) => {
            buckets.fill(Residency::Unknown(Untold::NotPermitted));
            return Ok(());
        }
        // Before Linux 6.16 it opens, and is empty.
        Err(Errno::SRCH) => return Err(folder.without_memory()),
        Err(errno) => return Err(folder.refused(errno)),
    };
    let answer = Pagemap::new(pagemap).and_then(|pagemap| pagemap.count(range, buckets));
    answer.map_err(|errno| match errno {
        Errno::SRCH => folder.without_memory(),
        errno => folder.refused(errno),
    })
}

/// An open /proc/PID/pagemap of an address space that was there when it was opened.
pub(super) struct Pagemap {
    file: File,
    /// What `PAGEMAP_SCAN` can report; `None` where there is none.
    scans: Option<Categories>,
}

/// Adjacent pages in the same state.
pub(super) struct Run {
    pub(super) pages: Range<usize>,
    pub(super) is: Categories,
}

impl Pagemap {
    /// `SRCH` where there is no address space: old kernels let such a file be opened, and its first
    /// entry is the one question that all of them answer well.
    pub(super) fn new(file: File) -> Result<Pagemap, Errno> {
        if pagemap_read(&file, 0, &mut [PagemapEntry::default()])? == 0 {
            return Err(Errno::SRCH);
        }
        // Before Linux 6.15 there is no GUARD.
        let kinds = [STATES.or(Categories::GUARD), STATES];
        let scans = kinds.into_iter().find(|&report| {
            let nothing = PagemapScan { report, ..PagemapScan::default() };
            pagemap_scan(&file, &nothing, &mut []).is_ok()
        });
        Ok(Pagemap { file, scans })
    }

    /// Whether [`scan`](Self::scan) works.
    pub(super) fn can_scan(&self) -> bool {
        self.scans.is_some()
    }

    /// Whether a scan reports guard pages.
    pub(super) fn knows_guards(&self) -> bool {
        self.scans.is_some_and(|report| report.contains(Categories::GUARD))
    }

    fn count(&self, range: Range<usize>, buckets: &mut [Residency]) -> Result<(), Errno> {
        let page = page_size();
        let start = range.start & !(page.bytes() - 1);
        let end = range.end.checked_next_multiple_of(page.bytes()).ok_or(Errno::OVERFLOW)?;
        let mut counts = Counts::new(start..end, buckets, self.can_scan());
        if self.can_scan() {
            self.scan(start..end, |run| counts.add(&run))
        } else {
            self.read(start..end, |run| counts.add(&run))
        }
    }

    /// Gives every run of pages in `range` of which there is something to say, in order, by
    /// `PAGEMAP_SCAN`.
    pub(super) fn scan(&self, range: Range<usize>, mut each: impl FnMut(Run)) -> Result<(), Errno> {
        let report = self.scans.ok_or(Errno::NOTTY)?;
        let mut regions = [PageRegion::default(); 256];
        let mut at = range.start;
        while at < range.end {
            let query = PagemapScan {
                range: at..range.end,
                any_of: Categories::PRESENT | Categories::SWAPPED,
                report,
                ..PagemapScan::default()
            };
            let scanned = pagemap_scan(&self.file, &query, &mut regions)?;
            for region in scanned.regions {
                let pages = region.start as usize..region.end as usize;
                each(Run { pages, is: region.categories });
            }
            if scanned.walk_end <= at {
                return Err(Errno::IO);
            }
            at = scanned.walk_end;
        }
        Ok(())
    }

    /// The same by the entries of the file, which know less: nothing of huge pages and of zeros.
    fn read(&self, range: Range<usize>, mut each: impl FnMut(Run)) -> Result<(), Errno> {
        let page = page_size().bytes();
        let mut entries = [PagemapEntry::default(); 512];
        let mut at = range.start;
        while at < range.end {
            let want = entries.len().min((range.end - at) / page);
            let count = pagemap_read(&self.file, at, &mut entries[..want])?;
            if count == 0 {
                break;
            }
            for entry in &entries[..count] {
                let is = match entry {
                    entry if entry.is_present() => Categories::PRESENT,
                    entry if !entry.is_swapped() => Categories::default(),
                    entry if entry.is_guard() => Categories::SWAPPED | Categories::GUARD,
                    // Not said to be written: in swap, or never there.
                    entry if entry.is_write_protected() => {
                        Categories::SWAPPED | Categories::WPALLOWED
                    }
                    _ => Categories::SWAPPED | Categories::WRITTEN,
                };
                if is != Categories::default() {
                    each(Run { pages: at..at + page, is });
                }
                at += page;
            }
        }
        Ok(())
    }
}

/// What [`Pagemap::scan`] asks about, as far as every kernel that scans can tell.
const STATES: Categories = Categories::PRESENT
    .or(Categories::SWAPPED)
    .or(Categories::FILE)
    .or(Categories::PFNZERO)
    .or(Categories::HUGE)
    .or(Categories::WRITTEN)
    .or(Categories::WPALLOWED);

impl Run {
    /// Whether it is in swap; `None` where it may as well be pages that were never there, marked to
    /// be tracked when they come (userfaultfd(2)): the kernel calls both swapped.
    pub(super) fn is_swapped(&self) -> Option<bool> {
        if !self.is.contains(Categories::SWAPPED) || self.is.contains(Categories::GUARD) {
            return Some(false);
        }
        let is_marked =
            self.is.contains(Categories::WPALLOWED) && !self.is.contains(Categories::WRITTEN);
        if is_marked { None } else { Some(true) }
    }
}

/// Pages counted by bucket, in one pass from the front.
struct Counts<'a> {
    range: Range<usize>,
    buckets: &'a mut [Residency],
    /// The bucket that the next run may begin in.
    index: usize,
}

impl<'a> Counts<'a> {
    /// None of any, as long as nothing was added.
    fn new(range: Range<usize>, buckets: &'a mut [Residency], knows_huge: bool) -> Counts<'a> {
        let count = buckets.len();
        let counts = Counts { range, buckets, index: 0 };
        for index in 0..count {
            let total_pages = (counts.part(index).len() >> page_size().log2()) as u64;
            counts.buckets[index] = Residency::Known(Resident {
                huge_pages: knows_huge.then_some(0),
                swapped_pages: Some(0),
                ..Resident::count(0, total_pages)
            });
        }
        counts
    }

    fn part(&self, index: usize) -> Range<usize> {
        let range = self.range.start as u64..self.range.end as u64;
        let part = bucket(range, index, self.buckets.len());
        part.start as usize..part.end as usize
    }

    /// Counts a run that begins where the one before ended, or later.
    fn add(&mut self, run: &Run) {
        let mut start = run.pages.start.max(self.range.start);
        while start < run.pages.end && self.index < self.buckets.len() {
            let part = self.part(self.index);
            let end = run.pages.end.min(part.end);
            if start < end {
                let pages = ((end - start) >> page_size().log2()) as u64;
                if let Residency::Known(known) = &mut self.buckets[self.index] {
                    count(known, run, pages);
                }
                start = end;
            }
            if start >= part.end {
                self.index += 1;
            }
        }
    }
}

fn count(known: &mut Resident, run: &Run, pages: u64) {
    if run.is.contains(Categories::PRESENT) {
        known.resident_pages += pages;
        if run.is.contains(Categories::HUGE) {
            known.huge_pages = known.huge_pages.map(|count| count + pages);
        }
    }
    match run.is_swapped() {
        Some(false) => {}
        Some(true) => known.swapped_pages = known.swapped_pages.map(|count| count + pages),
        None => known.swapped_pages = None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::AnonMap;
    use crate::mapping::Mapping;
    use crate::pages::{Advice, Pages};

    #[test]
    fn both_ways_of_counting_agree() {
        let page = page_size().bytes();
        let mut map = AnonMap::new(2000 * page).unwrap();
        map.advise(0..map.len(), Advice::NoHugePage).unwrap();
        // Runs of different lengths, and more of them than one call returns.
        for at in (0..2000).filter(|at| at % 7 < 3 && at % 11 != 0) {
            map[at * page] = 1;
        }
        let folder = Folder::open(Process::this()).unwrap();
        let pagemap = Pagemap::new(folder.file(c"pagemap").unwrap()).unwrap();
        let start = map.as_ptr().addr();
        let range = start..start + map.len();
        let counted = |by_scan: bool| {
            let mut buckets = [Residency::default(); 13];
            let mut counts = Counts::new(range.clone(), &mut buckets, true);
            let each = |run: Run| counts.add(&run);
            if by_scan {
                pagemap.scan(range.clone(), each).unwrap();
            } else {
                pagemap.read(range.clone(), each).unwrap();
            }
            buckets
        };
        let read = counted(false);
        assert!(read.iter().all(|bucket| matches!(bucket, Residency::Known(known)
            if known.resident_pages > 0 && known.resident_pages < known.total_pages)));
        if pagemap.can_scan() {
            assert_eq!(counted(true), read);
        } else {
            std::println!("skipped: no PAGEMAP_SCAN");
        }
    }

    #[test]
    fn pages_that_are_marked_are_not_said_to_be_in_swap() {
        let run = |is| Run { pages: 0..1, is };
        let swapped = Categories::SWAPPED;
        assert_eq!(run(Categories::PRESENT).is_swapped(), Some(false));
        assert_eq!(
            run(swapped | Categories::GUARD | Categories::WRITTEN).is_swapped(),
            Some(false)
        );
        assert_eq!(run(swapped | Categories::WRITTEN).is_swapped(), Some(true));
        assert_eq!(run(swapped | Categories::WPALLOWED).is_swapped(), None);
        let both = swapped | Categories::WPALLOWED | Categories::WRITTEN;
        assert_eq!(run(both).is_swapped(), Some(true));
    }
}
