//! The kernel's numbers and layouts that neither libc nor rustix carries, in one place, and the
//! test that compares every one of them with the kernel's own headers.
//!
//! Names are the headers' names. It calls nothing.

use core::ffi::{c_int, c_long};

use rustix::io::Errno;

// System calls since Linux 5.1 have one number on every architecture.
pub(crate) const SYS_PROCESS_MADVISE: c_long = 440;
pub(crate) const SYS_MEMFD_SECRET: c_long = 447;
pub(crate) const SYS_CACHESTAT: c_long = 451;
pub(crate) const SYS_MSEAL: c_long = 462;

/// `BLKGETSIZE64`, `_IOR(0x12, 114, size_t)`.
pub(crate) const BLKGETSIZE64: u32 = read_ioctl(0x12, 114, size_of::<usize>());
/// `PAGEMAP_SCAN`, `_IOWR('f', 16, struct pm_scan_arg)`.
pub(crate) const PAGEMAP_SCAN: u32 = read_write_ioctl(b'f', 16, size_of::<PmScanArg>());
/// `PROCMAP_QUERY`, `_IOWR('f', 17, struct procmap_query)`.
pub(crate) const PROCMAP_QUERY: u32 = read_write_ioctl(b'f', 17, size_of::<ProcmapQuery>());

pub(crate) const PM_SCAN_WP_MATCHING: u64 = 1 << 0;
pub(crate) const PM_SCAN_CHECK_WPASYNC: u64 = 1 << 1;

pub(crate) const PROCMAP_QUERY_VMA_READABLE: u64 = 1 << 0;
pub(crate) const PROCMAP_QUERY_VMA_WRITABLE: u64 = 1 << 1;
pub(crate) const PROCMAP_QUERY_VMA_EXECUTABLE: u64 = 1 << 2;
pub(crate) const PROCMAP_QUERY_VMA_SHARED: u64 = 1 << 3;
pub(crate) const PROCMAP_QUERY_COVERING_OR_NEXT_VMA: u64 = 1 << 4;

pub(crate) const MPOL_DEFAULT: u32 = 0;
pub(crate) const MPOL_PREFERRED: u32 = 1;
pub(crate) const MPOL_BIND: u32 = 2;
pub(crate) const MPOL_INTERLEAVE: u32 = 3;
pub(crate) const MPOL_LOCAL: u32 = 4;
pub(crate) const MPOL_PREFERRED_MANY: u32 = 5;
pub(crate) const MPOL_WEIGHTED_INTERLEAVE: u32 = 6;
pub(crate) const MPOL_MF_STRICT: u32 = 1 << 0;
pub(crate) const MPOL_MF_MOVE: u32 = 1 << 1;
pub(crate) const MPOL_MF_MOVE_ALL: u32 = 1 << 2;
pub(crate) const MPOL_F_ADDR: u32 = 1 << 1;

/// `UFFDIO_API`, `_IOWR(0xAA, 0x3F, struct uffdio_api)`.
pub(crate) const UFFDIO_API: u32 = read_write_ioctl(0xAA, 0x3F, size_of::<UffdioApi>());
/// `UFFDIO_REGISTER`, `_IOWR(0xAA, 0x00, struct uffdio_register)`.
pub(crate) const UFFDIO_REGISTER: u32 = read_write_ioctl(0xAA, 0x00, size_of::<UffdioRegister>());
/// `UFFDIO_UNREGISTER`, `_IOR(0xAA, 0x01, struct uffdio_range)`.
pub(crate) const UFFDIO_UNREGISTER: u32 = read_ioctl(0xAA, 0x01, size_of::<UffdioRange>());
/// `UFFDIO_WRITEPROTECT`, `_IOWR(0xAA, 0x06, struct uffdio_writeprotect)`.
pub(crate) const UFFDIO_WRITEPROTECT: u32 =
    read_write_ioctl(0xAA, 0x06, size_of::<UffdioWriteprotect>());
pub(crate) const UFFD_API: u64 = 0xAA;
pub(crate) const UFFD_USER_MODE_ONLY: u32 = 1;
pub(crate) const UFFD_FEATURE_PAGEFAULT_FLAG_WP: u64 = 1 << 0;
pub(crate) const UFFD_FEATURE_WP_HUGETLBFS_SHMEM: u64 = 1 << 12;
pub(crate) const UFFD_FEATURE_WP_UNPOPULATED: u64 = 1 << 13;
pub(crate) const UFFD_FEATURE_WP_ASYNC: u64 = 1 << 15;
pub(crate) const UFFDIO_REGISTER_MODE_WP: u64 = 1 << 1;
pub(crate) const UFFDIO_WRITEPROTECT_MODE_WP: u64 = 1 << 0;

