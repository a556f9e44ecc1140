//! Addresses without memory, page by page made usable and given back.
//!
//! # Invariants
//!
//! 0. The span consists of private anonymous pages of the ordinary size, each of them reserved
//!    (nothing permitted, no memory), committed (readable and writable) or guarding (nothing
//!    permitted); the pages themselves are the only record of which.
//! 1. No reference to the bytes is made by safe code.
//! 2. Where pages were ever freed lazily and may not have been written since, `is_lazily_freed` is
//!    set.
//!
//! So every method takes `&self`: threads that disagree get errors or each other's bytes, never a
//! fault. It does not decide which ranges are free: that is for an allocator on top.
//!
//! # Safety
//!
//! Unsafe code changes protection and contents of pages that the span owns and nobody has a
//! reference to.
#![allow(unsafe_code, reason = "changes pages that no reference points to")]

use crate::access::{AccessMut, ViewMut};
use crate::anon::AnonMap;
use crate::body::Body;
use crate::error::{Error, Operation, Result};
use crate::kind::kind;
use crate::object::Object;
use crate::options::{HugePages, Options, Wish};
use crate::origin::Origin;
use crate::pages::{self, Discard};
use crate::span::Request;
use bifolio_sys::Errno;
use bifolio_sys::mm::{self, Advice as RawAdvice, MapFlags, MprotectFlags, ProtFlags};
use core::ops::Range;
// Flags of one value, not a protocol: there is nothing here for a model checker.
use core::sync::atomic::{AtomicBool, Ordering};

/// Addresses that nobody else gets, with memory only where it is [committed](Self::commit).
///
/// A page is reserved, committed or guarding, and each of [`decommit`](Self::decommit),
/// [`commit`](Self::commit) and [`guard`](Self::guard) makes it so, whatever it was. An access to a
/// page that is not committed is an error ([`NotAccessible`](crate::ErrorKind::NotAccessible)).
/// `Send` and `Sync`: threads may commit and decommit at once.
///
/// Memory is promised when it is committed, unless [`Options::no_reserve`] was asked for.
///
/// # Examples
///
/// ```
/// use bifolio_map::{Access, AccessMut, ErrorKind, Reservation};
///
/// let addresses = Reservation::new(1 << 40)?;
/// addresses.commit(1 << 20..2 << 20)?;
/// addresses.write_all_at(b"folio", 1 << 20)?;
/// let error = addresses.load::<u8>(2 << 20).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::NotAccessible);
/// # Ok::<(), bifolio_map::Error>(())
/// ```
///
/// # References
///
/// mmap(2), `PROT_NONE`; mprotect(2).
pub struct Reservation {
    body: Body,
    terms: Terms,
}

kind!(Reservation, Private, ReadWrite, terms);

/// What holds for pages that are yet to be committed, and what was done to those that are.
#[derive(Debug)]
struct Terms {
    no_reserve: bool,
    is_huge: bool,
    /// Whether pages may turn to zeros by themselves ([`Discard::Free`]).
    is_lazily_freed: AtomicBool,
}

impl Options {
    /// Reserves addresses for `len` bytes.
    ///
    /// The address, [`no_reserve`](Self::no_reserve), [`low_addresses`](Self::low_addresses) and
    /// [`HugePages::Transparent`] apply; there are no pages to bring in or to lock yet, so that is
    /// refused.
    ///
    /// # Errors
    ///
    /// What mmap(2) reports: [`NoMemory`](crate::ErrorKind::NoMemory),
    /// [`Occupied`](crate::ErrorKind::Occupied), ...; [`Invalid`](crate::ErrorKind::Invalid) for
    /// what it cannot have, as guard pages around it, or pages of the hugetlb pool.
    pub fn reservation(&self, len: usize) -> Result<Reservation> {
        let object = Object::ReservedAddresses;
        self.only(&[Wish::TransparentHugePages], &object)?;
        let request = Request {
            len,
            protection: ProtFlags::empty(),
            flags: MapFlags::PRIVATE | self.flags(),
            placement: self.placement,
        };
        let body = Body::map(request, Origin::without_file(object))?;
        if self.huge == HugePages::Transparent {
            pages::advise(&body, &(0..len), RawAdvice::HugePage)?;
        }
        let terms = Terms {
            no_reserve: self.no_reserve,
            is_huge: self.huge == HugePages::Transparent,
            is_lazily_freed: AtomicBool::new(false),
        };
        Ok(Reservation { body, terms })
    }
}

