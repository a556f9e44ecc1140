//! Guarded access, attacked: faults at every byte of a boundary, on each side, against a model that
//! copies byte by byte.
#![cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]

mod arena;
mod attacked;
mod boundary;
mod random;
#[cfg(target_arch = "x86_64")]
mod registers;
mod words;
