//! Every feature in one table: its name, what it is for, the kernel that brought it, its probe.

use super::reason::Refusal;
use super::{Feature, KernelVersion, probe};

/// One row of the table: a feature, what to call it, what it is for, since when, and how to find
/// out.
pub(super) struct Row {
    pub(super) feature: Feature,
    pub(super) name: &'static str,
    pub(super) purpose: &'static str,
    pub(super) since: KernelVersion,
    pub(super) probe: fn() -> Result<(), Refusal>,
}

const fn row(
    feature: Feature,
    name: &'static str,
    since: (u16, u16),
    probe: fn() -> Result<(), Refusal>,
    purpose: &'static str,
) -> Row {
    Row { feature, name, purpose, since: KernelVersion { major: since.0, minor: since.1 }, probe }
}

pub(super) const COUNT: usize = 28;

pub(super) const TABLE: [Row; COUNT] = {
    use Feature::*;
    [
        row(
            Cachestat,
            "cachestat",
            (6, 5),
            probe::cachestat,
            "counts the pages of a file in memory without mapping it",
        ),
        row(
            Mincore,
            "mincore",
            (2, 4),
            probe::mincore,
            "tells which pages of a mapping are in memory; of files of others it says all",
        ),
        row(
            PagemapScan,
            "PAGEMAP_SCAN",
            (6, 7),
            probe::pagemap_scan,
            "finds written, present and swapped pages in one call",
        ),
        row(
            ProcmapQuery,
            "PROCMAP_QUERY",
            (6, 11),
            probe::procmap_query,
            "looks up one mapping without reading all of them as text",
        ),
        row(
            MadvPopulate,
            "MADV_POPULATE",
            (5, 14),
            probe::madv_populate,
            "maps pages ahead of use, with an error where there are none",
        ),
        row(
            MadvPageout,
            "MADV_PAGEOUT",
            (5, 4),
            probe::madv_pageout,
            "gives memory back and keeps the contents (MADV_COLD, MADV_PAGEOUT)",
        ),
        row(
            MadvCollapse,
            "MADV_COLLAPSE",
            (6, 1),
            probe::madv_collapse,
            "makes huge pages of a range at once",
        ),
        row(
            MadvGuard,
            "MADV_GUARD",
            (6, 13),
            probe::madv_guard,
            "makes guard pages without splitting a mapping",
        ),
        row(
            ProcessMadvise,
            "process_madvise",
            (5, 10),
            probe::process_madvise,
            "advises on many ranges in one call",
        ),
        row(Mseal, "mseal", (6, 10), probe::mseal, "seals mappings that must stay as they are"),
        row(Mbind, "mbind", (2, 6), probe::mbind, "binds memory to NUMA nodes"),
        row(Mlock, "mlock", (2, 4), probe::mlock, "keeps pages in memory"),
        row(
            Memfd,
            "memfd_create",
            (3, 17),
            probe::memfd,
            "makes files of memory, which can be sealed and sent",
        ),
        row(
            MemfdNoexecSeal,
            "MFD_NOEXEC_SEAL",
            (6, 3),
            probe::memfd_noexec_seal,
            "makes files of memory that can never be executed",
        ),
        row(
            MemfdSecret,
            "memfd_secret",
            (5, 14),
            probe::memfd_secret,
            "hides memory from the kernel itself",
        ),
        row(
            MapDroppable,
            "MAP_DROPPABLE",
            (6, 11),
            probe::map_droppable,
            "makes caches that the kernel may drop when memory is short",
        ),
        row(
            MapFixedNoreplace,
            "MAP_FIXED_NOREPLACE",
            (4, 17),
            probe::map_fixed_noreplace,
            "maps at an exact address and never over something else",
        ),
        row(Hugetlb, "hugetlb", (2, 6), probe::hugetlb, "maps reserved huge pages"),
        row(Thp, "THP", (2, 6), probe::thp, "maps anonymous memory by huge pages"),
        row(ShmemThp, "shmem THP", (4, 8), probe::shmem_thp, "maps shared memory by huge pages"),
        row(
            ProcessVm,
            "process_vm_readv",
            (3, 2),
            probe::process_vm,
            "copies from mappings without a signal where there is no page",
        ),
        row(
            Pidfd,
            "pidfd_open",
            (5, 3),
            probe::pidfd,
            "holds on to a process whose number may be used again",
        ),
        row(
            Userfaultfd,
            "userfaultfd",
            (4, 3),
            probe::userfaultfd,
            "serves page faults, those of system calls included",
        ),
        row(
            UserfaultfdUserMode,
            "UFFD_USER_MODE_ONLY",
            (5, 11),
            probe::userfaultfd_user_mode,
            "serves page faults of the program itself without privilege",
        ),
        row(
            UserfaultfdWpAsync,
            "UFFD_FEATURE_WP_ASYNC",
            (6, 7),
            probe::userfaultfd_wp_async,
            "tracks which pages are written",
        ),
        row(
            FutexWaitv,
            "futex_waitv",
            (5, 16),
            probe::futex_waitv,
            "waits for several futexes at once",
        ),
        row(
            FileLease,
            "F_SETLEASE",
            (2, 4),
            probe::file_lease,
            "hears of a writer before it changes a file",
        ),
        row(IoUring, "io_uring", (5, 1), probe::io_uring, "reads and writes files in batches"),
    ]
};

const _: () = {
    let mut at = 0;
    while at < COUNT {
        assert!(TABLE[at].feature as usize == at, "the table has the order of the enum");
        at += 1;
    }
};
