//! How each feature is found out: by the call itself, in a form that leaves nothing behind.
//!
//! Where a comment says that an error means "present", the kernel checks that argument after it has
//! found the call and permitted it.
//!
//! # Safety
//!
//! Some calls have no safe form. They get ranges of length 0, pointers to locals or pages mapped
//! for the purpose.
#![allow(unsafe_code, reason = "system calls in forms that no wrapper offers")]

use core::ffi::{c_int, c_long, c_void};
use core::ptr;

use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, memfd_create, openat};
use rustix::io::Errno;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use rustix::process::{PidfdFlags, getpid, pidfd_open};

use super::environment::{ShmemThpMode, ThpMode, shmem_thp_mode, thp_mode};
use super::reason::{Reason, Refusal, Setting};
use crate::mm::{
    self, Advice, Find, IoVec, Misplaced, PagemapScan, Policy, UffdFeatures, UserfaultfdFlags,
};
use crate::page::{HugePagePool, huge_page_sizes, page_size};
use crate::process::process_vm_readv;
use crate::text::read_number;
use crate::uapi::{SYS_CACHESTAT, SYS_MSEAL, SYS_PROCESS_MADVISE, check};

type Probed = Result<(), Refusal>;

/// Success if the call was found, permitted, and failed with `errno` for an argument that was made
/// to fail.
fn expect(result: Result<usize, Errno>, errno: Errno) -> Probed {
    match result {
        Err(found) if found == errno => Ok(()),
        Err(other) => Err(other.into()),
        // It did what it could not: the call is there, at least.
        Ok(_) => Ok(()),
    }
}

fn because<T>(reason: Reason) -> Result<T, Refusal> {
    Err(Refusal::Because(reason))
}

pub(super) fn cachestat() -> Probed {
    // SAFETY: without a file, the kernel looks at no pointer.
    let ret = unsafe { libc::syscall(SYS_CACHESTAT, -1, 0_usize, 0_usize, 0_usize) };
    // No such file: present.
    expect(check(ret), Errno::BADF)
}

pub(super) fn mincore() -> Probed {
    let here = page_size().round_down((&raw const MAPPED).addr());
    Ok(mm::mincore(here, &mut [0])?)
}

/// Something that is mapped for as long as the program runs.
static MAPPED: u8 = 0;

pub(super) fn pagemap_scan() -> Probed {
    let pagemap = open(c"/proc/self/pagemap")?;
    mm::pagemap_scan(pagemap, &PagemapScan::default(), &mut [])?;
    Ok(())
}

pub(super) fn procmap_query() -> Probed {
    let maps = open(c"/proc/self/maps")?;
    mm::procmap_query(maps, (&raw const MAPPED).addr(), Find::Covering, &mut [])?;
    Ok(())
}

