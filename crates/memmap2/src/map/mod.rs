//! The emulated interface, one type a file.

mod advice;
mod common;
mod descriptor;
mod inner;
mod options;
mod read_only;
mod remap;
mod safe;
mod writable;

pub use advice::{Advice, UncheckedAdvice};
pub use descriptor::{MmapAsRawDesc, MmapRawDescriptor};
pub use options::MmapOptions;
pub use read_only::Mmap;
pub use remap::RemapOptions;
pub use safe::MapIfSafeError;
pub use writable::{MmapMut, MmapRaw};
