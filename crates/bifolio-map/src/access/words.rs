//! Values of plain types in memory that others may change: in one piece where the CPU can.
//!
//! # Safety
//!
//! Unsafe code hands pointers to one word to the guarded assembly, after the bounds and the
//! alignment were checked.
#![allow(unsafe_code, reason = "guarded loads and stores by pointer")]

use super::{Via, View, ViewMut};
use crate::error::{Operation, Result};
use bifolio_sys::guard::Word;
use core::mem::MaybeUninit;
use zerocopy::{FromBytes, Immutable, IntoBytes};

impl View<'_> {
    /// Reads a value of any plain type at `offset`.
    ///
    /// A value of 1, 2, 4 or 8 bytes at an address that is a multiple of its size is read in one
    /// piece (acquire); others, and all of [`by_syscall`](Self::by_syscall), byte by byte in no
    /// particular order.
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
        let size = size_of::<T>();
        self.check(Operation::Read, offset, size)?;
        let mut value = MaybeUninit::<T>::uninit();
        let target = value.as_mut_ptr().cast::<u8>();
        let is_word = self.is_word(offset, size);
        match size {
            // SAFETY: the range was checked, the word is aligned, and `target` has room for it.
            1 if is_word => unsafe { self.load_word::<u8>(target, offset) },
            // SAFETY: as above.
            2 if is_word => unsafe { self.load_word::<u16>(target, offset) },
            // SAFETY: as above.
            4 if is_word => unsafe { self.load_word::<u32>(target, offset) },
            // SAFETY: as above.
            8 if is_word => unsafe { self.load_word::<u64>(target, offset) },
            // SAFETY: the range was checked, and `target` has room for a `T`.
            _ => unsafe { self.fetch(target, offset, size) },
        }?;
        // SAFETY: all bytes of the value were written, and any bytes are a `T`.
        Ok(unsafe { value.assume_init() })
    }

    /// Loads one word into `target`.
    ///
    /// # Safety
    ///
    /// The word lies within the view, aligned; the view is guarded; `target` has room for it.
    #[inline]
    unsafe fn load_word<W: Word>(&self, target: *mut u8, offset: usize) -> Result<()> {
        let source = self.address(offset).cast::<W>();
        // SAFETY: the caller's promise.
        let load = |_| unsafe { W::load(source) };
        let word = self.guarded(Operation::Read, offset, size_of::<W>(), load)?;
        // SAFETY: the caller's promise; the target need not be aligned.
        unsafe { target.cast::<W>().write_unaligned(word) };
        Ok(())
    }

    /// Whether `size` bytes at `offset` are reached by the assembly, and aligned.
    #[inline]
    fn is_word(&self, offset: usize, size: usize) -> bool {
        self.via == Via::Guarded && self.address(offset).addr().is_multiple_of(size.max(1))
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
        self.check(Operation::Write, offset, bytes.len())?;
        let is_word = self.is_word(offset, bytes.len());
        match *bytes {
            // SAFETY: the range was checked, and the word is aligned.
            [a] if is_word => unsafe { self.store_word(a, offset) },
            [a, b] if is_word => {
                // SAFETY: as above.
                unsafe { self.store_word(u16::from_ne_bytes([a, b]), offset) }
            }
            [a, b, c, d] if is_word => {
                // SAFETY: as above.
                unsafe { self.store_word(u32::from_ne_bytes([a, b, c, d]), offset) }
            }
            [a, b, c, d, e, f, g, h] if is_word => {
                let word = u64::from_ne_bytes([a, b, c, d, e, f, g, h]);
                // SAFETY: as above.
                unsafe { self.store_word(word, offset) }
            }
            _ => self.write_all_at(bytes, offset),
        }
    }

    /// Stores one word.
    ///
    /// # Safety
    ///
    /// The word lies within the window, aligned; the window is guarded.
    #[inline]
    unsafe fn store_word<W: Word>(&self, word: W, offset: usize) -> Result<()> {
        let target = self.address(offset).cast::<W>();
        // SAFETY: the caller's promise.
        self.guarded(Operation::Write, offset, size_of::<W>(), |_| unsafe {
            W::store(target, word)
        })
    }
}
