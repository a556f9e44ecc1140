//! How the parts of Bifolio meet: whatever lies in memory and can be reached by offset.
//!
//! # Safety
//!
//! The trait is unsafe to implement: its users write through the pointer.
#![allow(unsafe_code, reason = "declares an unsafe trait")]

use crate::access::Access;

/// Who else may change a mapping's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Sharing {
    /// Nobody: the memory belongs to this value, and references to it may exist. It is written
    /// through `&mut` only.
    Exclusive,
    /// Nobody else, though pages may come from a file that changes until they are copied
    /// (`MAP_PRIVATE`).
    Private,
    /// Children that inherit it, and processes that were handed it.
    Shared,
    /// Every process that maps or writes the file.
    File,
}

/// What the pages permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Protection {
    /// Nothing: any access faults.
    None,
    /// Reading.
    Read,
    /// Reading and writing.
    ReadWrite,
    /// Reading and executing.
    ReadExec,
}

/// A mapping that other parts build on: an allocator, a store, a region shared between processes.
///
/// # Safety
///
/// An implementer promises, for as long as the value lives and is not mutably borrowed:
///
/// 0. `[as_ptr(), as_ptr() + view().len())` is address space that the value owns: nobody unmaps it,
///    moves it, or maps something else there. Its pages may fault and may change.
/// 1. Unless `sharing()` is [`Sharing::Exclusive`], no reference to those bytes exists or will be
///    made by the implementer, but to atomics, which others may change; and they may be written
///    through the pointer where `protection()` permits it.
/// 2. The view covers exactly those bytes.
pub unsafe trait Mapping: Access {
    /// The address of the first byte.
    fn as_ptr(&self) -> *const u8;

    /// Who else may change the bytes.
    fn sharing(&self) -> Sharing;

    /// What the pages permit.
    fn protection(&self) -> Protection;
}