pub(crate) const F_SETSIG: c_int = 10;
pub(crate) const F_SETOWN_EX: c_int = 15;
pub(crate) const F_OWNER_TID: c_int = 0;

/// `struct f_owner_ex` of `asm-generic/fcntl.h`.
#[repr(C)]
pub(crate) struct FOwnerEx {
    pub(crate) kind: c_int,
    pub(crate) pid: c_int,
}

/// `struct uffdio_api` of `linux/userfaultfd.h`.
#[repr(C)]
pub(crate) struct UffdioApi {
    pub(crate) api: u64,
    pub(crate) features: u64,
    pub(crate) ioctls: u64,
}

/// `struct uffdio_range` of `linux/userfaultfd.h`.
#[repr(C)]
pub(crate) struct UffdioRange {
    pub(crate) start: u64,
    pub(crate) len: u64,
}

impl UffdioRange {
    pub(crate) fn new(range: core::ops::Range<usize>) -> Self {
        UffdioRange { start: range.start as u64, len: range.len() as u64 }
    }
}

/// `struct uffdio_register` of `linux/userfaultfd.h`.
#[repr(C)]
pub(crate) struct UffdioRegister {
    pub(crate) range: UffdioRange,
    pub(crate) mode: u64,
    pub(crate) ioctls: u64,
}

/// `struct uffdio_writeprotect` of `linux/userfaultfd.h`.
#[repr(C)]
pub(crate) struct UffdioWriteprotect {
    pub(crate) range: UffdioRange,
    pub(crate) mode: u64,
}

/// `struct pm_scan_arg` of `linux/fs.h`.
#[repr(C)]
#[derive(Default)]
pub(crate) struct PmScanArg {
    pub(crate) size: u64,
    pub(crate) flags: u64,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) walk_end: u64,
    pub(crate) vec: u64,
    pub(crate) vec_len: u64,
    pub(crate) max_pages: u64,
    pub(crate) category_inverted: u64,
    pub(crate) category_mask: u64,
    pub(crate) category_anyof_mask: u64,
    pub(crate) return_mask: u64,
}

/// `struct procmap_query` of `linux/fs.h`.
#[repr(C)]
pub(crate) struct ProcmapQuery {
    pub(crate) size: u64,
    pub(crate) query_flags: u64,
    pub(crate) query_addr: u64,
    pub(crate) vma_start: u64,
    pub(crate) vma_end: u64,
    pub(crate) vma_flags: u64,
    pub(crate) vma_page_size: u64,
    pub(crate) vma_offset: u64,
    pub(crate) inode: u64,
    pub(crate) dev_major: u32,
    pub(crate) dev_minor: u32,
    pub(crate) vma_name_size: u32,
    pub(crate) build_id_size: u32,
    pub(crate) vma_name_addr: u64,
    pub(crate) build_id_addr: u64,
}

impl ProcmapQuery {
    /// Asks for nothing but the mapping at address zero.
    pub(crate) const fn new() -> Self {
        Self {
            size: size_of::<Self>() as u64,
            query_flags: 0,
            query_addr: 0,
            vma_start: 0,
            vma_end: 0,
            vma_flags: 0,
            vma_page_size: 0,
            vma_offset: 0,
            inode: 0,
            dev_major: 0,
            dev_minor: 0,
            vma_name_size: 0,
            build_id_size: 0,
            vma_name_addr: 0,
            build_id_addr: 0,
        }
    }
}

/// `struct cachestat_range` of `linux/mman.h`.
#[repr(C)]
pub(crate) struct CachestatRange {
    pub(crate) off: u64,
    pub(crate) len: u64,
}

/// `_IOWR(kind, number, type of size_bytes)` as `asm-generic/ioctl.h` packs it, on x86-64 and on
/// aarch64.
const fn read_write_ioctl(kind: u8, number: u8, size_bytes: usize) -> u32 {
    const WRITE: u32 = 1 << 30;
    WRITE | read_ioctl(kind, number, size_bytes)
}

/// `_IOR(kind, number, type of size_bytes)`, as above.
const fn read_ioctl(kind: u8, number: u8, size_bytes: usize) -> u32 {
    const READ: u32 = 2 << 30;
    assert!(size_bytes < 1 << 14, "the size field of an ioctl number has 14 bits");
    READ | (size_bytes as u32) << 16 | (kind as u32) << 8 | number as u32
}

