//! What can be asked of the pages of every mapping: advice, locks, and bringing them in.
//!
//! Nothing here changes a byte. Advice that does ([`Discard`]) belongs to the types that can permit
//! it.
//!
//! # Safety
//!
//! madvise(2) and its relatives take pointers; the pages they get are the mapping's own.
#![allow(unsafe_code, reason = "madvise, mlock and munlock take pointers")]

use crate::access::{Access, AccessMut};
use crate::body::Body;
use crate::error::{ErrorKind, Operation, Result};
#[cfg(feature = "std")]
use crate::evict::{self, Dirty, Evicted};
use crate::numa;
use crate::populate;
#[cfg(feature = "std")]
use crate::prefetch::{self, Prefetch};
use crate::residency::{self, Residency};
use bifolio_sys::fs::{self, Advice as FileAdvice};
use bifolio_sys::mm::{self, Advice as RawAdvice, Misplaced, Policy};
use core::num::NonZeroU64;
use core::ops::Range;

/// The order in which bytes will be read: what read-ahead goes by.
///
/// # References
///
/// madvise(2), posix_fadvise(2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Pattern {
    /// None in particular: as a fault asks for a page, some after it are read too.
    #[default]
    Normal,
    /// Here and there: nothing is read but the page that is asked for.
    Random,
    /// From the front to the back: much is read ahead, and what was used may go early.
    Sequential,
}

impl Pattern {
    const fn raw(self) -> RawAdvice {
        match self {
            Pattern::Normal => RawAdvice::Normal,
            Pattern::Random => RawAdvice::Random,
            Pattern::Sequential => RawAdvice::Sequential,
        }
    }
}

/// A hint about what becomes of pages. It changes speed, never bytes. In which order they will be
/// used is said by [`Pages::access`].
///
/// # References
///
/// madvise(2); the kernel version stands at each hint that is newer than Linux 2.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Advice {
    /// Needed soon: reading starts now and goes on in the background. Of a long range the kernel
    /// reads only the start, some hundred KiB or some MiB, and does not say so:
    /// [`Pages::prefetch`] reads all of it.
    WillNeed,
    /// Not inherited by children that are forked: they have no mapping there, so a child must
    /// neither use nor drop the value. Whoever forks, which is unsafe, answers for that.
    DontFork,
    /// Inherited by children again.
    DoFork,
    /// Equal pages of processes may be merged (KSM).
    Mergeable,
    /// Not merged any more.
    Unmergeable,
    /// Transparent huge pages where they fit.
    HugePage,
    /// No transparent huge pages.
    NoHugePage,
    /// Not in core dumps.
    DontDump,
    /// In core dumps again.
    DoDump,
    /// Content is kept over fork again (undoes [`Discard::WipeOnFork`]); Linux 4.14.
    KeepOnFork,
    /// Not needed soon: first to be reclaimed under pressure; Linux 5.4.
    Cold,
    /// Not needed: reclaimed now (written to swap or back to the file first); Linux 5.4.
    PageOut,
    /// Made of huge pages now, by copying; Linux 6.1.
    Collapse,
}

impl Advice {
    pub(crate) const fn raw(self) -> RawAdvice {
        match self {
            Advice::WillNeed => RawAdvice::WillNeed,
            Advice::DontFork => RawAdvice::DontFork,
            Advice::DoFork => RawAdvice::DoFork,
            Advice::Mergeable => RawAdvice::Mergeable,
            Advice::Unmergeable => RawAdvice::Unmergeable,
            Advice::HugePage => RawAdvice::HugePage,
            Advice::NoHugePage => RawAdvice::NoHugePage,
            Advice::DontDump => RawAdvice::DontDump,
            Advice::DoDump => RawAdvice::DoDump,
            Advice::KeepOnFork => RawAdvice::KeepOnFork,
            Advice::Cold => RawAdvice::Cold,
            Advice::PageOut => RawAdvice::PageOut,
            Advice::Collapse => RawAdvice::Collapse,
        }
    }
}

/// Advice that changes what the bytes are.
///
/// # References
///
/// madvise(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Discard {
    /// The pages are dropped now: anonymous memory reads as zeros then, a private file mapping as
    /// the file.
    DontNeed,
    /// The pages may be dropped at any time until they are written next; Linux 4.5.
    Free,
    /// The pages and what backs them are dropped: a hole in the file; Linux 2.6.16.
    Remove,
    /// Children that are forked see zeros; Linux 4.14.
    WipeOnFork,
}

