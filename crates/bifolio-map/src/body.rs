//! What every mapping is made of: pages that it owns, the bytes in them that it shows, and where
//! they come from.
//!
//! # Invariants
//!
//! 0. `delta + len <= span.len()` while there is a span.
//! 1. The dispatcher was installed before a span was mapped, so its views may be guarded.
//! 2. Without a span nothing is mapped: `len` is zero, or the bytes are those of the origin's file
//!    and read by system calls.
//!
//! It does not decide who may write: that is each type's own promise.
//!
//! # Safety
//!
//! Unsafe code lends views of the span, whose lifetime the borrow of the body bounds.
#![allow(unsafe_code, reason = "lends pointers into the pages it owns")]

use crate::access::{Via, View, ViewMut};
use crate::dirty::Tracker;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::origin::Origin;
use crate::span::{Placement, Request, Span};
use bifolio_sys::Errno;
use bifolio_sys::fault;
use bifolio_sys::fs::fd::BorrowedFd;
use bifolio_sys::mm::MapFlags;
use bifolio_sys::page::{PageSize, default_huge_page_size, page_size};
use core::ops::Range;
use core::ptr::{NonNull, null_mut};

/// A mapping without its promise.
#[derive(Debug)]
pub(crate) struct Body {
    /// Which pages were written, where that is tracked; it lets go of them before they are
    /// unmapped.
    pub(crate) tracker: Option<Tracker>,
    span: Option<Span>,
    /// Where the first byte lies in the span: not zero where a file offset is no multiple of the
    /// page size.
    delta: usize,
    len: usize,
    /// The size of the pages: huge ones are mapped and unmapped as a whole.
    page: PageSize,
    pub(crate) origin: Origin,
}

impl Body {
    /// Maps `request.len` bytes of the origin's file from its offset, or of no file.
    ///
    /// The offset given to the kernel is rounded down to a page, and the length grows by what that
    /// adds, so an address that was asked for is that of the page that holds the first byte. With a
    /// length of zero nothing is mapped.
    pub(crate) fn map(request: Request, origin: Origin) -> Result<Body> {
        let page = page_of(request.flags).map_err(|errno| {
            let error = Error::from_errno(Operation::Map, &origin.object, errno);
            error.with_kind(ErrorKind::Unsupported)
        })?;
        Body::map_pages(request, origin, page).map_err(|(_, error)| error)
    }

    /// As [`map`](Self::map), of a file that is lent for the call: the origin does not keep it, and
    /// nobody asks it anything later.
    pub(crate) fn map_lent(request: Request, file: BorrowedFd<'_>, origin: Origin) -> Result<Body> {
        let page = page_size();
        let (span, delta) = map_span(request, &origin, Some(file), page)?;
        Ok(Body { tracker: None, span, delta, len: request.len, page, origin })
    }

    /// As [`map`](Self::map), of pages of this size, and what fails gives the origin back.
    pub(crate) fn map_pages(
        request: Request,
        origin: Origin,
        page: PageSize,
    ) -> Result<Body, (Origin, Error)> {
        match map_span(request, &origin, origin.fd(), page) {
            Ok((span, delta)) => {
                Ok(Body { tracker: None, span, delta, len: request.len, page, origin })
            }
            Err(error) => Err((origin, error)),
        }
    }

    /// Makes a body of `len` bytes of the origin's file that are not mapped but read by system
    /// calls.
    pub(crate) fn unmapped(len: usize, origin: Origin) -> Body {
        assert!(len == 0 || origin.mirror().is_some(), "there is a file to read");
        Body { tracker: None, span: None, delta: 0, len, page: page_size(), origin }
    }

    /// Makes a body of pages that are mapped already: the `len` bytes of them from `delta` on.
    ///
    /// # Panics
    ///
    /// Where the span has fewer.
    pub(crate) fn from_parts(
        span: Option<Span>,
        delta: usize,
        len: usize,
        page: PageSize,
        origin: Origin,
    ) -> Body {
        let available = span.as_ref().map_or(0, Span::len);
        assert!(delta <= available && len <= available - delta, "{delta} + {len} of {available}");
        Body { tracker: None, span, delta, len, page, origin }
    }

    /// The same, with its dirty pages told by `tracker`.
    pub(crate) fn with_tracker(self, tracker: Option<Tracker>) -> Body {
        Body { tracker, ..self }
    }

    /// The length in bytes.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Shows more or fewer of the span's bytes.
    ///
    /// # Panics
    ///
    /// Where the span has fewer.
    pub(crate) fn set_len(&mut self, len: usize) {
        let available = self.span.as_ref().map_or(0, |span| span.len() - self.delta);
        assert!(len <= available, "{len} of {available} bytes");
        self.len = len;
    }

