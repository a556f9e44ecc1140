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
#[cfg(feature = "std")]
mod holes;
mod mapping;
mod object;
mod options;
mod origin;
mod pages;
mod span;

pub use access::{Access, AccessMut, View, ViewMut};
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
