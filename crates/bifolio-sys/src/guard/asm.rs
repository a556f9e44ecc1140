//! The assembly: its inclusion, the names of its functions, and its table of instructions.
//!
//! # Safety
//!
//! Unsafe code declares the assembly's symbols and reads its table, which is read only.
//!
//! 1. `TABLE..TABLE_END` is a whole number of [`Entry`]s, at an alignment of 4.
#![allow(unsafe_code, reason = "declares the assembly's symbols and reads its table by pointer")]

use core::arch::global_asm;

#[cfg(target_arch = "aarch64")]
global_asm!(include_str!("aarch64.s"), options(raw));
#[cfg(target_arch = "x86_64")]
global_asm!(
    concat!(include_str!("x86_64.s"), include_str!("x86_64_pair.s"), include_str!("x86_64_word.s")),
    options(raw)
);

pub(super) const AVAILABLE: bool = true;

/// What each function returns, in two registers.
#[repr(C)]
pub(super) struct Ret {
    pub(super) value: usize,
    pub(super) fault: usize,
}

/// One guarded range: three distances from the entry's own address.
#[repr(C)]
struct Entry {
    start: i32,
    end: i32,
    resume: i32,
}

const _: () = assert!(size_of::<Entry>() == 12 && align_of::<Entry>() == 4);

unsafe extern "C" {
    // Arrays of no known length, as C would declare them: nothing lies at the ends.
    #[link_name = "bifolio_sys_0_1_guard_text_start"]
    static TEXT_START: [u8; 0];
    #[link_name = "bifolio_sys_0_1_guard_text_end"]
    static TEXT_END: [u8; 0];
    #[link_name = "bifolio_sys_0_1_guard_table"]
    static TABLE: [Entry; 0];
    #[link_name = "bifolio_sys_0_1_guard_table_end"]
    static TABLE_END: [Entry; 0];

    #[link_name = "bifolio_sys_0_1_copy"]
    pub(super) fn copy(dst: *mut u8, src: *const u8, len: usize) -> Ret;
    #[link_name = "bifolio_sys_0_1_copy_streaming"]
    pub(super) fn copy_streaming(dst: *mut u8, src: *const u8, len: usize) -> Ret;
    #[link_name = "bifolio_sys_0_1_fill"]
    pub(super) fn fill(dst: *mut u8, byte: u8, len: usize) -> Ret;
    #[link_name = "bifolio_sys_0_1_compare"]
    pub(super) fn compare(a: *const u8, b: *const u8, len: usize) -> Ret;
    #[link_name = "bifolio_sys_0_1_find_byte"]
    pub(super) fn find_byte(ptr: *const u8, byte: u8, len: usize) -> Ret;
    #[link_name = "bifolio_sys_0_1_find_pair"]
    pub(super) fn find_pair(ptr: *const u8, pair: u32, places: usize, distance: usize) -> Ret;
}

/// Declares the operations on one word of type `$word`, in a module of that name.
macro_rules! word_functions {
    ($($word:ident: $bits:literal),*) => {$(
        pub(super) mod $word {
            use super::Ret;

            unsafe extern "C" {
                #[link_name = concat!("bifolio_sys_0_1_load", $bits)]
                pub(in super::super) fn load(ptr: *const $word) -> Ret;
                #[link_name = concat!("bifolio_sys_0_1_store", $bits)]
                pub(in super::super) fn store(ptr: *mut $word, value: $word) -> Ret;
                #[link_name = concat!("bifolio_sys_0_1_swap", $bits)]
                pub(in super::super) fn swap(ptr: *mut $word, value: $word) -> Ret;
                #[link_name = concat!("bifolio_sys_0_1_fetch_add", $bits)]
                pub(in super::super) fn fetch_add(ptr: *mut $word, value: $word) -> Ret;
                #[link_name = concat!("bifolio_sys_0_1_fetch_and", $bits)]
                pub(in super::super) fn fetch_and(ptr: *mut $word, value: $word) -> Ret;
                #[link_name = concat!("bifolio_sys_0_1_fetch_or", $bits)]
                pub(in super::super) fn fetch_or(ptr: *mut $word, value: $word) -> Ret;
                #[link_name = concat!("bifolio_sys_0_1_fetch_xor", $bits)]
                pub(in super::super) fn fetch_xor(ptr: *mut $word, value: $word) -> Ret;
                #[link_name = concat!("bifolio_sys_0_1_compare_exchange", $bits)]
                pub(in super::super) fn compare_exchange(
                    ptr: *mut $word, expected: $word, new: $word,
                ) -> Ret;
            }
        }
    )*};
}

word_functions!(u8: "8", u16: "16", u32: "32", u64: "64");

/// Where a thread that faulted at `pc` goes on, if `pc` is in a guarded range: the caller sets the
/// program counter to it and puts [`FaultCode::pack`](super::FaultCode::pack) into the second
/// return register.
///
/// Async-signal-safe: it reads constants and its argument. It says nothing of *why* the thread is
/// there: a signal sent by `kill` (`si_code` not positive) can arrive at any instruction, and is no
/// fault.
pub(crate) fn resume_at(pc: usize) -> Option<usize> {
    if pc < (&raw const TEXT_START).addr() || pc >= (&raw const TEXT_END).addr() {
        return None;
    }
    let (first, end) = (&raw const TABLE, &raw const TABLE_END);
    let len = (end.addr() - first.addr()) / size_of::<Entry>();
    // SAFETY: invariant 1: `len` entries, initialised by the assembler and never written.
    let entries = unsafe { core::slice::from_raw_parts(first.cast::<Entry>(), len) };
    entries.iter().find_map(|entry| {
        let at = |distance: i32| (&raw const *entry).addr().wrapping_add_signed(distance as isize);
        (at(entry.start)..at(entry.end)).contains(&pc).then(|| at(entry.resume))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Versions that may be linked into one program have symbols of their own.
    #[test]
    fn symbols_carry_the_version() {
        let prefix = concat!(
            "\nbifolio_sys_",
            env!("CARGO_PKG_VERSION_MAJOR"),
            "_",
            env!("CARGO_PKG_VERSION_MINOR"),
            "_\\name:"
        );
        for source in [include_str!("x86_64.s"), include_str!("aarch64.s")] {
            assert!(source.contains(prefix), "{prefix}");
        }
    }

    #[test]
    fn every_entry_lies_in_the_text() {
        let (first, end) = ((&raw const TABLE).addr(), (&raw const TABLE_END).addr());
        assert!(first < end);
        assert_eq!((end - first) % size_of::<Entry>(), 0);
        let text = (&raw const TEXT_START).addr()..(&raw const TEXT_END).addr();
        let guarded = text.clone().filter_map(resume_at);
        assert!(guarded.clone().count() > 100);
        assert!(guarded.clone().all(|resume| text.contains(&resume)));
        assert_eq!(resume_at(text.start - 1), None);
        assert_eq!(resume_at(text.end), None);
        assert_eq!(resume_at(0), None);
        assert_eq!(resume_at(every_entry_lies_in_the_text as fn() as usize), None);
    }
}
