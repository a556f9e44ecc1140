//! The memory of processes and of the page cache, seen from outside of any mapping.
//!
//! It changes nothing.

#[cfg(feature = "std")]
mod open;

pub use crate::residency::bucket;
#[cfg(feature = "std")]
pub use open::open;
