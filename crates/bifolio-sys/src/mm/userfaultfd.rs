//! Faults of one's own memory told to a file: userfaultfd(2), and of what it can do the tracking of
//! writes.
//!
//! Here is what write protection needs. With [`UffdFeatures::WP_ASYNC`] nobody has to listen: the
//! kernel itself lifts the protection of a page when it is written, and
//! [`pagemap_scan`](super::pagemap_scan) tells which pages those are.
//!
//! # Safety
//!
//! No byte changes and nothing is mapped or unmapped, so that ranges are numbers and the calls are
//! safe; only the pointers handed to the kernel need care.
#![allow(unsafe_code, reason = "ioctls with pointers")]

use core::ops::{BitOr, Range};

use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::io::Errno;

pub use rustix::mm::UserfaultfdFlags;

use crate::uapi::{
    UFFD_API, UFFD_FEATURE_PAGEFAULT_FLAG_WP, UFFD_FEATURE_WP_ASYNC,
    UFFD_FEATURE_WP_HUGETLBFS_SHMEM, UFFD_FEATURE_WP_UNPOPULATED, UFFD_USER_MODE_ONLY, UFFDIO_API,
    UFFDIO_REGISTER, UFFDIO_REGISTER_MODE_WP, UFFDIO_UNREGISTER, UFFDIO_WRITEPROTECT,
    UFFDIO_WRITEPROTECT_MODE_WP, UffdioApi, UffdioRange, UffdioRegister, UffdioWriteprotect, check,
};

/// `UFFD_USER_MODE_ONLY`: tells of the faults of the program itself and not of those that the
/// kernel meets while it works for it; so it needs no privilege.
///
/// # References
///
/// [userfaultfd(2)](https://man7.org/linux/man-pages/man2/userfaultfd.2.html): Linux 5.11.
pub const USER_MODE_ONLY: UserfaultfdFlags =
    UserfaultfdFlags::from_bits_retain(UFFD_USER_MODE_ONLY);

/// What a userfaultfd can be asked for, as a set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct UffdFeatures(u64);

impl UffdFeatures {
    /// `UFFD_FEATURE_PAGEFAULT_FLAG_WP`: write protection (Linux 5.7).
    pub const PAGEFAULT_FLAG_WP: Self = Self(UFFD_FEATURE_PAGEFAULT_FLAG_WP);
    /// `UFFD_FEATURE_WP_HUGETLBFS_SHMEM`: the same of shared memory and huge pages (Linux 5.19).
    pub const WP_HUGETLBFS_SHMEM: Self = Self(UFFD_FEATURE_WP_HUGETLBFS_SHMEM);
    /// `UFFD_FEATURE_WP_UNPOPULATED`: private pages that are not there yet are protected too (Linux
    /// 6.4).
    pub const WP_UNPOPULATED: Self = Self(UFFD_FEATURE_WP_UNPOPULATED);
    /// `UFFD_FEATURE_WP_ASYNC`: the kernel lifts the protection of a page that is written and tells
    /// nobody; any memory can be registered for that, mappings of files included (Linux 6.7).
    pub const WP_ASYNC: Self = Self(UFFD_FEATURE_WP_ASYNC);

    /// Whether it has all of `other`.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The kernel's bits.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }
}

impl BitOr for UffdFeatures {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Which faults of a range are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u64)]
pub enum RegisterMode {
    /// Writing to a page that [`uffdio_writeprotect`] protected (`UFFDIO_REGISTER_MODE_WP`).
    WriteProtect = UFFDIO_REGISTER_MODE_WP,
}

/// Opens a userfaultfd: closed on exec, for this process's memory. It is to be told by
/// [`uffdio_api`] what it is for before anything else.
///
/// # Errors
///
/// [`Errno::PERM`] where an administrator (`vm.unprivileged_userfaultfd`) or a filter forbids it;
/// with [`USER_MODE_ONLY`] only a filter does. [`Errno::NOSYS`] on a kernel without it.
///
/// # References
///
/// [userfaultfd(2)](https://man7.org/linux/man-pages/man2/userfaultfd.2.html): Linux 4.3.
pub fn userfaultfd(flags: UserfaultfdFlags) -> Result<OwnedFd, Errno> {
    // SAFETY: the descriptor by itself changes nothing; what is done with it goes through the
    // functions here, none of which changes a byte.
    unsafe { rustix::mm::userfaultfd(UserfaultfdFlags::CLOEXEC | flags) }
}

