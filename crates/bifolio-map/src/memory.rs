//! The memory of processes and of the page cache, seen from outside of any mapping.
//!
//! It changes nothing.

mod cached;
#[cfg(feature = "std")]
mod detail;
#[cfg(feature = "std")]
mod files;
#[cfg(feature = "std")]
mod layout;
#[cfg(feature = "std")]
mod maps;
#[cfg(feature = "std")]
mod open;
#[cfg(feature = "std")]
mod process;
#[cfg(feature = "std")]
mod purpose;
#[cfg(feature = "std")]
mod smaps;
#[cfg(feature = "std")]
mod stacks;
#[cfg(feature = "std")]
mod states;
#[cfg(all(test, feature = "std"))]
mod still;
#[cfg(feature = "std")]
mod usage;

pub use crate::residency::bucket;
pub use cached::cached;
#[cfg(feature = "std")]
pub use detail::Detail;
#[cfg(feature = "std")]
pub use maps::{Backing, Maps, Permissions, Region, maps, maps_with};
#[cfg(feature = "std")]
pub use open::open;
#[cfg(feature = "std")]
pub use process::Process;
#[cfg(feature = "std")]
pub use purpose::{Purpose, Segment};
#[cfg(feature = "std")]
pub use states::pages_of;
#[cfg(feature = "std")]
pub use usage::Usage;