impl Discard {
    pub(crate) const fn raw(self) -> RawAdvice {
        match self {
            Discard::DontNeed => RawAdvice::DontNeed,
            Discard::Free => RawAdvice::Free,
            Discard::Remove => RawAdvice::Remove,
            Discard::WipeOnFork => RawAdvice::WipeOnFork,
        }
    }
}

pub(crate) mod sealed {
    use crate::body::Body;

    /// Gives [`Pages`](super::Pages) its pages, and keeps others from implementing it.
    pub trait HasBody {
        #[doc(hidden)]
        #[allow(private_interfaces, reason = "sealed: nobody outside can name or call it")]
        fn body(&self) -> &Body;
    }
}

/// What can be asked of the pages of every mapping.
///
/// Ranges are in bytes from the start of the mapping; the pages that hold them are what is meant.
pub trait Pages: Access + sealed::HasBody {
    /// Tells in which order the bytes of `range` will be read, until the next time it is told.
    ///
    /// Ranges of one mapping may have different patterns; each costs the process one more area, of
    /// which it may have some ten thousand (`vm.max_map_count`). What brings pages in by itself,
    /// as [`populate`](Self::populate), is not slowed down by a pattern. Of a file that is not
    /// mapped it holds for all of the open file, whatever the range.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](crate::ErrorKind::OutOfBounds), and what madvise(2) or posix_fadvise(2)
    /// report: `ENOMEM` where there would be too many areas.
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::{Access, FileMap, Pages, Pattern};
    ///
    /// let map = FileMap::open("Cargo.toml")?;
    /// map.access(0..map.len() / 2, Pattern::Sequential)?;
    /// map.access(map.len() / 2..map.len(), Pattern::Random)?;
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    ///
    /// # References
    ///
    /// madvise(2), `MADV_NORMAL`, `MADV_RANDOM`, `MADV_SEQUENTIAL`.
    fn access(&self, range: Range<usize>, pattern: Pattern) -> Result<()> {
        advise(self.body(), &range, pattern.raw())
    }

    /// Tells the kernel what is to become of the pages of `range`.
    ///
    /// For a file that is not mapped it is told by posix_fadvise(2), and what has no meaning there
    /// is passed over.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](crate::ErrorKind::OutOfBounds), and what madvise(2) reports: `EINVAL` where
    /// the kernel does not know the advice.
    ///
    /// # References
    ///
    /// madvise(2).
    fn advise(&self, range: Range<usize>, advice: Advice) -> Result<()> {
        advise(self.body(), &range, advice.raw())
    }

    /// Keeps the pages of `range` in memory until [`unlock`](Self::unlock); they are brought in
    /// first.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](crate::ErrorKind::OutOfBounds), and what mlock(2) reports: `ENOMEM` beyond
    /// `RLIMIT_MEMLOCK`; [`Unsupported`](crate::ErrorKind::Unsupported) for a file that is not
    /// mapped.
    ///
    /// # References
    ///
    /// mlock(2).
    fn lock(&self, range: Range<usize>) -> Result<()> {
        lock(self.body(), &range)
    }

    /// Lets the pages of `range` be reclaimed again.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # References
    ///
    /// munlock(2).
    fn unlock(&self, range: Range<usize>) -> Result<()> {
        let Some((start, len)) = lockable(self.body(), &range)? else { return Ok(()) };
        // SAFETY: the pages are the mapping's own; unlocking changes no byte.
        unsafe { mm::munlock(start.cast(), len) }
            .map_err(|errno| self.body().refused(Operation::Lock, &range, errno))
    }

    /// Binds the pages of `range` to memory nodes.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](crate::ErrorKind::OutOfBounds),
    /// [`Unsupported`](crate::ErrorKind::Unsupported) on a kernel without NUMA, and what mbind(2)
    /// reports: `EINVAL` for a node that is not there, `EIO` for a page that cannot move.
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::{AnonMap, ErrorKind, Misplaced, NumaPolicy, Pages};
    ///
    /// let map = AnonMap::new(1 << 20)?;
    /// match map.bind(0..1 << 20, NumaPolicy::Local, Misplaced::Stay) {
    ///     Err(error) if error.kind() == ErrorKind::Unsupported => eprintln!("{error}"),
    ///     bound => bound?,
    /// }
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    ///
    /// # References
    ///
    /// mbind(2).
    fn bind(&self, range: Range<usize>, policy: Policy, misplaced: Misplaced) -> Result<()> {
        numa::bind(self.body(), &range, &policy, misplaced)
    }

