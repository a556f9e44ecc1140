//! The address space of a process as data: what is mapped where, and what for.

use super::layout;
use super::process::{Folder, Process};
use super::purpose::{self, Purpose};
use crate::error::Result;
use core::fmt;
use core::ops::Range;
use std::boxed::Box;
use std::vec::Vec;

/// The mappings of a process, by ascending address.
#[derive(Clone, Debug)]
pub struct Maps {
    process: Process,
    regions: Vec<Region>,
    is_consistent: bool,
}

/// One mapping of a process.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Region {
    /// Its addresses.
    pub range: Range<usize>,
    /// What its pages permit.
    pub permissions: Permissions,
    /// Whether writes to it reach others who map the same (`MAP_SHARED`).
    pub is_shared: bool,
    /// What it is for.
    pub purpose: Purpose,
    /// The path of its file, or a name in brackets, as the kernel gives it; empty without one. A
    /// file that has lost its name ends in ` (deleted)`, and so may any name.
    pub name: Box<[u8]>,
    /// Where in its file it begins, in bytes.
    pub offset_bytes: u64,
    /// The inode of its file, 0 without one.
    pub inode: u64,
    /// The major and minor number of its file's device.
    pub device: (u32, u32),
    /// The size of its pages in bytes, which is greater than usual for the pool of huge pages only;
    /// `None` where the kernel does not tell (before Linux 6.11).
    pub page_size_bytes: Option<u64>,
}

/// What the pages of a mapping permit: any combination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Permissions {
    /// Reading.
    pub read: bool,
    /// Writing; private pages are copied by it.
    pub write: bool,
    /// Executing.
    pub execute: bool,
}

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (letter, is_there) in [("r", self.read), ("w", self.write), ("x", self.execute)] {
            f.write_str(if is_there { letter } else { "-" })?;
        }
        Ok(())
    }
}

/// Looks at the address space of a process.
///
/// The one page that is the same in every process and mapped by none, `[vsyscall]`, is left out.
///
/// # Errors
///
/// [`NotPermitted`](crate::ErrorKind::NotPermitted) for a process of another user,
/// [`NoSuchProcess`](crate::ErrorKind::NoSuchProcess), and
/// [`KernelThread`](crate::ErrorKind::KernelThread).
///
/// # Examples
///
/// ```
/// use bifolio_map::memory::{Process, Purpose, maps};
///
/// let maps = maps(Process::this())?;
/// let here = maps.find(&raw const maps as usize).unwrap();
/// assert!(here.permissions.write && !here.is_shared);
/// assert!(maps.regions().iter().any(|region| region.purpose == Purpose::MainStack));
/// # Ok::<(), bifolio_map::Error>(())
/// ```
///
/// # References
///
/// `PROCMAP_QUERY` of `linux/fs.h`, Linux 6.11; proc_pid_maps(5).
pub fn maps(process: impl Into<Process>) -> Result<Maps> {
    let process = process.into();
    let folder = Folder::open(process)?;
    let (mut regions, is_consistent) = layout::read(&folder)?;
    purpose::assign(&folder, &mut regions);
    Ok(Maps { process, regions, is_consistent })
}

impl Maps {
    /// The process.
    #[must_use]
    pub fn process(&self) -> Process {
        self.process
    }

    /// The mappings, by ascending address.
    #[must_use]
    pub fn regions(&self) -> &[Region] {
        &self.regions
    }

    /// Whether all of it was true at one moment: where the process maps and unmaps without pause,
    /// each mapping was there when it was asked about, but not all at once.
    #[must_use]
    pub fn is_consistent(&self) -> bool {
        self.is_consistent
    }

    /// The mapping that an address lies in.
    #[must_use]
    pub fn find(&self, addr: usize) -> Option<&Region> {
        let at = self.regions.partition_point(|region| region.range.end <= addr);
        self.regions.get(at).filter(|region| region.range.contains(&addr))
    }
}