fn open(path: &core::ffi::CStr) -> Result<OwnedFd, Errno> {
    openat(CWD, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

/// Advice is checked before the range, and a range of no bytes is done at once.
fn advice(advice: Advice) -> Probed {
    // SAFETY: the range is empty.
    Ok(unsafe { mm::madvise(ptr::null_mut(), 0, advice) }?)
}

pub(super) fn madv_populate() -> Probed {
    advice(Advice::PopulateRead)?;
    advice(Advice::PopulateWrite)
}

pub(super) fn madv_pageout() -> Probed {
    advice(Advice::Cold)?;
    advice(Advice::PageOut)
}

pub(super) fn madv_collapse() -> Probed {
    advice(Advice::Collapse)
}

pub(super) fn madv_guard() -> Probed {
    advice(Advice::GuardInstall)?;
    advice(Advice::GuardRemove)
}

pub(super) fn process_madvise() -> Probed {
    let nothing = ptr::null::<IoVec>();
    let cold = Advice::Cold as c_int;
    // SAFETY: there is no range.
    let ret = unsafe { libc::syscall(SYS_PROCESS_MADVISE, -1, nothing, 0_usize, cold, 0_usize) };
    // No such process: present.
    expect(check(ret), Errno::BADF)
}

pub(super) fn mseal() -> Probed {
    let unknown_flags = usize::MAX;
    // SAFETY: no range is given, and no flags are known.
    let ret = unsafe { libc::syscall(SYS_MSEAL, 0_usize, 0_usize, unknown_flags) };
    // Unknown flags: present.
    expect(check(ret), Errno::INVAL)
}

pub(super) fn mbind() -> Probed {
    Ok(mm::mbind(0, 0, &Policy::Default, Misplaced::Stay)?)
}

pub(super) fn mlock() -> Probed {
    // SAFETY: the range is empty.
    match unsafe { mm::mlock(ptr::null_mut(), 0) } {
        Ok(()) => Ok(()),
        // mlock(2): the limit is 0 and there is no privilege to ignore it.
        Err(Errno::PERM) => because(Reason::Forbidden(Setting::RlimitMemlock)),
        Err(errno) => Err(errno.into()),
    }
}

pub(super) fn memfd() -> Probed {
    memfd_create(c"", MemfdFlags::CLOEXEC)?;
    Ok(())
}

pub(super) fn memfd_noexec_seal() -> Probed {
    memfd_create(c"", MemfdFlags::CLOEXEC | MemfdFlags::NOEXEC_SEAL)?;
    Ok(())
}

pub(super) fn memfd_secret() -> Probed {
    mm::memfd_secret()?;
    Ok(())
}

pub(super) fn map_droppable() -> Probed {
    OnePage::map(ptr::null_mut(), MapFlags::DROPPABLE)?;
    Ok(())
}

pub(super) fn map_fixed_noreplace() -> Probed {
    let taken = OnePage::map(ptr::null_mut(), MapFlags::PRIVATE)?;
    match OnePage::map(taken.0, MapFlags::PRIVATE | MapFlags::FIXED_NOREPLACE) {
        Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
        // An older kernel takes the address for a hint and maps elsewhere.
        Ok(_elsewhere) => Err(Errno::NOSYS.into()),
    }
}

/// One page without access, unmapped on drop.
struct OnePage(*mut c_void);

impl OnePage {
    /// `flags` are without `MAP_FIXED`, so that nothing is replaced.
    fn map(hint: *mut c_void, flags: MapFlags) -> Result<Self, Errno> {
        assert!(!flags.contains(MapFlags::FIXED));
        // SAFETY: without MAP_FIXED, as asserted, mmap(2) takes addresses that nothing uses.
        let page = unsafe { mmap_anonymous(hint, page_size().bytes(), ProtFlags::empty(), flags) };
        page.map(Self)
    }
}

impl Drop for OnePage {
    fn drop(&mut self) {
        // SAFETY: `map` has mapped this page, and nobody else knows its address.
        let unmapped = unsafe { munmap(self.0, page_size().bytes()) };
        debug_assert_eq!(unmapped, Ok(()));
    }
}

pub(super) fn hugetlb() -> Probed {
    let Ok(sizes) = huge_page_sizes() else {
        return because(Reason::NotConfigured(Errno::NOENT));
    };
    let can_map = |pool: HugePagePool| pool.free > pool.reserved || pool.overcommit.get() > 0;
    if sizes.filter_map(|size| HugePagePool::of(size).ok()).any(can_map) {
        return Ok(());
    }
    because(Reason::NotSetUp(Setting::NrHugepages))
}

pub(super) fn thp() -> Probed {
    match thp_mode() {
        Err(Errno::NOENT) => return because(Reason::NotConfigured(Errno::NOENT)),
        Err(errno) => return Err(errno.into()),
        Ok(Some(ThpMode::Never)) => return because(Reason::Forbidden(Setting::ThpEnabled)),
        Ok(_) => {}
    }
    if rustix::thread::transparent_huge_pages_are_disabled()? {
        return because(Reason::Forbidden(Setting::ThpDisable));
    }
    Ok(())
}

pub(super) fn shmem_thp() -> Probed {
    match shmem_thp_mode() {
        Err(Errno::NOENT) => because(Reason::NotConfigured(Errno::NOENT)),
        Err(errno) => Err(errno.into()),
        Ok(Some(ShmemThpMode::Never | ShmemThpMode::Deny)) => {
            because(Reason::Forbidden(Setting::ShmemThpEnabled))
        }
        Ok(_) => Ok(()),
    }
}

pub(super) fn process_vm() -> Probed {
    let (mut from, mut to) = (1_u8, 0_u8);
    let remote = IoVec { base: (&raw mut from).cast(), len: 1 };
    let local = IoVec { base: (&raw mut to).cast(), len: 1 };
    // SAFETY: the byte to be written is a local that nothing refers to.
    unsafe { process_vm_readv(getpid(), &[local], &[remote]) }?;
    Ok(())
}

pub(super) fn pidfd() -> Probed {
    pidfd_open(getpid(), PidfdFlags::empty())?;
    Ok(())
}

pub(super) fn userfaultfd() -> Probed {
    match mm::userfaultfd(UserfaultfdFlags::empty()) {
        Ok(_) => Ok(()),
        Err(Errno::PERM) if read_number(c"/proc/sys/vm/unprivileged_userfaultfd") == Ok(0) => {
            // With the setting at 0 a filter cannot be told from it, unless the half that needs no
            // privilege is refused too.
            match mm::userfaultfd(mm::USER_MODE_ONLY) {
                Err(Errno::PERM) => Err(Errno::PERM.into()),
                _ => because(Reason::Forbidden(Setting::UnprivilegedUserfaultfd)),
            }
        }
        Err(errno) => Err(errno.into()),
    }
}

pub(super) fn userfaultfd_user_mode() -> Probed {
    mm::userfaultfd(mm::USER_MODE_ONLY)?;
    Ok(())
}

pub(super) fn userfaultfd_wp_async() -> Probed {
    let file = mm::userfaultfd(mm::USER_MODE_ONLY)?;
    // Asked for none, the kernel tells all that it has.
    let has = mm::uffdio_api(file, UffdFeatures::default())?;
    if has.contains(UffdFeatures::WP_ASYNC) { Ok(()) } else { Err(Errno::INVAL.into()) }
}

pub(super) fn futex_waitv() -> Probed {
    // SAFETY: there is no futex to look at.
    let ret = unsafe {
        libc::syscall(libc::SYS_futex_waitv, 0_usize, 0_usize, 0_usize, 0_usize, 0_usize)
    };
    // No futexes: present.
    expect(check(ret), Errno::INVAL)
}

pub(super) fn file_lease() -> Probed {
    let own = memfd_create(c"", MemfdFlags::CLOEXEC)?;
    // SAFETY: fcntl(2), F_SETLEASE takes no pointer.
    let ret = unsafe { libc::fcntl(own.as_raw_fd(), libc::F_SETLEASE, libc::F_UNLCK) };
    // No lease to give up: present.
    expect(check(ret.into()), Errno::AGAIN)
}

pub(super) fn io_uring() -> Probed {
    let nowhere = ptr::null_mut::<c_void>();
    // SAFETY: the kernel refuses to read its parameters from null.
    let ret = unsafe { libc::syscall(libc::SYS_io_uring_setup, 0 as c_long, nowhere) };
    match expect(check(ret), Errno::FAULT) {
        Err(Refusal::Errno(Errno::PERM))
            if read_number(c"/proc/sys/kernel/io_uring_disabled").is_ok_and(|level| level > 0) =>
        {
            because(Reason::Forbidden(Setting::IoUringDisabled))
        }
        probed => probed,
    }
}
