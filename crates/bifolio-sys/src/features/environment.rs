//! What an administrator sets and what the kernel says of itself: read anew each time, unknown
//! where it cannot be read.

use core::ffi::CStr;
use core::fmt;

use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use rustix::system::uname;

use crate::page::{HugePageSizes, PageSize, huge_page_sizes, page_size, thp_size};
use crate::text::{parse_number, read_number, read_start};

/// A release of the kernel: `6.18`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelVersion {
    /// The first number.
    pub major: u16,
    /// The second.
    pub minor: u16,
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The release of the running kernel, as it says; 0.0 if it says nothing that looks like one.
///
/// Distributions carry features back, so it explains what is absent and proves nothing present.
///
/// # References
///
/// [uname(2)](https://man7.org/linux/man-pages/man2/uname.2.html): every Linux.
#[must_use]
pub fn kernel_version() -> KernelVersion {
    parse_version(uname().release()).unwrap_or(KernelVersion { major: 0, minor: 0 })
}

fn parse_version(release: &CStr) -> Option<KernelVersion> {
    let mut numbers = release.to_bytes().split(|byte| !byte.is_ascii_digit()).map(parse_number);
    let mut number = || u16::try_from(numbers.next()??).ok();
    Some(KernelVersion { major: number()?, minor: number()? })
}

/// When anonymous memory gets transparent huge pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThpMode {
    /// Wherever they fit.
    Always,
    /// Where [`Advice::HugePage`](crate::mm::Advice::HugePage) asks for them.
    Madvise,
    /// Never.
    Never,
}

/// When shared memory and memfds get transparent huge pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShmemThpMode {
    /// Wherever they fit.
    Always,
    /// Where they fit into the file's size.
    WithinSize,
    /// Where [`Advice::HugePage`](crate::mm::Advice::HugePage) asks for them.
    Advise,
    /// Not by itself.
    Never,
    /// Not even on a tmpfs mounted for them.
    Deny,
    /// Always, whatever a tmpfs is mounted for.
    Force,
}

/// How much memory the kernel promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overcommit {
    /// More than there is, but for obvious excess (`vm.overcommit_memory` 0).
    Heuristic,
    /// Whatever is asked for (1).
    Always,
    /// No more than there is, so a reservation needs `MAP_NORESERVE` and no access (2).
    Never,
}

/// The settings that decide how well memory can be used. `None` is unknown: the kernel lacks the
/// setting or does not show it.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Environment {
    /// The release of the kernel.
    pub kernel: KernelVersion,
    /// The size of ordinary pages.
    pub page_size: PageSize,
    /// The sizes of reserved huge pages.
    pub huge_page_sizes: Option<HugePageSizes>,
    /// The size of transparent huge pages.
    pub thp_size: Option<PageSize>,
    /// When anonymous memory gets them.
    pub thp: Option<ThpMode>,
    /// When shared memory gets them.
    pub shmem_thp: Option<ShmemThpMode>,
    /// How much memory is promised.
    pub overcommit: Option<Overcommit>,
    /// How much this process may lock, in bytes (`RLIMIT_MEMLOCK`); `u64::MAX` without a limit.
    /// `CAP_IPC_LOCK` lifts it.
    pub lock_limit_bytes: u64,
    /// Whether a seccomp filter decides about this thread's system calls.
    pub is_filtered: Option<bool>,
}

impl Environment {
    /// Reads them.
    ///
    /// ```
    /// use bifolio_sys::features::Environment;
    ///
    /// let environment = Environment::read();
    /// println!("Linux {}, pages of {} bytes", environment.kernel, environment.page_size.bytes());
    /// ```
    ///
    /// # References
    ///
    /// [transhuge](https://docs.kernel.org/admin-guide/mm/transhuge.html),
    /// [vm](https://docs.kernel.org/admin-guide/sysctl/vm.html),
    /// [getrlimit(2)](https://man7.org/linux/man-pages/man2/getrlimit.2.html).
    #[must_use]
    pub fn read() -> Self {
        Self {
            kernel: kernel_version(),
            page_size: page_size(),
            huge_page_sizes: huge_page_sizes().ok(),
            thp_size: thp_size().ok(),
            thp: thp_mode().ok().flatten(),
            shmem_thp: shmem_thp_mode().ok().flatten(),
            overcommit: match read_number(c"/proc/sys/vm/overcommit_memory") {
                Ok(0) => Some(Overcommit::Heuristic),
                Ok(1) => Some(Overcommit::Always),
                Ok(2) => Some(Overcommit::Never),
                _ => None,
            },
            lock_limit_bytes: getrlimit(Resource::Memlock).current.unwrap_or(u64::MAX),
            is_filtered: seccomp_mode().map(|mode| mode == 2),
        }
    }
}

/// When anonymous memory gets transparent huge pages; `None` for a mode that is newer than
/// [`ThpMode`].
pub(super) fn thp_mode() -> Result<Option<ThpMode>, Errno> {
    chosen(c"/sys/kernel/mm/transparent_hugepage/enabled", |mode| match mode {
        b"always" => Some(ThpMode::Always),
        b"madvise" => Some(ThpMode::Madvise),
        b"never" => Some(ThpMode::Never),
        _ => None,
    })
}

/// When shared memory gets transparent huge pages; `None` for a mode that is newer than
/// [`ShmemThpMode`].
pub(super) fn shmem_thp_mode() -> Result<Option<ShmemThpMode>, Errno> {
    chosen(c"/sys/kernel/mm/transparent_hugepage/shmem_enabled", |mode| match mode {
        b"always" => Some(ShmemThpMode::Always),
        b"within_size" => Some(ShmemThpMode::WithinSize),
        b"advise" => Some(ShmemThpMode::Advise),
        b"never" => Some(ShmemThpMode::Never),
        b"deny" => Some(ShmemThpMode::Deny),
        b"force" => Some(ShmemThpMode::Force),
        _ => None,
    })
}

/// The word in brackets of a file like `always [madvise] never`, by `meaning`.
fn chosen<T>(path: &CStr, meaning: fn(&[u8]) -> Option<T>) -> Result<Option<T>, Errno> {
    let mut buf = [0; 128];
    let mut words = read_start(path, &mut buf)?.split(u8::is_ascii_whitespace);
    Ok(words.find_map(|word| word.strip_prefix(b"[")?.strip_suffix(b"]")).and_then(meaning))
}

/// Whether a seccomp filter decides about this thread's system calls; `false` too where the kernel
/// does not show it.
pub(super) fn has_seccomp_filter() -> bool {
    seccomp_mode() == Some(2)
}

/// `Seccomp` of proc_pid_status(5): 0 for none, 2 for a filter (Linux 3.8).
fn seccomp_mode() -> Option<u64> {
    let mut buf = [0; 4096];
    let status = read_start(c"/proc/thread-self/status", &mut buf).ok()?;
    let mut lines = status.split(|byte| *byte == b'\n');
    parse_number(lines.find_map(|line| line.strip_prefix(b"Seccomp:"))?.trim_ascii())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read_and_others_are_not() {
        let version = |major, minor| Some(KernelVersion { major, minor });
        assert_eq!(parse_version(c"6.18.44-cloud"), version(6, 18));
        assert_eq!(parse_version(c"7.2-rc1"), version(7, 2));
        assert_eq!(parse_version(c"6."), None);
        assert_eq!(parse_version(c""), None);
        assert_eq!(parse_version(c"99999.1"), None);
    }

    #[test]
    fn versions_are_ordered_by_number() {
        let [old, new] = [(5, 18), (6, 4)].map(|(major, minor)| KernelVersion { major, minor });
        assert!(old < new);
    }
}
