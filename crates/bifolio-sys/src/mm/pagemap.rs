//! What the page tables say: the `PAGEMAP_SCAN` ioctl, and the file `/proc/PID/pagemap` that older
//! kernels have too.
//!
//! # Safety
//!
//! Page tables are read, and write-protected for tracking; contents and addresses never change.
//! Only the pointers handed to the kernel need care.
#![allow(unsafe_code, reason = "an ioctl with pointers")]

use core::num::NonZeroUsize;
use core::ops::{BitOr, Range};

use rustix::fd::{AsFd, AsRawFd};
use rustix::io::{Errno, pread};

use crate::page::page_size;
use crate::uapi::{PAGEMAP_SCAN, PM_SCAN_CHECK_WPASYNC, PM_SCAN_WP_MATCHING, PmScanArg, check};

/// What a page can be, as a set: the categories of `PAGEMAP_SCAN`.
///
/// ```
/// use bifolio_sys::mm::Categories;
///
/// let dirty = Categories::PRESENT | Categories::WRITTEN;
/// assert!(dirty.contains(Categories::WRITTEN));
/// assert!(!dirty.contains(Categories::FILE));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct Categories(u64);

impl Categories {
    /// `PAGE_IS_WPALLOWED`: in a range registered for asynchronous write protection.
    pub const WPALLOWED: Self = Self(1 << 0);
    /// `PAGE_IS_WRITTEN`: written since it was last write-protected.
    pub const WRITTEN: Self = Self(1 << 1);
    /// `PAGE_IS_FILE`: of a file, not anonymous.
    pub const FILE: Self = Self(1 << 2);
    /// `PAGE_IS_PRESENT`: in memory and mapped here.
    pub const PRESENT: Self = Self(1 << 3);
    /// `PAGE_IS_SWAPPED`: in swap.
    pub const SWAPPED: Self = Self(1 << 4);
    /// `PAGE_IS_PFNZERO`: the page of zeros that all share.
    pub const PFNZERO: Self = Self(1 << 5);
    /// `PAGE_IS_HUGE`: mapped by one entry for a huge page.
    pub const HUGE: Self = Self(1 << 6);
    /// `PAGE_IS_SOFT_DIRTY`: written since soft-dirty bits were last cleared.
    pub const SOFT_DIRTY: Self = Self(1 << 7);
    /// `PAGE_IS_GUARD` (Linux 6.15): a guard page of
    /// [`Advice::GuardInstall`](super::Advice::GuardInstall).
    pub const GUARD: Self = Self(1 << 8);

    /// Whether it has all of `other`.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Those of both, also in a constant.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The kernel's bits.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }
}

impl BitOr for Categories {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.or(other)
    }
}

/// Whether [`pagemap_scan`] write-protects the pages that it reports, so that a later one finds
/// those written since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WriteProtect {
    /// It only looks.
    #[default]
    No,
    /// It only looks, and a range that is not registered is [`Errno::PERM`]
    /// (`PM_SCAN_CHECK_WPASYNC`): so nobody takes "written" for an answer where nobody counts.
    NoOrFail,
    /// It protects pages of ranges registered for it and passes over others
    /// (`PM_SCAN_WP_MATCHING`).
    Matching,
    /// The same, but a range that is not registered is [`Errno::PERM`] (`PM_SCAN_CHECK_WPASYNC`
    /// too).
    MatchingOrFail,
}

/// What [`pagemap_scan`] looks for.
///
/// A page is reported if, after the categories in `inverted` are negated, it has all of `all_of`
/// and, unless that is empty, one of `any_of`.
#[derive(Clone, Debug, Default)]
pub struct PagemapScan {
    /// The addresses to look at: the start on a page boundary, the end rounded up to one by the
    /// kernel.
    pub range: Range<usize>,
    /// Categories that count where they are absent.
    pub inverted: Categories,
    /// Categories that all must hold.
    pub all_of: Categories,
    /// Categories of which one must hold.
    pub any_of: Categories,
    /// Categories to report: regions are as long as these are the same.
    pub report: Categories,
    /// Whether to write-protect what is reported.
    pub write_protect: WriteProtect,
    /// Stop after so many pages.
    pub pages_max: Option<NonZeroUsize>,
}

/// Adjacent pages with the same categories: the kernel's `struct page_region`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct PageRegion {
    /// The address of its first byte.
    pub start: u64,
    /// The address after its last byte.
    pub end: u64,
    /// What its pages are, of the categories asked for.
    pub categories: Categories,
}

/// What [`pagemap_scan`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scanned<'out> {
    /// The regions, by ascending address.
    pub regions: &'out [PageRegion],
    /// Where it stopped: the end of the range, or less if `out` was full or `pages_max` reached.
    pub walk_end: usize,
}

