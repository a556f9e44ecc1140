//! Locks of open file descriptions: whose they are, and when they end.

use std::num::NonZeroU64;
use std::os::fd::OwnedFd;

use bifolio_sys::Errno;
use bifolio_sys::fs::{
    CWD, DescriptorPath, LockType, MemfdFlags, Mode, OFlags, fcntl_ofd_getlk, fcntl_ofd_setlk,
    memfd_create, openat,
};

const ONE: NonZeroU64 = NonZeroU64::MIN;
const FAR: u64 = 1 << 62;

fn reopened(file: &OwnedFd, flags: OFlags) -> Result<OwnedFd, Errno> {
    let path = DescriptorPath::of(file);
    openat(CWD, path.as_c_str(), flags | OFlags::CLOEXEC, Mode::empty())
}

#[test]
fn a_lock_is_its_descriptions_and_ends_with_it() {
    let file = memfd_create(c"locks", MemfdFlags::CLOEXEC).unwrap();
    let (one, other) = (reopened(&file, OFlags::RDWR), reopened(&file, OFlags::RDWR));
    let (one, other) = (one.unwrap(), other.unwrap());
    let get = |fd: &OwnedFd, at| fcntl_ofd_getlk(fd, LockType::Write, at, ONE);
    fcntl_ofd_setlk(&one, LockType::Write, FAR, ONE).unwrap();
    assert_eq!(get(&other, FAR), Ok(LockType::Write));
    assert_eq!(get(&file, FAR), Ok(LockType::Write));
    assert_eq!((get(&one, FAR), get(&other, FAR + 1)), (Ok(LockType::None), Ok(LockType::None)));
    assert_eq!(fcntl_ofd_setlk(&other, LockType::Write, FAR, ONE), Err(Errno::AGAIN));
    assert_eq!(fcntl_ofd_setlk(&other, LockType::Read, FAR, ONE), Err(Errno::AGAIN));
    // A duplicate is of the same description.
    let duplicate = one.try_clone().unwrap();
    drop(one);
    assert_eq!(get(&other, FAR), Ok(LockType::Write));
    drop(duplicate);
    assert_eq!(get(&other, FAR), Ok(LockType::None));
    fcntl_ofd_setlk(&other, LockType::Read, FAR, ONE).unwrap();
    assert_eq!(get(&file, FAR), Ok(LockType::Read));
    fcntl_ofd_setlk(&other, LockType::None, FAR, ONE).unwrap();
    assert_eq!(get(&file, FAR), Ok(LockType::None));
}

#[test]
fn what_cannot_be_locked_is_an_error() {
    let file = memfd_create(c"locks", MemfdFlags::CLOEXEC).unwrap();
    let reader = reopened(&file, OFlags::RDONLY).unwrap();
    assert_eq!(fcntl_ofd_setlk(&reader, LockType::Write, 0, ONE), Err(Errno::BADF));
    assert_eq!(fcntl_ofd_getlk(&reader, LockType::Write, 0, ONE), Ok(LockType::None));
    let path = reopened(&file, OFlags::PATH).unwrap();
    assert_eq!(fcntl_ofd_getlk(&path, LockType::Write, 0, ONE), Err(Errno::BADF));
    assert_eq!(fcntl_ofd_setlk(&file, LockType::Write, 1 << 63, ONE), Err(Errno::INVAL));
}
