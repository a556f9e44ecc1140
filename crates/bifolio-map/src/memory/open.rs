//! Opening files to look at their pages: many of them, and whatever they turn out to be.
//!
//! It does not say what a file is: fstat(2) does.

use crate::error::{Error, Operation, Result};
use crate::object::Object;
use bifolio_sys::Errno;
use bifolio_sys::fs::{self, CWD, Mode, OFlags, fd::BorrowedFd};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// Opens a file for reading, to look at its pages: `path` in a directory that is open, else in the
/// working directory.
///
/// Of many files in one directory each is found sooner so than by its whole path. It waits neither
/// for the other end of a FIFO nor for a line, and takes over no terminal.
///
/// # Errors
///
/// What open(2) reports.
///
/// # Examples
///
/// ```
/// use bifolio_map::memory;
/// use std::fs::File;
/// use std::os::fd::AsFd;
/// use std::path::Path;
///
/// let directory = File::open("src")?;
/// let file = memory::open(Some(directory.as_fd()), Path::new("lib.rs"))?;
/// assert_eq!(file.metadata()?.len(), std::fs::metadata("src/lib.rs")?.len());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # References
///
/// openat(2), `O_NONBLOCK`, `O_NOCTTY`.
pub fn open(directory: Option<BorrowedFd<'_>>, path: &Path) -> Result<File> {
    let directory = directory.unwrap_or(CWD);
    let open = |flags: OFlags| {
        let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
        fs::openat(directory, path.as_os_str().as_encoded_bytes(), flags, Mode::empty())
    };
    let opened = match open(OFlags::NONBLOCK) {
        // Somebody holds a lease on the file and is being told now: that is worth waiting for.
        Err(Errno::AGAIN) => open(OFlags::empty()),
        opened => opened,
    };
    opened
        .map(File::from)
        .map_err(|errno| Error::from_errno(Operation::Open, &Object::File(Arc::from(path)), errno))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn a_name_is_looked_up_in_the_directory_that_is_open() {
        let directory = File::open("/proc/self").unwrap();
        let file = open(Some(directory.as_fd()), Path::new("status")).unwrap();
        let whole = open(None, Path::new("/proc/self/status")).unwrap();
        let name =
            |file: File| std::io::read_to_string(file).unwrap().lines().next().unwrap().len();
        assert_eq!(name(file), name(whole));
        let error = open(Some(directory.as_fd()), Path::new("absent")).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::NOENT));
    }
}
