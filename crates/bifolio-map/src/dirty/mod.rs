//! Which pages of a mapping were written since they were last asked for.
//!
//! # How
//!
//! The kernel write-protects the pages and lifts that, page by page, when they are written: nobody
//! is woken, no signal comes, and a system call that writes there counts as well
//! ([`Tracking::PageTables`], `page_tables.rs`). One call tells which pages were written and
//! protects them again. Where that is not to be had, pages are closed by mprotect(2) and a resolver
//! opens them at their first write ([`Tracking::WriteProtection`], `shadow.rs`).
//!
//! # Where it lives
//!
//! In the body, beside the pages, and not in a value that borrows the mapping: bytes of an
//! `AnonMap` are written through `&mut`, which such a loan would forbid. So it follows the pages
//! wherever they go: it is swapped, split, joined and unmapped with them, sleeps while they are
//! read-only, and a change of length, which may move them, counts as writing all.
//!
//! # Invariants
//!
//! 0. A page that was written since it was last taken is found by the next look, or by one that
//!    runs at the same time. For both ways the moment at which a page is taken is one at which it
//!    becomes closed, so a write comes before it, and is in the bytes that are read afterwards, or
//!    comes after it and makes the page dirty again.
//! 1. Whoever takes a page and cannot finish with it marks it dirty again. That marking cannot fail
//!    (`tracker.rs`).
//! 2. Pages that are shown later than tracking began, or are dropped, count as written.
//!
//! It sees what this process writes, through this mapping: other processes have page tables of
//! their own.

mod copy;
mod page_tables;
mod ranges;
mod shadow;
mod tracker;

pub use ranges::DirtyRanges;
pub(crate) use tracker::Tracker;

use crate::access::{Access, ViewMut};
use crate::body::Body;
use crate::error::{Error, ErrorKind, Operation, Result};
use bifolio_sys::Errno;
use core::ops::Range;

/// How the writes to a mapping are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Tracking {
    /// By the kernel, in the page tables: a first write to a page costs about what any fault costs,
    /// and writes by system calls are seen. For pages of the ordinary size, Linux 6.7.
    PageTables,
    /// By write protection: the first write to a page costs a signal, and while a page is clean, a
    /// *system call* that writes there fails with `EFAULT`: read(2) into it, a window made by
    /// [`by_syscall`](crate::View::by_syscall); and
    /// [`populate_write`](crate::Pages::populate_write) is an error. It needs what guarded access
    /// needs: the dispatcher in reach, and SIGSEGV not blocked. For every kernel and every size of
    /// pages.
    WriteProtection,
}

pub(crate) mod sealed {
    use crate::body::Body;
    use crate::pages::sealed::HasBody;

    /// Gives [`Track`](super::Track) the body to put a tracker into, and keeps others from
    /// implementing it.
    pub trait HasBodyMut: HasBody {
        #[doc(hidden)]
        #[allow(private_interfaces, reason = "sealed: nobody outside can name or call it")]
        fn body_mut(&mut self) -> &mut Body;
    }
}

