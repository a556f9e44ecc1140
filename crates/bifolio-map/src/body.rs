//! What every mapping is made of: pages that it owns, the bytes in them that it shows, and where
//! they come from.
//!
//! # Invariants
//!
//! 0. `delta + len <= span.len()` while there is a span; without one `len` is zero.
//! 1. The dispatcher was installed before the body was made, so its views may be guarded.
//!
//! It does not decide who may write: that is each type's own promise.
//!
//! # Safety
//!
//! Unsafe code lends views of the span, whose lifetime the borrow of the body bounds.
#![allow(unsafe_code, reason = "lends pointers into the pages it owns")]

use crate::access::{Via, View, ViewMut};
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::origin::Origin;
use crate::span::{Request, Span};
use bifolio_sys::Errno;
use bifolio_sys::fault;
use bifolio_sys::page::page_size;
use core::ops::Range;
use core::ptr::{NonNull, null_mut};

/// A mapping without its promise.
#[derive(Debug)]
pub(crate) struct Body {
    span: Option<Span>,
    /// Where the first byte lies in the span: not zero where a file offset is no multiple of the
    /// page size.
    delta: usize,
    len: usize,
    pub(crate) origin: Origin,
}

impl Body {
    /// Maps `request.len` bytes of the origin's file from its offset, or of no file.
    ///
    /// The offset given to the kernel is rounded down to a page, and the length grows by what that
    /// adds. With a length of zero nothing is mapped.
    pub(crate) fn map(mut request: Request, origin: Origin) -> Result<Body> {
        let len = request.len;
        fault::install()
            .map_err(|errno| Error::from_errno(Operation::Map, &origin.object, errno))?;
        if len == 0 {
            return Ok(Body { span: None, delta: 0, len, origin });
        }
        let page = page_size().bytes() as u64;
        let delta = (origin.file_offset % page) as usize;
        let end = origin.file_offset.saturating_add(len as u64);
        let range = origin.file_offset..end;
        let too_large = || {
            Error::new(Operation::Map, &origin.object, ErrorKind::TooLarge)
                .with_range(range.clone())
        };
        request.len = len.checked_add(delta).ok_or_else(too_large)?;
        let file = origin.fd().map(|fd| (fd, origin.file_offset - delta as u64));
        let span =
            Span::map(&request, file, &origin.object).map_err(|error| error.with_range(range))?;
        Ok(Body { span: Some(span), delta, len, origin })
    }

    /// Makes a body of pages that are mapped already and wholly shown.
    pub(crate) fn from_span(span: Span, origin: Origin) -> Body {
        let len = span.len();
        Body { span: Some(span), delta: 0, len, origin }
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

    /// Takes it apart: the pages, and where they come from.
    pub(crate) fn into_parts(self) -> (Option<Span>, Origin) {
        (self.span, self.origin)
    }

    /// The guarded window onto its bytes.
    #[inline]
    pub(crate) fn view(&self) -> View<'_> {
        // SAFETY: the span stays mapped while `self` is borrowed, and the dispatcher stands
        // (invariants 0 and 1).
        unsafe { View::new(self.ptr().as_ptr(), self.len, Via::Guarded, &self.origin) }
    }

    /// The guarded window that can be written.
    ///
    /// # Safety
    ///
    /// The pages were mapped to be written, and no reference to the bytes is alive while the window
    /// is.
    #[inline]
    pub(crate) unsafe fn view_mut(&self) -> ViewMut<'_> {
        // SAFETY: as in `view`, and the caller's promise.
        unsafe { ViewMut::new(self.ptr().as_ptr(), self.len, Via::Guarded, &self.origin) }
    }

    /// Checks that `range` lies inside the bytes, and returns the pages that hold it as an address
    /// and a length for a system call.
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
        let Some(span) = &self.span else { return Ok((null_mut(), 0)) };
        let start = page_size().round_down(self.delta + range.start);
        let end = page_size().round_up(self.delta + range.end).unwrap_or(span.len());
        Ok((span.base().as_ptr().wrapping_add(start), end.min(span.len()) - start))
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
        let Body { span, delta, len, origin } = self;
        let Some(span) = span else { return Ok(()) };
        span.unmap().map_err(|(span, errno)| {
            let body = Body { span: Some(span), delta, len, origin };
            let error = body.refused(Operation::Unmap, &(0..len), errno);
            (body, error)
        })
    }
}
