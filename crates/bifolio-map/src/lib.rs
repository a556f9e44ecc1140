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
mod mapping;
mod object;
mod options;
mod origin;
mod pages;
mod shared;
mod span;

pub use access::{Access, AccessMut, View, ViewMut};
pub use anon::AnonMap;
pub use error::{Error, ErrorKind, FileKind, Operation, Result};
#[cfg(feature = "std")]
pub use file::FileMap;
pub use mapping::{Mapping, Protection, Sharing};
pub use object::Object;
pub use options::{HugePages, Options};
pub use pages::{Advice, Discard, Pages};
pub use shared::SharedMap;