    /// The address of the first byte; dangling where there is none.
    #[inline]
    pub(crate) fn ptr(&self) -> NonNull<u8> {
        match &self.span {
            // SAFETY: `delta` lies inside the span (invariant 0).
            Some(span) => unsafe { span.base().add(self.delta) },
            None => NonNull::dangling(),
        }
    }

    pub(crate) fn span(&self) -> Option<&Span> {
        self.span.as_ref()
    }

    pub(crate) fn span_mut(&mut self) -> Option<&mut Span> {
        self.span.as_mut()
    }

    /// How many bytes of the span lie before the first byte.
    pub(crate) fn delta(&self) -> usize {
        self.delta
    }

    /// The size of its pages.
    pub(crate) fn page(&self) -> PageSize {
        self.page
    }

    /// Takes it apart: the pages, and where they come from.
    pub(crate) fn into_parts(self) -> (Option<Span>, Origin) {
        (self.span, self.origin)
    }

    /// How its bytes are reached.
    #[inline]
    fn via(&self) -> Via {
        if self.span.is_some() || self.len == 0 { Via::Guarded } else { Via::File }
    }

    /// The window onto its bytes.
    #[inline]
    pub(crate) fn view(&self) -> View<'_> {
        // SAFETY: a span stays mapped while `self` is borrowed, and the dispatcher stands; without
        // one there is a file, or no byte (invariants 0 to 2).
        unsafe { View::new(self.ptr().as_ptr(), self.len, self.via(), &self.origin) }
    }

    /// The window that can be written.
    ///
    /// # Safety
    ///
    /// The pages were mapped to be written, and no reference to the bytes is alive while the window
    /// is.
    #[inline]
    pub(crate) unsafe fn view_mut(&self) -> ViewMut<'_> {
        // SAFETY: as in `view`, and the caller's promise.
        unsafe { ViewMut::new(self.ptr().as_ptr(), self.len, self.via(), &self.origin) }
    }

    /// Checks that `range` lies inside the bytes, and returns the pages that hold it as an address
    /// and a length for a system call: no pages where the range is empty or nothing is mapped.
    pub(crate) fn pages(
        &self,
        operation: Operation,
        range: &Range<usize>,
    ) -> Result<(*mut u8, usize)> {
        if range.start > range.end || range.end > self.len {
            let kind = ErrorKind::OutOfBounds { len_bytes: self.len as u64 };
            let len = range.end.saturating_sub(range.start);
            return Err(self.origin.error(operation, kind, range.start, len));
        }
        let Some(span) = self.span.as_ref().filter(|_| !range.is_empty()) else {
            return Ok((null_mut(), 0));
        };
        let start = self.page.round_down(self.delta + range.start);
        let end = self.page.round_up(self.delta + range.end).unwrap_or(span.len());
        Ok((span.base().as_ptr().wrapping_add(start), end.min(span.len()) - start))
    }

    /// As [`pages`](Self::pages), for what must not touch a byte outside `range`: it begins and
    /// ends at page boundaries, or ends where the bytes do.
    pub(crate) fn whole_pages(
        &self,
        operation: Operation,
        range: &Range<usize>,
    ) -> Result<(*mut u8, usize)> {
        let pages = self.pages(operation, range)?;
        let is_boundary = |offset| self.page.is_aligned(self.delta + offset);
        if !is_boundary(range.start) || !(is_boundary(range.end) || range.end == self.len) {
            let kind = ErrorKind::Misaligned { align_bytes: self.page.bytes() };
            return Err(self.origin.error(operation, kind, range.start, range.len()));
        }
        Ok(pages)
    }

    /// The error of a system call on `range`.
    #[cold]
    pub(crate) fn refused(
        &self,
        operation: Operation,
        range: &Range<usize>,
        errno: Errno,
    ) -> Error {
        let len = range.end.saturating_sub(range.start);
        self.origin
            .error(operation, ErrorKind::from_errno(errno), range.start, len)
            .with_errno(errno)
    }

    /// Unmaps it and says whether that worked.
    pub(crate) fn unmap(self) -> Result<(), (Body, Error)> {
        let Body { tracker, span, delta, len, page, origin } = self;
        let Some(span) = span else { return Ok(()) };
        // From the moment that they are unmapped, the addresses may be another's.
        let was_writable = tracker.as_ref().is_some_and(|tracker| tracker.set_writable(false));
        span.unmap().map_err(|(span, errno)| {
            tracker.iter().for_each(|tracker| _ = tracker.set_writable(was_writable));
            let body = Body { tracker, span: Some(span), delta, len, page, origin };
            let error = body.refused(Operation::Unmap, &(0..len), errno);
            (body, error)
        })
    }

    /// Cuts it in two at byte `at`: 0, the length, or the start of a page where pages are mapped.
    ///
    /// The file gets a second descriptor, so each half stands by itself.
    pub(crate) fn split(self, at: usize) -> Result<(Body, Body), (Body, Error)> {
        let kind = if at > self.len {
            Some(ErrorKind::OutOfBounds { len_bytes: self.len as u64 })
        } else if self.span.is_some()
            && ![0, self.len].contains(&at)
            && !self.page.is_aligned(self.delta + at)
        {
            Some(ErrorKind::Misaligned { align_bytes: self.page.bytes() })
        } else {
            None
        };
        if let Some(kind) = kind {
            let error = self.origin.error(Operation::Split, kind, at, 0);
            return Err((self, error));
        }
        let origin = match self.origin.duplicate(at) {
            Ok(origin) => origin,
            Err(errno) => {
                let error = self.refused(Operation::Split, &(at..at), errno);
                return Err((self, error));
            }
        };
        let cut = match at {
            0 => self.addresses(&(0..self.len)).start,
            at => self.addresses(&(0..at)).end,
        };
        let trackers = self.tracker.as_ref().map(|tracker| tracker.split(cut)).transpose();
        let (front_tracker, tracker) = match trackers {
            Ok(trackers) => trackers.unzip(),
            Err(errno) => {
                let error = self.refused(Operation::Split, &(at..at), errno);
                return Err((self, error));
            }
        };
        let Body { tracker: whole, span, delta, len, page, origin: front_origin } = self;
        drop(whole);
        let (front, back, back_delta) = match span {
            Some(span) if at == 0 => (None, Some(span), delta),
            Some(span) if at < len => {
                let (front, back) = span.split(delta + at);
                (Some(front), Some(back), 0)
            }
            span => (span, None, 0),
        };
        let front_delta = if front.is_some() { delta } else { 0 };
        let front = Body {
            tracker: front_tracker,
            span: front,
            delta: front_delta,
            len: at,
            page,
            origin: front_origin,
        };
        Ok((front, Body { tracker, span: back, delta: back_delta, len: len - at, page, origin }))
    }
}