/// Asks for `features`, once for each userfaultfd, and returns all that the kernel has.
///
/// # Errors
///
/// [`Errno::INVAL`] for a feature that the kernel does not have, and for a second call.
///
/// # References
///
/// [UFFDIO_API(2const)](https://man7.org/linux/man-pages/man2/UFFDIO_API.2const.html): Linux 4.3.
pub fn uffdio_api(uffd: impl AsFd, features: UffdFeatures) -> Result<UffdFeatures, Errno> {
    let mut api = UffdioApi { api: UFFD_API, features: features.0, ioctls: 0 };
    let fd = uffd.as_fd().as_raw_fd();
    // SAFETY: UFFDIO_API(2const): the kernel reads and writes the one record; other files do not
    // know the number.
    check(unsafe { libc::ioctl(fd, UFFDIO_API as _, &raw mut api) }.into())?;
    Ok(UffdFeatures(api.features))
}

/// Registers the pages of `range`, addresses of the process that opened `uffd`.
///
/// # Errors
///
/// [`Errno::INVAL`] for a range that is not of whole pages, that has holes, or of memory that
/// cannot be registered so; [`Errno::BUSY`] where another userfaultfd has a part of it;
/// [`Errno::PERM`] for a shared mapping of a file that was opened for reading only.
///
/// # References
///
/// [UFFDIO_REGISTER(2const)](https://man7.org/linux/man-pages/man2/UFFDIO_REGISTER.2const.html):
/// Linux 4.3; [`RegisterMode::WriteProtect`] 5.7.
pub fn uffdio_register(
    uffd: impl AsFd,
    range: Range<usize>,
    mode: RegisterMode,
) -> Result<(), Errno> {
    let mut register =
        UffdioRegister { range: UffdioRange::new(range), mode: mode as u64, ioctls: 0 };
    let fd = uffd.as_fd().as_raw_fd();
    // SAFETY: UFFDIO_REGISTER(2const): the kernel reads and writes the one record.
    check(unsafe { libc::ioctl(fd, UFFDIO_REGISTER as _, &raw mut register) }.into()).map(drop)
}

/// Ends the registration of the pages of `range`, and with it their protection.
///
/// # Errors
///
/// [`Errno::INVAL`] for a range that is not of whole pages or in which nothing is mapped.
///
/// # References
///
/// [ioctl_userfaultfd(2)](https://man7.org/linux/man-pages/man2/ioctl_userfaultfd.2.html):
/// Linux 4.3.
pub fn uffdio_unregister(uffd: impl AsFd, range: Range<usize>) -> Result<(), Errno> {
    let mut range = UffdioRange::new(range);
    let fd = uffd.as_fd().as_raw_fd();
    // SAFETY: UFFDIO_UNREGISTER(2const): the kernel reads the one record.
    check(unsafe { libc::ioctl(fd, UFFDIO_UNREGISTER as _, &raw mut range) }.into()).map(drop)
}

/// Protects the registered pages of `range` from being written unnoticed, or lifts that. It makes
/// the page tables of all of the range where it protects.
///
/// # Errors
///
/// [`Errno::INVAL`] for a range that is not of whole pages, [`Errno::NOENT`] for one that is not
/// registered, [`Errno::NOMEM`] for want of page tables: a part may be protected then;
/// [`Errno::AGAIN`] while the address space changes, where the userfaultfd was asked to tell of
/// that.
///
/// # References
///
/// [ioctl_userfaultfd(2)](https://man7.org/linux/man-pages/man2/ioctl_userfaultfd.2.html):
/// Linux 5.7.
pub fn uffdio_writeprotect(
    uffd: impl AsFd,
    range: Range<usize>,
    protect: bool,
) -> Result<(), Errno> {
    let mode = if protect { UFFDIO_WRITEPROTECT_MODE_WP } else { 0 };
    let mut request = UffdioWriteprotect { range: UffdioRange::new(range), mode };
    let fd = uffd.as_fd().as_raw_fd();
    // SAFETY: UFFDIO_WRITEPROTECT(2const): the kernel reads the one record.
    check(unsafe { libc::ioctl(fd, UFFDIO_WRITEPROTECT as _, &raw mut request) }.into()).map(drop)
}
