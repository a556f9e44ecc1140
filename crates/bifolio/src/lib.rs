//! Memory mapping for Rust on Linux. It holds no code: each part is a crate, and joined here.
//!
#![doc = include_str!("../README.md")]

// Access: what every mapping offers.
pub use bifolio_map::{Access, AccessMut, Chunk, Chunks, Pair, Reader, View, ViewMut, Writer};
pub use bifolio_map::{AtomicInteger, PlainAtomic, SharedAtomic, StoreOrder};
pub use bifolio_map::{CacheState, Dirty, Evicted, Residency, Resident, Stayed, Untold};
pub use bifolio_map::{DirtyRanges, Track, Tracking};
pub use bifolio_map::{Mapping, Pages, Pattern, Prefetch, Progress, Protection, Sharing};

// The kinds, and the builder that makes them.
pub use bifolio_map::{
    Advice, Backend, Discard, HugePages, LeaseState, Options, ReadReason, Route,
};
pub use bifolio_map::{AnonMap, ExecMap, NoAccessMap, RawMap, ReadOnlyMap, Reservation};
pub use bifolio_map::{Constancy, NoRung, Policy, Refusal, Rung, SealedFile, Stable};
pub use bifolio_map::{DataRanges, FileMap, FileMapping};
pub use bifolio_map::{DroppableMap, GrowsDownMap, HugeMap, SecretMap};
pub use bifolio_map::{MemoryFile, PrivateMap, ReadOnlySharedMap, Seals, SharedMap};
pub use bifolio_map::{Misplaced, NumaNode, NumaNodes, NumaPolicy};

// What went wrong, and what is possible here.
pub use bifolio_map::{Errno, Error, ErrorKind, FileKind, FileSystem, Object, Operation, Result};
pub use bifolio_map::{fault, features, memory, page};

// The parts.
#[cfg(feature = "share")]
pub use bifolio_share as share;
