//! Who is alive among the processes that share memory, and locks that rest on it.
//!
//! A process that shares memory takes a **seat** in it: [`Peers::me`]. Its number and generation,
//! an [`Owner`], is what it writes into whatever it holds. Whether the owner of something has died
//! is asked of the kernel, never concluded from time: [`Peers::is_dead`].
//!
//! Everything here is words in shared memory; nothing allocates.
#![no_std]

#[cfg(feature = "std")]
extern crate std;

mod error;
#[cfg(all(feature = "std", not(loom)))]
mod keeper;
mod owner;
mod peers;
#[cfg(all(feature = "std", not(loom)))]
mod seats;
mod shared;

pub use error::{Error, Operation, Result};
pub use owner::Owner;
pub use peers::Peers;
#[cfg(all(feature = "std", not(loom)))]
pub use seats::{Seats, Sitter, State};
pub use shared::{Fingerprint, Shared};
