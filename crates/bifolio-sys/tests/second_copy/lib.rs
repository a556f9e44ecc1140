//! The crate once more, in a shared library: a plugin that was built apart brings its own copy,
//! with its own assembly, table and dispatcher. `tests/fault/copies.rs` loads it.
//!
//! # Safety
//!
//! Unsafe code exports functions by name, and loads from where the caller says.
#![allow(unsafe_code, reason = "functions exported by name, and one guarded load")]

use bifolio_sys::fault;
use bifolio_sys::guard::Word;

/// Installs this copy's dispatcher; whether that succeeded.
#[unsafe(no_mangle)]
pub extern "C" fn second_copy_install() -> bool {
    fault::install().is_ok()
}

/// The signal that a guarded load by this copy met, or 0.
///
/// # Safety
///
/// As for [`Word`].
#[unsafe(no_mangle)]
pub unsafe extern "C" fn second_copy_load(ptr: *const u64) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { u64::load(ptr) }.map_or_else(|fault| fault.code.signal(), |_| 0)
}
