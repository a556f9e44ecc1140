//! Private anonymous memory whose bytes cannot be written now: read-only, or closed altogether.
//!
//! # Invariants
//!
//! 0. The body is that of an `AnonMap`, with all that it promises, and its pages permit what the
//!    type's name says.
//!
//! There is no way from one of these to another but through `AnonMap`.
//!
//! # Safety
//!
//! Unsafe code makes slices of readable pages (invariant 0).
#![allow(unsafe_code, reason = "slices of owned pages")]

use crate::anon::AnonMap;
use crate::body::Body;
use crate::cut::halves;
use crate::error::{Error, Result};
use crate::kind::kind;
use crate::mapping::Protection;
use core::ops::Deref;

/// An [`AnonMap`] that cannot be written: it dereferences to its bytes, and a stray write by a raw
/// pointer meets a fault.
///
/// `Send` and `Sync`.
pub struct ReadOnlyMap {
    body: Body,
}

kind!(ReadOnlyMap, Exclusive, Read);
halves!(ReadOnlyMap);

/// An [`AnonMap`] that cannot be touched: the bytes are kept, and every access is an error
/// ([`NotAccessible`](crate::ErrorKind::NotAccessible)), or a fault by a raw pointer.
///
/// `Send` and `Sync`.
pub struct NoAccessMap {
    body: Body,
}

kind!(NoAccessMap, Exclusive, None);
halves!(NoAccessMap);

impl AnonMap {
    /// Makes the pages read-only.
    ///
    /// # Errors
    ///
    /// What mprotect(2) reports, with the mapping as it was.
    ///
    /// # Panics
    ///
    /// Where the kernel changes a part of the pages, refuses the rest, and then refuses to change
    /// that part back; it takes a process at the limit of its memory areas and another thread that
    /// takes one at that moment. It is so for every change of protection.
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::AnonMap;
    ///
    /// let mut map = AnonMap::new(5)?;
    /// map.copy_from_slice(b"folio");
    /// let map = map.into_read_only().map_err(|(_, error)| error)?;
    /// assert_eq!(&map[..], b"folio");
    /// let mut map = map.into_mut().map_err(|(_, error)| error)?;
    /// map[0] = b'F';
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    ///
    /// # References
    ///
    /// mprotect(2).
    pub fn into_read_only(self) -> Result<ReadOnlyMap, (AnonMap, Error)> {
        match self.into_body().protect(Protection::ReadWrite, Protection::Read) {
            Ok(body) => Ok(ReadOnlyMap { body }),
            Err((body, error)) => Err((AnonMap::from_body(body), error)),
        }
    }

    /// Closes the pages: they keep their bytes, and permit nothing.
    ///
    /// # Errors
    ///
    /// As [`into_read_only`](Self::into_read_only).
    ///
    /// # Panics
    ///
    /// As [`into_read_only`](Self::into_read_only).
    pub fn into_no_access(self) -> Result<NoAccessMap, (AnonMap, Error)> {
        match self.into_body().protect(Protection::ReadWrite, Protection::None) {
            Ok(body) => Ok(NoAccessMap { body }),
            Err((body, error)) => Err((AnonMap::from_body(body), error)),
        }
    }
}

impl ReadOnlyMap {
    /// Makes the pages writable again.
    ///
    /// # Errors
    ///
    /// What mprotect(2) reports, with the mapping as it was: `ENOMEM` also where the system
    /// promises no more memory than it has.
    ///
    /// # Panics
    ///
    /// As [`AnonMap::into_read_only`].
    pub fn into_mut(self) -> Result<AnonMap, (ReadOnlyMap, Error)> {
        match self.body.protect(Protection::Read, Protection::ReadWrite) {
            Ok(body) => Ok(AnonMap::from_body(body)),
            Err((body, error)) => Err((ReadOnlyMap { body }, error)),
        }
    }
}

impl NoAccessMap {
    /// Opens the pages again.
    ///
    /// # Errors
    ///
    /// As [`ReadOnlyMap::into_mut`].
    ///
    /// # Panics
    ///
    /// As [`AnonMap::into_read_only`].
    pub fn into_mut(self) -> Result<AnonMap, (NoAccessMap, Error)> {
        match self.body.protect(Protection::None, Protection::ReadWrite) {
            Ok(body) => Ok(AnonMap::from_body(body)),
            Err((body, error)) => Err((NoAccessMap { body }, error)),
        }
    }
}

impl Deref for ReadOnlyMap {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: the bytes are mapped, readable, initialised, and nobody writes them (invariant
        // 0).
        unsafe { core::slice::from_raw_parts(self.body.ptr().as_ptr(), self.body.len()) }
    }
}
