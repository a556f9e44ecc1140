//! Which pages are in memory: as far as the kernel tells, and `Unknown` where it does not.
//!
//! cachestat(2) counts the pages of a file's cache. Where it is missing, mincore(2) is asked, but
//! only where its answer is true: of somebody else's file it says that every page is there.

use crate::body::Body;
use crate::error::{Operation, Result};
use bifolio_sys::Errno;
use bifolio_sys::fs::fd::BorrowedFd;
use bifolio_sys::fs::{self, Access, AtFlags, CWD, DescriptorPath};
use bifolio_sys::mm;
use bifolio_sys::page::page_size;
use bifolio_sys::process;
use core::num::NonZeroU64;
use core::ops::Range;

/// How much of a range is in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Residency {
    /// So much of it.
    Known(Resident),
    /// The kernel does not tell.
    Unknown(Untold),
}

/// The pages of a range that are in memory, counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Resident {
    /// All pages of the range.
    pub total_pages: u64,
    /// Those in memory.
    pub resident_pages: u64,
    /// Resident pages that are mapped here by an entry for a huge page, where the page tables were
    /// asked.
    pub huge_pages: Option<u64>,
    /// Pages in swap, where the page tables were asked.
    pub swapped_pages: Option<u64>,
    /// What the page cache knows besides, for files on Linux 6.5 and later.
    pub cache: Option<CacheState>,
}

/// The state of a file's pages in the page cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CacheState {
    /// Resident pages that are newer than the disk.
    pub dirty_pages: u64,
    /// Resident pages that are being written back.
    pub writeback_pages: u64,
    /// Pages that were in memory once and are not now.
    pub evicted_pages: u64,
}

/// Why the kernel does not tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Untold {
    /// It tells only the owner of the file and those who may write it.
    NotOwner,
    /// Neither cachestat(2) nor mincore(2) can be asked about this kind of file.
    NotOffered,
    /// It tells nothing of this process to the caller.
    NotPermitted,
    /// Nobody asked yet.
    NotAsked,
}

impl Default for Residency {
    fn default() -> Self {
        Residency::Unknown(Untold::NotAsked)
    }
}

impl Resident {
    /// So many pages of so many, and nothing known besides.
    pub(crate) fn count(resident_pages: u64, total_pages: u64) -> Resident {
        Resident { total_pages, resident_pages, huge_pages: None, swapped_pages: None, cache: None }
    }

    /// The resident bytes: whole pages.
    #[must_use]
    pub fn resident_bytes(&self) -> u64 {
        self.resident_pages.saturating_mul(page_size().bytes() as u64)
    }

    /// The resident part of the range, 0 to 1; an empty range is all there.
    #[must_use]
    pub fn fraction(&self) -> f64 {
        if self.total_pages == 0 {
            1.0
        } else {
            self.resident_pages as f64 / self.total_pages as f64
        }
    }
}

/// Counts the pages of `range` that are in memory.
pub(crate) fn residency(body: &Body, range: &Range<usize>) -> Result<Residency> {
    let (start, len) = body.pages(Operation::Inspect, range)?;
    if range.is_empty() {
        return Ok(Residency::Known(Resident::count(0, 0)));
    }
    let answer = match (body.origin.mirror(), body.origin.fd()) {
        (Some(file), _) => match in_cache(file, body.origin.file_offset, range) {
            Err(Errno::NOSYS | Errno::OPNOTSUPP) => in_core(start.addr(), len, Some(file)),
            answer => answer,
        },
        // In a private mapping copied pages are its own, and the others those of the file.
        (None, file) => in_core(start.addr(), len, file),
    };
    match answer {
        Ok(resident) => Ok(Residency::Known(resident)),
        Err(Errno::PERM) => Ok(Residency::Unknown(Untold::NotOwner)),
        Err(Errno::OPNOTSUPP) => Ok(Residency::Unknown(Untold::NotOffered)),
        Err(errno) => Err(body.refused(Operation::Inspect, range, errno)),
    }
}

