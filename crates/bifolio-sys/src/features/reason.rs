//! Why a feature is absent, and how the answer fits into one word.

use core::fmt;

use rustix::io::Errno;

use super::environment::{KernelVersion, has_seccomp_filter, kernel_version};

/// Whether a feature is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// It is.
    Available,
    /// It is not, and this is why.
    Absent(Reason),
}

/// Why a feature is absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// The kernel is older than the feature.
    KernelTooOld {
        /// The kernel that brought it.
        since: KernelVersion,
    },
    /// The kernel has it, a seccomp filter is installed, and this is what it answers: a container's
    /// doing, mostly.
    Seccomp(Errno),
    /// The kernel has it, and this user may not.
    Privilege(Errno),
    /// The kernel has it, and this setting forbids it.
    Forbidden(Setting),
    /// The kernel has it, and this setting gives nothing to use.
    NotSetUp(Setting),
    /// The kernel is new enough, but built or booted without it.
    NotConfigured(Errno),
    /// The probe failed with this error, which tells nothing of the above: the next question probes
    /// again.
    Other(Errno),
}

/// A setting that decides about a feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u16)]
pub enum Setting {
    /// `vm.unprivileged_userfaultfd`: 1 permits userfaultfd(2) to all.
    UnprivilegedUserfaultfd,
    /// `kernel.io_uring_disabled`: 0 permits io_uring to all.
    IoUringDisabled,
    /// `vm.nr_hugepages`: how many huge pages are reserved.
    NrHugepages,
    /// `/sys/kernel/mm/transparent_hugepage/enabled`: `always` or `madvise`.
    ThpEnabled,
    /// `/sys/kernel/mm/transparent_hugepage/shmem_enabled`: anything but `never` and `deny`.
    ShmemThpEnabled,
    /// `PR_SET_THP_DISABLE` of prctl(2), set for this process.
    ThpDisable,
    /// `RLIMIT_MEMLOCK` of setrlimit(2).
    RlimitMemlock,
}

impl Setting {
    const ALL: [Self; 7] = [
        Self::UnprivilegedUserfaultfd,
        Self::IoUringDisabled,
        Self::NrHugepages,
        Self::ThpEnabled,
        Self::ShmemThpEnabled,
        Self::ThpDisable,
        Self::RlimitMemlock,
    ];

    /// Its name: of a sysctl, of a file in `/sys`, of a limit or of an option of prctl(2).
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnprivilegedUserfaultfd => "vm.unprivileged_userfaultfd",
            Self::IoUringDisabled => "kernel.io_uring_disabled",
            Self::NrHugepages => "vm.nr_hugepages",
            Self::ThpEnabled => "/sys/kernel/mm/transparent_hugepage/enabled",
            Self::ShmemThpEnabled => "/sys/kernel/mm/transparent_hugepage/shmem_enabled",
            Self::ThpDisable => "PR_SET_THP_DISABLE",
            Self::RlimitMemlock => "RLIMIT_MEMLOCK",
        }
    }
}

impl fmt::Display for Support {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Available => f.write_str("available"),
            Self::Absent(reason) => write!(f, "absent: {reason}"),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KernelTooOld { since } => write!(f, "it needs Linux {since} or later"),
            Self::Seccomp(errno) => write!(f, "a seccomp filter refuses it ({errno})"),
            Self::Privilege(errno) => write!(f, "this user may not use it ({errno})"),
            Self::Forbidden(setting) => write!(f, "{} forbids it", setting.name()),
            Self::NotSetUp(setting) => write!(f, "{} provides none", setting.name()),
            Self::NotConfigured(errno) => {
                write!(f, "this kernel is built or booted without it ({errno})")
            }
            Self::Other(errno) => write!(f, "the probe failed ({errno})"),
        }
    }
}

/// What a probe met: an error to be explained, or the explanation.
#[derive(Debug)]
pub(super) enum Refusal {
    Errno(Errno),
    Because(Reason),
}

impl From<Errno> for Refusal {
    fn from(errno: Errno) -> Self {
        Self::Errno(errno)
    }
}

impl Refusal {
    /// The reason, for a feature that came with the kernel `since`.
    pub(super) fn explain(self, since: KernelVersion) -> Reason {
        match self {
            Self::Errno(errno) => explain(errno, since, kernel_version(), has_seccomp_filter()),
            Self::Because(reason) => reason,
        }
    }
}

