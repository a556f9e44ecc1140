//! Pages of the hugetlb pool: all at once for a slice, or one by one behind guarded access.
//!
//! A reservation of the pool is no promise that a page can be had: it counts the pool of the whole
//! machine, while the fault that takes a page also obeys the memory policy and the cpuset of the
//! thread and the limit of the control group, and answers with SIGBUS. So a slice is made only of
//! pages that are there: once in, such a page is never taken away. The reservation is still needed:
//! when the process forks, its owner keeps the page where a copy cannot be had, and the child loses
//! it. A [`HugeMap`], which has none, can therefore not become a slice.
//!
//! # Safety
//!
//! The pages are fresh when they are brought in, and a [`HugeMap`] never lends a reference to them.
#![allow(unsafe_code, reason = "lends writable windows of pages that no reference points to")]

use crate::access::{AccessMut, ViewMut};
use crate::body::Body;
use crate::cut::halves;
use crate::dirty::tracked;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::kind::kind;
use crate::object::Object;
use crate::options::{HugePages, Options, Wish};
use crate::pages::{self, Discard};
use bifolio_sys::Errno;
use bifolio_sys::mm::Advice as RawAdvice;
use bifolio_sys::page::{HugePagePool, PageSize, default_huge_page_size, huge_page_sizes};
use core::ops::Range;

/// Private memory of huge pages that are taken from the pool when they are first used, and nobody
/// promised: guarded access only.
///
/// An access that the pool has no page for is an error
/// ([`NoMemory`](crate::ErrorKind::NoMemory)). `Send` and `Sync`. Where the pages are there before
/// they are used, an [`AnonMap`](crate::AnonMap) of [`HugePages::Pool`] is a slice.
///
/// # References
///
/// mmap(2), `MAP_HUGETLB | MAP_NORESERVE`.
pub struct HugeMap {
    body: Body,
}

// References: none are made.
kind!(HugeMap, Private, ReadWrite);
tracked!(HugeMap);
halves!(HugeMap);

impl Options {
    /// Maps `len` bytes of huge pages without reserving them; of the default size unless
    /// [`huge_pages`](Self::huge_pages) names one.
    ///
    /// # Errors
    ///
    /// What mmap(2) reports; [`Unsupported`](ErrorKind::Unsupported) for a size that the kernel has
    /// no pages of; [`Invalid`](ErrorKind::Invalid) for what it cannot have, as guard pages.
    pub fn huge(&self, len: usize) -> Result<HugeMap> {
        self.only(&[Wish::Residency, Wish::PoolPages], &Object::AnonymousMemory)?;
        let huge = match self.huge {
            HugePages::Pool(size) => HugePages::Pool(size),
            _ => HugePages::Pool(None),
        };
        let body = Options { no_reserve: true, huge, ..*self }.map_pool(len)?;
        Ok(HugeMap { body })
    }

    /// Maps pages of the pool for a slice: all of them are brought in.
    pub(crate) fn map_from_pool(&self, len: usize) -> Result<Body> {
        if self.no_reserve {
            return Err(Error::new(Operation::Map, &Object::AnonymousMemory, ErrorKind::Invalid));
        }
        self.only(&[Wish::Residency, Wish::PoolPages], &Object::AnonymousMemory)?;
        let body = self.map_pool(len)?;
        bring_in(&body)?;
        Ok(body)
    }

    fn map_pool(&self, len: usize) -> Result<Body> {
        let object = Object::AnonymousMemory;
        let unsupported = |errno| {
            Error::from_errno(Operation::Map, &object, errno).with_kind(ErrorKind::Unsupported)
        };
        let page = match self.huge {
            HugePages::Pool(Some(page)) => page,
            _ => default_huge_page_size().map_err(unsupported)?,
        };
        let options = Options { huge: HugePages::Pool(Some(page)), ..*self };
        options.map_anonymous(len).map_err(|error| match error.errno() {
            Some(Errno::NOMEM) if !has_pages(page, len) => error.with_kind(ErrorKind::NoSpace),
            Some(Errno::INVAL | Errno::NODEV) if !exists(page) => {
                error.with_kind(ErrorKind::Unsupported)
            }
            _ => error,
        })
    }
}

/// Whether the pool could have given pages for `len` bytes.
fn has_pages(page: PageSize, len: usize) -> bool {
    let Ok(pool) = HugePagePool::of(page) else { return true };
    let unpromised = pool.free.get().saturating_sub(pool.reserved.get());
    page.count(len).get() <= unpromised.saturating_add(pool.overcommit.get())
}

/// Whether the kernel has pages of this size.
fn exists(page: PageSize) -> bool {
    huge_page_sizes().is_ok_and(|mut sizes| sizes.any(|size| size == page))
}

/// Takes all pages of a fresh body from the pool, or finds out that they cannot be had.
fn bring_in(body: &Body) -> Result<()> {
    let all = 0..body.len();
    let full = |start, len, errno| {
        let error = body.origin.error(Operation::Map, ErrorKind::NoSpace, start, len);
        Err(match errno {
            Some(errno) => error.with_errno(errno),
            None => error,
        })
    };
    let populated = pages::advise(body, &all, RawAdvice::PopulateWrite);
    match populated.map_err(|error| error.errno()) {
        Ok(()) => return Ok(()),
        // Before Linux 5.14.
        Err(Some(Errno::INVAL)) => {}
        Err(errno) => return full(0, all.end, errno),
    }
    // SAFETY: the pages are fresh and writable, and nobody has a reference to them.
    let view = unsafe { body.view_mut() };
    let step = body.page().bytes();
    for start in all.step_by(step) {
        // What it holds is written back to it, so that it becomes this mapping's own.
        let touched = view.load::<u8>(start).and_then(|byte| view.store(&byte, start));
        if let Err(error) = touched {
            return full(start, step, error.errno());
        }
    }
    Ok(())
}

impl HugeMap {
    /// Maps `len` bytes of huge pages of the default size, without reserving them.
    ///
    /// # Errors
    ///
    /// As [`Options::huge`].
    pub fn new(len: usize) -> Result<HugeMap> {
        Options::new().huge(len)
    }

    /// The size of its pages in bytes.
    pub fn page_bytes(&self) -> usize {
        self.body.page().bytes()
    }

    /// Gives up what the pages of `range` hold; its ends are multiples of the size of the pages.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](ErrorKind::OutOfBounds), [`Misaligned`](ErrorKind::Misaligned), and what
    /// madvise(2) reports.
    pub fn discard(&self, range: Range<usize>, how: Discard) -> Result<()> {
        self.body.whole_pages(Operation::Advise, &range)?;
        pages::advise(&self.body, &range, how.raw())
    }
}

impl AccessMut for HugeMap {
    fn view_mut(&self) -> ViewMut<'_> {
        // SAFETY: the pages are writable, and no reference to them is ever made.
        unsafe { self.body.view_mut() }
    }
}
