//! The owner of a mapped range: what maps it unmaps it, once.
//!
//! # Invariants
//!
//! 0. `base` and `len` are multiples of the size of its pages (a huge one for hugetlb), and `len`
//!    is not zero.
//! 1. The pages `[base, base + len)` were mapped by this library, lie in the user half of the
//!    address space, and belong to this `Span` alone: no other value unmaps, remaps or replaces
//!    them.
//! 2. Nothing outside the crate can make one.
//!
//! It does not know what is mapped there, nor who else sees it.
//!
//! # Safety
//!
//! Unmapping is unsafe because references may point there: every type that owns a `Span` lends them
//! out with its own lifetime only.
#![allow(unsafe_code, reason = "owns address space")]

use crate::error::{Error, ErrorKind, Operation, Result};
use crate::object::Object;
use bifolio_sys::Errno;
use bifolio_sys::fs::fd::BorrowedFd;
use bifolio_sys::mm::{self, MapFlags, MremapFlags, ProtFlags};
use bifolio_sys::page::page_size;
use core::mem::ManuallyDrop;
use core::ptr::{NonNull, with_exposed_provenance_mut};

/// A mapped range; unmapped when dropped.
#[derive(Debug)]
pub(crate) struct Span {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: a span is an address range (invariant 1); unmapping and lending pointers work the same
// from every thread.
unsafe impl Send for Span {}
// SAFETY: `&Span` only tells address and length.
unsafe impl Sync for Span {}

/// What to map: everything of mmap(2) but the address.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) len: usize,
    pub(crate) protection: ProtFlags,
    pub(crate) flags: MapFlags,
    pub(crate) placement: Placement,
}

/// Where a mapping goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Placement {
    /// Where the kernel likes.
    #[default]
    Anywhere,
    /// Near this address, if the kernel likes.
    Hint(usize),
    /// At this address and nowhere else; never over something that is there.
    Exactly(usize),
}

