//! What an error talks about: the thing behind a mapping, by name where it has one.

use core::fmt;

#[cfg(feature = "std")]
use std::{path::Path, sync::Arc};

/// The thing behind a mapping.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Object {
    /// Private memory without a file.
    AnonymousMemory,
    /// Memory without a file that children share.
    SharedMemory,
    /// A memory file (memfd_create(2)).
    MemoryFile,
    /// Memory that even the kernel does not map (memfd_secret(2)).
    SecretMemory,
    /// Memory that the kernel may zero under pressure (`MAP_DROPPABLE`).
    DroppableMemory,
    /// Reserved addresses.
    ReservedAddresses,
    /// A file that was handed over open, without its name.
    OpenFile,
    /// The process with this number, as seen from outside.
    Process(u32),
    /// A file that was opened by this path.
    #[cfg(feature = "std")]
    File(Arc<Path>),
}

impl Object {
    /// Whether its bytes have a place in a file, wherever they are mapped.
    pub(crate) fn is_file(&self) -> bool {
        match self {
            Object::MemoryFile | Object::OpenFile => true,
            #[cfg(feature = "std")]
            Object::File(_) => true,
            _ => false,
        }
    }
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Object::AnonymousMemory => "anonymous memory",
            Object::SharedMemory => "shared memory",
            Object::MemoryFile => "memory file",
            Object::SecretMemory => "secret memory",
            Object::DroppableMemory => "droppable memory",
            Object::ReservedAddresses => "reserved addresses",
            Object::OpenFile => "open file",
            Object::Process(id) => return write!(f, "process {id}"),
            #[cfg(feature = "std")]
            Object::File(path) => return write!(f, "{}", path.display()),
        })
    }
}
