//! The kernel's clocks: the one that stamps files, and the one of a thread's work.
//!
//! | call | since Linux |
//! |---|---|
//! | [`coarse_realtime`] | 2.6.32 |
//! | [`thread_cpu_time`] | 2.6.12 |
//!
//! # Safety
//!
//! One system call, which writes a record on the stack.
#![allow(unsafe_code, reason = "clock_gettime(2) takes a pointer")]

use core::time::Duration;

use rustix::io::Errno;

use crate::uapi::check;

/// A moment: seconds since 1970 and nanoseconds, ordered as time goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment {
    /// Whole seconds since 1970.
    pub seconds: i64,
    /// Nanoseconds after them: below 1,000,000,000.
    pub nanoseconds: u32,
}

/// The time of day as of the kernel's last tick: what a file that is changed now is stamped with,
/// or less than that.
///
/// # Errors
///
/// Those of clock_gettime(2), which knows this clock on every kernel that is supported.
///
/// # References
///
/// [clock_gettime(2)](https://man7.org/linux/man-pages/man2/clock_gettime.2.html),
/// `CLOCK_REALTIME_COARSE`: Linux 2.6.32.
pub fn coarse_realtime() -> Result<Moment, Errno> {
    let now = clock_gettime(libc::CLOCK_REALTIME_COARSE)?;
    // Below a thousand million, by clock_gettime(2).
    Ok(Moment { seconds: now.tv_sec, nanoseconds: now.tv_nsec as u32 })
}

/// The time for which the calling thread has run, in the kernel too: not that for which it waited.
///
/// # Errors
///
/// Those of clock_gettime(2), which knows this clock on every kernel that is supported.
///
/// # References
///
/// [clock_gettime(2)](https://man7.org/linux/man-pages/man2/clock_gettime.2.html),
/// `CLOCK_THREAD_CPUTIME_ID`: Linux 2.6.12.
pub fn thread_cpu_time() -> Result<Duration, Errno> {
    let used = clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID)?;
    Ok(Duration::new(used.tv_sec as u64, used.tv_nsec as u32))
}

fn clock_gettime(clock: libc::clockid_t) -> Result<libc::timespec, Errno> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime(2) writes one `struct timespec`, the one here.
    let ret = unsafe { libc::clock_gettime(clock, &raw mut time) };
    check(ret.into())?;
    Ok(time)
}
