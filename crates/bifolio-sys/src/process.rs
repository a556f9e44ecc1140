//! Processes: memory of others, file descriptors that stand for them.
//!
//! What rustix has is re-exported under the kernel's name; what it lacks is here.
//!
//! | call | since Linux |
//! |---|---|
//! | [`getpid`], [`geteuid`] | 2.4 |
//! | [`is_elevated`] | 2.6 |
//! | [`gettid`] | 2.4.11 |
//! | [`process_vm_readv`], [`process_vm_writev`] | 3.2 |
//! | [`pidfd_send_signal`] | 5.1 |
//! | [`pidfd_open`] | 5.3 |
//! | [`pidfd_getfd`] | 5.6 |
//!
//! # Safety
//!
//! The copies write to memory by raw pointer, so they are unsafe functions.
#![allow(unsafe_code, reason = "system calls on raw ranges")]

mod itself;

use core::mem::offset_of;

use rustix::io::Errno;

use crate::mm::IoVec;
use crate::uapi::check;

pub use itself::{Itself, itself, pid_namespace, pthread_atfork};
pub use rustix::process::{
    ForeignRawFd, Pid, PidfdFlags, PidfdGetfdFlags, Signal, geteuid, getpid, pidfd_getfd,
    pidfd_open, pidfd_send_signal,
};
pub use rustix::thread::gettid;

/// Whether the program has more rights than who started it (its file sets the user or the group, or
/// gives capabilities): then it should not be told by its environment what to do.
///
/// # References
///
/// [getauxval(3)](https://man7.org/linux/man-pages/man3/getauxval.3.html), `AT_SECURE`: Linux 2.6.
#[must_use]
pub fn is_elevated() -> bool {
    // SAFETY: it takes a number and looks it up.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}

const _: () = {
    assert!(size_of::<IoVec>() == size_of::<libc::iovec>());
    assert!(offset_of!(IoVec, base) == offset_of!(libc::iovec, iov_base));
    assert!(offset_of!(IoVec, len) == offset_of!(libc::iovec, iov_len));
};

/// Copies from the `remote` ranges of a process to the `local` ranges, and returns how many bytes.
///
/// Of oneself it is a copy that cannot raise a signal: a page that is not there ends it with a
/// short count, or with [`Errno::FAULT`] if it is the first.
///
/// # Errors
///
/// Those of process_vm_readv(2): [`Errno::PERM`] without the right to trace the process,
/// [`Errno::SRCH`] if it is gone, [`Errno::INVAL`] for more than 1024 ranges.
///
/// # Safety
///
/// Every local range may be written: nobody holds a reference to what lies there.
///
/// # References
///
/// [process_vm_readv(2)](https://man7.org/linux/man-pages/man2/process_vm_readv.2.html): Linux 3.2.
pub unsafe fn process_vm_readv(
    pid: Pid,
    local: &[IoVec],
    remote: &[IoVec],
) -> Result<usize, Errno> {
    let (local_ptr, local_len) = (local.as_ptr().cast(), local.len() as _);
    let (remote_ptr, remote_len) = (remote.as_ptr().cast(), remote.len() as _);
    let pid = pid.as_raw_pid();
    // SAFETY: both lists have the layout of `struct iovec` (asserted above); the caller lets the
    // local ranges be written.
    let ret =
        unsafe { libc::process_vm_readv(pid, local_ptr, local_len, remote_ptr, remote_len, 0) };
    check(ret as _)
}

/// Copies from the `local` ranges to the `remote` ranges of a process, and returns how many bytes.
///
/// Of oneself it is a copy that cannot raise a signal, as [`process_vm_readv`] is.
///
/// # Errors
///
/// Those of [`process_vm_readv`].
///
/// # Safety
///
/// Every remote range may be written: in that process, nobody holds a reference to what lies there.
///
/// # References
///
/// [process_vm_writev(2)](https://man7.org/linux/man-pages/man2/process_vm_writev.2.html): Linux
/// 3.2.
pub unsafe fn process_vm_writev(
    pid: Pid,
    local: &[IoVec],
    remote: &[IoVec],
) -> Result<usize, Errno> {
    let (local_ptr, local_len) = (local.as_ptr().cast(), local.len() as _);
    let (remote_ptr, remote_len) = (remote.as_ptr().cast(), remote.len() as _);
    let pid = pid.as_raw_pid();
    // SAFETY: both lists have the layout of `struct iovec` (asserted above); the caller lets the
    // remote ranges be written.
    let ret =
        unsafe { libc::process_vm_writev(pid, local_ptr, local_len, remote_ptr, remote_len, 0) };
    check(ret as _)
}