/// The value of a system call made through libc, or the error that it left in `errno`.
pub(crate) fn check(ret: c_long) -> Result<usize, Errno> {
    if let Ok(value) = usize::try_from(ret) { Ok(value) } else { Err(crate::errno::last()) }
}

#[cfg(test)]
mod tests {
    #[cfg(test)]
    extern crate std;

    use core::mem::offset_of;
    use std::format;
    use std::println;
    use std::process::Command;
    use std::string::String;

    use linux_raw_sys::{general, mempolicy};

    use super::*;
    use crate::fs::FileSystem;
    use crate::mm::{self, Advice, Categories, IoVec, PageRegion, PagemapEntry};
    use crate::robust::{
        FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS, RobustList, RobustListHead,
    };

    /// Size, alignment and the offset of every named field are those of the header's struct.
    macro_rules! assert_same_layout {
        ($own:ty, $kernel:ty, { $($own_field:ident: $kernel_field:ident),* $(,)? }) => {
            assert_eq!(size_of::<$own>(), size_of::<$kernel>(), stringify!($own));
            assert_eq!(align_of::<$own>(), align_of::<$kernel>(), stringify!($own));
            $(assert_eq!(
                offset_of!($own, $own_field),
                offset_of!($kernel, $kernel_field),
                stringify!($own_field)
            );)*
        };
        ($own:ty, $kernel:ty, { $($field:ident),* $(,)? }) => {
            assert_same_layout!($own, $kernel, { $($field: $field),* });
        };
    }

    #[test]
    fn system_calls_have_the_headers_numbers() {
        assert_eq!(SYS_PROCESS_MADVISE, general::__NR_process_madvise.into());
        assert_eq!(SYS_MEMFD_SECRET, general::__NR_memfd_secret.into());
        assert_eq!(SYS_CACHESTAT, general::__NR_cachestat.into());
        assert_eq!(SYS_MSEAL, general::__NR_mseal.into());
    }

    /// aarch64 takes its numbers from the generic table, which the installed headers of any machine
    /// have.
    #[test]
    fn system_calls_have_the_generic_tables_numbers() {
        let program = ["-E", "-dM", "-include", "asm-generic/unistd.h", "-x", "c", "/dev/null"];
        let Ok(output) = Command::new("cc").args(program).output() else {
            return println!("skipped: there is no C compiler");
        };
        let text = String::from_utf8(output.stdout).unwrap();
        let header = |name: &str| {
            let prefix = format!("#define __NR_{name} ");
            text.lines().find_map(|line| line.strip_prefix(&prefix)?.trim().parse().ok())
        };
        for (name, own) in [
            ("process_madvise", SYS_PROCESS_MADVISE),
            ("memfd_secret", SYS_MEMFD_SECRET),
            ("cachestat", SYS_CACHESTAT),
            ("mseal", SYS_MSEAL),
        ] {
            match header(name) {
                Some(number) => assert_eq!(own, number, "{name}"),
                None => println!("skipped: the installed headers are older than {name}"),
            }
        }
    }

    #[test]
    fn ioctl_numbers_have_the_headers_encoding() {
        // The bindings lack the numbers of procfs: an ioctl that they have proves the encoding, and
        // its magic is theirs.
        assert_eq!(UFFDIO_API, linux_raw_sys::ioctl::UFFDIO_API);
        assert_eq!(UFFDIO_REGISTER, linux_raw_sys::ioctl::UFFDIO_REGISTER);
        assert_eq!(UFFDIO_UNREGISTER, linux_raw_sys::ioctl::UFFDIO_UNREGISTER);
        assert_eq!(UFFDIO_WRITEPROTECT, linux_raw_sys::ioctl::UFFDIO_WRITEPROTECT);
        assert_eq!(BLKGETSIZE64, linux_raw_sys::ioctl::BLKGETSIZE64);
        assert_eq!(b'f', general::PROCFS_IOCTL_MAGIC);
        assert_eq!(PAGEMAP_SCAN, 0xC060_6610);
        assert_eq!(PROCMAP_QUERY, 0xC068_6611);
    }