impl Reservation {
    /// Reserves addresses for `len` bytes.
    ///
    /// # Errors
    ///
    /// As [`Options::reservation`].
    pub fn new(len: usize) -> Result<Reservation> {
        Options::new().reservation(len)
    }

    /// Makes the pages of `range` usable, whose ends are multiples of the page size or the end:
    /// zeros, or what is there where they are committed already.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](crate::ErrorKind::OutOfBounds),
    /// [`Misaligned`](crate::ErrorKind::Misaligned), and
    /// [`NoMemory`](crate::ErrorKind::NoMemory) where the system promises no more memory; a part of
    /// the range may be committed then.
    pub fn commit(&self, range: Range<usize>) -> Result<()> {
        let (start, len) = self.body.whole_pages(Operation::Commit, &range)?;
        if len == 0 {
            return Ok(());
        }
        let refused = |errno| self.body.refused(Operation::Commit, &range, errno);
        let open = MprotectFlags::READ | MprotectFlags::WRITE;
        // SAFETY: the pages are the span's (invariant 0), and no reference to them exists (1).
        unsafe { mm::mprotect(start.cast(), len, open) }.map_err(refused)?;
        // SAFETY: as above.
        match unsafe { mm::madvise(start.cast(), len, RawAdvice::GuardRemove) } {
            // A kernel that has no guard markers has none to remove.
            Ok(()) | Err(Errno::INVAL) => Ok(()),
            Err(errno) => Err(refused(errno)),
        }
    }

    /// Gives the memory of `range` back, whose ends are multiples of the page size or the end; its
    /// addresses stay reserved. What was advised, locked or bound there is forgotten.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](crate::ErrorKind::OutOfBounds),
    /// [`Misaligned`](crate::ErrorKind::Misaligned), and what mmap(2) reports:
    /// [`NoMemory`](crate::ErrorKind::NoMemory) where the process has no more areas.
    pub fn decommit(&self, range: Range<usize>) -> Result<()> {
        self.replace(Operation::Decommit, &range)
    }

    /// Makes guard pages of `range`, whose ends are multiples of the page size or the end: what
    /// they hold is dropped, and every access is an error. [`commit`](Self::commit) undoes it.
    ///
    /// Where the kernel can mark pages so (Linux 6.13), a guard between committed pages costs
    /// nothing: it is no area of its own as a decommitted page is.
    ///
    /// # Errors
    ///
    /// As [`decommit`](Self::decommit).
    ///
    /// # References
    ///
    /// madvise(2), `MADV_GUARD_INSTALL`.
    pub fn guard(&self, range: Range<usize>) -> Result<()> {
        let (start, len) = self.body.whole_pages(Operation::Guard, &range)?;
        if len == 0 {
            return Ok(());
        }
        // SAFETY: the pages are the span's (invariant 0), and no reference to them exists (1).
        match unsafe { mm::madvise(start.cast(), len, RawAdvice::GuardInstall) } {
            Ok(()) => Ok(()),
            // An older kernel, or locked pages.
            Err(Errno::INVAL) => self.replace(Operation::Guard, &range),
            Err(errno) => Err(self.body.refused(Operation::Guard, &range, errno)),
        }
    }

    /// Gives up what the committed pages of `range` hold, whose ends are multiples of the page size
    /// or the end; they stay committed.
    ///
    /// With [`Discard::Free`] they may turn to zeros at any time until they are written.
    /// [`Discard::WipeOnFork`] holds until they are decommitted.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](crate::ErrorKind::OutOfBounds),
    /// [`Misaligned`](crate::ErrorKind::Misaligned), and what madvise(2) reports.
    pub fn discard(&self, range: Range<usize>, how: Discard) -> Result<()> {
        self.body.whole_pages(Operation::Advise, &range)?;
        if how == Discard::Free {
            // Relaxed: `into_anon` reads it after it took the value over from all threads.
            self.terms.is_lazily_freed.store(true, Ordering::Relaxed);
        }
        pages::advise(&self.body, &range, how.raw())
    }

