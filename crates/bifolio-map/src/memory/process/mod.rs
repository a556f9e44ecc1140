//! Processes from outside: their mappings, what stands behind these, the states of their pages.
//!
//! Everything is asked of /proc/PID, and nothing of the process.

mod detail;
mod files;
mod folder;
pub(crate) mod holders;
mod layout;
mod maps;
mod purpose;
mod smaps;
mod stacks;
mod states;
#[cfg(test)]
mod still;
mod usage;

pub use detail::Detail;
pub use folder::Process;
pub use holders::Holder;
pub use maps::{Backing, Maps, Permissions, Region, maps, maps_with};
pub use purpose::{Purpose, Segment};
pub use states::pages_of;
pub use usage::Usage;
