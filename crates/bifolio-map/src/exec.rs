//! Machine code in memory: written first, executed then, never both at once.
//!
//! # Invariants
//!
//! 0. The body is that of an `AnonMap`, with all that it promises, and its pages can be read and
//!    executed, not written.
//! 1. The instruction caches agree with the bytes.
//!
//! What the bytes do when they are called is the caller's matter.
//!
//! # Safety
//!
//! Unsafe code makes slices of readable pages (invariant 0), and function pointers into them as the
//! caller promises.
#![allow(unsafe_code, reason = "slices and function pointers of owned pages")]

use crate::anon::AnonMap;
use crate::body::Body;
use crate::cut::halves;
use crate::error::{Error, Result};
use crate::kind::kind;
use crate::mapping::Protection;
use bifolio_sys::icache;
use core::ops::Deref;

/// An [`AnonMap`] whose bytes can be executed and read, not written.
///
/// `Send` and `Sync`.
///
/// # Examples
///
/// ```
/// use bifolio_map::AnonMap;
///
/// // What returns 42.
/// #[cfg(target_arch = "x86_64")]
/// let code = [0xb8, 42, 0, 0, 0, 0xc3];
/// #[cfg(target_arch = "aarch64")]
/// let code = [0x40, 0x05, 0x80, 0x52, 0xc0, 0x03, 0x5f, 0xd6];
/// let mut map = AnonMap::new(code.len())?;
/// map.copy_from_slice(&code);
/// let map = map.into_exec().map_err(|(_, error)| error)?;
/// // SAFETY: the code at 0 is a function without arguments that returns a u32, and `map` lives.
/// let function = unsafe { map.function::<extern "C" fn() -> u32>(0) };
/// assert_eq!(function(), 42);
/// # Ok::<(), bifolio_map::Error>(())
/// ```
///
/// # References
///
/// mprotect(2), `PROT_EXEC`.
pub struct ExecMap {
    body: Body,
}

kind!(ExecMap, Exclusive, ReadExec);
halves!(ExecMap);

impl AnonMap {
    /// Makes the bytes executable, and no longer writable.
    ///
    /// # Errors
    ///
    /// What mprotect(2) reports, with the mapping as it was:
    /// [`NotPermitted`](crate::ErrorKind::NotPermitted) where the system's policy forbids code that
    /// was written.
    ///
    /// # Panics
    ///
    /// As [`into_read_only`](Self::into_read_only).
    pub fn into_exec(self) -> Result<ExecMap, (AnonMap, Error)> {
        icache::synchronize(&self);
        match self.into_body().protect(Protection::ReadWrite, Protection::ReadExec) {
            Ok(body) => Ok(ExecMap { body }),
            Err((body, error)) => Err((AnonMap::from_body(body), error)),
        }
    }
}

impl ExecMap {
    /// Makes the bytes writable again, and no longer executable.
    ///
    /// # Errors
    ///
    /// As [`ReadOnlyMap::into_mut`](crate::ReadOnlyMap::into_mut).
    ///
    /// # Panics
    ///
    /// As [`AnonMap::into_read_only`].
    pub fn into_mut(self) -> Result<AnonMap, (ExecMap, Error)> {
        match self.body.protect(Protection::ReadExec, Protection::ReadWrite) {
            Ok(body) => Ok(AnonMap::from_body(body)),
            Err((body, error)) => Err((ExecMap { body }, error)),
        }
    }

    /// The function that begins at `offset`, as a function pointer of type `F`.
    ///
    /// # Panics
    ///
    /// Where `offset` lies outside, or `F` is not of the size of a pointer.
    ///
    /// # Safety
    ///
    /// `F` is a type of function pointers; the bytes from `offset` on are code that is sound to
    /// call as an `F` says; and nobody calls it after the map is dropped or made writable. A thread
    /// that has run other code at the same addresses calls it only after an instruction barrier
    /// (membarrier(2), `MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE`).
    pub unsafe fn function<F: Copy>(&self, offset: usize) -> F {
        assert!(offset < self.body.len(), "{offset} of {} bytes", self.body.len());
        assert_eq!(size_of::<F>(), size_of::<*const u8>(), "a function pointer is a pointer");
        let code: *const u8 = self.body.ptr().as_ptr().wrapping_add(offset);
        // SAFETY: the sizes agree (asserted above), and the caller promises that the pointer is one
        // to an `F`.
        unsafe { core::mem::transmute_copy(&code) }
    }
}

impl Deref for ExecMap {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        // SAFETY: the bytes are mapped, readable, initialised, and nobody writes them (invariant
        // 0).
        unsafe { core::slice::from_raw_parts(self.body.ptr().as_ptr(), self.body.len()) }
    }
}