/// Mappings whose dirty pages can be told: [`AnonMap`](crate::AnonMap),
/// [`SharedMap`](crate::SharedMap), `PrivateMap` and [`HugeMap`](crate::HugeMap).
///
/// Ranges are in bytes from the start of the mapping. Pages are dirty as wholes, so a range begins
/// at 0 or at a page and ends at a page or at the end; what is told is cut off at the end.
///
/// **Only what this process writes through this mapping is seen.** Another process that maps the
/// same file, a write(2) to the file, a second mapping of it here: none of them makes a page of
/// this one dirty. Nor does what a device, or io_uring with registered buffers, writes into pages
/// that were pinned for it before they were taken: finish such transfers first, or mark their
/// targets ([`mark_dirty`](Track::mark_dirty)).
///
/// A forked child is not tracked by its parent, nor its parent by it. In the child the methods say
/// [`NotTracked`](ErrorKind::NotTracked), or, with [`Tracking::WriteProtection`], go on for the
/// child alone.
///
/// Also dirty is what was dropped (`discard`) or resized, and what came in by growth.
///
/// # Examples
///
/// ```
/// use bifolio_map::{Access, AccessMut, SharedMap, Track};
///
/// # let page = bifolio_map::page::page_size().bytes();
/// let (mut map, replica) = (SharedMap::anon(1 << 20)?, SharedMap::anon(1 << 20)?);
/// map.track()?;
/// map.write_all_at(b"folio", 3 * page)?;
/// let dirty: Vec<_> = map.dirty(0..1 << 20).collect::<Result<_, _>>()?;
/// assert_eq!(dirty, [3 * page..4 * page]);
/// assert_eq!(map.copy_dirty_to(0..1 << 20, &replica.view_mut())?, page);
/// assert_eq!(replica.compare(&map)?, None);
/// assert_eq!(map.dirty(0..1 << 20).count(), 0);
/// # Ok::<(), bifolio_map::Error>(())
/// ```
///
/// # References
///
/// [PAGEMAP_SCAN](https://docs.kernel.org/admin-guide/mm/pagemap.html), userfaultfd(2)
/// `UFFD_FEATURE_WP_ASYNC`: Linux 6.7; mprotect(2).
pub trait Track: Access + sealed::HasBodyMut {
    /// Begins to track writes, in the better of the ways that can be had here, and says which.
    /// Nothing is dirty then; on a mapping that is tracked already it changes nothing.
    ///
    /// By the page tables, those of the whole range are made (8 bytes a page), huge pages that are
    /// written are split into ordinary ones, and pages of a file come in one by one.
    ///
    /// # Errors
    ///
    /// What the way that is left reports: [`NoMemory`](ErrorKind::NoMemory).
    fn track(&mut self) -> Result<Tracking> {
        if let Some(tracking) = self.tracking() {
            return Ok(tracking);
        }
        match self.track_by(Tracking::PageTables) {
            Ok(()) => Ok(Tracking::PageTables),
            Err(_) => self.track_by(Tracking::WriteProtection).map(|()| Tracking::WriteProtection),
        }
    }

    /// Begins to track writes in this way and no other.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](ErrorKind::Unsupported) and [`NotPermitted`](ErrorKind::NotPermitted) where
    /// the way cannot be had, [`Invalid`](ErrorKind::Invalid) for a mapping that is tracked in
    /// another, [`NoMemory`](ErrorKind::NoMemory).
    fn track_by(&mut self, tracking: Tracking) -> Result<()> {
        let shown = self.len();
        match self.tracking() {
            Some(known) if known == tracking => return Ok(()),
            Some(_) => {
                let body = self.body();
                return Err(body.origin.error(Operation::Track, ErrorKind::Invalid, 0, shown));
            }
            None => {}
        }
        self.body_mut().start_tracking(shown, tracking)
    }

    /// How writes are tracked, if they are.
    fn tracking(&self) -> Option<Tracking> {
        self.body().tracker.as_ref().map(Tracker::tracking)
    }

    /// Ends it; what is dirty is forgotten.
    ///
    /// # Errors
    ///
    /// What mprotect(2) reports where pages cannot be opened again; they stay tracked then.
    fn untrack(&mut self) -> Result<()> {
        self.body_mut().stop_tracking()
    }

