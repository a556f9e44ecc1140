//! Dirty pages by the page tables: a userfaultfd in asynchronous write protection, and scans that
//! find and protect in one call.
//!
//! There is one userfaultfd for the whole process, and one descriptor of its page tables, opened
//! when first needed and kept: mappings that are split, joined or dropped have nothing to hand on
//! or to close.
//!
//! # Invariants
//!
//! 0. Every page of a tracked range has an entry in the page tables, with a bit or a marker while
//!    it is clean: `start` and `mark` protect first, which makes all entries. (An entry that is
//!    gone counts as written, but what of a whole missing table? Kernels differ.)
//! 1. A scan that takes a page protects its entry under the lock of the page table, and no CPU
//!    writes by an older copy of the entry once the scan has returned. So a write before it is in
//!    the bytes that are read after it, and a write after it lifts the protection.
//! 2. The descriptors are of *this* process's memory: they are kept in a page that is wiped on
//!    fork(2), so that a child opens its own and never touches its parent's page tables. A child's
//!    pages are not registered, which its scans report as `EPERM`.
//!
//! What the kernel drops and brings in again (reclaimed, swapped, evicted) keeps its bit, by a
//! marker in the entry where there is no page.
//!
//! # Safety
//!
//! Unsafe code reads the two words in the page that is wiped on fork, and makes descriptors of
//! them.
#![allow(unsafe_code, reason = "shares a page that fork wipes")]

use crate::anon::AnonMap;
use bifolio_sys::Errno;
use bifolio_sys::features::Feature;
use bifolio_sys::fs::fd::{AsRawFd, BorrowedFd, IntoRawFd, OwnedFd};
use bifolio_sys::fs::{CWD, Mode, OFlags, openat};
use bifolio_sys::mm::{
    self, Categories, PageRegion, PagemapScan, RegisterMode, USER_MODE_ONLY, UffdFeatures,
    WriteProtect,
};
use core::ops::Range;
use core::ptr::null_mut;
// Words of one value each: there is nothing here for a model checker.
use core::sync::atomic::{AtomicI32, AtomicPtr, Ordering};

/// What is opened once for a process.
struct Descriptors {
    /// The number of the userfaultfd and one; 0 where it is not open.
    uffd: AtomicI32,
    /// The same of `/proc/self/pagemap`.
    pagemap: AtomicI32,
}

/// Where the descriptors of the process are kept; null before they are needed.
static DESCRIPTORS: AtomicPtr<Descriptors> = AtomicPtr::new(null_mut());

impl Descriptors {
    fn get() -> Result<&'static Descriptors, Errno> {
        let mut known = DESCRIPTORS.load(Ordering::SeqCst);
        if known.is_null() {
            let errno = |error: crate::error::Error| error.errno().unwrap_or(Errno::NOMEM);
            let mut page = AnonMap::new(size_of::<Descriptors>()).map_err(errno)?;
            page.wipe_on_fork(0..size_of::<Descriptors>()).map_err(errno)?;
            let fresh = page.as_mut_ptr().cast::<Descriptors>();
            match DESCRIPTORS.compare_exchange(
                null_mut(),
                fresh,
                Ordering::SeqCst,
                Ordering::SeqCst,
            ) {
                Ok(_) => {
                    // It stays for the life of the process.
                    core::mem::forget(page);
                    known = fresh;
                }
                Err(first) => known = first,
            }
        }
        // SAFETY: the pointer is to a page that was mapped by `AnonMap`, forgotten, and never
        // unmapped; zeros are two atomics, and nobody refers to them but as such.
        Ok(unsafe { &*known })
    }

    fn uffd(&self) -> Result<BorrowedFd<'static>, Errno> {
        open_once(&self.uffd, || {
            if !Feature::UserfaultfdWpAsync.is_available() {
                return Err(Errno::NOSYS);
            }
            let uffd = mm::userfaultfd(USER_MODE_ONLY)?;
            let features = UffdFeatures::PAGEFAULT_FLAG_WP
                | UffdFeatures::WP_HUGETLBFS_SHMEM
                | UffdFeatures::WP_UNPOPULATED
                | UffdFeatures::WP_ASYNC;
            mm::uffdio_api(&uffd, features)?;
            Ok(uffd)
        })
    }

    fn pagemap(&self) -> Result<BorrowedFd<'static>, Errno> {
        open_once(&self.pagemap, || {
            if !Feature::PagemapScan.is_available() {
                return Err(Errno::NOSYS);
            }
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            openat(CWD, c"/proc/self/pagemap", flags, Mode::empty())
        })
    }
}

