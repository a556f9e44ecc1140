//! The map that is read.
//!
//! # Safety
//!
//! Derefs to bytes for which the caller of an unsafe constructor answers.
#![allow(unsafe_code, reason = "the emulated interface is unsafe, and derefs to a slice")]

use super::common::{common, slice};
use super::inner::Inner;
use super::{MapIfSafeError, MmapAsRawDesc, MmapMut, MmapOptions};
use bifolio_map::Protection;
use std::io;

/// A file or memory, as bytes that are read.
///
/// The file may be closed once it is mapped. `Send` and `Sync`.
///
/// # Safety
///
/// See [`MmapOptions`].
pub struct Mmap {
    pub(super) inner: Inner,
}

common!(Mmap);
slice!(Mmap);

impl Mmap {
    /// Maps all of a file to be read.
    ///
    /// # Errors
    ///
    /// As [`MmapOptions::map`].
    ///
    /// # Safety
    ///
    /// As [`MmapOptions::map`].
    pub unsafe fn map<T: MmapAsRawDesc>(file: T) -> io::Result<Mmap> {
        // SAFETY: the caller's promise.
        unsafe { MmapOptions::new().map(file) }
    }

    /// Maps all of a file to be read, if nobody can change it any more.
    ///
    /// # Errors
    ///
    /// As [`MmapOptions::map_if_safe`].
    pub fn map_if_safe<T: MmapAsRawDesc>(file: T) -> Result<Mmap, MapIfSafeError> {
        MmapOptions::new().map_if_safe(file)
    }

    /// Makes it writable: the file must be open for that, or the map a private one.
    ///
    /// # Errors
    ///
    /// What mprotect(2) reports.
    pub fn make_mut(mut self) -> io::Result<MmapMut> {
        self.inner.protect(Protection::ReadWrite)?;
        Ok(MmapMut { inner: self.inner })
    }
}
