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

mod barrier;
mod condvar;
mod error;
mod event;
mod held;
#[cfg(all(feature = "std", not(loom)))]
mod keeper;
mod latch;
#[cfg(loom)]
mod model;
mod mutex;
mod once;
mod owner;
mod peers;
mod permits;
mod plain;
mod raw;
mod refusal;
mod rwlock;
#[cfg(all(feature = "std", not(loom)))]
mod seats;
mod semaphore;
mod shared;
mod slots;
mod wait;
mod waitable;
mod waiting;
mod word;

pub use barrier::{Barrier, BarrierError, Participant};
pub use bifolio_sys::futex::{Deadline, Expect};
pub use condvar::{Condvar, TimedResult};
pub use error::{Error, Operation, Result};
pub use event::{AutoEvent, Event};
pub use latch::Latch;
pub use mutex::{LockResult, Mutex, MutexGuard};
pub use once::{Once, OnceLock};
pub use owner::Owner;
pub use peers::Peers;
pub use permits::{Permit, Permits};
pub use refusal::LockError;
pub use rwlock::{ReadGuard, ReadResult, RwLock, WriteGuard, WriteResult};
#[cfg(all(feature = "std", not(loom)))]
pub use seats::{Seats, Sitter, State};
pub use semaphore::Semaphore;
pub use shared::{Fingerprint, Shared};
pub use waitable::{WAITABLES_MAX, Waitable, wait_any};
