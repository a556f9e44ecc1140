//! One mapping of a process, asked of the kernel without reading the text of `/proc/PID/maps`.
//!
//! # Safety
//!
//! The kernel is handed a record and a buffer that the call borrows.
#![allow(unsafe_code, reason = "an ioctl with pointers")]

use core::ops::Range;

use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Errno;
use rustix::mm::ProtFlags;

use crate::uapi::{
    PROCMAP_QUERY, PROCMAP_QUERY_COVERING_OR_NEXT_VMA, PROCMAP_QUERY_VMA_EXECUTABLE,
    PROCMAP_QUERY_VMA_READABLE, PROCMAP_QUERY_VMA_SHARED, PROCMAP_QUERY_VMA_WRITABLE, ProcmapQuery,
    check,
};

/// Which mapping [`procmap_query`] answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Find {
    /// The one that holds the address.
    Covering,
    /// That one, or else the next above it.
    CoveringOrNext,
}

/// One mapping of a process: what a line of `/proc/PID/maps` tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vma<'name> {
    /// Its addresses.
    pub range: Range<usize>,
    /// What may be done with it.
    pub protection: ProtFlags,
    /// Whether it is `MAP_SHARED`.
    pub is_shared: bool,
    /// The size of its pages in bytes: greater than usual for hugetlb only.
    pub page_size_bytes: u64,
    /// Where in its file it begins, in bytes.
    pub offset_bytes: u64,
    /// The inode of its file, 0 without one.
    pub inode: u64,
    /// Major and minor number of its file's device.
    pub device: (u32, u32),
    /// The path of its file or a name like `[heap]`, without a NUL; empty if it has none or none
    /// was asked for.
    pub name: &'name [u8],
}

/// Asks by `maps`, which is an open `/proc/PID/maps`, for the mapping at `addr`; `None` if there is
/// none.
///
/// `name` is where its name goes; empty, the name is not asked for. The kernel never writes more
/// than 4096 bytes.
///
/// # Errors
///
/// [`Errno::NOTTY`] before Linux 6.11, [`Errno::NAMETOOLONG`] if the name and its NUL do not fit,
/// [`Errno::SRCH`] if the process is gone.
///
/// # References
///
/// [proc](https://docs.kernel.org/filesystems/proc.html), `PROCMAP_QUERY` of `linux/fs.h`: Linux
/// 6.11.
pub fn procmap_query<'name>(
    maps: impl AsFd,
    addr: usize,
    find: Find,
    name: &'name mut [u8],
) -> Result<Option<Vma<'name>>, Errno> {
    let mut query = ProcmapQuery {
        query_flags: match find {
            Find::Covering => 0,
            Find::CoveringOrNext => PROCMAP_QUERY_COVERING_OR_NEXT_VMA,
        },
        query_addr: addr as u64,
        vma_name_size: u32::try_from(name.len()).unwrap_or(u32::MAX),
        // The kernel wants both or neither.
        vma_name_addr: if name.is_empty() {
            0
        } else {
            name.as_mut_ptr().expose_provenance() as u64
        },
        ..ProcmapQuery::new()
    };
    // SAFETY: the name goes to `name`, which is borrowed until this function returns.
    if !unsafe { self::query(&maps, &mut query) }? {
        return Ok(None);
    }
    let has = |flag| query.vma_flags & flag != 0;
    let mut protection = ProtFlags::empty();
    protection.set(ProtFlags::READ, has(PROCMAP_QUERY_VMA_READABLE));
    protection.set(ProtFlags::WRITE, has(PROCMAP_QUERY_VMA_WRITABLE));
    protection.set(ProtFlags::EXEC, has(PROCMAP_QUERY_VMA_EXECUTABLE));
    // The size comes back with the NUL, or as 0. Only an impostor of the file could say more than
    // there is room for.
    let name_len = (query.vma_name_size as usize).saturating_sub(1);
    let name = name.get(..name_len).ok_or(Errno::NOTTY)?;
    Ok(Some(Vma {
        range: query.vma_start as usize..query.vma_end as usize,
        protection,
        is_shared: has(PROCMAP_QUERY_VMA_SHARED),
        page_size_bytes: query.vma_page_size,
        offset_bytes: query.vma_offset,
        inode: query.inode,
        device: (query.dev_major, query.dev_minor),
        name,
    }))
}

/// Asks as `query` says, and answers whether there is such a mapping. Async-signal-safe.
///
/// # Safety
///
/// `vma_name_size` bytes at `vma_name_addr` may be written.
pub(crate) unsafe fn query(maps: impl AsFd, query: &mut ProcmapQuery) -> Result<bool, Errno> {
    let fd = maps.as_fd().as_raw_fd();
    // SAFETY: `linux/fs.h`: the kernel reads and writes `size` bytes at `query`, the size that its
    // number names, and at most `vma_name_size` at the name, as the caller permits; files other
    // than `maps` do not know the number.
    let ret = unsafe { libc::ioctl(fd, PROCMAP_QUERY as _, &raw mut *query) };
    match check(ret.into()) {
        Ok(_) => Ok(true),
        Err(Errno::NOENT) => Ok(false),
        Err(errno) => Err(errno),
    }
}