/// What an error of a probe means on a kernel of the version `running`.
fn explain(errno: Errno, since: KernelVersion, running: KernelVersion, filtered: bool) -> Reason {
    let refused = matches!(errno, Errno::PERM | Errno::ACCESS);
    let unknown = matches!(
        errno,
        Errno::NOSYS | Errno::INVAL | Errno::NODEV | Errno::NOTTY | Errno::OPNOTSUPP
    );
    match errno {
        _ if (refused || unknown) && running < since => Reason::KernelTooOld { since },
        // What a filter answers with: the kernel itself knows the call and has no reason for
        // either.
        Errno::NOSYS | Errno::PERM if filtered => Reason::Seccomp(errno),
        _ if refused => Reason::Privilege(errno),
        _ if unknown => Reason::NotConfigured(errno),
        _ => Reason::Other(errno),
    }
}

/// The answer as a word: its kind above 16 bits of errno or setting. [`Reason::Other`] is no
/// answer, and 0.
pub(super) fn pack(support: Support) -> u32 {
    let errno = |errno: Errno| errno.raw_os_error() as u32 & 0xffff;
    let (kind, payload) = match support {
        Support::Available => (1, 0),
        Support::Absent(reason) => match reason {
            Reason::KernelTooOld { .. } => (2, 0),
            Reason::Seccomp(e) => (3, errno(e)),
            Reason::Privilege(e) => (4, errno(e)),
            Reason::Forbidden(setting) => (5, setting as u32),
            Reason::NotSetUp(setting) => (6, setting as u32),
            Reason::NotConfigured(e) => (7, errno(e)),
            Reason::Other(_) => (0, 0),
        },
    };
    kind << 16 | payload
}

/// The answer in a word of [`pack`] that is not 0, for a feature that came with the kernel `since`.
pub(super) fn unpack(word: u32, since: KernelVersion) -> Support {
    let payload = word & 0xffff;
    let errno = || Errno::from_raw_os_error(payload as i32);
    Support::Absent(match word >> 16 {
        1 => return Support::Available,
        2 => Reason::KernelTooOld { since },
        3 => Reason::Seccomp(errno()),
        4 => Reason::Privilege(errno()),
        5 => Reason::Forbidden(Setting::ALL[payload as usize]),
        6 => Reason::NotSetUp(Setting::ALL[payload as usize]),
        7 => Reason::NotConfigured(errno()),
        _ => unreachable!("{word:#x} is not packed"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const NEW: KernelVersion = KernelVersion { major: 6, minor: 18 };
    const OLD: KernelVersion = KernelVersion { major: 5, minor: 4 };

    #[test]
    fn every_answer_survives_packing() {
        let errno = Errno::OPNOTSUPP;
        let fixed = [
            Reason::KernelTooOld { since: NEW },
            Reason::Seccomp(errno),
            Reason::Privilege(errno),
            Reason::NotConfigured(errno),
        ];
        assert_eq!(pack(Support::Absent(Reason::Other(errno))), 0);
        let settings =
            Setting::ALL.into_iter().flat_map(|s| [Reason::Forbidden(s), Reason::NotSetUp(s)]);
        let absent = fixed.into_iter().chain(settings).map(Support::Absent);
        for support in absent.chain([Support::Available]) {
            let word = pack(support);
            assert_ne!(word, 0);
            assert_eq!(unpack(word, NEW), support);
        }
    }

    #[test]
    fn an_error_means_what_kernel_and_filter_make_of_it() {
        let too_old = Reason::KernelTooOld { since: NEW };
        let cases = [
            (Errno::NOSYS, OLD, false, too_old),
            (Errno::INVAL, OLD, false, too_old),
            (Errno::PERM, OLD, true, too_old),
            (Errno::NOSYS, NEW, true, Reason::Seccomp(Errno::NOSYS)),
            (Errno::PERM, NEW, true, Reason::Seccomp(Errno::PERM)),
            (Errno::NOSYS, NEW, false, Reason::NotConfigured(Errno::NOSYS)),
            (Errno::INVAL, NEW, true, Reason::NotConfigured(Errno::INVAL)),
            (Errno::NODEV, NEW, false, Reason::NotConfigured(Errno::NODEV)),
            (Errno::PERM, NEW, false, Reason::Privilege(Errno::PERM)),
            (Errno::ACCESS, NEW, true, Reason::Privilege(Errno::ACCESS)),
            (Errno::MFILE, OLD, true, Reason::Other(Errno::MFILE)),
        ];
        for (errno, running, filtered, reason) in cases {
            assert_eq!(explain(errno, NEW, running, filtered), reason, "{errno:?} {running:?}");
        }
    }
}
