//! The kernel and the CPU as Bifolio sees them, and nothing else.
//!
//! Everything that needs a system call, an instruction that Rust has no name for, or a signal
//! handler lives here, behind typed functions that keep the kernel's names: the rest of Bifolio
//! never meets `libc` or `rustix`.
#![no_std]
#![cfg_attr(
    loom,
    allow(dead_code, unused_imports, reason = "the model checker runs the tables only")
)]

pub mod bytes;
mod errno;
pub mod fault;
pub mod features;
pub mod fs;
pub mod futex;
pub mod guard;
pub mod icache;
pub mod mm;
pub mod net;
pub mod page;
pub mod process;
pub mod robust;
pub mod signal;
pub mod sync;
mod text;
pub mod time;
mod uapi;

pub use rustix::io::Errno;
