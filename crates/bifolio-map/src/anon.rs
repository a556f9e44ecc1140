//! Private anonymous memory: zeroed, owned, a plain slice.
//!
//! # Invariants
//!
//! 0. The pages of the bytes are private and anonymous, readable and writable, and no advice that
//!    lets the kernel drop them later (`MADV_FREE`) was ever given: nobody else changes them and
//!    nothing takes them away.
//! 1. Pages of the hugetlb pool were all brought in before the value was made: a promise of the
//!    pool is not enough (see `huge.rs`).
//! 2. Bytes of the span behind the last one are zero, or will be when they are shown.
//!
//! What may vanish or change under a slice is another type. `MAP_NORESERVE` is no such thing: where
//! memory runs out the kernel ends a process by SIGKILL, as it does for any memory that it promised
//! without having it, and no access reports a fault.
//!
//! # Safety
//!
//! Unsafe code makes slices of the pages, which invariants 0 and 1 permit, and moves them while it
//! holds them exclusively.
#![allow(unsafe_code, reason = "slices of owned pages")]

use crate::body::{ADDRESSES, Body};
use crate::cut::halves;
use crate::dirty::tracked;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::kind::kind;
use crate::object::Object;
use crate::options::{Guards, HugePages, Options, Wish};
use crate::origin::Origin;
use crate::pages;
use crate::span::Request;
use bifolio_sys::Errno;
use bifolio_sys::mm::{Advice as RawAdvice, MapFlags, ProtFlags};
use bifolio_sys::page::page_size;
use core::ops::{Deref, DerefMut, Range};

/// Private memory of the kernel's, zeroed and page-aligned.
///
/// It dereferences to its bytes. `Send` and `Sync`, as a `Box<[u8]>` is. Without bytes, nothing is
/// mapped. What the pages permit changes by value: [`into_read_only`](Self::into_read_only),
/// [`into_no_access`](Self::into_no_access), [`into_exec`](Self::into_exec).
///
/// A forked child has a copy of its own, if nothing was advised against it; pages of the hugetlb
/// pool are not promised to it.
///
/// # Examples
///
/// ```
/// use bifolio_map::AnonMap;
///
/// let mut map = AnonMap::new(1 << 20)?;
/// map[..5].copy_from_slice(b"folio");
/// assert_eq!(&map[..6], b"folio\0");
/// let (front, back) = map.split_at(1 << 19).map_err(|(_, error)| error)?;
/// let map = front.join(back).map_err(|(_, _, error)| error)?;
/// assert_eq!(map.len(), 1 << 20);
/// # Ok::<(), bifolio_map::Error>(())
/// ```
///
/// # References
///
/// mmap(2), `MAP_PRIVATE | MAP_ANONYMOUS`.
pub struct AnonMap {
    body: Body,
}

kind!(AnonMap, Exclusive, ReadWrite);
tracked!(AnonMap);
halves!(AnonMap);

impl Options {
    /// Maps `len` bytes of zeroed private memory.
    ///
    /// With [`HugePages::Pool`], the pages are taken from the pool now, not when they are first
    /// used.
    ///
    /// # Errors
    ///
    /// What mmap(2) reports: [`NoMemory`](crate::ErrorKind::NoMemory),
    /// [`Occupied`](crate::ErrorKind::Occupied), ...;
    /// [`NoSpace`](crate::ErrorKind::NoSpace) where the pool has too few pages;
    /// [`Invalid`](crate::ErrorKind::Invalid) for what is made for files, and for pages of the pool
    /// without reservation, which are a [`HugeMap`](crate::HugeMap), or with guard pages.
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::{HugePages, Options};
    ///
    /// let options = Options::new().huge_pages(HugePages::Transparent).guard_pages(1, 1);
    /// let map = options.anon(4 << 20)?;
    /// assert_eq!(map.len(), 4 << 20);
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    pub fn anon(&self, len: usize) -> Result<AnonMap> {
        let can = [Wish::Residency, Wish::TransparentHugePages, Wish::PoolPages, Wish::Guards];
        self.only(&can, &Object::AnonymousMemory)?;
        let body = match self.huge {
            HugePages::Pool(_) => self.map_from_pool(len)?,
            _ if self.guards != Guards::default() => self.map_between_guards(len)?,
            _ => self.map_anonymous(len)?,
        };
        if self.huge == HugePages::Transparent {
            pages::advise(&body, &(0..len), RawAdvice::HugePage)?;
        }
        Ok(AnonMap { body })
    }

    /// Maps private memory as the flags say.
    pub(crate) fn map_anonymous(&self, len: usize) -> Result<Body> {
        let request = Request {
            len,
            protection: ProtFlags::READ | ProtFlags::WRITE,
            flags: MapFlags::PRIVATE | self.flags(),
            placement: self.placement,
        };
        Body::map(request, Origin::without_file(Object::AnonymousMemory))
    }
}

impl AnonMap {
    /// Maps `len` bytes of zeroed private memory.
    ///
    /// # Errors
    ///
    /// As [`Options::anon`].
    pub fn new(len: usize) -> Result<AnonMap> {
        Options::new().anon(len)
    }

    /// Makes it of a body for which the invariants hold.
    pub(crate) fn from_body(body: Body) -> AnonMap {
        AnonMap { body }
    }

    pub(crate) fn into_body(self) -> Body {
        self.body
    }

