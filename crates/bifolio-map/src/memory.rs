//! The memory of processes and of the page cache, seen from outside of any mapping.
//!
//! It changes nothing.

mod cached;

pub use crate::residency::bucket;
pub use cached::cached;
