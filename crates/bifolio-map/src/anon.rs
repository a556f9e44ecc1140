//! Private anonymous memory: zeroed, owned, a plain slice.
//!
//! # Invariants
//!
//! 0. The pages are private and anonymous, readable and writable, with swap or memory promised by
//!    the kernel as for any allocation: nobody else changes them and nothing takes them away.
//!
//! What may vanish or change under a slice is another type.
//!
//! # Safety
//!
//! Unsafe code makes slices of the pages, which invariant 0 permits.
#![allow(unsafe_code, reason = "slices of owned pages")]

use crate::access::{Access, View};
use crate::body::Body;
use crate::error::{Error, Result};
use crate::mapping::{Mapping, Protection, Sharing};
use crate::object::Object;
use crate::options::{HugePages, Options};
use crate::origin::Origin;
use crate::pages::{self, Discard, sealed::HasBody};
use crate::span::Request;
use bifolio_sys::mm::{Advice as RawAdvice, MapFlags, ProtFlags};
use core::fmt;
use core::ops::{Deref, DerefMut, Range};

/// Private memory of the kernel's, zeroed and page-aligned.
///
/// It dereferences to its bytes. `Send` and `Sync`, as a `Box<[u8]>` is.
///
/// # Examples
///
/// ```
/// use bifolio_map::AnonMap;
///
/// let mut map = AnonMap::new(1 << 20)?;
/// map[..5].copy_from_slice(b"folio");
/// assert_eq!(&map[..6], b"folio\0");
/// # Ok::<(), bifolio_map::Error>(())
/// ```
///
/// # References
///
/// mmap(2), `MAP_PRIVATE | MAP_ANONYMOUS`.
pub struct AnonMap {
    body: Body,
}

impl Options {
    /// Maps `len` bytes of zeroed private memory.
    ///
    /// # Errors
    ///
    /// What mmap(2) reports: [`NoMemory`](crate::ErrorKind::NoMemory),
    /// [`Occupied`](crate::ErrorKind::Occupied), ...
    pub fn anon(&self, len: usize) -> Result<AnonMap> {
        let request = Request {
            len,
            protection: ProtFlags::READ | ProtFlags::WRITE,
            flags: MapFlags::PRIVATE | self.flags(),
            placement: self.placement,
        };
        let body = Body::map(request, Origin::without_file(Object::AnonymousMemory))?;
        if self.huge == HugePages::Transparent {
            pages::advise(&body, &(0..len), RawAdvice::HugePage)?;
        }
        Ok(AnonMap { body })
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

    /// Gives up what the pages of `range` hold.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](crate::ErrorKind::OutOfBounds), and what madvise(2) reports.
    pub fn discard(&mut self, range: Range<usize>, how: Discard) -> Result<()> {
        pages::advise(&self.body, &range, how.raw())
    }

    /// Unmaps it and says whether that worked, which dropping it cannot.
    ///
    /// # Errors
    ///
    /// What munmap(2) reports, with the mapping.
    pub fn unmap(self) -> Result<(), (AnonMap, Error)> {
        self.body.unmap().map_err(|(body, error)| (AnonMap { body }, error))
    }
}

impl Deref for AnonMap {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the bytes are mapped, initialised to zero, and change through `&mut self` only
        // (invariant 0).
        unsafe { core::slice::from_raw_parts(self.body.ptr().as_ptr(), self.body.len()) }
    }
}

impl DerefMut for AnonMap {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and `&mut self` is the only way in.
        unsafe { core::slice::from_raw_parts_mut(self.body.ptr().as_ptr(), self.body.len()) }
    }
}

impl Access for AnonMap {
    fn view(&self) -> View<'_> {
        self.body.view()
    }
}

impl HasBody for AnonMap {
    #[allow(private_interfaces, reason = "sealed")]
    fn body(&self) -> &Body {
        &self.body
    }
}

// SAFETY: the body owns its pages for the value's life (0); bytes are written through `&mut` only
// (1); the view covers them all (2).
unsafe impl Mapping for AnonMap {
    fn as_ptr(&self) -> *const u8 {
        self.body.ptr().as_ptr()
    }

    fn sharing(&self) -> Sharing {
        Sharing::Exclusive
    }

    fn protection(&self) -> Protection {
        Protection::ReadWrite
    }
}

impl fmt::Debug for AnonMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnonMap").field("ptr", &self.body.ptr()).field("len", &self.len()).finish()
    }
}