    /// Zeroes `range`, and gives its whole pages back to the system until they are written again
    /// (pages of the hugetlb pool are kept).
    ///
    /// This is `MADV_DONTNEED`. There is no `MADV_FREE` for a slice: its pages may turn to zeros at
    /// any time until they are written, under a shared reference too.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](crate::ErrorKind::OutOfBounds).
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::AnonMap;
    ///
    /// let mut map = AnonMap::new(1 << 20)?;
    /// map.fill(7);
    /// map.discard(10..1 << 20)?;
    /// assert_eq!(map[9..11], [7, 0]);
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    pub fn discard(&mut self, range: Range<usize>) -> Result<()> {
        self.body.pages(Operation::Advise, &range)?;
        let (len, page) = (self.body.len(), page_size());
        let start = page.round_up(range.start).unwrap_or(range.end);
        // Behind the last byte the page holds nothing.
        let end = if range.end == len { len } else { page.round_down(range.end) };
        let is_given_back = self.body.page() == page
            && start < end
            // Locked pages are refused.
            && pages::advise(&self.body, &(start..end), RawAdvice::DontNeed).is_ok();
        if is_given_back {
            self[range.start..start].fill(0);
            self[end..range.end].fill(0);
        } else {
            self[range].fill(0);
        }
        Ok(())
    }

    /// Lets children that are forked from now on see zeros in the pages of `range`, whose ends are
    /// multiples of the page size or the end.
    ///
    /// [`Advice::KeepOnFork`](crate::Advice::KeepOnFork) undoes it.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](crate::ErrorKind::OutOfBounds),
    /// [`Misaligned`](crate::ErrorKind::Misaligned), and what madvise(2) reports.
    ///
    /// # References
    ///
    /// madvise(2), `MADV_WIPEONFORK`, Linux 4.14.
    pub fn wipe_on_fork(&mut self, range: Range<usize>) -> Result<()> {
        self.body.whole_pages(Operation::Advise, &range)?;
        pages::advise(&self.body, &range, RawAdvice::WipeOnFork)
    }

    /// Changes the length; bytes that come in are zero. The bytes may move.
    ///
    /// Whole pages move without being copied (mremap(2)), except between guard pages, from the
    /// hugetlb pool, and where a part was advised on differently from another: then they are copied
    /// to new pages, for which no advice holds.
    ///
    /// # Errors
    ///
    /// [`NoMemory`](crate::ErrorKind::NoMemory), [`TooLarge`](crate::ErrorKind::TooLarge) and what
    /// else mmap(2) and mremap(2) report; nothing has changed then. Where writes are tracked
    /// ([`Track`](crate::Track)), all bytes are dirty afterwards; an error of the operation
    /// [`Track`](crate::Operation::Track) says that they are tracked no longer, and the length may
    /// have changed.
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::AnonMap;
    ///
    /// let mut map = AnonMap::new(5)?;
    /// map.copy_from_slice(b"folio");
    /// map.resize(1 << 30)?;
    /// assert_eq!(&map[..6], b"folio\0");
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    pub fn resize(&mut self, len: usize) -> Result<()> {
        let tracking = self.body.suspend_tracking()?;
        let resized = self.resize_untracked(len);
        let resumed = self.body.resume_tracking(tracking);
        resized.and(resumed)
    }

    fn resize_untracked(&mut self, len: usize) -> Result<()> {
        let old_len = self.body.len();
        let page = self.body.page();
        if len == 0 || old_len == 0 || !self.body.is_shown_whole() {
            return self.copy_to_new(len);
        }
        let object = &self.body.origin.object;
        let new_pages = page
            .round_up(len)
            .ok_or_else(|| Error::new(Operation::Resize, object, ErrorKind::TooLarge))?;
        if let Some(span) = self.body.span_mut().filter(|span| span.len() != new_pages) {
            // SAFETY: `&mut self` is borrowed by nobody else, so no pointer into the bytes lives.
            match unsafe { span.remap(new_pages, true) } {
                Ok(()) => {}
                // Of several areas, or of the pool.
                Err(Errno::FAULT | Errno::INVAL) => return self.copy_to_new(len),
                Err(errno) => {
                    let error = self.body.refused(Operation::Resize, &(0..len), errno);
                    return Err(match len {
                        ADDRESSES.. => error.with_kind(ErrorKind::TooLarge),
                        _ => error,
                    });
                }
            }
        }
        self.body.set_len(len);
        if len > old_len {
            // The rest of the last page was out of reach, and may hold what was written before it
            // was.
            let end = page.round_up(old_len).map_or(len, |end| end.min(len));
            self[old_len..end].fill(0);
        }
        Ok(())
    }

    /// Takes new pages of the same kind, and the bytes with it.
    fn copy_to_new(&mut self, len: usize) -> Result<()> {
        let page = self.body.page();
        let huge = match page == page_size() {
            true => HugePages::Default,
            false => HugePages::Pool(Some(page)),
        };
        let options = Options { huge, guards: self.body.guards(), ..Options::new() };
        let new = options.anon(len);
        let mut new = new.map_err(|error| error.with_operation(Operation::Resize))?;
        let kept = len.min(self.body.len());
        new[..kept].copy_from_slice(&self[..kept]);
        *self = new;
        Ok(())
    }
}

impl Deref for AnonMap {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: the bytes are mapped, initialised to zero, and change through `&mut self` only
        // (invariants 0 and 1).
        unsafe { core::slice::from_raw_parts(self.body.ptr().as_ptr(), self.body.len()) }
    }
}

impl DerefMut for AnonMap {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `&mut self` is the only way in.
        unsafe { core::slice::from_raw_parts_mut(self.body.ptr().as_ptr(), self.body.len()) }
    }
}

// SAFETY: the bytes lie in pages that the value owns, not in the value: to move it moves none of
// them. Only `resize` gives them another place, and it takes the map exclusively, as `Vec` does;
// `deref` and `deref_mut` give the same address.
#[cfg(feature = "stable_deref_trait")]
unsafe impl stable_deref_trait::StableDeref for AnonMap {}
