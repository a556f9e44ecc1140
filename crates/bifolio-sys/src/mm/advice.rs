//! What a program tells the kernel about ranges of memory: `madvise` and `process_madvise`.
//!
//! # Safety
//!
//! Advice can change or take away contents, so both calls are unsafe: the caller answers for the
//! range.
#![allow(unsafe_code, reason = "system calls on raw ranges")]

use core::ffi::{c_int, c_void};

use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Errno;

use super::IoVec;
use crate::uapi::{SYS_PROCESS_MADVISE, check};

/// Advice on a range of memory: the full set of Linux 6.18 but for the two that test hardware
/// errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum Advice {
    /// `MADV_NORMAL`: no special treatment.
    Normal = 0,
    /// `MADV_RANDOM`: expect access in random order, so no read-ahead.
    Random = 1,
    /// `MADV_SEQUENTIAL`: expect access in order, so much read-ahead.
    Sequential = 2,
    /// `MADV_WILLNEED`: start reading the pages in.
    WillNeed = 3,
    /// `MADV_DONTNEED`: drop the pages now; private memory reads as zero or as the file afterwards.
    DontNeed = 4,
    /// `MADV_FREE` (Linux 4.5): the kernel may drop the contents until they are next written.
    Free = 8,
    /// `MADV_REMOVE` (Linux 2.6.16): punch a hole in the file behind a shared mapping.
    Remove = 9,
    /// `MADV_DONTFORK` (Linux 2.6.16): children do not get the range.
    DontFork = 10,
    /// `MADV_DOFORK` (Linux 2.6.16): undo [`Advice::DontFork`].
    DoFork = 11,
    /// `MADV_MERGEABLE` (Linux 2.6.32): equal pages may share memory (KSM).
    Mergeable = 12,
    /// `MADV_UNMERGEABLE` (Linux 2.6.32): undo [`Advice::Mergeable`].
    Unmergeable = 13,
    /// `MADV_HUGEPAGE` (Linux 2.6.38): use transparent huge pages.
    HugePage = 14,
    /// `MADV_NOHUGEPAGE` (Linux 2.6.38): use none.
    NoHugePage = 15,
    /// `MADV_DONTDUMP` (Linux 3.4): leave the range out of core dumps.
    DontDump = 16,
    /// `MADV_DODUMP` (Linux 3.4): undo [`Advice::DontDump`].
    DoDump = 17,
    /// `MADV_WIPEONFORK` (Linux 4.14): children see zeros; private anonymous memory only.
    WipeOnFork = 18,
    /// `MADV_KEEPONFORK` (Linux 4.14): undo [`Advice::WipeOnFork`].
    KeepOnFork = 19,
    /// `MADV_COLD` (Linux 5.4): reclaim these pages before others.
    Cold = 20,
    /// `MADV_PAGEOUT` (Linux 5.4): reclaim these pages now; contents stay.
    PageOut = 21,
    /// `MADV_POPULATE_READ` (Linux 5.14): map the pages as a read would, with an error instead of a
    /// signal.
    PopulateRead = 22,
    /// `MADV_POPULATE_WRITE` (Linux 5.14): map the pages as a write would, with an error instead of
    /// a signal.
    PopulateWrite = 23,
    /// `MADV_DONTNEED_LOCKED` (Linux 5.18): [`Advice::DontNeed`] for locked memory too.
    DontNeedLocked = 24,
    /// `MADV_COLLAPSE` (Linux 6.1): make transparent huge pages of the range now.
    Collapse = 25,
    /// `MADV_GUARD_INSTALL` (Linux 6.13; file mappings 6.15): the pages fault from now on, their
    /// contents are dropped.
    GuardInstall = 102,
    /// `MADV_GUARD_REMOVE` (Linux 6.13): undo [`Advice::GuardInstall`]; the pages are as never
    /// touched.
    GuardRemove = 103,
}

