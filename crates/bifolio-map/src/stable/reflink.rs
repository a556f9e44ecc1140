//! The rung of clones: a file without a name that shares the blocks of another (FICLONE), as they
//! were at one moment, and which nobody else can open.
//!
//! Its descriptor is open only while the clone is made and mapped. Who may follow
//! `/proc/PID/fd` of this process, as its own user may, could open the clone in that time; the
//! policy that leads here says so.

use crate::body::Body;
use crate::error::{Error, Operation};
use crate::origin;
use crate::stable::{Policy, Refusal, Source, shown};
use bifolio_sys::Errno;
use bifolio_sys::fs::fd::{AsRawFd, OwnedFd};
use bifolio_sys::fs::{self, CWD, Mode, OFlags};
use bifolio_sys::signal::without_sigxfsz;
use std::ffi::CString;
use std::format;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Maps a clone of the file.
pub(super) fn map(source: &Source<'_>, policy: &Policy) -> Result<Body, Refusal> {
    if !policy.pages_on_demand {
        return Err(Refusal::NotAsked);
    }
    let clone = clone(source)?;
    let mut body = shown::map(source, clone)?;
    body.origin.file = None;
    Ok(body)
}

/// A clone of the file, without a name, and long enough.
pub(super) fn clone(source: &Source<'_>) -> Result<OwnedFd, Error> {
    let refused = |errno| source.refused(Operation::Stabilize, errno);
    let clone = beside(source).map_err(refused)?;
    without_sigxfsz(|| fs::ioctl_ficlone(&clone, source.file)).map_err(refused)?;
    let len = origin::file_len(&clone).map_err(refused)?.unwrap_or(0);
    source.check_length(len)?;
    Ok(clone)
}

/// A file without a name on the file system of the source. It permits nothing to anybody, so only
/// who holds this descriptor, or may change its mode, can read or write it.
fn beside(source: &Source<'_>) -> Result<OwnedFd, Errno> {
    let link = format!("/proc/self/fd/{}", source.file.as_raw_fd());
    let path = std::fs::read_link(link)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
    let directory = path.parent().unwrap_or(Path::new("/"));
    let directory = CString::new(directory.as_os_str().as_bytes()).map_err(|_| Errno::INVAL)?;
    // O_EXCL: it never gets a name.
    let flags = OFlags::TMPFILE | OFlags::EXCL | OFlags::RDWR | OFlags::CLOEXEC;
    fs::openat(CWD, &*directory, flags, Mode::empty())
}
