//! Files that are open to be looked at: many of them, and whatever they turn out to be.
//!
//! 1. The facts of a file are those of one fstat(2), when it was opened.
//! 2. A file of which nothing else need be asked is on a disk of this machine: its device has a
//!    driver, and no file system there was found to keep its pages elsewhere.

use crate::backend::special_file_system;
use crate::error::{Error, Operation, Result};
use crate::object::Object;
use crate::residency::{self, Residency};
use bifolio_sys::Errno;
use bifolio_sys::fs::{self, CWD, FileType, Mode, OFlags, Stat, fd::BorrowedFd};
use core::ops::Range;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// The unit of `st_blocks` (stat(2)), in bytes.
const BLOCK_BYTES: u64 = 512;

/// A file that is open to see how much of it is in memory.
///
/// It is found, described and counted in as few system calls as that takes: for who looks at many.
///
/// # Examples
///
/// ```
/// use bifolio_map::{Residency, memory::CachedFile};
/// use std::fs::File;
/// use std::os::fd::AsFd;
/// use std::path::Path;
///
/// let directory = File::open("src")?;
/// let file = CachedFile::open(Some(directory.as_fd()), Path::new("lib.rs"))?;
/// let mut all = [Residency::default()];
/// file.residency(0..file.len_bytes(), &mut all)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct CachedFile {
    file: File,
    stat: Stat,
    is_on_disk: bool,
}

impl CachedFile {
    /// Opens a file for reading: `path` in a directory that is open, else in the working directory.
    ///
    /// Of many files in one directory each is found sooner so than by its whole path. It waits
    /// neither for the other end of a FIFO nor for a line, and takes over no terminal.
    ///
    /// # Errors
    ///
    /// What open(2) and fstat(2) report.
    ///
    /// # References
    ///
    /// openat(2), `O_NONBLOCK`, `O_NOCTTY`.
    pub fn open(directory: Option<BorrowedFd<'_>>, path: &Path) -> Result<CachedFile> {
        let directory = directory.unwrap_or(CWD);
        let open = |flags: OFlags| {
            let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY;
            fs::openat(directory, path.as_os_str().as_encoded_bytes(), flags, Mode::empty())
        };
        let failed =
            |operation, errno| Error::from_errno(operation, &Object::File(Arc::from(path)), errno);
        let opened = match open(OFlags::NONBLOCK) {
            // Somebody holds a lease on the file and is being told now: that is worth waiting for.
            Err(Errno::AGAIN) => open(OFlags::empty()),
            opened => opened,
        };
        let file = File::from(opened.map_err(|errno| failed(Operation::Open, errno))?);
        let stat = fs::fstat(&file).map_err(|errno| failed(Operation::Stat, errno))?;
        let is_on_disk = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile
            && fs::major(stat.st_dev) != 0
            && special_file_system(&file, stat.st_dev).is_none();
        Ok(CachedFile { file, stat, is_on_disk })
    }

    /// Counts the pages in the page cache, for each of the equal parts of `range` that
    /// [`bucket`](crate::memory::bucket) describes, as many as `buckets` has.
    ///
    /// # Errors
    ///
    /// As [`cached`](crate::memory::cached).
    ///
    /// # Panics
    ///
    /// Where `range` ends before it starts.
    ///
    /// # References
    ///
    /// cachestat(2): Linux 6.5; mincore(2).
    pub fn residency(&self, range: Range<u64>, buckets: &mut [Residency]) -> Result<()> {
        if !self.is_on_disk {
            return super::cached(&self.file, range, buckets);
        }
        assert!(range.start <= range.end, "{range:?} ends before it starts");
        residency::of_disk_file(self.file.as_fd(), range.clone(), buckets).map_err(|errno| {
            Error::from_errno(Operation::Inspect, &Object::OpenFile, errno).with_range(range)
        })
    }

    /// Whether it is a regular file.
    #[must_use]
    pub fn is_regular(&self) -> bool {
        FileType::from_raw_mode(self.stat.st_mode) == FileType::RegularFile
    }

    /// Its length in bytes; 0 for what is no regular file.
    #[must_use]
    pub fn len_bytes(&self) -> u64 {
        if self.is_regular() { self.stat.st_size as u64 } else { 0 }
    }

    /// What it takes on the disk, in bytes.
    #[must_use]
    pub fn allocated_bytes(&self) -> u64 {
        (self.stat.st_blocks as u64).saturating_mul(BLOCK_BYTES)
    }

    /// The numbers of its device and, on that, of the file: no other file has the same.
    #[must_use]
    pub fn identity(&self) -> (u64, u64) {
        (self.stat.st_dev, self.stat.st_ino)
    }

    /// How many names it has.
    #[must_use]
    pub fn links(&self) -> u64 {
        // It has fewer bits on aarch64.
        #[allow(clippy::useless_conversion, reason = "u64 on x86-64, u32 on aarch64")]
        self.stat.st_nlink.into()
    }

    /// When its bytes were changed last; 1970 where that was earlier, or is not known.
    #[must_use]
    pub fn modified(&self) -> SystemTime {
        let (seconds, nanoseconds) = (self.stat.st_mtime, self.stat.st_mtime_nsec);
        let since =
            u64::try_from(seconds).map(|seconds| Duration::new(seconds, nanoseconds as u32));
        SystemTime::UNIX_EPOCH + since.unwrap_or_default()
    }

    /// The open file.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The open file, for who has no more use for the rest.
    #[must_use]
    pub fn into_file(self) -> File {
        self.file
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_name_is_looked_up_in_the_directory_that_is_open() {
        let directory = File::open("src").unwrap();
        let file = CachedFile::open(Some(directory.as_fd()), Path::new("lib.rs")).unwrap();
        let whole = CachedFile::open(None, Path::new("src/lib.rs")).unwrap();
        assert_eq!(file.identity(), whole.identity());
        let error = CachedFile::open(Some(directory.as_fd()), Path::new("absent")).unwrap_err();
        assert_eq!(error.errno(), Some(Errno::NOENT));
    }

    #[test]
    fn its_facts_are_those_of_the_file() {
        let path = Path::new("src/lib.rs");
        let (file, stat) =
            (CachedFile::open(None, path).unwrap(), std::fs::metadata(path).unwrap());
        assert_eq!((file.len_bytes(), file.links()), (stat.len(), stat.nlink()));
        assert_eq!(file.identity(), (stat.dev(), stat.ino()));
        assert_eq!(file.allocated_bytes(), stat.blocks() * 512);
        assert_eq!(file.modified(), stat.modified().unwrap());
        let directory = CachedFile::open(None, Path::new("src")).unwrap();
        assert!(file.is_regular() && !directory.is_regular());
        assert_eq!(directory.len_bytes(), 0);
    }

    #[test]
    fn what_is_counted_is_what_cached_counts() {
        for path in ["Cargo.toml", "/proc/version", "src", "/dev/null"] {
            let file = CachedFile::open(None, Path::new(path)).unwrap();
            let (mut mine, mut other) = ([Residency::default(); 3], [Residency::default(); 3]);
            file.residency(0..file.len_bytes(), &mut mine).unwrap();
            super::super::cached(file.file(), 0..file.len_bytes(), &mut other).unwrap();
            assert_eq!(mine, other, "{path}");
        }
    }
}
