//! Where a mapping's bytes come from: for messages, for the explanation of faults, and for access
//! without the mapping.
//!
//! It does not own the mapping, and asks the kernel only after something failed.

use crate::error::{Error, ErrorKind, Operation};
use crate::object::Object;
use bifolio_sys::Errno;
use bifolio_sys::fs::fd::{AsFd, BorrowedFd, OwnedFd};
use bifolio_sys::fs::{self, FallocateFlags, FileSystem, FileType};
use bifolio_sys::guard::Cause;
use bifolio_sys::page::page_size;
use bifolio_sys::signal::without_sigxfsz;

/// What lies behind a mapping.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) object: Object,
    /// The file, kept open as long as the mapping.
    pub(crate) file: Option<OwnedFd>,
    /// Where in the file the mapping's first byte lies.
    pub(crate) file_offset: u64,
    /// Whether the mapping's bytes are the file's: true for shared mappings, false for private
    /// copies.
    pub(crate) is_file_s: bool,
}

/// What to do about a fault.
pub(crate) enum Verdict {
    /// The page can be had now: try again.
    Retry,
    /// It cannot.
    Fail(ErrorKind, Option<Errno>),
}

impl Origin {
    pub(crate) fn without_file(object: Object) -> Self {
        Origin { object, file: None, file_offset: 0, is_file_s: false }
    }

    /// The same origin `by` bytes further on, with a descriptor of its own.
    pub(crate) fn duplicate(&self, by: usize) -> Result<Origin, Errno> {
        let file = match &self.file {
            Some(file) => Some(fs::fcntl_dupfd_cloexec(file, 0)?),
            None => None,
        };
        // Without a file, offsets count from the start of each mapping.
        let by = if self.object.is_file() { by as u64 } else { 0 };
        let file_offset = self.file_offset.saturating_add(by);
        Ok(Origin { object: self.object.clone(), file, file_offset, is_file_s: self.is_file_s })
    }

    /// Whether `back` is what comes `len` bytes further on: in the same file, or in no file.
    pub(crate) fn is_continued_by(&self, back: &Origin, len: usize) -> bool {
        let is_same_file = match (self.fd(), back.fd()) {
            (Some(one), Some(other)) => match (fs::fstat(one), fs::fstat(other)) {
                (Ok(one), Ok(other)) => (one.st_dev, one.st_ino) == (other.st_dev, other.st_ino),
                _ => false,
            },
            (None, None) => self.object == back.object,
            _ => false,
        };
        let end = self.file_offset.saturating_add(len as u64);
        is_same_file && (!self.object.is_file() || end == back.file_offset)
    }

    /// The length of the file now, in bytes, where there is a file that has one.
    pub(crate) fn file_len(&self) -> Option<u64> {
        file_len(self.fd()?).ok().flatten()
    }

    /// The file, where reading it is reading the mapping.
    pub(crate) fn mirror(&self) -> Option<BorrowedFd<'_>> {
        if self.is_file_s { self.fd() } else { None }
    }

    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(|file| file.as_fd())
    }

    /// An error of `operation` at `[offset, offset + len)` of the mapping, with the range counted
    /// in the file.
    #[cold]
    pub(crate) fn error(
        &self,
        operation: Operation,
        kind: ErrorKind,
        offset: usize,
        len: usize,
    ) -> Error {
        let start = self.file_offset.saturating_add(offset as u64);
        Error::new(operation, &self.object, kind)
            .with_range(start..start.saturating_add(len as u64))
    }

    /// Finds out why the byte at `offset` of the mapping faulted: the file is asked for its length,
    /// then for the byte itself, since the kernel gives a reason to system calls that it does
    /// not give to faults.
    #[cold]
    pub(crate) fn explain(&self, operation: Operation, offset: usize, cause: Cause) -> Verdict {
        match cause {
            Cause::HardwarePoison => return Verdict::Fail(ErrorKind::Poisoned, None),
            Cause::Unbacked => {}
            _ => return Verdict::Fail(ErrorKind::NotAccessible, None),
        }
        let Some(fd) = self.fd() else {
            return Verdict::Fail(ErrorKind::NoMemory, None);
        };
        let position = self.file_offset.saturating_add(offset as u64);
        let is_write = matches!(operation, Operation::Write | Operation::Atomic);
        match self.file_len() {
            Some(len_bytes) if position >= len_bytes => {
                Verdict::Fail(ErrorKind::Truncated { len_bytes }, None)
            }
            Some(len_bytes) if is_write && self.is_file_s => allocate_page(fd, position, len_bytes),
            // A character device: reading it could take away what others wait for.
            None => Verdict::Fail(ErrorKind::NotAccessible, None),
            _ => read_byte(fd, position),
        }
    }
}

/// The length of a file in bytes; `None` for a kind that has none, such as a character device.
pub(crate) fn file_len(file: impl AsFd) -> Result<Option<u64>, Errno> {
    let stat = fs::fstat(&file)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok(Some(stat.st_size as u64)),
        FileType::BlockDevice => fs::block_device_len(&file).map(Some),
        _ => Ok(None),
    }
}

/// Asks the file system for the space of the page, as a write through a shared mapping does: its
/// answer is the reason. Its blocks may be smaller than a page, so one byte would not be enough.
fn allocate_page(fd: BorrowedFd<'_>, position: u64, file_len: u64) -> Verdict {
    let page = page_size().bytes() as u64;
    let start = position - position % page;
    let len = page.min(file_len - start);
    // A file that is shortened meanwhile could meet the limit on file sizes, and its signal.
    match without_sigxfsz(|| fs::fallocate(fd, FallocateFlags::KEEP_SIZE, start, len)) {
        // A file system that cannot allocate ahead can still say whether it can read.
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::NODEV) => read_byte(fd, position),
        answer => verdict(fd, answer),
    }
}

/// Asks the file system for one byte, as reading a page and copying a private one do: its answer is
/// the reason.
fn read_byte(fd: BorrowedFd<'_>, position: u64) -> Verdict {
    verdict(fd, fs::pread(fd, &mut [0_u8; 1], position).map(drop))
}

fn verdict(fd: BorrowedFd<'_>, answer: Result<(), Errno>) -> Verdict {
    match answer {
        // A hole in a file of huge pages reads as zeros, and faults when the pool is empty.
        Ok(()) if fs::file_system(fd) == Ok(FileSystem::Hugetlbfs) => {
            Verdict::Fail(ErrorKind::NoSpace, None)
        }
        Ok(()) | Err(Errno::INTR) => Verdict::Retry,
        Err(errno) => Verdict::Fail(ErrorKind::from_errno(errno), Some(errno)),
    }
}
