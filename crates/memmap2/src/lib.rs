//! The interface of memmap2 0.9.12, on Bifolio.
//!
//! A program that uses memmap2 gets it by one line in its `Cargo.toml`, and no other change:
//!
//! ```toml
//! [patch.crates-io]
//! memmap2 = { path = "../bifolio/crates/memmap2" }
//! ```
//!
//! What is different then: a fault under one of the slices, such as that of a file which another
//! process has shortened, says on the standard error which file, which bytes and why before it ends
//! the program; or it reads zeros, where [`bifolio`] or the variable `BIFOLIO_MEMMAP2_FAULT` says
//! so. Advice on a range is checked against the end of the map, and [`Mmap::map_if_safe`] believes
//! no file system that could make its answer up. All else is as it was, its `unsafe` too: a slice
//! of a file that changes is as undefined as before.
//!
//! ```
//! # fn main() -> std::io::Result<()> {
//! let file = std::fs::File::open("Cargo.toml")?;
//! // Nobody changes the file while the map lives.
//! let map = unsafe { memmap2::Mmap::map(&file)? };
//! assert_eq!(&map[..9], b"[package]");
//! # Ok(())
//! # }
//! ```

#[cfg(target_os = "linux")]
pub mod bifolio;
#[cfg(target_os = "linux")]
mod fault;
#[cfg(target_os = "linux")]
mod map;

#[cfg(target_os = "linux")]
pub use map::{
    Advice, MapIfSafeError, Mmap, MmapAsRawDesc, MmapMut, MmapOptions, MmapRaw, MmapRawDescriptor,
    RemapOptions, UncheckedAdvice,
};

#[cfg(not(target_os = "linux"))]
compile_error!(
    "this memmap2 is Bifolio's, for Linux on x86-64 and aarch64: take the line `memmap2 = ...` \
     out of [patch.crates-io], or put it under a configuration that is used on Linux only"
);
