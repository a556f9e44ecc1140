//! The memory of processes and of the page cache, seen from outside of any mapping.
//!
//! It changes no byte and no mapping: at most it takes pages out of memory.

mod cached;
#[cfg(feature = "std")]
mod crew;
#[cfg(feature = "std")]
mod evict;
#[cfg(feature = "std")]
mod open;
#[cfg(feature = "std")]
mod process;

pub use crate::residency::bucket;
pub use cached::cached;
#[cfg(feature = "std")]
pub use crew::{CachedFacts, cached_files};
#[cfg(feature = "std")]
pub use evict::evict;
#[cfg(feature = "std")]
pub use open::CachedFile;
#[cfg(feature = "std")]
pub(crate) use process::holders;
#[cfg(feature = "std")]
pub use process::{
    Backing, Detail, Holder, Maps, Permissions, Process, Purpose, Region, Segment, Usage, maps,
    maps_with, pages_of,
};