impl Span {
    /// Maps what `request` says; its length is rounded up to pages.
    pub(crate) fn map(
        request: &Request,
        file: Option<(BorrowedFd<'_>, u64)>,
        object: &Object,
    ) -> Result<Span> {
        let fail = |errno| Error::from_errno(Operation::Map, object, errno);
        let len = page_size()
            .round_up(request.len)
            .ok_or_else(|| Error::new(Operation::Map, object, ErrorKind::TooLarge))?;
        let (addr, extra) = match request.placement {
            Placement::Anywhere => (0, MapFlags::empty()),
            Placement::Hint(addr) => (addr, MapFlags::empty()),
            Placement::Exactly(addr) => (addr, MapFlags::FIXED_NOREPLACE),
        };
        let (flags, addr) = (request.flags | extra, core::ptr::without_provenance_mut(addr));
        let mapped = match file {
            // SAFETY: MAP_FIXED is in nobody's flags, so nothing that is mapped is replaced.
            Some((fd, offset)) => unsafe {
                mm::mmap(addr, len, request.protection, flags, fd, offset)
            },
            // SAFETY: as above.
            None => unsafe { mm::mmap_anonymous(addr, len, request.protection, flags) },
        };
        let base = mapped.map_err(fail)?.cast::<u8>();
        // A kernel before 4.17 takes MAP_FIXED_NOREPLACE for a hint (mmap(2)).
        if let Placement::Exactly(wanted) = request.placement
            && base.addr() != wanted
        {
            // SAFETY: it was mapped just now and nobody knows it.
            let _ = unsafe { mm::munmap(base.cast(), len) };
            return Err(fail(Errno::EXIST));
        }
        let base = NonNull::new(base).ok_or_else(|| fail(Errno::NOMEM))?;
        // Fresh from mmap(2), so aligned to its pages, in user space, and ours: invariants 0 and 1.
        Ok(Span { base, len })
    }

    /// Gives the range away without unmapping it.
    pub(crate) fn into_raw(self) -> (NonNull<u8>, usize) {
        let span = ManuallyDrop::new(self);
        (span.base, span.len)
    }

    pub(crate) fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// The length in bytes, a multiple of the page size.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Unmaps it and says whether that worked: it can fail for want of memory when it splits a
    /// neighbour the kernel had merged.
    pub(crate) fn unmap(self) -> Result<(), (Span, Errno)> {
        let span = ManuallyDrop::new(self);
        // SAFETY: the range is ours alone (invariant 1), and whoever lent pointers into it has
        // ended those loans to own `self`.
        match unsafe { mm::munmap(span.base.as_ptr().cast(), span.len) } {
            Ok(()) => Ok(()),
            Err(errno) => Err((ManuallyDrop::into_inner(span), errno)),
        }
    }

    /// Cuts it in two at `at` bytes, a multiple of the page size inside it.
    pub(crate) fn split(self, at: usize) -> (Span, Span) {
        assert!(
            0 < at && at < self.len && page_size().is_aligned(at),
            "split at {at} of {}",
            self.len
        );
        let (base, len) = self.into_raw();
        // SAFETY: `at < len`, so the pointer stays inside the same mapping.
        let middle = unsafe { base.add(at) };
        // The halves are disjoint, and aligned since `at` is: invariants 0 and 1 hold for each.
        (Span { base, len: at }, Span { base: middle, len: len - at })
    }

    /// Whether `back` begins where this one ends.
    pub(crate) fn touches(&self, back: &Span) -> bool {
        self.base.addr().get() + self.len == back.base.addr().get()
    }

    /// Puts two together that touch.
    ///
    /// # Panics
    ///
    /// Where they do not.
    pub(crate) fn join(self, back: Span) -> Span {
        assert!(self.touches(&back), "{self:?} and {back:?} do not touch");
        let (base, front_len) = self.into_raw();
        let (middle, back_len) = back.into_raw();
        // To Rust these were two allocations. They are one from here on, and its pointer may reach
        // both: it is made from the address, with both provenances exposed.
        middle.as_ptr().expose_provenance();
        let address = base.as_ptr().expose_provenance();
        let base = NonNull::new(with_exposed_provenance_mut(address));
        let base = base.expect("the address of a pointer that is not null");
        Span { base, len: front_len + back_len }
    }

    /// Moves the pages of `with` over its own from byte `at` on, in one step: who reads there sees
    /// the old or the new ones. On failure nothing has changed but where the kernel lacked memory
    /// halfway: then nothing can be accessed there until it is called again.
    ///
    /// # Panics
    ///
    /// Where that many pages are not there.
    ///
    /// # Safety
    ///
    /// Whoever reads the old pages finds in the new ones what he relies on.
    ///
    /// # References
    ///
    /// mremap(2), `MREMAP_FIXED`.
    #[cfg(feature = "std")]
    pub(crate) unsafe fn replace(&self, at: usize, with: Span) -> Result<(), (Span, Errno)> {
        let (page, len) = (page_size(), with.len);
        assert!(page.is_aligned(at) && at <= self.len && len <= self.len - at, "{at} + {len}");
        let place = self.base.as_ptr().wrapping_add(at).cast();
        // SAFETY: both ranges are ours alone (invariant 1); the caller vouches for the contents.
        let moved = unsafe {
            mm::mremap_fixed(with.base.as_ptr().cast(), len, len, MremapFlags::MAYMOVE, place)
        };
        let Err(errno) = moved else {
            // Nothing is mapped where it was.
            let _ = with.into_raw();
            return Ok(());
        };
        // SAFETY: the advice of every mapping: it only tells whether there is one (ENOMEM).
        if unsafe { mm::madvise(place, len, mm::Advice::Normal) } == Err(Errno::NOMEM) {
            let flags = MapFlags::PRIVATE | MapFlags::NORESERVE | MapFlags::FIXED_NOREPLACE;
            // SAFETY: nothing is replaced.
            let claimed = unsafe { mm::mmap_anonymous(place, len, ProtFlags::empty(), flags) };
            if claimed != Ok(place) {
                // Another thread has mapped something there, which our references would show.
                std::process::abort();
            }
        }
        Err((with, errno))
    }

    /// Changes its length to `len` bytes, a multiple of the size of its pages; where there is no
    /// room for them it moves, if it `may_move`, and fails otherwise. Bytes that come in are zero
    /// or the file's. On failure nothing has changed.
    ///
    /// # Safety
    ///
    /// No pointer into the old range is used afterwards.
    pub(crate) unsafe fn remap(&mut self, len: usize, may_move: bool) -> Result<(), Errno> {
        assert!(len != 0 && page_size().is_aligned(len), "{len} bytes are no pages");
        if len < self.len {
            // Not by mremap(2), which was seen to refuse it of hugetlb pages (EINVAL, Linux 6.18).
            let tail = self.base.as_ptr().wrapping_add(len);
            // SAFETY: the tail is ours alone (invariant 1); the caller holds no pointers into it.
            unsafe { mm::munmap(tail.cast(), self.len - len) }?;
            self.len = len;
            return Ok(());
        }
        let flags = if may_move { MremapFlags::MAYMOVE } else { MremapFlags::empty() };
        // SAFETY: the range is ours alone (invariant 1); the caller holds no pointers into it. The
        // kernel chooses the new place, and nothing that is mapped is replaced.
        let moved = unsafe { mm::mremap(self.base.as_ptr().cast(), self.len, len, flags) }?;
        self.base = NonNull::new(moved.cast()).ok_or(Errno::NOMEM)?;
        self.len = len;
        Ok(())
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        // SAFETY: the range is ours alone (invariant 1), and all loans have ended. Should the
        // kernel lack the memory to split a neighbour, the pages stay mapped: a leak, and
        // never a use after free.
        let _ = unsafe { mm::munmap(self.base.as_ptr().cast(), self.len) };
    }
}
