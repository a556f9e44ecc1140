//! The place of the assembly on a CPU that it was not written for, and under Miri: every function
//! fails and touches nothing.
//!
//! # Safety
//!
//! The functions are unsafe because those are whose place they take. They touch nothing.
#![allow(unsafe_code, reason = "the functions are unsafe as those are whose place they take")]

use super::FaultCode;

pub(super) const AVAILABLE: bool = false;

/// What each function returns.
pub(super) struct Ret {
    pub(super) value: usize,
    pub(super) fault: usize,
}

const NOTHING: Ret = Ret { value: 0, fault: FaultCode::NO_ASSEMBLY };

pub(super) unsafe fn copy(_: *mut u8, _: *const u8, _: usize) -> Ret {
    NOTHING
}

pub(super) unsafe fn copy_streaming(_: *mut u8, _: *const u8, _: usize) -> Ret {
    NOTHING
}

pub(super) unsafe fn fill(_: *mut u8, _: u8, _: usize) -> Ret {
    NOTHING
}

pub(super) unsafe fn compare(_: *const u8, _: *const u8, _: usize) -> Ret {
    NOTHING
}

pub(super) unsafe fn find_byte(_: *const u8, _: u8, _: usize) -> Ret {
    NOTHING
}

pub(super) unsafe fn find_pair(_: *const u8, _: u32, _: usize, _: usize) -> Ret {
    NOTHING
}

macro_rules! word_functions {
    ($($word:ident),*) => {$(
        pub(super) mod $word {
            use super::{NOTHING, Ret};

            pub(in super::super) unsafe fn load(_: *const $word) -> Ret {
                NOTHING
            }
            word_functions!(@write $word: store swap fetch_add fetch_and fetch_or fetch_xor);

            pub(in super::super) unsafe fn compare_exchange(
                _: *mut $word, _: $word, _: $word,
            ) -> Ret {
                NOTHING
            }
        }
    )*};
    (@write $word:ident: $($name:ident)*) => {$(
        pub(in super::super) unsafe fn $name(_: *mut $word, _: $word) -> Ret {
            NOTHING
        }
    )*};
}

word_functions!(u8, u16, u32, u64);

pub(crate) fn resume_at(_: usize) -> Option<usize> {
    None
}
