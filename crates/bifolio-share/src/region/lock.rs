//! Locks of regions on bytes of their file: that somebody is attached, and that somebody takes
//! its name away. They belong to open file descriptions, so that the kernel gives them up
//! when a process ends, however it ends.

use crate::error::{Error, Operation, Result};
use crate::region::Place;
use bifolio_sys::Errno;
use bifolio_sys::fs::fd::{AsFd, BorrowedFd, OwnedFd};
use bifolio_sys::fs::{
    self, CWD, DescriptorPath, LockType, Mode, OFlags, fcntl_ofd_getlk, fcntl_ofd_setlk,
};
use std::num::NonZeroU64;
use std::thread;

/// Read by all who have the region mapped, written by who removes what nobody has.
const ATTACHED: u64 = 1 << 61;
/// Written by who takes its name away.
const UNLINKING: u64 = ATTACHED + 1;
const ONE: NonZeroU64 = NonZeroU64::MIN;

/// Whether the file is marked as in use now by this description; not while another removes it.
pub(super) fn attach(file: impl AsFd) -> Result<bool, Errno> {
    is_taken(fcntl_ofd_setlk(file, LockType::Read, ATTACHED, ONE))
}

/// Whether nobody can attach until this description is closed: nobody else is attached.
pub(super) fn keep_out(file: impl AsFd) -> Result<bool, Errno> {
    is_taken(fcntl_ofd_setlk(file, LockType::Write, ATTACHED, ONE))
}

/// Whether another description is attached.
pub(super) fn is_attached(file: impl AsFd) -> Result<bool, Errno> {
    fcntl_ofd_getlk(file, LockType::Write, ATTACHED, ONE).map(|lock| lock != LockType::None)
}

/// Has nobody else take the name away until the answer is dropped: waits for one that does.
pub(super) fn unlinking(
    operation: Operation,
    place: &Place,
    file: BorrowedFd<'_>,
) -> Result<OwnedFd> {
    let fail = |errno| Error::from_errno(operation, place, errno);
    let own = reopen(file, OFlags::RDWR).map_err(fail)?;
    while !is_taken(fcntl_ofd_setlk(&own, LockType::Write, UNLINKING, ONE)).map_err(fail)? {
        thread::yield_now();
    }
    Ok(own)
}

/// Another open file description of the same file.
pub(super) fn reopen(file: BorrowedFd<'_>, access: OFlags) -> Result<OwnedFd, Errno> {
    let path = DescriptorPath::of(file);
    let flags = access | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NONBLOCK;
    fs::openat(CWD, path.as_c_str(), flags, Mode::empty())
}

fn is_taken(answer: Result<(), Errno>) -> Result<bool, Errno> {
    match answer {
        Ok(()) => Ok(true),
        Err(Errno::AGAIN | Errno::ACCESS) => Ok(false),
        Err(errno) => Err(errno),
    }
}