    #[test]
    fn structs_have_the_headers_layout() {
        assert_same_layout!(PmScanArg, general::pm_scan_arg, {
            size, flags, start, end, walk_end, vec, vec_len, max_pages, category_inverted,
            category_mask, category_anyof_mask, return_mask,
        });
        assert_same_layout!(ProcmapQuery, general::procmap_query, {
            size, query_flags, query_addr, vma_start, vma_end, vma_flags, vma_page_size,
            vma_offset, inode, dev_major, dev_minor, vma_name_size, build_id_size,
            vma_name_addr, build_id_addr,
        });
        assert_same_layout!(CachestatRange, general::cachestat_range, { off, len });
        assert_same_layout!(crate::fs::CacheStat, general::cachestat, {
            cached: nr_cache, dirty: nr_dirty, writeback: nr_writeback, evicted: nr_evicted,
            recently_evicted: nr_recently_evicted,
        });
        assert_same_layout!(UffdioApi, general::uffdio_api, { api, features, ioctls });
        assert_same_layout!(UffdioRange, general::uffdio_range, { start, len });
        assert_same_layout!(UffdioRegister, general::uffdio_register, { range, mode, ioctls });
        assert_same_layout!(UffdioWriteprotect, general::uffdio_writeprotect, { range, mode });
        assert_same_layout!(RobustList, general::robust_list, { next });
        assert_same_layout!(RobustListHead, general::robust_list_head, {
            list, futex_offset, list_op_pending,
        });
        assert_same_layout!(FOwnerEx, general::f_owner_ex, { kind: type_, pid: pid });
        assert_same_layout!(PageRegion, general::page_region, { start, end, categories });
        assert_same_layout!(IoVec, general::iovec, { base: iov_base, len: iov_len });
        assert_eq!(size_of::<PagemapEntry>(), size_of::<u64>());
    }

    #[test]
    fn advice_has_the_headers_numbers() {
        use general as h;
        let kernel = [
            h::MADV_NORMAL,
            h::MADV_RANDOM,
            h::MADV_SEQUENTIAL,
            h::MADV_WILLNEED,
            h::MADV_DONTNEED,
            h::MADV_FREE,
            h::MADV_REMOVE,
            h::MADV_DONTFORK,
            h::MADV_DOFORK,
            h::MADV_MERGEABLE,
            h::MADV_UNMERGEABLE,
            h::MADV_HUGEPAGE,
            h::MADV_NOHUGEPAGE,
            h::MADV_DONTDUMP,
            h::MADV_DODUMP,
            h::MADV_WIPEONFORK,
            h::MADV_KEEPONFORK,
            h::MADV_COLD,
            h::MADV_PAGEOUT,
            h::MADV_POPULATE_READ,
            h::MADV_POPULATE_WRITE,
            h::MADV_DONTNEED_LOCKED,
            h::MADV_COLLAPSE,
            h::MADV_GUARD_INSTALL,
            h::MADV_GUARD_REMOVE,
        ];
        assert_eq!(Advice::ALL.map(|advice| advice as u32), kernel);
    }

    #[test]
    fn flags_have_the_headers_values() {
        #[cfg(target_arch = "x86_64")]
        assert_eq!(mm::MAP_32BIT.bits(), general::MAP_32BIT);
        let page = crate::page::PageSize::new(16 << 30).unwrap();
        assert_eq!(mm::map_hugetlb(page).bits(), general::MAP_HUGETLB | general::MAP_HUGE_16GB);

        let categories = [
            (Categories::WPALLOWED, general::PAGE_IS_WPALLOWED),
            (Categories::WRITTEN, general::PAGE_IS_WRITTEN),
            (Categories::FILE, general::PAGE_IS_FILE),
            (Categories::PRESENT, general::PAGE_IS_PRESENT),
            (Categories::SWAPPED, general::PAGE_IS_SWAPPED),
            (Categories::PFNZERO, general::PAGE_IS_PFNZERO),
            (Categories::HUGE, general::PAGE_IS_HUGE),
            (Categories::SOFT_DIRTY, general::PAGE_IS_SOFT_DIRTY),
            (Categories::GUARD, general::PAGE_IS_GUARD),
        ];
        for (own, kernel) in categories {
            assert_eq!(own.bits(), kernel.into());
        }
        assert_eq!(PM_SCAN_WP_MATCHING, general::PM_SCAN_WP_MATCHING.into());
        assert_eq!(PM_SCAN_CHECK_WPASYNC, general::PM_SCAN_CHECK_WPASYNC.into());

        assert_eq!(F_SETSIG, general::F_SETSIG as c_int);
        assert_eq!(F_SETOWN_EX, general::F_SETOWN_EX as c_int);
        assert_eq!(F_OWNER_TID, general::F_OWNER_TID as c_int);

        assert_eq!(FUTEX_OWNER_DIED, general::FUTEX_OWNER_DIED);
        assert_eq!(FUTEX_WAITERS, general::FUTEX_WAITERS);
        assert_eq!(FUTEX_TID_MASK, general::FUTEX_TID_MASK);

        assert_eq!(UFFD_API, general::UFFD_API.into());
        assert_eq!(UFFD_USER_MODE_ONLY, general::UFFD_USER_MODE_ONLY);
        for (own, kernel) in [
            (UFFD_FEATURE_PAGEFAULT_FLAG_WP, general::UFFD_FEATURE_PAGEFAULT_FLAG_WP),
            (UFFD_FEATURE_WP_HUGETLBFS_SHMEM, general::UFFD_FEATURE_WP_HUGETLBFS_SHMEM),
            (UFFD_FEATURE_WP_UNPOPULATED, general::UFFD_FEATURE_WP_UNPOPULATED),
            (UFFD_FEATURE_WP_ASYNC, general::UFFD_FEATURE_WP_ASYNC),
            (UFFDIO_REGISTER_MODE_WP, general::UFFDIO_REGISTER_MODE_WP),
        ] {
            assert_eq!(own, kernel.into());
        }

        use general::procmap_query_flags as q;
        assert_eq!(PROCMAP_QUERY_VMA_READABLE, q::PROCMAP_QUERY_VMA_READABLE as u64);
        assert_eq!(PROCMAP_QUERY_VMA_WRITABLE, q::PROCMAP_QUERY_VMA_WRITABLE as u64);
        assert_eq!(PROCMAP_QUERY_VMA_EXECUTABLE, q::PROCMAP_QUERY_VMA_EXECUTABLE as u64);
        assert_eq!(PROCMAP_QUERY_VMA_SHARED, q::PROCMAP_QUERY_VMA_SHARED as u64);
        assert_eq!(
            PROCMAP_QUERY_COVERING_OR_NEXT_VMA,
            q::PROCMAP_QUERY_COVERING_OR_NEXT_VMA as u64
        );
    }

