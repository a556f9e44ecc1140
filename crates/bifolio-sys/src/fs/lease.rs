//! Leases: the kernel tells their holder of a writer, and makes the writer wait for the answer.
//!
//! A lease belongs to an *open file description*: duplicates of the descriptor, a forked child's
//! among them, speak for the same one.
//!
//! | call | since Linux |
//! |---|---|
//! | [`fcntl_setlease`], [`fcntl_getlease`] (`F_SETLEASE`, `F_GETLEASE`) | 2.4 |
//! | [`fcntl_setsig`] (`F_SETSIG`) | 2.2 |
//! | [`fcntl_setown_thread`] (`F_SETOWN_EX`) | 2.6.32 |
//!
//! It does not wait for the signal: that is [`signal`](crate::signal)'s matter.
//!
//! # Safety
//!
//! The numbers of fcntl(2) are passed to the C library, which takes any argument.
#![allow(unsafe_code, reason = "fcntl(2) through the C library")]

use core::ffi::c_int;
use core::time::Duration;

use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Errno;

use crate::process::Pid;
use crate::signal::RealTime;
use crate::text::read_number;
use crate::uapi::{F_OWNER_TID, F_SETOWN_EX, F_SETSIG, FOwnerEx, check};

/// What a lease is told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum LeaseType {
    /// `F_RDLCK`: of whoever opens the file for writing, or truncates it by truncate(2).
    Read = libc::F_RDLCK,
    /// `F_WRLCK`: of whoever opens the file.
    Write = libc::F_WRLCK,
    /// `F_UNLCK`: there is no lease, or it is being broken and this is what must become of it.
    None = libc::F_UNLCK,
}

/// Takes a lease on an open file, or gives it back.
///
/// # Errors
///
/// Those of fcntl(2): [`Errno::AGAIN`] where somebody has it open in a way that contradicts the
/// lease, or where there was none to give back; [`Errno::ACCESS`] for who neither owns the file nor
/// has `CAP_LEASE`; [`Errno::INVAL`] for a file or file system without leases, or where
/// `fs.leases-enable` is 0.
///
/// # References
///
/// [fcntl(2)](https://man7.org/linux/man-pages/man2/fcntl.2.html), `F_SETLEASE`: Linux 2.4.
pub fn fcntl_setlease(file: impl AsFd, lease: LeaseType) -> Result<(), Errno> {
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: F_SETLEASE takes an integer.
    let ret = unsafe { libc::fcntl(fd, libc::F_SETLEASE, lease as c_int) };
    check(ret.into()).map(drop)
}

/// The lease that this open file description holds, or what it must become where it is being
/// broken.
///
/// # Errors
///
/// Those of fcntl(2).
///
/// # References
///
/// [fcntl(2)](https://man7.org/linux/man-pages/man2/fcntl.2.html), `F_GETLEASE`: Linux 2.4.
pub fn fcntl_getlease(file: impl AsFd) -> Result<LeaseType, Errno> {
    // SAFETY: F_GETLEASE takes nothing.
    let ret = unsafe { libc::fcntl(file.as_fd().as_raw_fd(), libc::F_GETLEASE) };
    check(ret.into())?;
    Ok(match ret {
        libc::F_RDLCK => LeaseType::Read,
        libc::F_WRLCK => LeaseType::Write,
        _ => LeaseType::None,
    })
}

/// Chooses the signal by which the kernel tells of a break of this open file description's lease,
/// instead of SIGIO, which ends a process that does not expect it.
///
/// # Errors
///
/// Those of fcntl(2).
///
/// # References
///
/// [fcntl(2)](https://man7.org/linux/man-pages/man2/fcntl.2.html), `F_SETSIG`: Linux 2.2.
pub fn fcntl_setsig(file: impl AsFd, signal: RealTime) -> Result<(), Errno> {
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: F_SETSIG takes an integer.
    check(unsafe { libc::fcntl(fd, F_SETSIG, signal.number()) }.into()).map(drop)
}

/// Sends the signals of this open file description to one thread and no other.
///
/// To be called before [`fcntl_setlease`], which makes the whole process the owner where there is
/// none.
///
/// # Errors
///
/// Those of fcntl(2): [`Errno::SRCH`] where there is no such thread.
///
/// # References
///
/// [fcntl(2)](https://man7.org/linux/man-pages/man2/fcntl.2.html), `F_SETOWN_EX`: Linux 2.6.32.
pub fn fcntl_setown_thread(file: impl AsFd, thread: Pid) -> Result<(), Errno> {
    let owner = FOwnerEx { kind: F_OWNER_TID, pid: thread.as_raw_pid() };
    let fd = file.as_fd().as_raw_fd();
    // SAFETY: F_SETOWN_EX reads a `struct f_owner_ex`: the record here.
    check(unsafe { libc::fcntl(fd, F_SETOWN_EX, &raw const owner) }.into()).map(drop)
}

/// How long the kernel waits for the holder's answer before it takes the lease away: in whole
/// seconds, 45 unless changed; `None` where it waits for ever (`fs.lease-break-time` is 0).
///
/// # Errors
///
/// Those of reading `/proc/sys/fs/lease-break-time`: [`Errno::NOENT`] where `/proc` is not mounted.
///
/// # References
///
/// [proc_sys_fs(5)](https://man7.org/linux/man-pages/man5/proc_sys_fs.5.html): Linux 2.4.
pub fn lease_break_time() -> Result<Option<Duration>, Errno> {
    let seconds = read_number(c"/proc/sys/fs/lease-break-time")?;
    Ok((seconds != 0).then(|| Duration::from_secs(seconds)))
}
