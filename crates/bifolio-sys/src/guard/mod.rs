//! Guarded access: instructions whose faults are values.
//!
//! Memory that somebody else can change or take away (a file mapping, memory shared with another
//! process) cannot be a `&[u8]`: a change is a data race, a truncation is a SIGBUS. Here it is
//! reached through assembly, which knows no data race, and whose instructions are listed in a
//! table: the dispatcher of [`fault`](crate::fault) sends a fault in one of them to its exit, and
//! the call returns [`Fault`] with the exact number of bytes done. Without that dispatcher
//! installed a fault is a signal as ever.
//!
//! # How it works
//!
//! Each entry of the table is three `i32` (`start`, `end`, `resume`), distances from the entry's
//! own address. A SIGBUS or SIGSEGV whose program counter lies in `start..end` goes on at `resume`,
//! after the dispatcher has put the nonzero packed fault code `signal | (si_code & 0xff) << 8` into
//! the second return register (`rdx`, `x1`). Each function returns two words: its value, and zero
//! or that code. A wide loop resumes in a byte loop that is guarded too, so that the count is
//! exact.
//!
//! # Which CPUs
//!
//! * x86-64: SSE2, AVX2 in copies where the CPU has it, and `rep movsb` for long ones. All tests
//!   run natively, with AVX2 and without.
//! * aarch64: ARMv8.0. `tests/guard_asm.rs` assembles the file with gcc's cross assembler and runs
//!   it under qemu-user from a program in C: every operation, every start and end around a missing
//!   page, exact counts, atomics with threads, preserved registers. The Rust around it, built for
//!   that CPU, was run under qemu-user 7.2: the unit tests, `tests/guard`, and those of
//!   `tests/fault` that need no child process all pass. None of it was run on a real aarch64 CPU.
//! * Any other CPU, and Miri: nothing is accessed, every call returns [`Cause::NoAssembly`], and
//!   [`available`] says so; callers go through system calls (`process_vm_readv`, `pread`) instead.
//!
//! # What it does not do
//!
//! It does not make a bad pointer good. Reading any address is sound (there is no data race in
//! assembly, and a fault is a value), but what is written lands in whatever lies there, and what is
//! read is whatever lies there: so the callers' contract is about whose memory it is, not about
//! whether it is mapped.
//!
//! # Safety
//!
//! Unsafe code is the purpose of these files: calls into assembly with raw pointers.
//!
//! 1. The assembly accesses only `[ptr, ptr + len)` (or the one word), writes only its destination,
//!    and keeps every register that the ABI calls preserved, also when it faults (`tests/guard.rs`,
//!    `tests/guard_asm.rs`).
//! 2. It returns a `value` of at most `len`, equal to `len` where all is done.
#![allow(unsafe_code, reason = "calls of assembly with raw pointers; see # Safety above")]

#[cfg_attr(
    not(all(
        any(target_arch = "x86_64", target_arch = "aarch64"),
        target_pointer_width = "64",
        not(miri)
    )),
    path = "absent.rs"
)]
mod asm;
mod code;
mod word;

use asm::Ret;
pub use code::{Cause, Fault, FaultCode};
pub use word::Word;

pub(crate) use asm::resume_at;

/// Whether this build has guarded access at all; if not, every function here fails with
/// [`Cause::NoAssembly`].
///
/// ```
/// # #[cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]
/// assert!(bifolio_sys::guard::available());
/// ```
#[must_use]
pub const fn available() -> bool {
    asm::AVAILABLE
}

/// Copies `len` bytes from `src` to `dst`, which may be changed or taken away meanwhile.
///
/// Bytes that another thread or process writes meanwhile are copied as they were at some moment,
/// each for itself. When the two ranges overlap, the bytes copied are unspecified.
///
/// # Errors
///
/// [`Fault`] at the first byte that can not be read or written: `done` bytes before it were copied,
/// and none after it.
///
/// # Safety
///
/// The caller may write `len` bytes at `dst`: no Rust reference or object that relies on them is
/// alive. What of both ranges is not mapped, or goes away, is no matter once
/// [`fault::install`](crate::fault) was called.
///
/// ```
/// # use bifolio_sys::guard;
/// # if !guard::available() { return; }
/// let (from, mut to) = ([1u8, 2, 3], [0u8; 3]);
/// // SAFETY: three bytes each.
/// unsafe { guard::copy(to.as_mut_ptr(), from.as_ptr(), 3) }.unwrap();
/// assert_eq!(to, from);
/// ```
#[inline]
pub unsafe fn copy(dst: *mut u8, src: *const u8, len: usize) -> Result<(), Fault> {
    // SAFETY: invariant 1, and the caller may write `dst`.
    unsafe { asm::copy(dst, src, len) }.into_result().map(drop)
}

/// [`copy`], for a caller that reads on where this call ends: it asks the CPU for the next
/// kilobytes of the source meanwhile.
///
/// It is for a consumer that goes through a long range piece by piece. Pieces of 1 to 4 KiB serve
/// best: they stay in the first cache, and the CPU fetches the next while the consumer works on
/// one. With pieces larger than about 8 KiB the memory stands idle meanwhile.
///
/// # Errors
///
/// As for [`copy`].
///
/// # Safety
///
/// As for [`copy`].
///
/// ```
/// # use bifolio_sys::guard;
/// # if !guard::available() { return; }
/// let from = vec![1_u8; 1 << 20];
/// let (mut sum, mut piece) = (0, [0_u8; 4096]);
/// for from in from.chunks_exact(piece.len()) {
///     // SAFETY: 4096 bytes each.
///     unsafe { guard::copy_streaming(piece.as_mut_ptr(), from.as_ptr(), piece.len()) }.unwrap();
///     sum += piece.iter().map(|&byte| u64::from(byte)).sum::<u64>();
/// }
/// assert_eq!(sum, 1 << 20);
/// ```
#[inline]
pub unsafe fn copy_streaming(dst: *mut u8, src: *const u8, len: usize) -> Result<(), Fault> {
    // SAFETY: invariant 1, and the caller may write `dst`.
    unsafe { asm::copy_streaming(dst, src, len) }.into_result().map(drop)
}