    /// Maps fresh closed pages in the place of those of `range`.
    fn replace(&self, operation: Operation, range: &Range<usize>) -> Result<()> {
        let (start, len) = self.body.whole_pages(operation, range)?;
        if len == 0 {
            return Ok(());
        }
        let mut flags = MapFlags::PRIVATE | MapFlags::FIXED;
        flags.set(MapFlags::NORESERVE, self.terms.no_reserve);
        // One call does it all, so that no other thread can take the addresses meanwhile. It is
        // refused before anything is unmapped: closed pages are not counted as memory, and the
        // number of areas is looked at first.
        //
        // SAFETY: what is replaced is the span's own (invariant 0), to which no reference exists
        // (1).
        unsafe { mm::mmap_anonymous(start.cast(), len, ProtFlags::empty(), flags) }
            .map_err(|errno| self.body.refused(operation, range, errno))?;
        match self.terms.is_huge {
            true => pages::advise(&self.body, range, RawAdvice::HugePage),
            false => Ok(()),
        }
    }

    /// Splits it before the byte at `at`: 0, the length, or a multiple of the page size. Every page
    /// stays as it is.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](crate::ErrorKind::OutOfBounds) and
    /// [`Misaligned`](crate::ErrorKind::Misaligned), with the reservation.
    pub fn split_at(self, at: usize) -> Result<(Reservation, Reservation), (Reservation, Error)> {
        let Reservation { body, terms } = self;
        match body.split(at) {
            Ok((front, back)) => {
                let back_terms = terms.duplicate();
                let front = Reservation { body: front, terms };
                Ok((front, Reservation { body: back, terms: back_terms }))
            }
            Err((body, error)) => Err((Reservation { body, terms }, error)),
        }
    }

    /// Puts `back` behind this one.
    ///
    /// # Errors
    ///
    /// [`Invalid`](crate::ErrorKind::Invalid), with both, unless `back` begins where this one ends.
    pub fn join(self, back: Reservation) -> Result<Reservation, (Reservation, Reservation, Error)> {
        let is_front_empty = self.body.len() == 0;
        let (front_terms, back_terms) = (self.terms, back.terms);
        match self.body.join(back.body) {
            Ok(body) => {
                // One without pages has none to speak for.
                let (mut terms, other) = match is_front_empty {
                    true => (back_terms, front_terms),
                    false => (front_terms, back_terms),
                };
                *terms.is_lazily_freed.get_mut() |= other.is_lazily_freed.into_inner();
                Ok(Reservation { body, terms })
            }
            Err((front, back, error)) => Err((
                Reservation { body: front, terms: front_terms },
                Reservation { body: back, terms: back_terms },
                error,
            )),
        }
    }

    /// Commits all of it and makes a slice of it; with [`split_at`](Self::split_at), any part can
    /// be taken out so.
    ///
    /// # Errors
    ///
    /// As [`commit`](Self::commit), with the reservation.
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::{Access, Reservation};
    ///
    /// let addresses = Reservation::new(1 << 40)?;
    /// let (first, rest) = addresses.split_at(1 << 20).map_err(|(_, error)| error)?;
    /// let mut map = first.into_anon().map_err(|(_, error)| error)?;
    /// map.fill(7);
    /// assert_eq!(map.len() + rest.len(), 1 << 40);
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    pub fn into_anon(self) -> Result<AnonMap, (Reservation, Error)> {
        let firm = self.commit(0..self.body.len()).and_then(|()| self.make_firm());
        match firm {
            Ok(()) => Ok(AnonMap::from_body(self.body)),
            Err(error) => Err((self, error)),
        }
    }

    /// Writes to every page that may have been freed lazily, which ends that: under a slice, no
    /// byte may change.
    fn make_firm(&self) -> Result<()> {
        // Relaxed: the value was handed over by all threads that could have set it.
        if !self.terms.is_lazily_freed.load(Ordering::Relaxed) {
            return Ok(());
        }
        let view = self.view_mut();
        for start in (0..self.body.len()).step_by(self.body.page().bytes()) {
            let touched = view.load::<u8>(start).and_then(|byte| view.store(&byte, start));
            touched.map_err(|error| error.with_operation(Operation::Commit))?;
        }
        Ok(())
    }
}

impl Terms {
    fn duplicate(&self) -> Terms {
        // Relaxed: whoever splits a reservation has taken it over from all threads.
        let is_lazily_freed = AtomicBool::new(self.is_lazily_freed.load(Ordering::Relaxed));
        Terms { is_lazily_freed, ..*self }
    }
}

impl AccessMut for Reservation {
    fn view_mut(&self) -> ViewMut<'_> {
        // SAFETY: no reference to the bytes is ever made (invariant 1). Pages that are not
        // committed fault, and the view says so.
        unsafe { self.body.view_mut() }
    }
}
