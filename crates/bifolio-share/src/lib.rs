//! Memory that processes share, in which the death of any of them at any instruction blocks nobody
//! and loses nothing that was committed.

mod arena;
mod directory;
mod error;
mod ground;
mod header;
mod object;
mod object_error;
mod offset_ptr;
mod region;

pub use arena::{Arena, Reserved, Sweep, Usage};
pub use bifolio_derive::Shared;
pub use bifolio_sync as sync;
pub use bifolio_sync::{Fingerprint, Shared};
pub use directory::Directory;
pub use error::{Error, ErrorKind, Operation, Result};
pub use ground::Ground;
pub use object::{Object, ObjectInfo, Objects, Repaired};
pub use object_error::{ObjectError, ObjectErrorKind, ObjectName, ObjectResult};
pub use offset_ptr::OffsetPtr;
pub use region::{Cleaned, Listed, Place, ReadOnlyRegion, Region, RegionOptions, Untrusted};