/// Writes `byte` to the `len` bytes at `dst`, which may be taken away meanwhile.
///
/// # Errors
///
/// [`Fault`] at the first byte that can not be written: `done` bytes before it were, and none after
/// it.
///
/// # Safety
///
/// As for the destination of [`copy`].
///
/// ```
/// # use bifolio_sys::guard;
/// # if !guard::available() { return; }
/// let mut bytes = [0u8; 3];
/// // SAFETY: three bytes.
/// unsafe { guard::fill(bytes.as_mut_ptr(), 7, 3) }.unwrap();
/// assert_eq!(bytes, [7; 3]);
/// ```
#[inline]
pub unsafe fn fill(dst: *mut u8, byte: u8, len: usize) -> Result<(), Fault> {
    // SAFETY: invariant 1, and the caller may write `dst`.
    unsafe { asm::fill(dst, byte, len) }.into_result().map(drop)
}

/// The offset of the first difference between the `len` bytes at `a` and at `b`, or `None` if they
/// are equal.
///
/// # Errors
///
/// [`Fault`] at the first byte that can not be read, if no difference lies before it; the `done`
/// bytes before it are equal.
///
/// # Safety
///
/// Reading at both addresses has no effect of its own: they are not a device's registers.
///
/// ```
/// # use bifolio_sys::guard;
/// # if !guard::available() { return; }
/// let (a, b) = (b"folio", b"folia");
/// // SAFETY: five bytes each.
/// assert_eq!(unsafe { guard::compare(a.as_ptr(), b.as_ptr(), 5) }, Ok(Some(4)));
/// ```
#[inline]
pub unsafe fn compare(a: *const u8, b: *const u8, len: usize) -> Result<Option<usize>, Fault> {
    // SAFETY: invariant 1: it only reads.
    let equal = unsafe { asm::compare(a, b, len) }.into_result()?;
    Ok((equal < len).then_some(equal))
}

/// The offset of the first `byte` among the `len` bytes at `ptr`, or `None` if there is none.
///
/// # Errors
///
/// [`Fault`] at the first byte that can not be read, if `byte` is not before it; the `done` bytes
/// before it are others.
///
/// # Safety
///
/// As for [`compare`].
///
/// ```
/// # use bifolio_sys::guard;
/// # if !guard::available() { return; }
/// let line = b"one\ntwo";
/// // SAFETY: seven bytes.
/// assert_eq!(unsafe { guard::find_byte(line.as_ptr(), b'\n', 7) }, Ok(Some(3)));
/// ```
#[inline]
pub unsafe fn find_byte(ptr: *const u8, byte: u8, len: usize) -> Result<Option<usize>, Fault> {
    // SAFETY: invariant 1: it only reads.
    let before = unsafe { asm::find_byte(ptr, byte, len) }.into_result()?;
    Ok((before < len).then_some(before))
}

/// Two bytes at a distance: what a search for a longer string looks for first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pair {
    /// The byte at the place itself.
    pub first: u8,
    /// The byte `distance` further on.
    pub second: u8,
    /// How far apart they stand, in bytes.
    pub distance: usize,
}

/// The first place among the `len - pair.distance` first ones at `ptr` where `pair` stands, or
/// `None` if there is none.
///
/// # Errors
///
/// [`Fault`] at the first place one of whose bytes can not be read, if the pair does not stand
/// before it; at the `done` places before it there is none.
///
/// # Safety
///
/// As for [`compare`].
///
/// ```
/// # use bifolio_sys::guard::{self, Pair};
/// # if !guard::available() { return; }
/// let line = b"a mapped page";
/// let pair = Pair { first: b'p', second: b'e', distance: 3 };
/// // SAFETY: the bytes of the line.
/// assert_eq!(unsafe { guard::find_pair(line.as_ptr(), pair, line.len()) }, Ok(Some(9)));
/// ```
#[inline]
pub unsafe fn find_pair(ptr: *const u8, pair: Pair, len: usize) -> Result<Option<usize>, Fault> {
    let Some(places) = len.checked_sub(pair.distance) else { return Ok(None) };
    let bytes = u32::from(pair.first) | u32::from(pair.second) << 8;
    // SAFETY: invariant 1: it only reads.
    let before = unsafe { asm::find_pair(ptr, bytes, places, pair.distance) }.into_result()?;
    Ok((before < places).then_some(before))
}

impl Ret {
    /// The value, or the fault with the value as its count of bytes done.
    #[inline]
    fn into_result(self) -> Result<usize, Fault> {
        match FaultCode::unpack(self.fault) {
            None => Ok(self.value),
            Some(code) => Err(Fault { done: self.value, code }),
        }
    }

    /// The word, or the fault, where the value means nothing.
    #[inline]
    fn into_word(self) -> Result<usize, Fault> {
        self.into_result().map_err(|fault| Fault { done: 0, ..fault })
    }
}
