//! Guarded access to one word, atomic: what `core::sync::atomic` does, on memory that can go away.
//!
//! # Safety
//!
//! Unsafe code calls the assembly with raw pointers, under invariants 1 and 2 of the parent module.
#![allow(unsafe_code, reason = "calls of assembly with raw pointers; see the parent module")]

use super::{Fault, asm};

mod sealed {
    pub trait Sealed {}
}

/// An integer that the CPU loads, stores and changes atomically: `u8`, `u16`, `u32` or `u64`.
/// Sealed.
///
/// A load is an acquire and a store a release; the rest is sequentially consistent, as of
/// `core::sync::atomic`, and pairs with any atomic access of that size, by whatever language or
/// process.
///
/// # Errors
///
/// Every method returns [`Fault`] if the word can not be accessed; then nothing was changed. A
/// pointer that is not a multiple of the word's size makes the access not atomic, or a fault
/// ([`Cause::Misaligned`](super::Cause::Misaligned)).
///
/// # Safety
///
/// Every method that writes is for memory that the caller may write: no Rust reference or object
/// that relies on those bytes is alive, atomics excepted. Whether it is mapped is no matter once
/// [`fault::install`](crate::fault) was called.
///
/// ```
/// # use bifolio_sys::guard::{self, Word};
/// # if !guard::available() { return; }
/// let mut counter = 40_u64;
/// let counter = &raw mut counter;
/// // SAFETY: `counter` points to a local variable, and nothing else refers to it.
/// assert_eq!(unsafe { u64::fetch_add(counter, 2) }, Ok(40));
/// // SAFETY: as above.
/// assert_eq!(unsafe { u64::load(counter) }, Ok(42));
/// ```
#[allow(
    clippy::missing_safety_doc,
    clippy::missing_errors_doc,
    reason = "said once, for the whole trait"
)]
pub trait Word: Copy + Eq + sealed::Sealed {
    /// Reads the word (acquire: pairs with a [`store`](Self::store) or stronger).
    unsafe fn load(ptr: *const Self) -> Result<Self, Fault>;
    /// Writes the word (release: pairs with a [`load`](Self::load) or stronger).
    unsafe fn store(ptr: *mut Self, value: Self) -> Result<(), Fault>;
    /// Writes the word (sequentially consistent).
    unsafe fn store_seqcst(ptr: *mut Self, value: Self) -> Result<(), Fault>;
    /// Writes the word and returns the one before.
    unsafe fn swap(ptr: *mut Self, value: Self) -> Result<Self, Fault>;
    /// Adds, wrapping around, and returns the word before.
    unsafe fn fetch_add(ptr: *mut Self, value: Self) -> Result<Self, Fault>;
    /// Keeps the bits that `value` has too, and returns the word before.
    unsafe fn fetch_and(ptr: *mut Self, value: Self) -> Result<Self, Fault>;
    /// Sets the bits of `value`, and returns the word before.
    unsafe fn fetch_or(ptr: *mut Self, value: Self) -> Result<Self, Fault>;
    /// Inverts the bits of `value`, and returns the word before.
    unsafe fn fetch_xor(ptr: *mut Self, value: Self) -> Result<Self, Fault>;
    /// Writes `new` if the word is `current`: the word before, as `Ok` if it was replaced and as
    /// `Err` if not. Where the word may only be read, another word is `Err` or a fault, as the CPU
    /// has it: x86-64 writes back what it found, aarch64 does not.
    unsafe fn compare_exchange(
        ptr: *mut Self,
        current: Self,
        new: Self,
    ) -> Result<Result<Self, Self>, Fault>;
}

macro_rules! words {
    ($($word:ident),*) => {$(
        impl sealed::Sealed for $word {}

        impl Word for $word {
            #[inline]
            unsafe fn load(ptr: *const Self) -> Result<Self, Fault> {
                // SAFETY: the parent module's invariant 1: it only reads the word.
                unsafe { asm::$word::load(ptr) }.into_word().map(|word| word as Self)
            }

            #[inline]
            unsafe fn store(ptr: *mut Self, value: Self) -> Result<(), Fault> {
                // SAFETY: the parent module's invariant 1, and the caller may write the word.
                unsafe { asm::$word::store(ptr, value) }.into_word().map(drop)
            }

            #[inline]
            unsafe fn store_seqcst(ptr: *mut Self, value: Self) -> Result<(), Fault> {
                // SAFETY: the same contract.
                unsafe { Self::swap(ptr, value) }.map(drop)
            }

            words!(@fetch $word: swap fetch_add fetch_and fetch_or fetch_xor);

            #[inline]
            unsafe fn compare_exchange(
                ptr: *mut Self,
                current: Self,
                new: Self,
            ) -> Result<Result<Self, Self>, Fault> {
                // SAFETY: the parent module's invariant 1, and the caller may write the word.
                let before = unsafe { asm::$word::compare_exchange(ptr, current, new) };
                let before = before.into_word()? as Self;
                Ok(if before == current { Ok(before) } else { Err(before) })
            }
        }
    )*};
    (@fetch $word:ident: $($name:ident)*) => {$(
        #[inline]
        unsafe fn $name(ptr: *mut Self, value: Self) -> Result<Self, Fault> {
            // SAFETY: the parent module's invariant 1, and the caller may write the word.
            unsafe { asm::$word::$name(ptr, value) }.into_word().map(|word| word as Self)
        }
    )*};
}

words!(u8, u16, u32, u64);
