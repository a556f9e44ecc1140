//! Shared mappings that are read only: what others write is seen, and nothing can be written.
//!
//! # Invariants
//!
//! 0. The body's pages are mapped to be read, and not to be written.
//!
//! It does not promise that the bytes stay: only seals do (`memory_file.rs`).
//!
//! # Safety
//!
//! Unsafe code lends views of the first `len` bytes, and vouches for the mapping.
#![allow(unsafe_code, reason = "lends views of shared pages, and implements an unsafe trait")]

use crate::access::{Access, Via, View};
use crate::body::Body;
use crate::error::{Error, Operation, Result};
use crate::mapping::{Mapping, Protection, Sharing};
use crate::memory_file::{Seals, seals};
use crate::object::Object;
use crate::options::{Options, Wish};
use crate::origin::Origin;
use crate::pages::sealed::HasBody;
use crate::shared::{Lasting, Part, SharedMap};
use crate::span::Request;
use bifolio_sys::Errno;
use bifolio_sys::fs::fd::{AsFd, BorrowedFd, OwnedFd};
use bifolio_sys::mm::{MapFlags, ProtFlags};
use core::fmt;

/// A [`SharedMap`] that cannot be written.
///
/// # Examples
///
/// ```
/// use bifolio_map::{Access, AccessMut, SharedMap};
///
/// let map = SharedMap::memfd("notes", 4096)?;
/// map.store(&7_u32, 0)?;
/// let map = map.into_read_only().map_err(|(_, error)| error)?;
/// assert_eq!(map.load::<u32>(0)?, 7);
/// # Ok::<(), bifolio_map::Error>(())
/// ```
pub struct ReadOnlySharedMap {
    body: Body,
    /// As many bytes as were shown when it could be written; at most the body's.
    len: usize,
    lasting: Lasting,
    /// Whether the mapping is `MAP_PRIVATE`, which is the same for bytes that are sealed, and
    /// which must never be written.
    is_private: bool,
}

impl Options {
    /// Maps an open file to be read, as another process may have sent one.
    ///
    /// # Errors
    ///
    /// What fstat(2) and mmap(2) report; [`NotMappable`](crate::ErrorKind::NotMappable) for what is
    /// not a run of bytes.
    pub fn shared_file_read_only(&self, file: impl Into<OwnedFd>) -> Result<ReadOnlySharedMap> {
        self.only(&[Wish::Offset, Wish::Len, Wish::Residency], &Object::OpenFile)?;
        self.map_read_only(file.into(), Object::OpenFile)
    }

    pub(crate) fn map_read_only(&self, file: OwnedFd, object: Object) -> Result<ReadOnlySharedMap> {
        let Part { len, is_readable, page } = self.part_of_file(&file, &object)?;
        // Before Linux 6.7 a file whose writing is sealed cannot be mapped shared, not even to be
        // read (its descriptor would permit mprotect(2)); its bytes are constant, so that a private
        // mapping is the same.
        let is_private = seals(file.as_fd()).is_ok_and(|seals| seals.contains(Seals::WRITE));
        let sharing = if is_private { MapFlags::PRIVATE } else { MapFlags::SHARED };
        let request = Request {
            len,
            protection: ProtFlags::READ,
            flags: sharing | self.flags(),
            placement: self.placement,
        };
        let origin =
            Origin { object, file: Some(file), file_offset: self.offset, is_file_s: is_readable };
        let body = Body::map_pages(request, origin, page).map_err(|(_, error)| error)?;
        Ok(ReadOnlySharedMap { body, len, lasting: Lasting::WhenSealed, is_private })
    }
}

impl ReadOnlySharedMap {
    /// Maps an open file to be read.
    ///
    /// # Errors
    ///
    /// As [`Options::shared_file_read_only`].
    pub fn from_file(file: impl Into<OwnedFd>) -> Result<ReadOnlySharedMap> {
        Options::new().shared_file_read_only(file)
    }

    /// The file behind it, where there is one.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.body.origin.fd()
    }

    /// Lets it be written.
    ///
    /// # Errors
    ///
    /// What mprotect(2) reports, with the mapping: [`NotPermitted`](crate::ErrorKind::NotPermitted)
    /// where the file is open for reading only, or sealed.
    pub fn into_writable(self) -> Result<SharedMap, (ReadOnlySharedMap, Error)> {
        let ReadOnlySharedMap { body, len, lasting, is_private } = self;
        if is_private {
            let error = body.refused(Operation::Protect, &(0..len), Errno::ACCESS);
            return Err((ReadOnlySharedMap { body, len, lasting, is_private }, error));
        }
        match body.protect(Protection::Read, Protection::ReadWrite) {
            Ok(body) => Ok(SharedMap::from_body(body, len, lasting)),
            Err((body, error)) => {
                Err((ReadOnlySharedMap { body, len, lasting, is_private }, error))
            }
        }
    }

    /// Unmaps it and says whether that worked, which dropping it cannot.
    ///
    /// # Errors
    ///
    /// What munmap(2) reports, with the mapping.
    pub fn unmap(self) -> Result<(), (ReadOnlySharedMap, Error)> {
        let ReadOnlySharedMap { body, len, lasting, is_private } = self;
        body.unmap()
            .map_err(|(body, error)| (ReadOnlySharedMap { body, len, lasting, is_private }, error))
    }
}

impl SharedMap {
    /// Lets it be read only; it keeps its length from now on.
    ///
    /// # Errors
    ///
    /// What mprotect(2) reports, with the mapping.
    pub fn into_read_only(self) -> Result<ReadOnlySharedMap, (SharedMap, Error)> {
        let len = self.len();
        let SharedMap { body, lasting, .. } = self;
        match body.protect(Protection::ReadWrite, Protection::Read) {
            Ok(body) => Ok(ReadOnlySharedMap { body, len, lasting, is_private: false }),
            Err((body, error)) => Err((SharedMap::from_body(body, len, lasting), error)),
        }
    }
}

impl Access for ReadOnlySharedMap {
    #[inline]
    fn view(&self) -> View<'_> {
        let ptr = self.body.ptr().as_ptr();
        // SAFETY: the span stays mapped while `self` is borrowed, and has `len` bytes; the
        // dispatcher stands (the body's invariant 1).
        unsafe { View::new(ptr, self.len, Via::Guarded, &self.body.origin) }
    }
}

impl HasBody for ReadOnlySharedMap {
    #[allow(private_interfaces, reason = "sealed")]
    fn body(&self) -> &Body {
        &self.body
    }
}

// SAFETY: the body owns its pages for the value's life (0); nothing makes references (1); the view
// begins where the body does (2).
unsafe impl Mapping for ReadOnlySharedMap {
    fn as_ptr(&self) -> *const u8 {
        self.body.ptr().as_ptr()
    }

    fn sharing(&self) -> Sharing {
        if self.body.origin.file.is_some() { Sharing::File } else { Sharing::Shared }
    }

    fn protection(&self) -> Protection {
        Protection::Read
    }
}

impl fmt::Debug for ReadOnlySharedMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReadOnlySharedMap")
            .field("object", &self.body.origin.object)
            .field("ptr", &self.body.ptr())
            .field("len", &self.len)
            .finish()
    }
}
