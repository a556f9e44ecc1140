//! Memory that processes share, in which the death of any of them at any instruction blocks nobody
//! and loses nothing that was committed.

mod arena;
mod directory;
mod ground;
mod object;
mod object_error;
mod offset_ptr;

pub use arena::{Arena, Reserved, Sweep, Usage};
pub use bifolio_derive::Shared;
pub use bifolio_sync::{Fingerprint, Shared};
pub use directory::Directory;
pub use ground::Ground;
pub use object::{Object, ObjectInfo, Objects, Repaired};
pub use object_error::{ObjectError, ObjectErrorKind, ObjectName, ObjectResult};
pub use offset_ptr::OffsetPtr;