/// Counts each of `buckets`, which are parts of `range` as [`bucket`] cuts them.
pub(crate) fn residency_by(
    body: &Body,
    range: &Range<usize>,
    buckets: &mut [Residency],
) -> Result<()> {
    body.pages(Operation::Inspect, range)?;
    let count = buckets.len();
    for (index, answer) in buckets.iter_mut().enumerate() {
        let part = bucket(range.start as u64..range.end as u64, index, count);
        *answer = residency(body, &(part.start as usize..part.end as usize))?;
    }
    Ok(())
}

/// The bytes of bucket `index` where `range` is cut into `count` buckets of whole pages, counted
/// from the start of the range: as equal as can be, and empty where there are fewer pages.
///
/// # Panics
///
/// Where `index` is not less than `count`, or the range ends before it starts.
///
/// # Examples
///
/// ```
/// use bifolio_map::memory::bucket;
/// use bifolio_map::page::page_size;
///
/// let page = page_size().bytes() as u64;
/// assert_eq!(bucket(0..10 * page, 0, 2), 0..5 * page);
/// assert_eq!(bucket(0..10 * page, 1, 2), 5 * page..10 * page);
/// ```
#[must_use]
pub fn bucket(range: Range<u64>, index: usize, count: usize) -> Range<u64> {
    assert!(index < count && range.start <= range.end, "bucket {index} of {count} of {range:?}");
    let page = page_size().bytes() as u64;
    let pages = u128::from((range.end - range.start).div_ceil(page));
    let at = |index: usize| {
        // Not more than `pages`, which is a u64.
        let first = (index as u128 * pages / count as u128) as u64;
        range.start.saturating_add(first.saturating_mul(page)).min(range.end)
    };
    at(index)..at(index + 1)
}

/// Asks the page cache of a file; `PERM` where the caller may not know.
fn in_cache(
    file: BorrowedFd<'_>,
    file_offset: u64,
    range: &Range<usize>,
) -> Result<Resident, Errno> {
    let at = |offset: usize| file_offset.saturating_add(offset as u64);
    let pages = page_size().outward(at(range.start)..at(range.end)).ok_or(Errno::OVERFLOW)?;
    let bytes = pages.bytes();
    let stat = fs::cachestat(file, bytes.start, NonZeroU64::new(bytes.end - bytes.start))?;
    let cache = CacheState {
        dirty_pages: stat.dirty,
        writeback_pages: stat.writeback,
        evicted_pages: stat.evicted,
    };
    let total_pages = (bytes.end - bytes.start) / page_size().bytes() as u64;
    Ok(Resident { cache: Some(cache), ..Resident::count(stat.cached, total_pages) })
}

/// Asks about mapped pages, of this file if of any; `PERM` where the answer could be a lie, and
/// `OPNOTSUPP` where nothing is mapped.
fn in_core(addr: usize, len: usize, file: Option<BorrowedFd<'_>>) -> Result<Resident, Errno> {
    if len == 0 {
        return Err(Errno::OPNOTSUPP);
    }
    if file.is_some_and(|file| !hears_the_truth(file)) {
        return Err(Errno::PERM);
    }
    let page = page_size();
    let total = len / page.bytes();
    let mut resident_pages = 0;
    let mut answers = [0; 4096];
    for first in (0..total).step_by(answers.len()) {
        let answers = &mut answers[..(total - first).min(4096)];
        mm::mincore(addr + first * page.bytes(), answers)?;
        resident_pages += answers.iter().map(|answer| u64::from(answer & 1)).sum::<u64>();
    }
    Ok(Resident::count(resident_pages, total as u64))
}

/// Whether mincore(2) tells the truth about a file: to its owner and to who may write it (Linux
/// 5.2). In doubt it does not.
fn hears_the_truth(file: BorrowedFd<'_>) -> bool {
    let is_owner = || fs::fstat(file).is_ok_and(|stat| stat.st_uid == process::geteuid().as_raw());
    let path = DescriptorPath::of(file);
    let may_write =
        || fs::accessat(CWD, path.as_c_str(), Access::WRITE_OK, AtFlags::EACCESS).is_ok();
    is_owner() || may_write()
}
