//! What may lie in memory that processes share, and how two programs know that they mean the same.
//!
//! # Safety
//!
//! The trait is unsafe to implement: others make references to what it is implemented for.
#![allow(unsafe_code, reason = "declares an unsafe trait and implements it for plain types")]

use core::mem::{align_of, size_of};
use core::sync::atomic::{
    AtomicBool, AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicU8, AtomicU16,
    AtomicU32, AtomicU64, AtomicUsize,
};

/// A type whose values may lie in memory that processes share, at different addresses in each.
///
/// `#[derive(Shared)]` implements it and checks all of this; write it by hand for nothing but
/// primitives.
///
/// # Safety
///
/// An implementer promises:
///
/// 0. The layout is fixed: `repr(C)`, `repr(transparent)`, an integer or a float; and no byte of it
///    is padding.
/// 1. It holds no pointer, no reference, no descriptor: nothing that means anything in one process
///    only. What it means does not depend on where it lies.
/// 2. Bytes of zeros are a value.
/// 3. It has no drop glue: the process that would run it may be killed.
/// 4. [`FINGERPRINT`](Self::FINGERPRINT) differs, as well as 64 bits can, for types that differ in
///    size, alignment, or the names, order or types of their fields.
///
/// # Examples
///
/// ```
/// use bifolio_sync::Shared;
///
/// assert_ne!(u32::FINGERPRINT, i32::FINGERPRINT);
/// assert_ne!(<[u32; 2]>::FINGERPRINT, <[u32; 3]>::FINGERPRINT);
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot lie in memory that processes share",
    label = "not `Shared`",
    note = "a type of your own becomes it by `#[derive(Shared)]`; pointers, references and what \
            owns memory mean something in one process only"
)]
pub unsafe trait Shared: Send + Sync + Sized + 'static {
    /// What tells this type from others.
    const FINGERPRINT: Fingerprint;
}

/// What tells a type, or a format, from others: 64 bits of FNV-1a over what it is made of.
///
/// # References
///
/// Fowler, Noll, Vo: [The FNV Non-Cryptographic Hash
/// Algorithm](https://www.rfc-editor.org/rfc/rfc9923.html).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint(u64);

impl Fingerprint {
    /// That of a name.
    #[must_use]
    pub const fn of(name: &str) -> Fingerprint {
        Fingerprint(0xcbf2_9ce4_8422_2325).bytes(name.as_bytes())
    }

    /// That of a type: its name, size and alignment.
    #[must_use]
    pub const fn of_type<T>(name: &str) -> Fingerprint {
        Self::of(name).number(size_of::<T>() as u64).number(align_of::<T>() as u64)
    }

    /// With a field of that name and type behind what there was.
    #[must_use]
    pub const fn field(self, name: &str, of: Fingerprint) -> Fingerprint {
        self.number(name.len() as u64).bytes(name.as_bytes()).number(of.0)
    }

    /// With a number behind what there was: a length, a discriminant.
    #[must_use]
    pub const fn number(self, number: u64) -> Fingerprint {
        self.bytes(&number.to_le_bytes())
    }

    /// The 64 bits.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }

    const fn bytes(mut self, bytes: &[u8]) -> Fingerprint {
        let mut index = 0;
        while index < bytes.len() {
            self.0 = (self.0 ^ bytes[index] as u64).wrapping_mul(0x100_0000_01b3);
            index += 1;
        }
        self
    }
}

macro_rules! plain {
    ($($plain:ty: $name:literal),* $(,)?) => {$(
        // SAFETY: a fixed layout without padding (0), which means the same everywhere (1), zero
        // among its values (2), nothing to drop (3); the name tells it from the others (4).
        unsafe impl Shared for $plain {
            const FINGERPRINT: Fingerprint = Fingerprint::of_type::<$plain>($name);
        }
    )*};
}

plain! {
    (): "()", bool: "bool", char: "char",
    u8: "u8", u16: "u16", u32: "u32", u64: "u64", u128: "u128", usize: "usize",
    i8: "i8", i16: "i16", i32: "i32", i64: "i64", i128: "i128", isize: "isize",
    f32: "f32", f64: "f64",
    AtomicBool: "AtomicBool", AtomicU32: "AtomicU32", AtomicU64: "AtomicU64",
    AtomicU8: "AtomicU8", AtomicU16: "AtomicU16", AtomicUsize: "AtomicUsize",
    AtomicI8: "AtomicI8", AtomicI16: "AtomicI16", AtomicI32: "AtomicI32",
    AtomicI64: "AtomicI64", AtomicIsize: "AtomicIsize",
}

// SAFETY: as its elements, one behind the other without a gap; the length is told.
unsafe impl<T: Shared, const N: usize> Shared for [T; N] {
    const FINGERPRINT: Fingerprint =
        Fingerprint::of_type::<Self>("array").field("", T::FINGERPRINT).number(N as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_tell_apart_what_differs() {
        let all = [
            u8::FINGERPRINT,
            i8::FINGERPRINT,
            bool::FINGERPRINT,
            <[u8; 0]>::FINGERPRINT,
            <[u8; 1]>::FINGERPRINT,
            <[[u8; 1]; 1]>::FINGERPRINT,
            <[i8; 1]>::FINGERPRINT,
            AtomicU32::FINGERPRINT,
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(!all[..index].contains(one), "{index}");
        }
        let base = Fingerprint::of("S");
        let swapped = base.field("b", u8::FINGERPRINT).field("a", u8::FINGERPRINT);
        assert_ne!(base.field("a", u8::FINGERPRINT).field("b", u8::FINGERPRINT), swapped);
        assert_ne!(base.field("ab", u8::FINGERPRINT), base.field("a", u8::FINGERPRINT));
    }

    #[test]
    fn the_hash_is_the_published_one() {
        // From the test vectors of the RFC.
        assert_eq!(Fingerprint::of("").bits(), 0xcbf29ce484222325);
        assert_eq!(Fingerprint::of("a").bits(), 0xaf63dc4c8601ec8c);
        assert_eq!(Fingerprint::of("foobar").bits(), 0x85944171f73967e8);
    }
}
