//! Memory that the kernel removes from its own map: out of reach of what reads memory through the
//! kernel, of debuggers, of swap and of core dumps.
//!
//! # Invariants
//!
//! 0. In the process that made it, `here` holds a 1; in every process forked from it, a 0, since
//!    its page is wiped on fork. There the pages are not mapped and the addresses may be somebody
//!    else's, so nothing but `is_here` is done with them.
//! 1. No reference to the bytes is made by safe code.
//!
//! It does not zero its bytes when it is dropped: the kernel does that when it takes the pages
//! back.
//!
//! # Safety
//!
//! Unsafe code lends writable windows of pages that no reference points to, gives advice that
//! concerns children only, and vouches for the mapping.
#![allow(unsafe_code, reason = "lends windows, and implements an unsafe trait")]

use crate::access::{Access, AccessMut, View, ViewMut};
use crate::anon::AnonMap;
use crate::body::Body;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::mapping::{Mapping, Protection, Sharing};
use crate::object::Object;
use crate::options::{Options, Wish};
use crate::origin::Origin;
use crate::pages::{self, sealed::HasBody};
use crate::span::Request;
use bifolio_sys::fs;
use bifolio_sys::mm::{self, Advice as RawAdvice, MapFlags, ProtFlags};
use bifolio_sys::page::page_size;
use bifolio_sys::signal::without_sigxfsz;
use core::fmt;
use core::mem;

/// Memory for keys: not in the kernel's own map, never in swap or a core dump, not inherited by
/// children; counted against `RLIMIT_MEMLOCK`.
///
/// System calls that reach memory through the kernel's map are refused, so
/// [`by_syscall`](View::by_syscall) is an error here. In a forked child it has no bytes; a view
/// that was lent before must not be used there, for which whoever forks answers. `Send` and `Sync`.
///
/// # Examples
///
/// ```
/// use bifolio_map::{Access, AccessMut, ErrorKind, SecretMap};
///
/// match SecretMap::new(32) {
///     Ok(key) => {
///         key.write_all_at(b"correct horse", 0)?;
///         assert_eq!(key.load::<u8>(0)?, b'c');
///     }
///     Err(error) => eprintln!("{error}"),
/// }
/// # Ok::<(), bifolio_map::Error>(())
/// ```
///
/// # References
///
/// memfd_secret(2), Linux 5.14; on by default since 6.5.
pub struct SecretMap {
    body: Body,
    /// What stands for `body` where that is not mapped.
    absent: Body,
    here: AnonMap,
}

impl Options {
    /// Maps `len` bytes of zeroed secret memory.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](ErrorKind::Unsupported) on a kernel that has none or has it switched off,
    /// [`NoMemory`](ErrorKind::NoMemory) beyond `RLIMIT_MEMLOCK`, and what else memfd_secret(2) and
    /// mmap(2) report; [`Invalid`](ErrorKind::Invalid) for what it cannot have, as guard pages.
    pub fn secret(&self, len: usize) -> Result<SecretMap> {
        let object = Object::SecretMemory;
        self.only(&[Wish::Residency], &object)?;
        let fail = |errno| Error::from_errno(Operation::Map, &object, errno);
        let too_large = || Error::new(Operation::Map, &object, ErrorKind::TooLarge);
        let mut here = AnonMap::new(1)?;
        here[0] = 1;
        here.wipe_on_fork(0..1)?;
        let file = mm::memfd_secret().map_err(fail)?;
        let file_len = page_size().round_up(len).ok_or_else(too_large)? as u64;
        without_sigxfsz(|| fs::ftruncate(&file, file_len)).map_err(|errno| match i64::try_from(
            file_len,
        ) {
            Ok(_) => fail(errno),
            Err(_) => too_large(),
        })?;
        let origin =
            Origin { object: object.clone(), file: Some(file), file_offset: 0, is_file_s: false };
        let request = Request {
            len,
            protection: ProtFlags::READ | ProtFlags::WRITE,
            flags: MapFlags::SHARED | self.flags(),
            placement: self.placement,
        };
        let body = Body::map(request, origin)?;
        pages::advise(&body, &(0..len), RawAdvice::DontFork)
            .map_err(|error| error.with_operation(Operation::Map))?;
        // The file is closed: its name in /proc would be another way in.
        let (delta, page) = (body.delta(), body.page());
        let (span, _) = body.into_parts();
        let body = Body::from_parts(span, delta, len, page, Origin::without_file(object));
        Ok(SecretMap { body, absent: absent(), here })
    }
}

/// A body without bytes.
fn absent() -> Body {
    Body::unmapped(0, Origin::without_file(Object::SecretMemory))
}

impl SecretMap {
    /// Maps `len` bytes of zeroed secret memory.
    ///
    /// # Errors
    ///
    /// As [`Options::secret`].
    pub fn new(len: usize) -> Result<SecretMap> {
        Options::new().secret(len)
    }

    /// Whether this is the process that made it.
    fn is_here(&self) -> bool {
        self.here.load(0) == Ok(1_u8)
    }

    /// Unmaps it and says whether that worked, which dropping it cannot.
    ///
    /// # Errors
    ///
    /// What munmap(2) reports, with the mapping.
    pub fn unmap(mut self) -> Result<(), (SecretMap, Error)> {
        if !self.is_here() {
            return Ok(());
        }
        match mem::replace(&mut self.body, absent()).unmap() {
            Ok(()) => Ok(()),
            Err((body, error)) => {
                self.body = body;
                Err((self, error))
            }
        }
    }
}

impl Drop for SecretMap {
    fn drop(&mut self) {
        if !self.is_here()
            && let (Some(span), _) = mem::replace(&mut self.body, absent()).into_parts()
        {
            // Not mapped here, and what is at its addresses may be somebody else's.
            let _ = span.into_raw();
        }
    }
}

impl HasBody for SecretMap {
    #[allow(private_interfaces, reason = "sealed")]
    fn body(&self) -> &Body {
        if self.is_here() { &self.body } else { &self.absent }
    }
}

impl Access for SecretMap {
    fn view(&self) -> View<'_> {
        self.body().view()
    }
}

impl AccessMut for SecretMap {
    fn view_mut(&self) -> ViewMut<'_> {
        // SAFETY: the pages are writable, and no reference to them is ever made (invariant 1).
        unsafe { self.body().view_mut() }
    }
}

// SAFETY: the body owns its pages for the value's life, and in a child there are no bytes (0); no
// references are made (1); the view covers all bytes (2).
unsafe impl Mapping for SecretMap {
    fn as_ptr(&self) -> *const u8 {
        self.body().ptr().as_ptr()
    }

    fn sharing(&self) -> Sharing {
        Sharing::Private
    }

    fn protection(&self) -> Protection {
        Protection::ReadWrite
    }
}

impl fmt::Debug for SecretMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let body = self.body();
        f.debug_struct("SecretMap").field("ptr", &body.ptr()).field("len", &body.len()).finish()
    }
}