    #[test]
    fn policies_have_the_headers_numbers() {
        assert_eq!(MPOL_DEFAULT, mempolicy::MPOL_DEFAULT as u32);
        assert_eq!(MPOL_PREFERRED, mempolicy::MPOL_PREFERRED as u32);
        assert_eq!(MPOL_BIND, mempolicy::MPOL_BIND as u32);
        assert_eq!(MPOL_INTERLEAVE, mempolicy::MPOL_INTERLEAVE as u32);
        assert_eq!(MPOL_LOCAL, mempolicy::MPOL_LOCAL as u32);
        assert_eq!(MPOL_PREFERRED_MANY, mempolicy::MPOL_PREFERRED_MANY as u32);
        assert_eq!(MPOL_WEIGHTED_INTERLEAVE, mempolicy::MPOL_WEIGHTED_INTERLEAVE as u32);
        assert_eq!(MPOL_MF_STRICT, mempolicy::MPOL_MF_STRICT);
        assert_eq!(MPOL_MF_MOVE, mempolicy::MPOL_MF_MOVE);
        assert_eq!(MPOL_MF_MOVE_ALL, mempolicy::MPOL_MF_MOVE_ALL);
        assert_eq!(MPOL_F_ADDR, mempolicy::MPOL_F_ADDR);
    }

    #[test]
    fn file_systems_have_the_headers_magic() {
        let magics = [
            (FileSystem::Ext, general::EXT4_SUPER_MAGIC),
            (FileSystem::Xfs, general::XFS_SUPER_MAGIC),
            (FileSystem::Btrfs, general::BTRFS_SUPER_MAGIC),
            (FileSystem::F2fs, general::F2FS_SUPER_MAGIC),
            (FileSystem::Tmpfs, general::TMPFS_MAGIC),
            (FileSystem::Hugetlbfs, general::HUGETLBFS_MAGIC),
            (FileSystem::Overlayfs, general::OVERLAYFS_SUPER_MAGIC),
            (FileSystem::Proc, general::PROC_SUPER_MAGIC),
            (FileSystem::Sysfs, general::SYSFS_MAGIC),
            (FileSystem::Nfs, general::NFS_SUPER_MAGIC),
            (FileSystem::Smb, general::SMB_SUPER_MAGIC),
            (FileSystem::Smb, general::CIFS_SUPER_MAGIC),
            (FileSystem::Smb, general::SMB2_SUPER_MAGIC),
            (FileSystem::Afs, general::AFS_SUPER_MAGIC),
            (FileSystem::Ceph, general::CEPH_SUPER_MAGIC),
            (FileSystem::NineP, general::V9FS_MAGIC),
            (FileSystem::Fuse, general::FUSE_SUPER_MAGIC),
            (FileSystem::Other(0x0BAD_CAFE), 0x0BAD_CAFE),
        ];
        for (own, kernel) in magics {
            assert_eq!(FileSystem::from_magic(kernel), own);
        }
    }
}