    /// Brings the pages of `range` in, so that reading them neither waits nor faults: each is in
    /// memory and mapped when this returns, though nothing keeps it there (see
    /// [`lock`](Self::lock)). Pages that must come from a disk are read by the kernel's read-ahead
    /// or by several threads, whichever proves to be faster while it goes on.
    ///
    /// A file that is not mapped is read once, so that the kernel keeps it in memory.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](crate::ErrorKind::OutOfBounds); for the first page that cannot be had, an
    /// error with the range of that page and the kind that reading it has:
    /// [`Truncated`](crate::ErrorKind::Truncated), [`Media`](crate::ErrorKind::Media) and so on.
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::{Access, FileMap, Pages};
    ///
    /// let map = FileMap::open("Cargo.toml")?;
    /// map.populate(0..map.len())?;
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    ///
    /// # References
    ///
    /// madvise(2), `MADV_POPULATE_READ`: Linux 5.14; without it each page is touched.
    fn populate(&self, range: Range<usize>) -> Result<()> {
        populate::populate(self.body(), &range)
    }

    /// Brings the pages of `range` in so that writing them does not fault: pages of a file are
    /// dirty then, and private ones copied. No byte changes.
    ///
    /// # Errors
    ///
    /// As [`populate`](Self::populate), with [`NoSpace`](crate::ErrorKind::NoSpace) where a file
    /// has no room for a page; [`Unsupported`](crate::ErrorKind::Unsupported) before Linux 5.14.
    ///
    /// # References
    ///
    /// madvise(2), `MADV_POPULATE_WRITE`: Linux 5.14.
    fn populate_write(&self, range: Range<usize>) -> Result<()>
    where
        Self: AccessMut,
    {
        populate::populate_write(self.body(), &range)
    }

    /// Counts the pages of `range` that are in memory.
    ///
    /// For a file, or memory that is shared, these are the pages of its cache, whoever brought them
    /// in; for private anonymous memory those that it has. What the kernel will not tell is
    /// [`Unknown`](Residency::Unknown), never guessed. The answer may be outdated when it arrives.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](crate::ErrorKind::OutOfBounds), and what cachestat(2) and mincore(2) report.
    ///
    /// # References
    ///
    /// cachestat(2): Linux 6.5; mincore(2).
    fn residency(&self, range: Range<usize>) -> Result<Residency> {
        residency::residency(self.body(), &range)
    }

    /// As [`residency`](Self::residency), for each of the equal parts of `range` that
    /// [`bucket`](crate::memory::bucket) describes, as many as `buckets` has: what a bar or a
    /// picture needs.
    ///
    /// # Errors
    ///
    /// As [`residency`](Self::residency).
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::{Access, FileMap, Pages, Residency};
    ///
    /// let map = FileMap::open("Cargo.toml")?;
    /// let mut bar = [Residency::default(); 60];
    /// map.residency_by(0..map.len(), &mut bar)?;
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    fn residency_by(&self, range: Range<usize>, buckets: &mut [Residency]) -> Result<()> {
        residency::residency_by(self.body(), &range, buckets)
    }

    /// Starts to bring in the pages of `ranges`, in their order, and returns at once: threads of
    /// its own read the file, so that the kernel caches it, whatever [pattern](Self::access) was
    /// told. Nothing is mapped by that: see [`populate`](Self::populate). One range alone is
    /// `Some(range)`.
    ///
    /// It borrows nothing, and keeps the file open until it is done or dropped. Holes of a file are
    /// passed over. Memory without a file comes in from swap, which is neither awaited nor counted.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](crate::ErrorKind::OutOfBounds), and what stands in the way of a thread or a
    /// second descriptor. What cannot be read, [`Prefetch::wait`] tells.
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::{Access, FileMap, Pages};
    ///
    /// let map = FileMap::open("Cargo.toml")?;
    /// let prefetch = map.prefetch([0..100, 200..map.len()])?;
    /// // ... something else ...
    /// println!("{:?}", prefetch.progress());
    /// prefetch.wait()?;
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    ///
    /// # References
    ///
    /// pread(2); madvise(2), `MADV_WILLNEED`, for memory without a file.
    #[cfg(feature = "std")]
    fn prefetch(&self, ranges: impl IntoIterator<Item = Range<usize>>) -> Result<Prefetch>
    where
        Self: Sized,
    {
        prefetch::prefetch(self.body(), ranges)
    }

