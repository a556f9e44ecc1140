//! Values of plain types in memory that others may change: in one piece where the CPU can.
//!
//! # Safety
//!
//! Unsafe code hands pointers to one word to the guarded assembly, after the bounds and the
//! alignment were checked.
#![allow(unsafe_code, reason = "guarded loads and stores by pointer")]

use super::{Via, View, ViewMut};
use crate::error::{Operation, Result};
use bifolio_sys::guard::{Fault, Word};
use core::mem::MaybeUninit;
use zerocopy::{FromBytes, Immutable, IntoBytes};

impl View<'_> {
    /// Reads a value of any plain type at `offset`.
    ///
    /// A value of 1, 2, 4 or 8 bytes at an address that is a multiple of its size is read in one
    /// piece (acquire); others, all of [`by_syscall`](Self::by_syscall), and what is not mapped or
    /// cannot be, byte by byte in no particular order.
    ///
    /// # Errors
    ///
    /// As [`read_exact_at`](Self::read_exact_at).
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::{Access, FileMap};
    ///
    /// let map = FileMap::open("Cargo.toml")?;
    /// assert_eq!(map.view().load::<[u8; 4]>(1)?, *b"pack");
    /// assert_eq!(map.view().load::<u32>(0)?, u32::from_ne_bytes(*b"[pac"));
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    #[inline]
    pub fn load<T: FromBytes>(&self, offset: usize) -> Result<T> {
        if self.has_word(offset, size_of::<T>()) {
            // SAFETY: just checked.
            if let Ok(value) = unsafe { load_word(self.address(offset)) } {
                return Ok(value);
            }
        }
        self.load_slowly(offset)
    }

    /// Everything that [`load`](Self::load) does, and not only what is fast.
    #[inline(never)]
    fn load_slowly<T: FromBytes>(&self, offset: usize) -> Result<T> {
        let size = size_of::<T>();
        self.check(Operation::Read, offset, size)?;
        if self.has_word(offset, size) {
            // SAFETY: just checked.
            let load = |_| unsafe { load_word(self.address(offset)) };
            return self.guarded_read(offset, size, load, |file, _| file.load_slowly(offset));
        }
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: the range was checked, and the value has room for a `T`.
        unsafe { self.fetch(value.as_mut_ptr().cast(), offset, size) }?;
        // SAFETY: all bytes of the value were written, and any bytes are a `T`.
        Ok(unsafe { value.assume_init() })
    }

    /// Brings the page of the byte at `offset` in by reading it: no system call stands in for that.
    pub(crate) fn touch(&self, offset: usize) -> Result<()> {
        self.check(Operation::Read, offset, 1)?;
        if self.via != Via::Guarded {
            return self.load::<u8>(offset).map(drop);
        }
        self.guarded(Operation::Read, offset, 1, move |_| {
            // SAFETY: within the view and guarded, as was just checked.
            unsafe { load_word::<u8>(self.address(offset)) }.map(drop)
        })
    }

    /// Whether the `size` bytes at `offset` lie within the view, are reached by the assembly, and
    /// make an aligned word.
    #[inline]
    fn has_word(&self, offset: usize, size: usize) -> bool {
        matches!(size, 1 | 2 | 4 | 8)
            && self.via == Via::Guarded
            && offset <= self.len()
            && size <= self.len() - offset
            && self.address(offset).addr().is_multiple_of(size)
    }
}

impl ViewMut<'_> {
    /// Writes a value of any plain type at `offset`.
    ///
    /// A value of 1, 2, 4 or 8 bytes at an address that is a multiple of its size is written in one
    /// piece (release); others, and all of [`by_syscall`](Self::by_syscall), byte by byte in no
    /// particular order.
    ///
    /// # Errors
    ///
    /// As [`write_all_at`](Self::write_all_at).
    #[inline]
    pub fn store<T: IntoBytes + Immutable>(&self, value: &T, offset: usize) -> Result<()> {
        let bytes = value.as_bytes();
        if self.has_word(offset, bytes.len()) {
            // SAFETY: just checked.
            if unsafe { store_word(self.address(offset), bytes) }.is_ok() {
                return Ok(());
            }
        }
        self.store_slowly(bytes, offset)
    }

    /// Everything that [`store`](Self::store) does, and not only what is fast.
    #[inline(never)]
    fn store_slowly(&self, bytes: &[u8], offset: usize) -> Result<()> {
        if !self.has_word(offset, bytes.len()) {
            return self.write_all_at(bytes, offset);
        }
        self.guarded(Operation::Write, offset, bytes.len(), move |_| {
            // SAFETY: just checked.
            unsafe { store_word(self.address(offset), bytes) }
        })
    }
}

/// Loads a `T` of 1, 2, 4 or 8 bytes in one piece.
///
/// # Safety
///
/// The `T` lies within a guarded view, at a multiple of its size.
#[inline]
unsafe fn load_word<T: FromBytes>(source: *const u8) -> Result<T, Fault> {
    let mut value = MaybeUninit::<T>::uninit();
    let target = value.as_mut_ptr();
    match size_of::<T>() {
        // SAFETY: the caller's promise, and the target has room for a `T`.
        1 => unsafe { move_word::<u8>(source.cast(), target.cast()) },
        // SAFETY: as above.
        2 => unsafe { move_word::<u16>(source.cast(), target.cast()) },
        // SAFETY: as above.
        4 => unsafe { move_word::<u32>(source.cast(), target.cast()) },
        // SAFETY: as above.
        8 => unsafe { move_word::<u64>(source.cast(), target.cast()) },
        size => unreachable!("a word of {size} bytes"),
    }?;
    // SAFETY: all bytes of the value were written, and any bytes are a `T`.
    Ok(unsafe { value.assume_init() })
}

/// Loads a word and writes it to `target`, which need not be aligned.
///
/// # Safety
///
/// The word lies within a guarded view, aligned; `target` can be written.
#[inline]
unsafe fn move_word<W: Word>(source: *const W, target: *mut W) -> Result<(), Fault> {
    // SAFETY: the caller's promise.
    let word = unsafe { W::load(source) }?;
    // SAFETY: the caller's promise.
    unsafe { target.write_unaligned(word) };
    Ok(())
}

/// Stores 1, 2, 4 or 8 bytes in one piece.
///
/// # Safety
///
/// They have room within a guarded view that can be written, at a multiple of their length.
#[inline]
unsafe fn store_word(target: *mut u8, bytes: &[u8]) -> Result<(), Fault> {
    match *bytes {
        // SAFETY: the caller's promise.
        [a] => unsafe { u8::store(target, a) },
        // SAFETY: as above.
        [a, b] => unsafe { u16::store(target.cast(), u16::from_ne_bytes([a, b])) },
        // SAFETY: as above.
        [a, b, c, d] => unsafe { u32::store(target.cast(), u32::from_ne_bytes([a, b, c, d])) },
        [a, b, c, d, e, f, g, h] => {
            let word = u64::from_ne_bytes([a, b, c, d, e, f, g, h]);
            // SAFETY: as above.
            unsafe { u64::store(target.cast(), word) }
        }
        _ => unreachable!("a word of {} bytes", bytes.len()),
    }
}
