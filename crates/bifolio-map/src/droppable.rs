//! Memory that the kernel takes back when it needs it, and that reads as zeros then.
//!
//! # Invariants
//!
//! 0. No reference to the bytes is made by safe code: they turn to zeros at any time.
//!
//! It does not tell when that happened: whoever caches here stores something with the bytes that is
//! not zero.
//!
//! # Safety
//!
//! Unsafe code lends writable windows of pages that no reference points to.
#![allow(unsafe_code, reason = "lends writable windows of pages that no reference points to")]

use crate::access::{AccessMut, ViewMut};
use crate::body::Body;
use crate::cut::halves;
use crate::error::{ErrorKind, Result};
use crate::kind::kind;
use crate::object::Object;
use crate::options::{Options, Wish};
use crate::origin::Origin;
use crate::span::Request;
use bifolio_sys::Errno;
use bifolio_sys::mm::{MapFlags, ProtFlags};

/// Private memory for what can be computed again: the kernel may zero its pages under pressure,
/// instead of writing them to swap or killing somebody. Forked children see zeros.
///
/// `Send` and `Sync`.
///
/// # Examples
///
/// ```
/// use bifolio_map::{Access, AccessMut, DroppableMap, ErrorKind};
///
/// match DroppableMap::new(1 << 20) {
///     Ok(cache) => {
///         cache.store(&42_u64, 0)?;
///         assert!([0, 42].contains(&cache.load::<u64>(0)?));
///     }
///     Err(error) => assert_eq!(error.kind(), ErrorKind::Unsupported),
/// }
/// # Ok::<(), bifolio_map::Error>(())
/// ```
///
/// # References
///
/// mmap(2), `MAP_DROPPABLE`, Linux 6.11.
pub struct DroppableMap {
    body: Body,
}

kind!(DroppableMap, Private, ReadWrite);
halves!(DroppableMap);

impl Options {
    /// Maps `len` bytes of zeroed memory that the kernel may zero again.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](ErrorKind::Unsupported) before Linux 6.11, and what else mmap(2) reports;
    /// [`Invalid`](ErrorKind::Invalid) for what it cannot have, as guard pages.
    pub fn droppable(&self, len: usize) -> Result<DroppableMap> {
        self.only(&[Wish::Residency], &Object::DroppableMemory)?;
        let request = Request {
            len,
            protection: ProtFlags::READ | ProtFlags::WRITE,
            // A type of mapping of its own, in the place of MAP_PRIVATE.
            flags: MapFlags::DROPPABLE | self.flags(),
            placement: self.placement,
        };
        match Body::map(request, Origin::without_file(Object::DroppableMemory)) {
            Ok(body) => Ok(DroppableMap { body }),
            // What an older kernel says to a type that it does not know.
            Err(error) if error.errno() == Some(Errno::INVAL) => {
                Err(error.with_kind(ErrorKind::Unsupported))
            }
            Err(error) => Err(error),
        }
    }
}

impl DroppableMap {
    /// Maps `len` bytes of zeroed memory that the kernel may zero again.
    ///
    /// # Errors
    ///
    /// As [`Options::droppable`].
    pub fn new(len: usize) -> Result<DroppableMap> {
        Options::new().droppable(len)
    }
}

impl AccessMut for DroppableMap {
    fn view_mut(&self) -> ViewMut<'_> {
        // SAFETY: the pages are writable, and no reference to them is ever made (invariant 0).
        unsafe { self.body.view_mut() }
    }
}
