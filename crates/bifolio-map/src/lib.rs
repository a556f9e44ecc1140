//! Memory mappings that cannot crash the program.
#![no_std]

#[cfg(feature = "std")]
extern crate std;

mod access;
mod allocate;
mod anon;
mod anon_states;
#[cfg(feature = "std")]
mod backend;
mod body;
#[cfg(feature = "std")]
mod cold;
mod constancy;
#[cfg(feature = "std")]
mod copied;
mod cut;
mod cut_shared;
mod dirty;
mod droppable;
mod error;
#[cfg(feature = "std")]
mod evict;
mod exec;
#[cfg(feature = "std")]
mod file;
mod flush;
mod grow;
mod grows_down;
mod guard_pages;
#[cfg(feature = "std")]
mod holes;
mod huge;
mod kind;
mod mapping;
pub mod memory;
mod memory_file;
mod numa;
mod object;
mod options;
mod origin;
mod pages;
mod plain_atomic;
mod populate;
#[cfg(feature = "std")]
mod prefetch;
#[cfg(feature = "std")]
mod private;
mod protect;
mod punch;
mod raw;
mod read_only;
#[cfg(feature = "std")]
mod reading;
#[cfg(feature = "std")]
mod replace;
mod reservation;
mod residency;
#[cfg(feature = "std")]
mod save;
mod secret;
mod shared;
mod span;
#[cfg(feature = "std")]
mod stable;

pub use access::{
    Access, AccessMut, AtomicInteger, Chunk, Chunks, SharedAtomic, StoreOrder, View, ViewMut,
};
#[cfg(feature = "std")]
pub use access::{Reader, Writer};
pub use anon::AnonMap;
pub use anon_states::{NoAccessMap, ReadOnlyMap};
#[cfg(feature = "std")]
pub use backend::{Backend, ReadReason, Route};
pub use constancy::Constancy;
pub use dirty::{DirtyRanges, Track, Tracking};
pub use droppable::DroppableMap;
pub use error::{Error, ErrorKind, FileKind, Operation, Result};
#[cfg(feature = "std")]
pub use evict::{Dirty, Evicted, Stayed};
pub use exec::ExecMap;
#[cfg(feature = "std")]
pub use file::{FileMap, FileMapping};
pub use grows_down::GrowsDownMap;
#[cfg(feature = "std")]
pub use holes::DataRanges;
pub use huge::HugeMap;
pub use mapping::{Mapping, Protection, Sharing};
pub use memory_file::{MemoryFile, Seals};
pub use object::Object;
pub use options::{HugePages, Options};
pub use pages::{Advice, Discard, Pages, Pattern};
pub use plain_atomic::PlainAtomic;
#[cfg(feature = "std")]
pub use prefetch::{Prefetch, Progress};
#[cfg(feature = "std")]
pub use private::PrivateMap;
pub use raw::RawMap;
pub use read_only::ReadOnlySharedMap;
pub use reservation::Reservation;
pub use residency::{CacheState, Residency, Resident, Untold};
pub use secret::SecretMap;
pub use shared::SharedMap;
#[cfg(feature = "std")]
pub use stable::{LeaseState, NoRung, Policy, Refusal, Rung, SealedFile, Stable};

pub use bifolio_sys::fs::FileSystem;
pub use bifolio_sys::guard::Pair;
pub use bifolio_sys::mm::{
    Misplaced, Node as NumaNode, NodeMask as NumaNodes, Policy as NumaPolicy,
};
pub use bifolio_sys::{Errno, fault, features, page};
