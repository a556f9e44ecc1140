//! What becomes of memory that was taken away: zeros, and a mark that tells of it.
//!
//! A page beyond the end of a file that a peer has shortened is a signal to whoever touches it. The
//! resolver puts private zeros in its place, so that the access goes on, and marks the region as
//! lost before that: whoever has read such zeros finds the mark.
//!
//! It runs in the signal handler: it allocates nothing and waits for nobody.
//!
//! # Safety
//!
//! Pages of the range are replaced; it was registered for a mapping that the region owns, and
//! leaves the table before the mapping goes.
#![allow(unsafe_code, reason = "called in a signal handler, and replaces pages")]

use bifolio_sys::Errno;
use bifolio_sys::fault::{self, Cause, Info, Registration, Resolution, Turn};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether pages of a mapping were taken away.
#[derive(Debug)]
pub(super) struct Loss {
    is_lost: AtomicBool,
    /// The size of its pages in bytes.
    page: usize,
}

impl Loss {
    pub(super) fn new(page: usize) -> Box<Loss> {
        Box::new(Loss { is_lost: AtomicBool::new(false), page })
    }

    /// The size of its pages in bytes.
    pub(super) fn page(&self) -> usize {
        self.page
    }

    #[inline]
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::SeqCst)
    }

    /// Watches over the mapping at `range`.
    ///
    /// # Errors
    ///
    /// What [`fault::register`] reports.
    ///
    /// # Safety
    ///
    /// The range is mapped `MAP_SHARED` to be read and written, belongs to the caller, and stays
    /// until the registration is dropped; so does `self`.
    pub(super) unsafe fn watch(&self, range: Range<usize>) -> Result<Registration, Errno> {
        let data = (&raw const *self).expose_provenance();
        // SAFETY: the resolver is made for handlers, and the rest is the caller's promise.
        unsafe { fault::register(range, resolve, data) }
    }
}

/// As [`Resolver`](fault::Resolver), with the address of a [`Loss`].
///
/// # Safety
///
/// To be called by the dispatcher, for a range that [`Loss::watch`] was given.
unsafe fn resolve(info: &Info, data: usize) -> Resolution {
    // To guarded access a fault is a value.
    if info.is_guarded || info.cause() != Cause::Unbacked {
        return Resolution::Decline;
    }
    // SAFETY: `watch` was promised that it lives as long as the registration.
    let loss = unsafe { &*std::ptr::with_exposed_provenance::<Loss>(data) };
    // What another thread replaces in this moment is not replaced again.
    let Some(_turn) = Turn::take() else { return Resolution::Retry };
    // It may have been here before, or the file have grown.
    if fault::bring_in(info.addr, info.is_write.unwrap_or(true)).is_ok() {
        return Resolution::Retry;
    }
    loss.is_lost.store(true, Ordering::SeqCst);
    let start = info.addr & !(loss.page - 1);
    // SAFETY: a page of the range, which stays while its resolver runs; peers that keep their word
    // never take memory away, and of others nothing but an error is promised.
    match unsafe { fault::put_zeros(start..start + loss.page, true) } {
        Ok(()) => Resolution::Retry,
        Err(_) => Resolution::Decline,
    }
}
