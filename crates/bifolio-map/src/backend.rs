//! How a file is reached, by a mapping or by pread(2): what the caller wants, what was taken, and
//! the file systems where mapping is known to be slow.
//!
//! It decides and remembers; mapping and reading are done elsewhere.

use bifolio_sys::Errno;
use bifolio_sys::fs::{self, FileSystem, fd::AsFd};
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

/// How a file is to be reached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Backend {
    /// By a mapping; by pread(2) on network and FUSE file systems, where each page fault may be a
    /// question to another machine, and where the file cannot be mapped.
    #[default]
    Auto,
    /// By a mapping, or not at all.
    Map,
    /// By pread(2): nothing is mapped.
    Read,
}

/// The way a file is reached, and why.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Route {
    /// By a mapping.
    Mapped,
    /// By pread(2), for this reason.
    Read(ReadReason),
    /// By a copy in memory, made when it was opened: the file tells no length, or a wrong one, and
    /// cannot be mapped, as most in `/proc` and `/sys`.
    Loaded,
}

/// Why a file is read by pread(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ReadReason {
    /// [`Backend::Read`] was asked for.
    Asked,
    /// Its file system may be served by another machine or another program.
    Remote(FileSystem),
    /// It is larger than the address space.
    TooLarge,
    /// The kernel refused to map it.
    Refused(Errno),
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Route::Mapped => f.write_str("mapped"),
            Route::Loaded => f.write_str("loaded into memory, since it cannot be mapped"),
            Route::Read(ReadReason::Asked) => f.write_str("read by pread, as asked"),
            Route::Read(ReadReason::Remote(system)) => {
                write!(f, "read by pread, since page faults may be slow on {system:?}")
            }
            Route::Read(ReadReason::TooLarge) => {
                f.write_str("read by pread, since it is larger than the address space")
            }
            Route::Read(ReadReason::Refused(errno)) => {
                write!(f, "read by pread, since it could not be mapped ({errno})")
            }
        }
    }
}

/// Devices whose file system was found to be local, each in the slot of its number.
///
/// Only devices with a driver (a major number) are remembered: the numbers of NFS, FUSE, tmpfs and
/// their like are handed out anew as soon as they are unmounted.
static LOCAL: [AtomicU64; 16] = [const { AtomicU64::new(0) }; 16];

/// The file system of a file on this device, or `None` where it is an ordinary local one.
pub(crate) fn special_file_system(file: impl AsFd, device: u64) -> Option<FileSystem> {
    let slot = &LOCAL[(device ^ device >> 8) as usize % LOCAL.len()];
    // Relaxed: one number that stands for itself, read anew by whoever misses it.
    if device != 0 && slot.load(Ordering::Relaxed) == device {
        return None;
    }
    // Where that may not be asked (a sandbox), files are taken for local: most are.
    let system = fs::file_system(file).ok()?;
    if system.is_remote() || system == FileSystem::Hugetlbfs {
        return Some(system);
    }
    if fs::major(device) != 0 {
        // Relaxed: as above, nothing else is published by it.
        slot.store(device, Ordering::Relaxed);
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::unix::fs::MetadataExt;

    fn is_remembered(device: u64) -> bool {
        // Relaxed: the thread that stored it is this one.
        LOCAL.iter().any(|slot| slot.load(Ordering::Relaxed) == device)
    }

    #[test]
    fn a_local_device_is_asked_about_once() {
        let file = File::open(std::env::current_exe().unwrap()).unwrap();
        let device = file.metadata().unwrap().dev();
        if fs::major(device) == 0 {
            std::println!("skipped: the tests do not lie on a block device");
            return;
        }
        assert_eq!(special_file_system(&file, device), None);
        assert!(is_remembered(device));
    }

    #[test]
    fn an_anonymous_device_is_asked_about_each_time() {
        let file = File::open("/proc/self/stat").unwrap();
        let device = file.metadata().unwrap().dev();
        assert_eq!(fs::major(device), 0);
        assert_eq!(special_file_system(&file, device), None);
        assert!(!is_remembered(device));
    }
}
