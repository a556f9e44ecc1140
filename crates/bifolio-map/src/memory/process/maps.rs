//! The address space of a process as data: what is mapped where, and what for.

use super::detail::{self, Detail};
use super::folder::{Folder, Process};
use super::purpose::{self, Purpose};
use super::usage::Usage;
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
    /// `None` where the kernel does not tell (of the layout alone before Linux 6.11).
    pub page_size_bytes: Option<u64>,
    /// Where its pages are when they are not in memory.
    pub backing: Backing,
    /// Whether no path leads to its file any more, or ever did; `None` where there is no file, or
    /// where ` (deleted)` at the end of the name may be part of it.
    pub is_deleted: Option<bool>,
    /// The memory behind it, as far as it was asked for.
    pub usage: Usage,
}

/// Where the pages of a mapping are when they are not in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backing {
    /// In swap, where there is some: memory without a file.
    None,
    /// In swap too, where they can go at all: a file that lies in memory (tmpfs, memory files, the
    /// pool of huge pages), and the kernel's own pages.
    Memory,
    /// In a file on a disk or on another machine.
    Storage,
    /// It cannot be told: a device, or a file system that is mounted nowhere that can be seen.
    Unknown,
}

impl Region {
    /// What the kernel can take away when memory is short, and write nothing anywhere: clean pages
    /// that are not locked.
    #[must_use]
    pub fn reclaimable_bytes(&self) -> Option<u64> {
        match self.backing {
            Backing::Memory => Some(0),
            Backing::Unknown if self.usage.resident_bytes != Some(0) => None,
            _ if self.usage.locked_bytes? > 0 => Some(0),
            _ => self.usage.clean_bytes(),
        }
    }
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

/// Looks at the address space of a process, with everything that the kernel tells.
///
/// # Errors
///
/// As [`maps_with`].
///
/// # Examples
///
/// ```
/// use bifolio_map::memory::{Process, Purpose, maps};
///
/// let maps = maps(Process::this())?;
/// let here = maps.find(&raw const maps as usize).unwrap();
/// assert!(here.permissions.write && !here.is_shared);
/// let stack = maps.regions().iter().find(|region| region.purpose == Purpose::MainStack).unwrap();
/// assert!(stack.usage.resident_bytes.unwrap() < stack.range.len() as u64);
/// # Ok::<(), bifolio_map::Error>(())
/// ```
pub fn maps(process: impl Into<Process>) -> Result<Maps> {
    maps_with(process, Detail::Shares)
}

/// Looks at the address space of a process, as closely as asked.
///
/// The one page that is the same in every process and mapped by none, `[vsyscall]`, is left out.
/// Nothing is opened or read but /proc, and a path is looked up only where it ends in ` (deleted)`.
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
/// use bifolio_map::memory::{Detail, Process, maps_with};
///
/// let maps = maps_with(Process::this(), Detail::Layout)?;
/// assert!(maps.regions().iter().all(|region| region.usage.resident_bytes.is_none()));
/// # Ok::<(), bifolio_map::Error>(())
/// ```
///
/// # References
///
/// `PROCMAP_QUERY` of `linux/fs.h`, Linux 6.11; PAGEMAP_SCAN(2const), Linux 6.7; before those, and
/// for what is shared, proc_pid_maps(5) and proc_pid_smaps(5).
pub fn maps_with(process: impl Into<Process>, detail: Detail) -> Result<Maps> {
    let process = process.into();
    let folder = Folder::open(process)?;
    let (mut regions, is_consistent) = detail::look(&folder, detail)?;
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

    /// The memory of all of them together.
    #[must_use]
    pub fn total(&self) -> Usage {
        self.regions.iter().map(|region| region.usage).sum()
    }

    /// Whether these mappings were there all at once: where the process maps and unmaps without
    /// pause, each was there when it was asked about, and has its own numbers or none; but two may
    /// overlap, of which one followed on the other.
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