    /// The dirty ranges, by ascending offset; they stay dirty.
    ///
    /// It looks as it goes: a page that is written meanwhile may be in or not. Ranges that touch
    /// may come in parts. An error is the last item: [`NotTracked`](ErrorKind::NotTracked),
    /// [`OutOfBounds`](ErrorKind::OutOfBounds), [`Misaligned`](ErrorKind::Misaligned), and what the
    /// kernel reports.
    fn dirty(&self, range: Range<usize>) -> DirtyRanges<'_> {
        DirtyRanges::new(self.body(), self.len(), range, false)
    }

    /// The dirty ranges, as [`dirty`](Self::dirty), which are clean from the moment that they are
    /// found: what is written from then on is dirty again.
    ///
    /// So read the bytes *after* a range was told. A write is told by this call or by the next
    /// (where several threads take at once, by the next of any), never by none. Dropping the
    /// iterator early leaves dirty what it has not told; forgetting it ([`core::mem::forget`])
    /// loses up to a hundred ranges that it took ahead.
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::{AnonMap, Track};
    ///
    /// let mut map = AnonMap::new(1 << 20)?;
    /// map.track()?;
    /// map[0] = 1;
    /// for range in map.take_dirty(0..1 << 20) {
    ///     let range = range?;
    ///     println!("{range:?} changed: {:?}", &map[range.start..][..4]);
    /// }
    /// assert_eq!(map.take_dirty(0..1 << 20).count(), 0);
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    fn take_dirty(&self, range: Range<usize>) -> DirtyRanges<'_> {
        DirtyRanges::new(self.body(), self.len(), range, true)
    }

    /// Makes the pages of `range` dirty, as if they were written: for what was taken and could not
    /// be dealt with, or was written in a way that is not seen.
    ///
    /// # Errors
    ///
    /// [`NotTracked`](ErrorKind::NotTracked), [`OutOfBounds`](ErrorKind::OutOfBounds).
    fn mark_dirty(&self, range: Range<usize>) -> Result<()> {
        let (body, shown) = (self.body(), self.len());
        let Some(tracker) = &body.tracker else { return Err(body.not_tracked(&range)) };
        if range.start > range.end || range.end > shown {
            let kind = ErrorKind::OutOfBounds { len_bytes: shown as u64 };
            let len = range.end.saturating_sub(range.start);
            return Err(body.origin.error(Operation::Track, kind, range.start, len));
        }
        tracker.mark(body.addresses(&range));
        Ok(())
    }

    /// Takes the dirty ranges one by one and hands each to `put`; returns how many bytes they had.
    ///
    /// Where `put` fails or panics, the range that it was given is dirty again, and those that it
    /// was not given still are: nothing is lost.
    ///
    /// # Errors
    ///
    /// What `put` returns, and as [`take_dirty`](Self::take_dirty).
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::{AnonMap, Error, Track};
    ///
    /// let mut map = AnonMap::new(1 << 20)?;
    /// map.track()?;
    /// map[7] = 1;
    /// let failed = map.each_dirty(0..1 << 20, |_| Err(std::io::Error::other("link down")));
    /// assert!(failed.is_err());
    /// let bytes = map.each_dirty(0..1 << 20, |range| {
    ///     println!("send {} bytes", map[range].len());
    ///     Ok::<(), Error>(())
    /// })?;
    /// assert_eq!(bytes, bifolio_map::page::page_size().bytes());
    /// # Ok::<(), Error>(())
    /// ```
    fn each_dirty<E: From<Error>>(
        &self,
        range: Range<usize>,
        put: impl FnMut(Range<usize>) -> Result<(), E>,
    ) -> Result<usize, E>
    where
        Self: Sized,
    {
        copy::each(self.take_dirty(range), put)
    }

    /// Copies what is dirty in `range` to the same offsets of `target`, and returns how many bytes
    /// that were: what keeps a replica equal, once it was.
    ///
    /// Start tracking *before* the first full copy. Bytes that are written during the copy may be
    /// in or not, and are dirty again.
    ///
    /// # Errors
    ///
    /// As [`take_dirty`](Self::take_dirty); what reading here and writing there reports, as
    /// [`OutOfBounds`](ErrorKind::OutOfBounds) for a target that is shorter. What was not copied is
    /// still dirty then, or again.
    fn copy_dirty_to(&self, range: Range<usize>, target: &ViewMut<'_>) -> Result<usize> {
        let view = self.view();
        copy::each(self.take_dirty(range), |range| {
            let part = target.slice_mut(range.clone())?;
            view.slice(range)?.copy_to_view(&part).map(drop)
        })
    }

    /// As [`copy_dirty_to`](Self::copy_dirty_to), to a file, or whatever else can be written at an
    /// offset.
    ///
    /// It does not flush `target`.
    ///
    /// # Errors
    ///
    /// As [`copy_dirty_to`](Self::copy_dirty_to), and what `target` reports.
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::{AnonMap, Track};
    /// use std::io::Cursor;
    ///
    /// let mut map = AnonMap::new(1 << 20)?;
    /// let mut checkpoint = vec![0; 1 << 20];
    /// map.track()?;
    /// map[5000] = 1;
    /// map.write_dirty_to(0..1 << 20, &mut Cursor::new(&mut checkpoint))?;
    /// assert_eq!(checkpoint, map[..]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    #[cfg(feature = "std")]
    fn write_dirty_to<W: std::io::Write + std::io::Seek>(
        &self,
        range: Range<usize>,
        target: &mut W,
    ) -> std::io::Result<usize>
    where
        Self: Sized,
    {
        let view = self.view();
        copy::each(self.take_dirty(range), |range| {
            target.seek(std::io::SeekFrom::Start(range.start as u64))?;
            view.copy_to(range, target)
        })
    }
}