impl Advice {
    /// Every advice, in the order of the kernel's numbers.
    pub const ALL: [Self; 25] = [
        Self::Normal,
        Self::Random,
        Self::Sequential,
        Self::WillNeed,
        Self::DontNeed,
        Self::Free,
        Self::Remove,
        Self::DontFork,
        Self::DoFork,
        Self::Mergeable,
        Self::Unmergeable,
        Self::HugePage,
        Self::NoHugePage,
        Self::DontDump,
        Self::DoDump,
        Self::WipeOnFork,
        Self::KeepOnFork,
        Self::Cold,
        Self::PageOut,
        Self::PopulateRead,
        Self::PopulateWrite,
        Self::DontNeedLocked,
        Self::Collapse,
        Self::GuardInstall,
        Self::GuardRemove,
    ];

    /// Whether bytes of the range may read differently afterwards, here or in a child, or stop
    /// being readable.
    #[must_use]
    pub const fn changes_contents(self) -> bool {
        matches!(
            self,
            Self::DontNeed
                | Self::Free
                | Self::Remove
                | Self::WipeOnFork
                | Self::DontNeedLocked
                | Self::GuardInstall
        )
    }
}

/// Advises the kernel on `len` bytes from `addr` on, which lies on a page boundary.
///
/// # Errors
///
/// Those of madvise(2): among them [`Errno::INVAL`] for advice that the kernel does not know or
/// that does not fit the mapping, [`Errno::NOMEM`] for a range with holes, [`Errno::FAULT`] where
/// populating met a page beyond the end of the file.
///
/// # Safety
///
/// Nothing that relies on the range's contents, on their being readable, or on a child having them
/// may be alive where [`Advice::changes_contents`] says so.
///
/// # References
///
/// [madvise(2)](https://man7.org/linux/man-pages/man2/madvise.2.html): Linux 2.4; each advice as it
/// says.
pub unsafe fn madvise(addr: *mut c_void, len: usize, advice: Advice) -> Result<(), Errno> {
    // SAFETY: the caller's promise.
    unsafe { madvise_number(addr, len, advice as c_int) }
}

/// As [`madvise`], by the kernel's number: also what this library has no name for, such as the two
/// that test hardware errors. With a length of zero it only tells whether the kernel knows the
/// number.
///
/// # Errors
///
/// As of [`madvise`].
///
/// # Safety
///
/// As of [`madvise`].
///
/// # References
///
/// [madvise(2)](https://man7.org/linux/man-pages/man2/madvise.2.html): Linux 2.4.
pub unsafe fn madvise_number(addr: *mut c_void, len: usize, advice: i32) -> Result<(), Errno> {
    // SAFETY: the caller answers for the effect on the range; the kernel checks the range itself.
    let ret = unsafe { libc::madvise(addr, len, advice) };
    check(ret.into()).map(drop)
}

/// Advises the kernel on several ranges of a process at once, and returns how many bytes it has
/// advised on.
///
/// # Errors
///
/// Those of process_madvise(2): [`Errno::PERM`] without the right to it, [`Errno::INVAL`] for
/// advice that is not for others (of another process only `Cold`, `PageOut`, `WillNeed` and
/// `Collapse`; of oneself, since Linux 6.13, every one).
///
/// # Safety
///
/// As of [`madvise`], for every range, in the process that `pidfd` stands for.
///
/// # References
///
/// [process_madvise(2)](https://man7.org/linux/man-pages/man2/process_madvise.2.html): Linux 5.10.
pub unsafe fn process_madvise(
    pidfd: impl AsFd,
    ranges: &[IoVec],
    advice: Advice,
) -> Result<usize, Errno> {
    let pidfd = pidfd.as_fd().as_raw_fd();
    // SAFETY: the kernel reads `ranges.len()` records of the layout of `struct iovec`; for the
    // effect the caller answers.
    let ret = unsafe {
        libc::syscall(SYS_PROCESS_MADVISE, pidfd, ranges.as_ptr(), ranges.len(), advice as c_int, 0)
    };
    check(ret)
}
