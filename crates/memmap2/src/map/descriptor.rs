//! What can be mapped: anything with a descriptor, or its number.

use std::os::fd::{AsRawFd, RawFd};

/// The descriptor of a file, as a number: nothing keeps it open.
pub struct MmapRawDescriptor(pub(super) RawFd);

/// What has a descriptor to map.
pub trait MmapAsRawDesc {
    /// Its descriptor.
    fn as_raw_desc(&self) -> MmapRawDescriptor;
}

impl MmapAsRawDesc for RawFd {
    fn as_raw_desc(&self) -> MmapRawDescriptor {
        MmapRawDescriptor(*self)
    }
}

impl<T> MmapAsRawDesc for &T
where
    T: AsRawFd,
{
    fn as_raw_desc(&self) -> MmapRawDescriptor {
        MmapRawDescriptor(self.as_raw_fd())
    }
}
