//! What named objects stand on: memory that others lend, with a directory and an arena in it.
//!
//! # Safety
//!
//! The trait is unsafe to implement: references are made into the memory.
#![allow(unsafe_code, reason = "declares an unsafe trait")]

use crate::arena::Arena;
use crate::directory::Directory;
use bifolio_sync::Peers;

/// Memory that processes share, with named objects in it.
///
/// # Safety
///
/// An implementer promises, beside what [`Peers`] asks:
///
/// 0. As long as the value lives, the memory that the arena was made for is mapped here, shared,
///    readable and writable as far as [`len_bytes`](Self::len_bytes) says, and does not move.
/// 1. [`len_bytes`](Self::len_bytes) never becomes less.
/// 2. [`directory`](Self::directory) and [`arena`](Self::arena) are always the same two, of the
///    same memory, and no other directory has that arena.
pub unsafe trait Ground: Peers {
    /// Where the names are.
    fn directory(&self) -> &Directory;

    /// Where the objects are.
    fn arena(&self) -> &Arena;

    /// How far the memory reaches now, from its beginning, in bytes.
    fn len_bytes(&self) -> u64;

    /// Tries to make the memory reach `len_bytes` at least; whether it does now.
    fn grow_to(&self, len_bytes: u64) -> bool;
}
