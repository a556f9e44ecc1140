//! What the scenarios do: shorten a file under a map, and touch what is gone.
//!
//! # Safety
//!
//! Files are shortened under their own slices, which is the attack.
#![allow(unsafe_code, reason = "the attacks are made of raw faults")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "an attack's argument is that it is one")]
#![allow(clippy::multiple_unsafe_ops_per_block, reason = "as above")]

use crate::common::{Scratch, page};
use memmap2::{Mmap, MmapMut};

/// A file of four pages, all sevens.
pub(crate) fn four_pages() -> Scratch {
    Scratch::with(&vec![7; 4 * page()])
}

/// The same mapped to be read.
pub(crate) fn read() -> (Scratch, Mmap) {
    let scratch = four_pages();
    let map = unsafe { Mmap::map(&scratch.file) }.unwrap();
    (scratch, map)
}

/// The same mapped to be written.
pub(crate) fn written() -> (Scratch, MmapMut) {
    let scratch = four_pages();
    let map = unsafe { MmapMut::map_mut(&scratch.file) }.unwrap();
    (scratch, map)
}

/// Reads a byte as a slice would be read.
pub(crate) fn touch(map: &[u8], at: usize) -> u8 {
    unsafe { map.as_ptr().add(at).read_volatile() }
}

/// Writes a byte as a slice would be written.
pub(crate) fn write(map: &mut [u8], at: usize, byte: u8) {
    unsafe { map.as_mut_ptr().add(at).write_volatile(byte) }
}

/// Tells the parent the path, which dies with the child otherwise. It is left to the parent to
/// remove.
pub(crate) fn tell(scratch: &Scratch) {
    println!("path={}", scratch.path.display());
}
