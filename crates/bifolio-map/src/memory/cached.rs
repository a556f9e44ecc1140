//! The page cache of an open file that need not be mapped.

use crate::error::{Error, Operation, Result};
use crate::object::Object;
use crate::residency::{self, Residency};
use bifolio_sys::fs::fd::AsFd;
use core::ops::Range;

/// Counts the pages of an open file that are in the page cache, for each of the equal parts of
/// `range` that [`bucket`](crate::memory::bucket) describes, as many as `buckets` has.
///
/// The file is neither read nor mapped where cachestat(2) answers. Where it does not, the file is
/// mapped for a moment, if it is open for reading, and mincore(2) is asked; that may count as an
/// access for the file's times. On overlayfs it is always so: there cachestat(2) looks into a cache
/// that is not used. Behind the file's end at most
/// the rest of a large folio is in memory. What the kernel will not tell
/// is [`Unknown`](Residency::Unknown), never guessed; what is no file of pages, such as a pipe, is
/// [`NotOffered`](crate::Untold::NotOffered). The answer may be outdated when it arrives.
///
/// # Errors
///
/// What fstat(2), cachestat(2), mmap(2) and mincore(2) report.
///
/// # Panics
///
/// Where `range` ends before it starts.
///
/// # Examples
///
/// ```
/// use bifolio_map::{Residency, memory};
///
/// let file = std::fs::File::open("Cargo.toml")?;
/// let len = file.metadata()?.len();
/// let mut bar = [Residency::default(); 60];
/// memory::cached(&file, 0..len, &mut bar)?;
/// for (index, part) in bar.iter().enumerate() {
///     if let Residency::Known(pages) = part {
///         let bytes = memory::bucket(0..len, index, bar.len());
///         println!("{bytes:?}: {} of {} pages", pages.resident_pages, pages.total_pages);
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # References
///
/// cachestat(2): Linux 6.5; mincore(2).
pub fn cached(file: impl AsFd, range: Range<u64>, buckets: &mut [Residency]) -> Result<()> {
    assert!(range.start <= range.end, "{range:?} ends before it starts");
    residency::of_file(file.as_fd(), range.clone(), buckets).map_err(|errno| {
        Error::from_errno(Operation::Inspect, &Object::OpenFile, errno).with_range(range)
    })
}
