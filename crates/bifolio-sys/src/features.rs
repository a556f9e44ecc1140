//! What this kernel and this process may do, probed once, each with the reason when it is absent.
//!
//! Every [`Feature`] is probed when it is first asked for and never again, once there is an answer
//! (a probe that ran out of descriptors is none): it is one word, and the first to find it decides.
//! A probe makes the very call and leaves nothing behind: it passes arguments that the call refuses
//! only after it was found and permitted, or undoes what it did. So a seccomp filter that kills
//! kills at the probe, as it would at the call.
//!
//! 1. A word of `PROBED` is 0 or what `pack` makes of an answer, and once it is not 0 it never
//!    changes.
//!
//! It does not notice what changes later: a filter installed, a privilege dropped, a sysctl set. A
//! child of `fork` has its parent's answers. What an administrator may change at any time is in
//! [`Environment`] and [`Features::dispatcher`], read anew each time.

mod environment;
mod probe;
mod reason;
mod table;

use core::ops::Index;
// One word per feature, written once: there is nothing here for a model checker.
use core::sync::atomic::{AtomicU32, Ordering};

use reason::{pack, unpack};
use table::{COUNT, TABLE};

pub use crate::process::is_elevated;
pub use environment::{
    Environment, KernelVersion, Overcommit, ShmemThpMode, ThpMode, kernel_version,
};
pub use reason::{Reason, Setting, Support};

/// Something that a kernel or a process may lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum Feature {
    /// cachestat(2): how much of a file is in memory.
    Cachestat,
    /// mincore(2), which since Linux 5.2 says "in memory" of every page of a file that the caller
    /// neither owns nor may write.
    Mincore,
    /// The `PAGEMAP_SCAN` ioctl.
    PagemapScan,
    /// The `PROCMAP_QUERY` ioctl.
    ProcmapQuery,
    /// `MADV_POPULATE_READ` and `MADV_POPULATE_WRITE`.
    MadvPopulate,
    /// `MADV_COLD` and `MADV_PAGEOUT`.
    MadvPageout,
    /// `MADV_COLLAPSE`.
    MadvCollapse,
    /// `MADV_GUARD_INSTALL` and `MADV_GUARD_REMOVE`.
    MadvGuard,
    /// process_madvise(2).
    ProcessMadvise,
    /// mseal(2).
    Mseal,
    /// mbind(2).
    Mbind,
    /// mlock(2): [`Environment::lock_limit_bytes`] says how much.
    Mlock,
    /// memfd_create(2).
    Memfd,
    /// `MFD_NOEXEC_SEAL` of memfd_create(2).
    MemfdNoexecSeal,
    /// memfd_secret(2).
    MemfdSecret,
    /// `MAP_DROPPABLE`.
    MapDroppable,
    /// `MAP_FIXED_NOREPLACE`.
    MapFixedNoreplace,
    /// Reserved huge pages, of any size: [`HugePagePool`](crate::page::HugePagePool) tells of each.
    Hugetlb,
    /// Transparent huge pages of anonymous memory.
    Thp,
    /// Transparent huge pages of shared memory and memfds.
    ShmemThp,
    /// process_vm_readv(2) and process_vm_writev(2), of the process itself.
    ProcessVm,
    /// pidfd_open(2).
    Pidfd,
    /// userfaultfd(2) for every fault.
    Userfaultfd,
    /// userfaultfd(2) for faults of user space only.
    UserfaultfdUserMode,
    /// `UFFD_FEATURE_WP_ASYNC` of userfaultfd(2).
    UserfaultfdWpAsync,
    /// futex_waitv(2).
    FutexWaitv,
    /// `F_SETLEASE` of fcntl(2), on the caller's own files.
    FileLease,
    /// io_uring_setup(2).
    IoUring,
}

static PROBED: [AtomicU32; COUNT] = [const { AtomicU32::new(0) }; COUNT];

impl Feature {
    /// Every feature.
    pub const ALL: [Self; COUNT] = {
        let mut all = [Self::Cachestat; COUNT];
        let mut at = 0;
        while at < COUNT {
            all[at] = TABLE[at].feature;
            at += 1;
        }
        all
    };

    /// The kernel's name for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        TABLE[self as usize].name
    }

    /// What it is for, in one line.
    #[must_use]
    pub const fn purpose(self) -> &'static str {
        TABLE[self as usize].purpose
    }

    /// The kernel that brought it.
    #[must_use]
    pub const fn since(self) -> KernelVersion {
        TABLE[self as usize].since
    }

    /// Whether it is there: probed the first time, remembered for the life of the process.
    /// Lock-free.
    ///
    /// ```
    /// use bifolio_sys::features::{Feature, Support};
    ///
    /// match Feature::Cachestat.support() {
    ///     Support::Available => println!("cachestat it is"),
    ///     Support::Absent(reason) => println!("mincore instead: {reason}"),
    /// }
    /// ```
    #[must_use]
    pub fn support(self) -> Support {
        let word = &PROBED[self as usize];
        // Relaxed pairs with the exchange below: the word is the whole answer and guards nothing
        // else.
        let mut known = word.load(Ordering::Relaxed);
        if known == 0 {
            let support = self.probe();
            let found = pack(support);
            if found == 0 {
                return support;
            }
            // Invariant 1: the first answer stays. Relaxed pairs with the load above.
            known = match word.compare_exchange(0, found, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => found,
                Err(first) => first,
            };
        }
        unpack(known, self.since())
    }

    /// Whether it is there, in short.
    #[must_use]
    pub fn is_available(self) -> bool {
        self.support() == Support::Available
    }

    fn probe(self) -> Support {
        match (TABLE[self as usize].probe)() {
            Ok(()) => Support::Available,
            Err(refusal) => Support::Absent(refusal.explain(self.since())),
        }
    }
}

/// The answers for every feature.
///
/// ```
/// use bifolio_sys::features::{Feature, Features, Support};
///
/// let features = Features::get();
/// for (feature, support) in features.iter() {
///     println!("{} (Linux {}): {support}", feature.name(), feature.since());
/// }
/// assert_eq!(features[Feature::Mincore], Feature::Mincore.support());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Features([Support; COUNT]);

impl Features {
    /// The answers, after probing what nobody has asked for yet.
    #[must_use]
    pub fn get() -> Self {
        Self(Feature::ALL.map(Feature::support))
    }

    /// Whether guarded access can count on the fault dispatcher, as the calling thread sees it now:
    /// a handler that was installed later or a blocked signal shows here.
    ///
    /// ```
    /// use bifolio_sys::{fault, features::Features};
    ///
    /// fault::install()?;
    /// assert!(Features::get().dispatcher().is_sure());
    /// # Ok::<(), bifolio_sys::Errno>(())
    /// ```
    #[cfg(not(loom))]
    #[must_use]
    pub fn dispatcher(&self) -> crate::fault::Status {
        crate::fault::status()
    }

    /// Every feature with its answer.
    pub fn iter(&self) -> impl Iterator<Item = (Feature, Support)> {
        Feature::ALL.into_iter().zip(self.0)
    }
}

impl Index<Feature> for Features {
    type Output = Support;

    fn index(&self, feature: Feature) -> &Support {
        &self.0[feature as usize]
    }
}
