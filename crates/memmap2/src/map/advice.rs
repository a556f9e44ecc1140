//! Advice on memory, by the numbers of the kernel: programs may cast it to them.

use bifolio_map::RawMap;

/// How a map will be used. None of it changes a byte.
///
/// # References
///
/// madvise(2); the kernel version stands at each that is newer than Linux 2.6.
#[repr(i32)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub enum Advice {
    /// `MADV_NORMAL`: no particular pattern.
    Normal = 0,
    /// `MADV_RANDOM`: random access, so no read-ahead.
    Random = 1,
    /// `MADV_SEQUENTIAL`: from the front to the back, so much read-ahead.
    Sequential = 2,
    /// `MADV_WILLNEED`: needed soon; reading starts in the background.
    WillNeed = 3,
    /// `MADV_DONTFORK`: not inherited by children that are forked.
    DontFork = 10,
    /// `MADV_DOFORK`: inherited again.
    DoFork = 11,
    /// `MADV_MERGEABLE`: equal pages of processes may be merged (KSM).
    Mergeable = 12,
    /// `MADV_UNMERGEABLE`: not merged any more.
    Unmergeable = 13,
    /// `MADV_HUGEPAGE`: transparent huge pages where they fit.
    HugePage = 14,
    /// `MADV_NOHUGEPAGE`: none.
    NoHugePage = 15,
    /// `MADV_DONTDUMP`: not in core dumps (Linux 3.4).
    DontDump = 16,
    /// `MADV_DODUMP`: in core dumps again (Linux 3.4).
    DoDump = 17,
    /// `MADV_HWPOISON`: treated as memory that has failed; for tests of the handling of that, by
    /// privileged processes.
    HwPoison = 100,
    /// `MADV_POPULATE_READ`: brought in as reading would, with an error instead of a signal
    /// (Linux 5.14).
    PopulateRead = 22,
    /// `MADV_POPULATE_WRITE`: brought in as writing would, with an error instead of a signal
    /// (Linux 5.14).
    PopulateWrite = 23,
}

/// Advice that changes what the bytes are.
///
/// # References
///
/// madvise(2).
#[repr(i32)]
#[derive(Clone, Copy, Debug, Eq, PartialEq, Hash)]
pub enum UncheckedAdvice {
    /// `MADV_DONTNEED`: dropped now; memory reads as zeros then, and a file's private copy as the
    /// file.
    DontNeed = 4,
    /// `MADV_FREE`: may be dropped at any time until it is written next (Linux 4.5).
    Free = 8,
    /// `MADV_REMOVE`: dropped with what backs it, a hole in the file.
    Remove = 9,
}

impl Advice {
    /// Whether the kernel knows it.
    pub fn is_supported(self) -> bool {
        RawMap::knows_advice(self as i32)
    }
}

impl UncheckedAdvice {
    /// Whether the kernel knows it.
    pub fn is_supported(self) -> bool {
        RawMap::knows_advice(self as i32)
    }
}
