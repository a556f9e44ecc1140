//! Which pages are in memory: as far as the kernel tells, and `Unknown` where it does not.
//!
//! Here is what is told, and how a range is cut into buckets. [`cache`] asks about a file,
//! [`in_core`] about what is mapped here.

mod cache;
mod in_core;
pub(crate) mod tables;

use crate::body::Body;
use crate::error::{Operation, Result};
use crate::object::Object;
use crate::origin::file_len;
use bifolio_sys::Errno;
use bifolio_sys::fs::fd::BorrowedFd;
use bifolio_sys::page::page_size;
use core::ops::Range;

#[cfg(feature = "std")]
pub(crate) use in_core::map_untouched;

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
    /// Pages in swap, which may be in memory too: of private memory where the page tables were
    /// asked, and of files in memory (tmpfs, memfd) where the page cache was.
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
    /// Pages of those whose eviction is so recent that reading them back would show that memory is
    /// short.
    pub recently_evicted_pages: u64,
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

/// How a range is cut into buckets, and where it begins in what is asked about: a file, or the
/// addresses of this process.
#[derive(Clone)]
struct Cut {
    range: Range<u64>,
    count: usize,
    base: u64,
}

impl Cut {
    /// The pages that hold these buckets, in bytes from where the base counts from; none where they
    /// are empty.
    fn pages(&self, buckets: Range<usize>) -> Result<Range<u64>, Errno> {
        let start = border(&self.range, buckets.start, self.count);
        let end = border(&self.range, buckets.end, self.count);
        if start == end {
            return Ok(0..0);
        }
        let at = |offset: u64| self.base.checked_add(offset).ok_or(Errno::OVERFLOW);
        let pages = page_size().outward(at(start)?..at(end)?).ok_or(Errno::OVERFLOW)?;
        Ok(pages.bytes())
    }

    /// How many pages hold this bucket.
    fn total_pages(&self, index: usize) -> Result<u64, Errno> {
        let pages = self.pages(index..index + 1)?;
        Ok((pages.end - pages.start) >> page_size().log2())
    }
}

/// Counts the pages of `range` that are in memory.
pub(crate) fn residency(body: &Body, range: &Range<usize>) -> Result<Residency> {
    let mut answer = [Residency::default()];
    residency_by(body, range, &mut answer)?;
    let [answer] = answer;
    Ok(answer)
}

/// Counts each of `buckets`, which are parts of `range` as [`bucket`] cuts them.
pub(crate) fn residency_by(
    body: &Body,
    range: &Range<usize>,
    buckets: &mut [Residency],
) -> Result<()> {
    body.pages(Operation::Inspect, range)?;
    let range_u64 = range.start as u64..range.end as u64;
    let cut_from = |base| Cut { range: range_u64.clone(), count: buckets.len(), base };
    let in_file = cut_from(body.origin.file_offset);
    let mapped = cut_from(body.ptr().addr().get() as u64);
    // Pages that are shared leave no trace in the page tables when they are swapped out.
    let is_private = !body.origin.is_file_s && body.origin.object != Object::SharedMemory;
    let answered = match (body.origin.mirror(), body.span()) {
        _ if range.is_empty() => {
            buckets.fill(Residency::Known(Resident::count(0, 0)));
            Ok(())
        }
        (Some(file), None) => by_file(&in_file, file, None, buckets),
        (Some(file), Some(_)) => by_file(&in_file, file, Some(&mapped), buckets),
        // In a private mapping copied pages are its own, and the others those of the file.
        (None, Some(_)) => in_core::count(&mapped, body.origin.fd(), buckets),
        (None, None) => Err(Errno::OPNOTSUPP),
    };
    let is_mapped = body.span().is_some() && !range.is_empty();
    told(answered, buckets)
        .and_then(|()| if is_mapped { tables::add(&mapped, is_private, buckets) } else { Ok(()) })
        .map_err(|errno| body.refused(Operation::Inspect, range, errno))
}

/// Counts the pages of a file that are in the page cache, for each of `buckets`.
pub(crate) fn of_file(
    file: BorrowedFd<'_>,
    range: Range<u64>,
    buckets: &mut [Residency],
) -> Result<(), Errno> {
    let cut = Cut { range, count: buckets.len(), base: 0 };
    let answered = match file_len(file)? {
        None => Err(Errno::OPNOTSUPP),
        Some(_) => by_file(&cut, file, None, buckets),
    };
    told(answered, buckets)
}

/// As [`of_file`], for a regular file on a disk of this machine: nothing need be asked about the
/// file but what is cached of it.
#[cfg(feature = "std")]
pub(crate) fn of_disk_file(
    file: BorrowedFd<'_>,
    range: Range<u64>,
    buckets: &mut [Residency],
) -> Result<(), Errno> {
    let cut = Cut { range, count: buckets.len(), base: 0 };
    match cache::count_on_disk(&cut, file, buckets) {
        Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => of_file(file, cut.range, buckets),
        answered => answered,
    }
}

/// By cachestat(2), and where it is missing, forbidden, or knows nothing, by mincore(2): of what is
/// mapped already or, if nothing is, of a map for this purpose.
fn by_file(
    cut: &Cut,
    file: BorrowedFd<'_>,
    mapped: Option<&Cut>,
    buckets: &mut [Residency],
) -> Result<(), Errno> {
    match cache::count(cut, file, buckets) {
        Err(Errno::NOSYS | Errno::OPNOTSUPP | Errno::PERM) => {}
        answered => return answered,
    }
    let answered = match mapped {
        Some(mapped) => in_core::count(mapped, Some(file), buckets),
        None => in_core::count_file(cut, file, buckets),
    };
    match answered {
        Err(Errno::OPNOTSUPP) => cache::count_of_pool(cut, file, buckets),
        answered => answered,
    }
}

/// Makes answers of the refusals that mean "I do not tell".
fn told(answered: Result<(), Errno>, buckets: &mut [Residency]) -> Result<(), Errno> {
    let why = match answered {
        Err(Errno::PERM) => Untold::NotOwner,
        Err(Errno::OPNOTSUPP) => Untold::NotOffered,
        answered => return answered,
    };
    buckets.fill(Residency::Unknown(why));
    Ok(())
}

/// The bytes of bucket `index` where `range` is cut into `count` buckets of whole pages: as equal
/// as can be, and empty where there are fewer pages.
///
/// They are cut at multiples of the page size. So buckets of a mapping that begins within a page
/// of its file share the pages at their borders.
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
    border(&range, index, count)..border(&range, index + 1, count)
}

/// Where bucket `index` begins, and the one before ends.
fn border(range: &Range<u64>, index: usize, count: usize) -> u64 {
    let page = page_size();
    let first_page = range.start & !(page.bytes() as u64 - 1);
    let (pages, index, count) =
        ((range.end - first_page).div_ceil(page.bytes() as u64), index as u64, count as u64);
    let page_index = match pages.checked_mul(index) {
        Some(product) => product / count,
        // Not more than `pages`, which is a u64.
        None => (u128::from(pages) * u128::from(index) / u128::from(count)) as u64,
    };
    let at = page_index.checked_mul(page.bytes() as u64).and_then(|at| at.checked_add(first_page));
    at.unwrap_or(u64::MAX).clamp(range.start, range.end)
}