impl<T: Access + sealed::HasBodyMut> Track for T {}

/// Lets the writes to a type with a field `body` be tracked. The type has its pages mapped to be
/// written.
macro_rules! tracked {
    ($kind:ident) => {
        impl $crate::dirty::sealed::HasBodyMut for $kind {
            #[allow(private_interfaces, reason = "sealed")]
            fn body_mut(&mut self) -> &mut $crate::body::Body {
                &mut self.body
            }
        }
    };
}

pub(crate) use tracked;

impl Body {
    /// The addresses of the pages that hold `range`, which lies inside the bytes.
    pub(crate) fn addresses(&self, range: &Range<usize>) -> Range<usize> {
        match self.pages(Operation::Track, range) {
            Ok((start, len)) => start.addr()..start.addr() + len,
            Err(_) => 0..0,
        }
    }

    fn start_tracking(&mut self, shown: usize, tracking: Tracking) -> Result<()> {
        let tracker = Tracker::start(self.addresses(&(0..self.len())), self, shown, tracking);
        let tracker = tracker.map_err(|errno| {
            let error = self.refused(Operation::Track, &(0..self.len()), errno);
            // What the kernel answers to a feature, or to memory, that it does not have.
            if errno == Errno::INVAL { error.with_kind(ErrorKind::Unsupported) } else { error }
        })?;
        self.tracker = Some(tracker);
        Ok(())
    }

    fn stop_tracking(&mut self) -> Result<()> {
        let Some(tracker) = &self.tracker else { return Ok(()) };
        tracker
            .stop(self.addresses(&(0..self.len())))
            .map_err(|errno| self.refused(Operation::Track, &(0..self.len()), errno))?;
        self.tracker = None;
        Ok(())
    }

    /// Ends tracking before the pages may move, and tells how they were tracked.
    pub(crate) fn suspend_tracking(&mut self) -> Result<Option<Tracking>> {
        let tracking = self.tracker.as_ref().map(Tracker::tracking);
        self.stop_tracking()?;
        Ok(tracking)
    }

    /// Begins it again, with everything dirty.
    pub(crate) fn resume_tracking(&mut self, tracking: Option<Tracking>) -> Result<()> {
        let Some(tracking) = tracking else { return Ok(()) };
        self.start_tracking(self.len(), tracking)?;
        self.changed(&(0..self.len()));
        Ok(())
    }

    /// Makes the pages of `range` dirty, where they are tracked: their bytes were changed in a way
    /// that no page table shows.
    pub(crate) fn changed(&self, range: &Range<usize>) {
        if let Some(tracker) = &self.tracker {
            tracker.mark(self.addresses(range));
        }
    }

    #[cold]
    fn not_tracked(&self, range: &Range<usize>) -> Error {
        let len = range.end.saturating_sub(range.start);
        self.origin.error(Operation::Track, ErrorKind::NotTracked, range.start, len)
    }
}
