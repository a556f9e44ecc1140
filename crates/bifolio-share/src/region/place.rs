//! What a region is called, and where its name stands.

use crate::error::{Error, ErrorKind, Operation, Result};
use bifolio_sys::fs::{self, AtFlags, CWD, StatxFlags, fd::AsFd};
use std::ffi::{CString, OsStr};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where named regions live: memory with names, which shm_open(3) uses too.
pub(super) const SHM: &str = "/dev/shm";
/// How many bytes a name has at most, so that there is room for what stands around it.
const NAME_BYTES_MAX: usize = 200;

/// What a region is called.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Place {
    /// Nothing: children inherit it.
    Anonymous,
    /// A memory file of this name, which is for `/proc/PID/maps`.
    Memory(Arc<OsStr>),
    /// A name in `/dev/shm`.
    Name(Arc<OsStr>),
    /// A file.
    File(Arc<Path>),
    /// It came as a descriptor.
    Descriptor,
    /// All that have a name in `/dev/shm`.
    All,
}

impl Place {
    /// A name in `/dev/shm`.
    pub(super) fn name(operation: Operation, name: &str) -> Result<Place> {
        let place = Place::Name(Arc::from(OsStr::new(name)));
        let is_good = (1..=NAME_BYTES_MAX).contains(&name.len())
            && !name.starts_with('.')
            && !name.contains(['/', '\0']);
        if is_good { Ok(place) } else { Err(Error::new(operation, &place, ErrorKind::BadName)) }
    }

    pub(super) fn file(path: &Path) -> Place {
        Place::File(Arc::from(path))
    }

    /// Where its name stands, if it has one.
    pub(super) fn path(&self) -> Option<PathBuf> {
        match self {
            Place::Name(name) => Some(Path::new(SHM).join(&**name)),
            Place::File(path) => Some(path.to_path_buf()),
            _ => None,
        }
    }

    /// As [`path`](Self::path), for system calls.
    pub(super) fn c_path(&self, operation: Operation) -> Result<CString> {
        let path = self.path().ok_or_else(|| Error::new(operation, self, ErrorKind::Nameless))?;
        c_path(&path).ok_or_else(|| Error::new(operation, self, ErrorKind::BadName))
    }

    /// Whether its name leads to this file, and through no link.
    pub(super) fn leads_to(&self, operation: Operation, file: impl AsFd) -> Result<bool> {
        let path = self.c_path(operation)?;
        let fail = |errno| Error::from_errno(operation, self, errno);
        let here = fs::fstat(file).map_err(fail)?;
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        match fs::statx(CWD, path.as_c_str(), flags, StatxFlags::BASIC_STATS) {
            Ok(there) => Ok((there.stx_ino, there.stx_dev_major, there.stx_dev_minor)
                == (here.st_ino, fs::major(here.st_dev), fs::minor(here.st_dev))),
            Err(fs_errno) if fs_errno == bifolio_sys::Errno::NOENT => Ok(false),
            Err(errno) => Err(fail(errno)),
        }
    }
}

pub(super) fn c_path(path: &Path) -> Option<CString> {
    CString::new(path.as_os_str().as_bytes()).ok()
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Anonymous => f.write_str("anonymous region"),
            Place::Memory(name) => write!(f, "region in memory {}", name.display()),
            Place::Name(name) => write!(f, "region {}", name.display()),
            Place::File(path) => write!(f, "region {}", path.display()),
            Place::Descriptor => f.write_str("region behind a descriptor"),
            Place::All => f.write_str("regions"),
        }
    }
}
