//! Who is alive among the processes that share memory, and locks that rest on it.
//!
//! A process that shares memory takes a **seat** in it: [`Peers::me`]. Its number and generation,
//! an [`Owner`], is what it writes into whatever it holds. Whether the owner of something has died
//! is asked of the kernel, never concluded from time: [`Peers::is_dead`].
//!
//! Everything here is words in shared memory; nothing allocates.
#![no_std]

#[cfg(any(feature = "std", test, loom))]
extern crate std;

mod error;
mod held;
#[cfg(all(feature = "std", not(loom)))]
mod keeper;
#[cfg(loom)]
mod model;
mod mutex;
mod owner;
mod peers;
mod raw;
mod refusal;
#[cfg(all(feature = "std", not(loom)))]
mod seats;
mod shared;
mod wait;
mod word;

pub use bifolio_sys::futex::{Deadline, Expect};
pub use error::{Error, Operation, Result};
pub use mutex::{LockResult, Mutex, MutexGuard};
pub use owner::Owner;
pub use peers::Peers;
pub use refusal::LockError;
#[cfg(all(feature = "std", not(loom)))]
pub use seats::{Seats, Sitter, State};
pub use shared::{Fingerprint, Shared};