    /// Takes the pages that hold `range` out of memory, looks whether they are gone, and says of
    /// those that are not why they stayed.
    ///
    /// No byte is lost: what is newer than the disk stays or, if asked for, is written back first;
    /// what has no place but memory goes to swap or stays. Pages of a file leave the page cache for
    /// all who use it.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](crate::ErrorKind::OutOfBounds), and what posix_fadvise(2) and, where pages
    /// are to be written back, sync_file_range(2) report.
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::{Access, Dirty, FileMap, Pages, Stayed};
    ///
    /// let map = FileMap::open("Cargo.toml")?;
    /// let evicted = map.evict(0..map.len(), Dirty::Leave)?;
    /// for reason in &evicted.stayed {
    ///     if let Stayed::Mapped(holder) | Stayed::Locked(holder) = reason {
    ///         println!("{} ({}) has it mapped", holder.process, holder.name);
    ///     }
    /// }
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    ///
    /// # References
    ///
    /// posix_fadvise(2), `POSIX_FADV_DONTNEED`; madvise(2), `MADV_PAGEOUT`: Linux 5.4.
    #[cfg(feature = "std")]
    fn evict(&self, range: Range<usize>, dirty: Dirty) -> Result<Evicted> {
        evict::evict(self.body(), &range, dirty)
    }
}

impl<T: Access + sealed::HasBody> Pages for T {}

/// mlock(2) on the pages that hold `range`.
pub(crate) fn lock(body: &Body, range: &Range<usize>) -> Result<()> {
    let Some((start, len)) = lockable(body, range)? else { return Ok(()) };
    // SAFETY: the pages are the mapping's own; locking changes no byte.
    unsafe { mm::mlock(start.cast(), len) }
        .map_err(|errno| body.refused(Operation::Lock, range, errno))
}

/// madvise(2) on the pages that hold `range`.
pub(crate) fn advise(body: &Body, range: &Range<usize>, advice: RawAdvice) -> Result<()> {
    let (start, len) = body.pages(Operation::Advise, range)?;
    if len == 0 {
        return if range.is_empty() { Ok(()) } else { advise_on_file(body, range, advice) };
    }
    // SAFETY: the pages are the mapping's own, and whoever calls with advice that changes bytes has
    // the right to (`Discard` is taken by the types that can permit it).
    let advised = unsafe { mm::madvise(start.cast(), len, advice) };
    if matches!(advice, RawAdvice::DontNeed | RawAdvice::Remove) {
        // A part may be dropped where it failed.
        body.changed(range);
    }
    advised.map_err(|errno| body.refused(Operation::Advise, range, errno))
}

/// posix_fadvise(2) on a file that is not mapped.
fn advise_on_file(body: &Body, range: &Range<usize>, advice: RawAdvice) -> Result<()> {
    let Some(file) = body.origin.mirror() else { return Ok(()) };
    let advice = match advice {
        RawAdvice::Normal => FileAdvice::Normal,
        RawAdvice::Random => FileAdvice::Random,
        RawAdvice::Sequential => FileAdvice::Sequential,
        RawAdvice::WillNeed => FileAdvice::WillNeed,
        RawAdvice::PageOut => FileAdvice::DontNeed,
        _ => return Ok(()),
    };
    let start = body.origin.file_offset.saturating_add(range.start as u64);
    fs::fadvise(file, start, NonZeroU64::new(range.len() as u64), advice)
        .map_err(|errno| body.refused(Operation::Advise, range, errno))
}

/// The pages of `range` that a lock can hold; `None` where there are none.
fn lockable(body: &Body, range: &Range<usize>) -> Result<Option<(*mut u8, usize)>> {
    let pages = body.pages(Operation::Lock, range)?;
    match pages {
        (_, 0) if range.is_empty() => Ok(None),
        (_, 0) => {
            let (start, len) = (range.start, range.len());
            Err(body.origin.error(Operation::Lock, ErrorKind::Unsupported, start, len))
        }
        pages => Ok(Some(pages)),
    }
}
