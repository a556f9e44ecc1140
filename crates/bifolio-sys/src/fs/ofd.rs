//! Locks on ranges of a file that belong to an *open file description*.
//!
//! The kernel gives such a lock up when the last descriptor of its description is closed, in
//! whatever process: by close(2), by exec where the descriptor is closed on exec, or at the end of
//! the last process that has one. The end of a process closes descriptors after each of its threads
//! has left user space for good and given up the memory (`exit_files` follows `exit_mm`).
//!
//! They are advice, to those who ask for locks of the same file; two descriptions of one process
//! exclude each other like those of two. Numbers of processes play no part.
//!
//! | call | since Linux |
//! |---|---|
//! | [`fcntl_ofd_setlk`], [`fcntl_ofd_getlk`] (`F_OFD_SETLK`, `F_OFD_GETLK`) | 3.15 |
//!
//! # Safety
//!
//! The numbers of fcntl(2) are passed to the C library, which takes any argument.
#![allow(unsafe_code, reason = "fcntl(2) through the C library")]

use core::ffi::{c_int, c_short};
use core::num::NonZeroU64;

use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Errno;

use crate::uapi::check;

/// What a lock keeps others from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum LockType {
    /// `F_RDLCK`: from locking for writing. The descriptor must be open for reading.
    Read = libc::F_RDLCK,
    /// `F_WRLCK`: from locking at all. The descriptor must be open for writing.
    Write = libc::F_WRLCK,
    /// `F_UNLCK`: there is no lock, or it is to be given up.
    None = libc::F_UNLCK,
}

/// Takes or gives up the lock of this open file description on `len` bytes from `start` on, which
/// may lie beyond the end of the file; it never waits.
///
/// # Errors
///
/// [`Errno::AGAIN`] where another description has a lock that contradicts it; [`Errno::BADF`] for a
/// descriptor that is not open for that, or by `O_PATH`; [`Errno::NOLCK`] where the kernel has no
/// memory for locks; [`Errno::INVAL`] before Linux 3.15 and beyond the offsets of a file.
///
/// # References
///
/// [fcntl(2)](https://man7.org/linux/man-pages/man2/fcntl.2.html), `F_OFD_SETLK`: Linux 3.15.
pub fn fcntl_ofd_setlk(
    file: impl AsFd,
    lock: LockType,
    start: u64,
    len: NonZeroU64,
) -> Result<(), Errno> {
    call(file, libc::F_OFD_SETLK, &mut range(lock, start, len)?)
}

/// The type of a lock of *another* open file description that contradicts `lock` on this range:
/// [`LockType::None`] where none does, whatever this description has.
///
/// # Errors
///
/// [`Errno::BADF`] for a descriptor that was opened by `O_PATH`; [`Errno::INVAL`] before Linux 3.15
/// and beyond the offsets of a file.
///
/// # References
///
/// [fcntl(2)](https://man7.org/linux/man-pages/man2/fcntl.2.html), `F_OFD_GETLK`: Linux 3.15.
pub fn fcntl_ofd_getlk(
    file: impl AsFd,
    lock: LockType,
    start: u64,
    len: NonZeroU64,
) -> Result<LockType, Errno> {
    let mut range = range(lock, start, len)?;
    call(file, libc::F_OFD_GETLK, &mut range)?;
    Ok(match c_int::from(range.l_type) {
        libc::F_RDLCK => LockType::Read,
        libc::F_WRLCK => LockType::Write,
        _ => LockType::None,
    })
}

fn call(file: impl AsFd, command: c_int, range: &mut libc::flock) -> Result<(), Errno> {
    // SAFETY: both commands read a `struct flock` and may write to it: the record here.
    check(unsafe { libc::fcntl(file.as_fd().as_raw_fd(), command, &raw mut *range) }.into())
        .map(drop)
}

fn range(lock: LockType, start: u64, len: NonZeroU64) -> Result<libc::flock, Errno> {
    Ok(libc::flock {
        l_type: lock as c_short,
        l_whence: libc::SEEK_SET as c_short,
        l_start: i64::try_from(start).map_err(|_| Errno::INVAL)?,
        l_len: i64::try_from(len.get()).map_err(|_| Errno::INVAL)?,
        // Must be zero for locks of this kind.
        l_pid: 0,
    })
}
