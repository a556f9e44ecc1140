//! `OffsetPtr`: a pointer to an object that means the same in every process.
//!
//! It is the number of an entry of the directory (high 24 bits) and the offset of the object in
//! units of 32 bytes (low 40 bits). Both together are asked of the directory each time, which knows
//! the type as well: so a pointer that was copied from another region, or outlived its object,
//! leads to an error and nowhere else.
//!
//! # Safety
//!
//! The type is what `Shared` asks for; it makes no reference itself.
#![allow(unsafe_code, reason = "implements an unsafe trait")]

use std::fmt;
use std::marker::PhantomData;

use bifolio_sync::{Fingerprint, Shared};

use crate::arena::GRAIN;
use crate::ground::Ground;
use crate::object::{Object, Objects};
use crate::object_error::ObjectResult;

const OFFSET_BITS: u32 = 40;

/// A pointer to an object of a region, for use inside of that region; zeros are null.
///
/// It does not keep the object: what it pointed to may have been removed.
#[repr(transparent)]
pub struct OffsetPtr<T> {
    bits: u64,
    to: PhantomData<fn() -> T>,
}

// SAFETY: a transparent u64 (0) that means the same everywhere (1), null at zero (2), nothing to
// drop (3), told from others by its name and by what it points to (4).
unsafe impl<T: Shared> Shared for OffsetPtr<T> {
    const FINGERPRINT: Fingerprint =
        Fingerprint::of_type::<Self>("OffsetPtr").field("", T::FINGERPRINT);
}

impl<T: Shared> OffsetPtr<T> {
    /// A pointer to nothing.
    pub const NULL: OffsetPtr<T> = OffsetPtr { bits: 0, to: PhantomData };

    /// A pointer to that object.
    ///
    /// # Panics
    ///
    /// The object lies 32 TiB or more from the beginning of its region.
    #[must_use]
    pub fn to(object: &Object<'_, T>) -> OffsetPtr<T> {
        let offset = object.offset() / GRAIN;
        assert!(offset < 1 << OFFSET_BITS, "an object at {}", object.offset());
        OffsetPtr { bits: u64::from(object.index()) << OFFSET_BITS | offset, to: PhantomData }
    }

    /// Whether it points to nothing.
    #[must_use]
    pub fn is_null(self) -> bool {
        self.bits == 0
    }

    /// The object, or `None` of null.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::ObjectErrorKind::NotFound) where the object was removed, or never was in
    /// this memory; [`OtherType`](crate::ObjectErrorKind::OtherType).
    pub fn get<'r>(self, ground: &'r impl Ground) -> ObjectResult<Option<Object<'r, T>>> {
        if self.is_null() {
            return Ok(None);
        }
        let offset = (self.bits & ((1 << OFFSET_BITS) - 1)) * GRAIN;
        let index = (self.bits >> OFFSET_BITS) as u32;
        Objects::of(ground).of_entry(index, offset).map(Some)
    }
}

impl<T> Clone for OffsetPtr<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for OffsetPtr<T> {}

impl<T> PartialEq for OffsetPtr<T> {
    fn eq(&self, other: &Self) -> bool {
        self.bits == other.bits
    }
}

impl<T> Eq for OffsetPtr<T> {}

impl<T> fmt::Debug for OffsetPtr<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OffsetPtr({:#x})", self.bits)
    }
}
