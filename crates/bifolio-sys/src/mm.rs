//! System calls on memory: mappings, protection, advice, locks, residency.
//!
//! What rustix has is re-exported under the kernel's name; what it lacks is here. Everything about
//! who owns a mapping is left to the caller: these are the calls and nothing more.
//!
//! | call | since Linux |
//! |---|---|
//! | [`mmap`], [`mmap_anonymous`], [`munmap`], [`mprotect`], [`mremap`], [`msync`] | 2.4 |
//! | [`mremap_fixed`] | 2.4 |
//! | [`mlock`], [`munlock`], [`mincore`], [`madvise`] | 2.4 |
//! | [`process_madvise`] | 5.10 |
//! | [`memfd_secret`] | 5.14 |
//! | [`userfaultfd`] | 4.3 |
//! | [`uffdio_writeprotect`] | 5.7 |
//! | [`pagemap_scan`] | 6.7 |
//! | [`mseal`] | 6.10 |
//! | [`procmap_query`] | 6.11 |
//! | [`mbind`], [`get_mempolicy`] | 2.6.7 |
//!
//! # Safety
//!
//! Calls that change a mapping are unsafe functions: the caller must own the range. The rest only
//! hand out pointers to memory that the call itself borrows.
#![allow(unsafe_code, reason = "system calls on raw ranges")]

mod advice;
mod maps;
mod numa;
mod pagemap;
mod userfaultfd;

use core::ffi::c_void;
use core::ptr;

use rustix::fd::{FromRawFd, OwnedFd};
use rustix::io::Errno;

use crate::uapi::{SYS_MEMFD_SECRET, SYS_MSEAL, check};

pub use advice::{Advice, madvise, madvise_number, process_madvise};
pub(crate) use maps::query;
pub use maps::{Find, Vma, procmap_query};
pub use numa::{Misplaced, Node, NodeMask, Policy, get_mempolicy, mbind};
pub use pagemap::{
    Categories, PageRegion, PagemapEntry, PagemapScan, Scanned, WriteProtect, pagemap_read,
    pagemap_scan,
};
pub use rustix::mm::{
    MapFlags, MprotectFlags, MremapFlags, MsyncFlags, ProtFlags, mlock, mmap, mmap_anonymous,
    mprotect, mremap, mremap_fixed, msync, munlock, munmap,
};
pub use userfaultfd::{
    RegisterMode, USER_MODE_ONLY, UffdFeatures, UserfaultfdFlags, uffdio_api, uffdio_register,
    uffdio_unregister, uffdio_writeprotect, userfaultfd,
};

use crate::page::PageSize;

/// `MAP_32BIT`: an address in the first 2 GiB, which rustix does not name and aarch64 does not
/// have.
///
/// # References
///
/// [mmap(2)](https://man7.org/linux/man-pages/man2/mmap.2.html): Linux 2.4.20.
#[cfg(target_arch = "x86_64")]
pub const MAP_32BIT: MapFlags = MapFlags::from_bits_retain(0x40);

/// `MAP_HUGETLB` with the size of its pages, as [`mmap`] and [`mmap_anonymous`] take it.
///
/// ```
/// use bifolio_sys::mm::{MapFlags, map_hugetlb};
/// use bifolio_sys::page::PageSize;
///
/// let flags = map_hugetlb(PageSize::new(2 << 20).unwrap());
/// assert_eq!(flags, MapFlags::HUGETLB | MapFlags::HUGE_2MB);
/// ```
///
/// # References
///
/// [mmap(2)](https://man7.org/linux/man-pages/man2/mmap.2.html), `MAP_HUGE_SHIFT`: Linux 3.8.
#[must_use]
pub const fn map_hugetlb(page: PageSize) -> MapFlags {
    const MAP_HUGE_SHIFT: u32 = 26;
    // The logarithm has six bits, as the field has.
    MapFlags::HUGETLB.union(MapFlags::from_bits_retain(page.log2() << MAP_HUGE_SHIFT))
}

/// A range of memory as vectored calls take it: the kernel's `struct iovec`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct IoVec {
    /// Its first byte.
    pub base: *mut c_void,
    /// Its length in bytes.
    pub len: usize,
}

/// Tells for each page from `addr` on, as many as `pages` is long, whether it is in memory: bit 0
/// of its byte.
///
/// The kernel answers 1 for every page of a file that the caller neither owns nor may write (since
/// Linux 5.2), so a full answer about somebody else's file means nothing. The answer may be
/// outdated when it arrives.
///
/// Safe, and `addr` is a number: it reads page tables and writes `pages`.
///
/// # Errors
///
/// [`Errno::INVAL`] if `addr` is not on a page boundary, [`Errno::NOMEM`] if a page of the range is
/// not mapped.
///
/// # References
///
/// [mincore(2)](https://man7.org/linux/man-pages/man2/mincore.2.html): Linux 2.4.
pub fn mincore(addr: usize, pages: &mut [u8]) -> Result<(), Errno> {
    let len = pages.len().checked_mul(crate::page::page_size().bytes()).ok_or(Errno::NOMEM)?;
    // SAFETY: mincore(2) writes one byte for each page of `len`, which is `pages.len()` bytes; of
    // the range it writes nothing.
    let ret = unsafe { libc::mincore(ptr::without_provenance_mut(addr), len, pages.as_mut_ptr()) };
    check(ret.into()).map(drop)
}

/// Seals `len` bytes from `addr` on for the life of the process: no unmapping, moving, or change of
/// protection.
///
/// # Errors
///
/// [`Errno::NOSYS`] before Linux 6.10, [`Errno::NOMEM`] for a range with holes, [`Errno::INVAL`]
/// off a page boundary.
///
/// # Safety
///
/// Nobody may count on unmapping the range or changing its protection later: it cannot be undone.
///
/// # References
///
/// [mseal(2)](https://docs.kernel.org/userspace-api/mseal.html): Linux 6.10.
pub unsafe fn mseal(addr: *mut c_void, len: usize) -> Result<(), Errno> {
    let no_flags = 0_usize;
    // SAFETY: the kernel checks the range; the caller answers for its never being unmapped.
    check(unsafe { libc::syscall(SYS_MSEAL, addr, len, no_flags) }).map(drop)
}

/// A file of memory that the kernel itself has no mapping of: closed on exec, empty, to be given a
/// length and mapped.
///
/// # Errors
///
/// [`Errno::NOSYS`] before Linux 5.14 or where it is switched off (`secretmem.enable`, on by
/// default since 6.5).
///
/// # References
///
/// [memfd_secret(2)](https://man7.org/linux/man-pages/man2/memfd_secret.2.html): Linux 5.14.
pub fn memfd_secret() -> Result<OwnedFd, Errno> {
    // SAFETY: memfd_secret(2) takes flags and no pointer.
    let fd = check(unsafe { libc::syscall(SYS_MEMFD_SECRET, libc::O_CLOEXEC) })?;
    // SAFETY: the kernel has just made this descriptor for this call, and descriptors fit an int.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}
