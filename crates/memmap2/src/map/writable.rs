//! The maps that are written: as a slice, or by pointers alone.
//!
//! # Safety
//!
//! Derefs to bytes for which the caller of an unsafe constructor answers.
#![allow(unsafe_code, reason = "the emulated interface is unsafe, and derefs to a slice")]

use super::common::{common, flushes, slice};
use super::inner::Inner;
use super::{Mmap, MmapAsRawDesc, MmapOptions};
use bifolio_map::Protection;
use std::io;
use std::ops::DerefMut;

/// A file or memory, as bytes that are read and written.
///
/// The file may be closed once it is mapped. `Send` and `Sync`.
///
/// # Safety
///
/// See [`MmapOptions`].
pub struct MmapMut {
    pub(super) inner: Inner,
}

common!(MmapMut);
flushes!(MmapMut);
slice!(MmapMut);

impl MmapMut {
    /// Maps all of a file to be read and written.
    ///
    /// # Errors
    ///
    /// As [`MmapOptions::map_mut`].
    ///
    /// # Safety
    ///
    /// As [`MmapOptions::map_mut`].
    pub unsafe fn map_mut<T: MmapAsRawDesc>(file: T) -> io::Result<MmapMut> {
        // SAFETY: the caller's promise.
        unsafe { MmapOptions::new().map_mut(file) }
    }

    /// Maps so many bytes of memory, all zero.
    ///
    /// # Errors
    ///
    /// As [`MmapOptions::map_anon`].
    pub fn map_anon(length: usize) -> io::Result<MmapMut> {
        MmapOptions::new().len(length).map_anon()
    }

    /// Makes it read-only.
    ///
    /// # Errors
    ///
    /// What mprotect(2) reports.
    pub fn make_read_only(mut self) -> io::Result<Mmap> {
        self.inner.protect(Protection::Read)?;
        Ok(Mmap { inner: self.inner })
    }

    /// Makes it executable and read-only.
    ///
    /// On CPUs with caches of their own for instructions, such as aarch64, what was written must be
    /// made visible to them before it is run.
    ///
    /// # Errors
    ///
    /// What mprotect(2) reports: `EACCES` for a file on a file system mounted without execution.
    pub fn make_exec(mut self) -> io::Result<Mmap> {
        self.inner.protect(Protection::ReadExec)?;
        Ok(Mmap { inner: self.inner })
    }
}

impl DerefMut for MmapMut {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `deref`, and the pages are mapped to be written; `&mut self` is the only
        // way in from this process, and for others the caller of the constructor has promised.
        unsafe { std::slice::from_raw_parts_mut(self.inner.ptr(), self.inner.len()) }
    }
}

impl AsMut<[u8]> for MmapMut {
    #[inline]
    fn as_mut(&mut self) -> &mut [u8] {
        self
    }
}

/// A file, as an address and a length: it makes no reference to the bytes.
///
/// `Send` and `Sync`.
pub struct MmapRaw {
    pub(super) inner: Inner,
}

common!(MmapRaw);
flushes!(MmapRaw);

impl MmapRaw {
    /// Maps all of a file to be read and written by pointers.
    ///
    /// # Errors
    ///
    /// As [`MmapOptions::map_raw`].
    pub fn map_raw<T: MmapAsRawDesc>(file: T) -> io::Result<MmapRaw> {
        MmapOptions::new().map_raw(file)
    }

    /// The address of the first byte.
    #[inline]
    pub fn as_ptr(&self) -> *const u8 {
        self.inner.ptr()
    }

    /// The address of the first byte, to write: that the map permits it is the caller's to know.
    #[inline]
    pub fn as_mut_ptr(&self) -> *mut u8 {
        self.inner.ptr()
    }

    /// The length in bytes, as it was mapped.
    #[inline]
    #[allow(clippy::len_without_is_empty, reason = "the emulated type has no more")]
    pub fn len(&self) -> usize {
        self.inner.len()
    }
}

impl From<Mmap> for MmapRaw {
    fn from(map: Mmap) -> Self {
        MmapRaw { inner: map.inner }
    }
}

impl From<MmapMut> for MmapRaw {
    fn from(map: MmapMut) -> Self {
        MmapRaw { inner: map.inner }
    }
}