/// The size of the pages that flags of mmap(2) ask for.
fn page_of(flags: MapFlags) -> Result<PageSize, Errno> {
    const MAP_HUGE_SHIFT: u32 = 26;
    if !flags.contains(MapFlags::HUGETLB) {
        return Ok(page_size());
    }
    match flags.bits() >> MAP_HUGE_SHIFT {
        0 => default_huge_page_size(),
        log2 => PageSize::new(1 << log2).ok_or(Errno::INVAL),
    }
}

/// Maps whole pages around the request's bytes, and tells where in them the first byte lies.
fn map_span(
    mut request: Request,
    origin: &Origin,
    file: Option<BorrowedFd<'_>>,
    page: PageSize,
) -> Result<(Option<Span>, usize)> {
    if request.len == 0 {
        return Ok((None, 0));
    }
    let end = origin.file_offset.saturating_add(request.len as u64);
    let range = origin.file_offset..end;
    let fail = |kind| Error::new(Operation::Map, &origin.object, kind).with_range(range.clone());
    if let Placement::Exactly(addr) = request.placement
        && !page.is_aligned(addr)
    {
        return Err(fail(ErrorKind::Misaligned { align_bytes: page.bytes() }));
    }
    fault::install().map_err(|errno| Error::from_errno(Operation::Map, &origin.object, errno))?;
    let delta = (origin.file_offset % page.bytes() as u64) as usize;
    request.len = (request.len.checked_add(delta))
        .and_then(|len| page.round_up(len))
        .ok_or_else(|| fail(ErrorKind::TooLarge))?;
    let file = file.map(|fd| (fd, origin.file_offset - delta as u64));
    match Span::map(&request, file, &origin.object) {
        Ok(span) => Ok((Some(span), delta)),
        Err(error) if error.errno() == Some(Errno::NOMEM) && request.len >= ADDRESSES => {
            Err(error.with_kind(ErrorKind::TooLarge).with_range(range))
        }
        Err(error) => Err(error.with_range(range)),
    }
}

/// More bytes than a process has addresses for, unless it asks for more than the usual 2^47: a
/// refusal of so many is for want of addresses, not of memory.
pub(crate) const ADDRESSES: usize = 1 << 47;
