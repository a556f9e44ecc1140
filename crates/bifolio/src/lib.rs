//! Memory mapping for Rust on Linux: everything that mmap can do, without what makes it dangerous.

pub use bifolio_map::{Access, AccessMut, Chunk, Chunks, Reader, View, ViewMut};
pub use bifolio_map::{Advice, Discard, HugePages, Mapping, Options, Pages, Protection, Sharing};
pub use bifolio_map::{AnonMap, DataRanges, FileMap, FileMapping, SharedMap};
pub use bifolio_map::{Backend, FileSystem, Reach, ReadReason};
pub use bifolio_map::{Errno, Error, ErrorKind, FileKind, Object, Operation, Result};
pub use bifolio_map::{fault, features, page};
