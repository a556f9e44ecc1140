//! Guarded access, attacked: faults at every byte of a boundary, on each side, against a model that
//! copies byte by byte.
//!
//! # Safety
//!
//! The tests map memory, take it away, and call the guarded functions with pointers into it.
#![allow(unsafe_code, reason = "see # Safety above")]
#![cfg(all(any(target_arch = "x86_64", target_arch = "aarch64"), not(miri)))]

mod arena;
mod boundary;
mod random;
#[cfg(target_arch = "x86_64")]
mod registers;
mod words;
