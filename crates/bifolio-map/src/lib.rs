//! Memory mappings that cannot crash the program.
#![no_std]

#[cfg(feature = "std")]
extern crate std;

mod access;
mod anon;
mod body;
mod error;
#[cfg(feature = "std")]
mod file;
mod flush;
#[cfg(feature = "std")]
mod holes;
mod mapping;
mod object;
mod options;
mod origin;
mod pages;
mod shared;
mod span;

#[cfg(feature = "std")]
pub use access::Reader;
pub use access::{Access, AccessMut, Chunk, Chunks, View, ViewMut};
pub use anon::AnonMap;
pub use error::{Error, ErrorKind, FileKind, Operation, Result};
#[cfg(feature = "std")]
pub use file::FileMap;
#[cfg(feature = "std")]
pub use holes::DataRanges;
pub use mapping::{Mapping, Protection, Sharing};
pub use object::Object;
pub use options::{HugePages, Options};
pub use pages::{Advice, Discard, Pages};

pub use bifolio_sys::{Errno, fault, features, page};
pub use shared::SharedMap;
