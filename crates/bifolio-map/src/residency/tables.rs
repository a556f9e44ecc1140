//! What the page tables of this process tell besides: which pages are huge, and which in swap.
//!
//! They know nothing of pages that are cached and not mapped here, nor of shared memory that is in
//! swap: its entry is as empty as that of a page that nobody touched.

use super::{Cut, Residency, Resident};
use bifolio_sys::Errno;
use bifolio_sys::fs::{self, CWD, Mode, OFlags, fd::OwnedFd};
use bifolio_sys::mm::{self, Categories, PageRegion, PagemapEntry, PagemapScan};
use bifolio_sys::page::page_size;
use core::ops::Range;

/// Opens this process's page tables, where they can be asked.
pub(crate) fn open() -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    fs::openat(CWD, c"/proc/self/pagemap", flags, Mode::empty()).ok()
}

/// Adds to the answers about mapped addresses how many pages are huge and, where the memory is
/// private, how many are in swap. What the page tables do not tell stays unknown.
pub(super) fn add(cut: &Cut, is_private: bool, answers: &mut [Residency]) -> Result<(), Errno> {
    let Some(tables) = open() else { return Ok(()) };
    let mut tally = Tally { cut, answers, at: 0 };
    match tally.scan(&tables, is_private) {
        // Before Linux 6.7.
        Err(Errno::NOTTY) if is_private => tally.read(&tables),
        Err(Errno::NOTTY) => Ok(()),
        answered => answered,
    }
}

/// Adds runs of pages to the buckets that they lie in.
struct Tally<'a> {
    cut: &'a Cut,
    answers: &'a mut [Residency],
    /// The buckets before this one are done with.
    at: usize,
}

impl Tally<'_> {
    fn scan(&mut self, tables: &OwnedFd, is_private: bool) -> Result<(), Errno> {
        let mut regions = [PageRegion::default(); 128];
        let all = self.cut.pages(0..self.answers.len())?;
        let (mut at, end) = (all.start as usize, all.end as usize);
        let mut report = REPORT.or(Categories::GUARD);
        while at < end {
            let scan = PagemapScan {
                range: at..end,
                any_of: Categories::HUGE | Categories::SWAPPED,
                report,
                ..PagemapScan::default()
            };
            let scanned = match mm::pagemap_scan(tables, &scan, &mut regions) {
                // Before Linux 6.15 there are no guard pages among them.
                Err(Errno::INVAL) if report != REPORT => {
                    report = REPORT;
                    continue;
                }
                scanned => scanned?,
            };
            if at == all.start as usize {
                self.begin(Some(0), is_private.then_some(0));
            }
            for region in scanned.regions {
                if let Some(count) = counter(region.categories) {
                    self.add(region.start..region.end, count)?;
                }
            }
            at = scanned.walk_end;
        }
        Ok(())
    }

    fn read(&mut self, tables: &OwnedFd) -> Result<(), Errno> {
        let page = page_size().bytes() as u64;
        let mut entries = [PagemapEntry::default(); 512];
        let mut all = self.cut.pages(0..self.answers.len())?;
        self.begin(None, Some(0));
        while !all.is_empty() {
            let wanted = entries.len().min(((all.end - all.start) / page) as usize);
            match mm::pagemap_read(tables, all.start as usize, &mut entries[..wanted])? {
                0 => return Err(Errno::IO),
                count => {
                    for entry in &entries[..count] {
                        if entry.is_swapped() {
                            self.add(all.start..all.start + page, add_swapped)?;
                        }
                        all.start += page;
                    }
                }
            }
        }
        Ok(())
    }

    /// Counts from zero what the page tables tell.
    fn begin(&mut self, huge_pages: Option<u64>, swapped_pages: Option<u64>) {
        for answer in self.answers.iter_mut() {
            if let Residency::Known(resident) = answer
                && resident.total_pages > 0
            {
                resident.huge_pages = huge_pages;
                resident.swapped_pages = swapped_pages.or(resident.swapped_pages);
            }
        }
    }

    /// Adds a run of pages, in bytes; later runs lie behind it.
    fn add(&mut self, run: Range<u64>, add: fn(&mut Resident, u64)) -> Result<(), Errno> {
        for (index, answer) in self.answers.iter_mut().enumerate().skip(self.at) {
            let bucket = self.cut.pages(index..index + 1)?;
            if bucket.is_empty() {
                continue;
            }
            if bucket.start >= run.end {
                break;
            }
            let (start, end) = (bucket.start.max(run.start), bucket.end.min(run.end));
            if start < end {
                if let Residency::Known(resident) = answer {
                    add(resident, (end - start) >> page_size().log2());
                }
            } else {
                self.at = index;
            }
        }
        Ok(())
    }
}

/// What is asked about each run of pages.
const REPORT: Categories =
    Categories::HUGE.or(Categories::SWAPPED).or(Categories::WPALLOWED).or(Categories::WRITTEN);

/// How a run of huge or swapped pages counts. The kernel calls swapped whatever has an entry and is
/// not there: guard pages too, and pages that were never there but are marked to be tracked when
/// they come (userfaultfd(2)).
fn counter(is: Categories) -> Option<fn(&mut Resident, u64)> {
    let may_be_marked = is.contains(Categories::WPALLOWED) && !is.contains(Categories::WRITTEN);
    match is {
        _ if is.contains(Categories::GUARD) => None,
        _ if is.contains(Categories::SWAPPED) && may_be_marked => Some(forget_swapped),
        _ if is.contains(Categories::SWAPPED) => Some(add_swapped),
        _ => Some(add_huge),
    }
}

/// Not more than are resident: some may have come in since those were counted.
fn add_huge(resident: &mut Resident, pages: u64) {
    let huge = resident.huge_pages.unwrap_or(0) + pages;
    resident.huge_pages = Some(huge.min(resident.resident_pages));
}

fn add_swapped(resident: &mut Resident, pages: u64) {
    resident.swapped_pages = resident.swapped_pages.map(|swapped| swapped + pages);
}

/// Some may be in swap: nobody knows.
fn forget_swapped(resident: &mut Resident, _: u64) {
    resident.swapped_pages = None;
}