/// The descriptor that `word` tells, opened first where there is none.
fn open_once(
    word: &AtomicI32,
    open: impl FnOnce() -> Result<OwnedFd, Errno>,
) -> Result<BorrowedFd<'static>, Errno> {
    let mut known = word.load(Ordering::SeqCst);
    if known == 0 {
        let fd = open()?;
        let fresh = fd.as_raw_fd() + 1;
        known = match word.compare_exchange(0, fresh, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => fd.into_raw_fd() + 1,
            // Another thread was first; ours is closed.
            Err(first) => first,
        };
    }
    // SAFETY: the library opened this descriptor in this process (invariant 2), gave it to nobody,
    // and never closes it.
    Ok(unsafe { BorrowedFd::borrow_raw(known - 1) })
}

/// Registers the pages at `addresses` and makes those at `clean` so.
pub(super) fn start(addresses: Range<usize>, clean: Range<usize>) -> Result<(), Errno> {
    let descriptors = Descriptors::get()?;
    // Both, or tracking would begin that cannot be asked.
    let (uffd, _) = (descriptors.uffd()?, descriptors.pagemap()?);
    if addresses.is_empty() {
        return Ok(());
    }
    mm::uffdio_register(uffd, addresses.clone(), RegisterMode::WriteProtect)?;
    if clean.is_empty() {
        return Ok(());
    }
    mm::uffdio_writeprotect(uffd, clean, true).inspect_err(|_| stop(addresses))
}

/// Ends the registration of the pages at `addresses`. In a forked child there is none.
pub(super) fn stop(addresses: Range<usize>) {
    if !addresses.is_empty()
        && let Ok(uffd) = Descriptors::get().and_then(Descriptors::uffd)
    {
        let ended = mm::uffdio_unregister(uffd, addresses);
        debug_assert_eq!(ended, Ok(()), "the pages are mapped, and whole");
    }
}

/// Makes the pages at `addresses` dirty.
pub(super) fn mark(addresses: Range<usize>) -> Result<(), Errno> {
    let uffd = Descriptors::get()?.uffd()?;
    // Protected first: that makes the entries of which the second call says "written" (invariant
    // 0). Whoever takes pages between the two finds these clean, and dirty the next time.
    mm::uffdio_writeprotect(uffd, addresses.clone(), true)?;
    mm::uffdio_writeprotect(uffd, addresses, false)
}

/// Finds dirty runs of pages, and with `take` protects them in the same step (invariant 1). What it
/// protected before it failed is not told.
pub(super) fn find(
    addresses: Range<usize>,
    take: bool,
    out: &mut [PageRegion],
) -> Result<(usize, usize), Errno> {
    let end = addresses.end;
    let scan = PagemapScan {
        range: addresses,
        // These and no others: the kernel has a faster loop for just this question.
        all_of: Categories::WRITTEN,
        report: Categories::WRITTEN,
        write_protect: if take { WriteProtect::MatchingOrFail } else { WriteProtect::NoOrFail },
        ..PagemapScan::default()
    };
    let scanned = mm::pagemap_scan(Descriptors::get()?.pagemap()?, &scan, out)?;
    // Where it found nothing more, it looked to the end.
    let looked_to = if scanned.regions.is_empty() { end } else { scanned.walk_end };
    Ok((scanned.regions.len(), looked_to))
}
