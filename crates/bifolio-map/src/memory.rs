//! The memory of processes and of the page cache, seen from outside of any mapping.
//!
//! It changes nothing.

mod cached;
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
mod states;

pub use crate::residency::bucket;
pub use cached::cached;
#[cfg(feature = "std")]
pub use maps::{Maps, Permissions, Region, maps};
#[cfg(feature = "std")]
pub use open::open;
#[cfg(feature = "std")]
pub use process::Process;
#[cfg(feature = "std")]
pub use purpose::{Purpose, Segment};
#[cfg(feature = "std")]
pub use states::pages_of;
