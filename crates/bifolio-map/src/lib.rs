//! Memory mappings that cannot crash the program.
#![no_std]

#[cfg(feature = "std")]
extern crate std;