/// Finds the pages that `scan` asks for by `pagemap`, which is an open `/proc/PID/pagemap`, and
/// writes them to `out`.
///
/// # Errors
///
/// [`Errno::NOTTY`] before Linux 6.7, [`Errno::INVAL`] for a start off a page boundary,
/// [`Errno::FAULT`] for addresses beyond those of a process, [`Errno::PERM`] as [`WriteProtect`]
/// says.
///
/// # References
///
/// [pagemap](https://docs.kernel.org/admin-guide/mm/pagemap.html#pagemap-scan-ioctl),
/// [PAGEMAP_SCAN(2const)](https://man7.org/linux/man-pages/man2/PAGEMAP_SCAN.2const.html): Linux
/// 6.7.
pub fn pagemap_scan<'out>(
    pagemap: impl AsFd,
    scan: &PagemapScan,
    out: &'out mut [PageRegion],
) -> Result<Scanned<'out>, Errno> {
    let mut arg = PmScanArg {
        size: size_of::<PmScanArg>() as u64,
        flags: match scan.write_protect {
            WriteProtect::No => 0,
            WriteProtect::NoOrFail => PM_SCAN_CHECK_WPASYNC,
            WriteProtect::Matching => PM_SCAN_WP_MATCHING,
            WriteProtect::MatchingOrFail => PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC,
        },
        start: scan.range.start as u64,
        end: scan.range.end as u64,
        vec: out.as_mut_ptr().expose_provenance() as u64,
        vec_len: out.len() as u64,
        max_pages: scan.pages_max.map_or(0, |pages| pages.get() as u64),
        category_inverted: scan.inverted.0,
        category_mask: scan.all_of.0,
        category_anyof_mask: scan.any_of.0,
        return_mask: scan.report.0,
        ..PmScanArg::default()
    };
    let fd = pagemap.as_fd().as_raw_fd();
    // SAFETY: PAGEMAP_SCAN(2const): the kernel reads and writes `size` bytes at `arg`, the size
    // that its number names, and at most `vec_len` regions at `vec`, which is `out`; files
    // other than `pagemap` do not know the number.
    let ret = unsafe { libc::ioctl(fd, PAGEMAP_SCAN as _, &raw mut arg) };
    let count = check(ret.into())?;
    // Only an impostor of the file could count more regions than there is room for.
    let regions = out.get(..count).ok_or(Errno::NOTTY)?;
    Ok(Scanned { regions, walk_end: arg.walk_end as usize })
}

/// One page as `/proc/PID/pagemap` describes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct PagemapEntry(u64);

impl PagemapEntry {
    /// Whether the page is in memory and mapped here.
    #[must_use]
    pub const fn is_present(self) -> bool {
        self.0 >> 63 & 1 == 1
    }

    /// Whether the page is in swap.
    #[must_use]
    pub const fn is_swapped(self) -> bool {
        self.0 >> 62 & 1 == 1
    }

    /// Whether the page is of a file or shared, not private anonymous memory (Linux 3.5).
    #[must_use]
    pub const fn is_file(self) -> bool {
        self.0 >> 61 & 1 == 1
    }

    /// Whether it is a guard page of [`Advice::GuardInstall`](super::Advice::GuardInstall) (Linux
    /// 6.15), which counts as swapped too.
    #[must_use]
    pub const fn is_guard(self) -> bool {
        self.0 >> 58 & 1 == 1
    }

    /// Whether userfaultfd(2) write-protects the page (Linux 5.13); one that was never there and is
    /// so marked counts as swapped too.
    #[must_use]
    pub const fn is_write_protected(self) -> bool {
        self.0 >> 57 & 1 == 1
    }

    /// Whether the page is mapped by this process alone (Linux 4.2).
    #[must_use]
    pub const fn is_exclusive(self) -> bool {
        self.0 >> 56 & 1 == 1
    }
}

/// Reads the entries of the pages from `addr` on by `pagemap`, which is an open
/// `/proc/PID/pagemap`, and returns how many.
///
/// Fewer than `out` has room for come where the address space ends.
///
/// # Errors
///
/// Those of pread(2).
///
/// # References
///
/// [proc_pid_pagemap(5)](https://man7.org/linux/man-pages/man5/proc_pid_pagemap.5.html): Linux
/// 2.6.25.
pub fn pagemap_read(
    pagemap: impl AsFd,
    addr: usize,
    out: &mut [PagemapEntry],
) -> Result<usize, Errno> {
    const ENTRY: usize = size_of::<PagemapEntry>();
    let offset = (addr >> page_size().log2()) * ENTRY;
    let len = size_of_val(out);
    // SAFETY: a `PagemapEntry` is a transparent `u64`: it has no padding and every pattern of bits
    // is one.
    let bytes = unsafe { core::slice::from_raw_parts_mut(out.as_mut_ptr().cast::<u8>(), len) };
    Ok(pread(pagemap, bytes, offset as u64)? / ENTRY)
}
