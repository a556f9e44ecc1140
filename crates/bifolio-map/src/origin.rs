//! Where a mapping's bytes come from: for messages, for the explanation of faults, and for access without the mapping.
//!
//! It does not own the mapping, and asks the kernel only after something failed.

use crate::error::{Error, ErrorKind, Operation};
use crate::object::Object;
use bifolio_sys::fs::{self, AsFd, BorrowedFd, OwnedFd};
use bifolio_sys::guard::{Cause, Fault};

/// What lies behind a mapping.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) object: Object,
    /// The file, kept open as long as the mapping.
    pub(crate) file: Option<OwnedFd>,
    /// Where in the file the mapping's first byte lies.
    pub(crate) file_offset: u64,
}

/// What to do about a fault.
pub(crate) enum Verdict {
    /// The page can be had now: try again.
    Retry,
    /// It cannot.
    Fail(ErrorKind, Option<bifolio_sys::Errno>),
}

impl Origin {
    pub(crate) fn without_file(object: Object) -> Self {
        Origin { object, file: None, file_offset: 0 }
    }

    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(|file| file.as_fd())
    }

    /// An error of `operation` at `[offset, offset + len)` of the mapping, with the range counted in the file.
    #[cold]
    pub(crate) fn error(&self, operation: Operation, kind: ErrorKind, offset: usize, len: usize) -> Error {
        let start = self.file_offset.saturating_add(offset as u64);
        Error::new(operation, &self.object, kind).with_range(start..start.saturating_add(len as u64))
    }

    /// Finds out why the byte at `offset` of the mapping faulted: the file is asked for its length, then for the byte itself, since the
    /// kernel gives a reason to system calls that it does not give to faults.
    #[cold]
    pub(crate) fn explain(&self, operation: Operation, offset: usize, fault: Fault) -> Verdict {
        match fault.code.cause() {
            Cause::HardwarePoison => return Verdict::Fail(ErrorKind::Poisoned, None),
            Cause::BusAddress => {}
            _ => return Verdict::Fail(ErrorKind::NotAccessible, None),
        }
        let Some(fd) = self.fd() else {
            return Verdict::Fail(ErrorKind::NoMemory, None);
        };
        let position = self.file_offset.saturating_add(offset as u64);
        match fs::file_len(fd) {
            Ok(len_bytes) if position >= len_bytes => {
                Verdict::Fail(ErrorKind::Truncated { len_bytes }, None)
            }
            Ok(_) => self.ask_for_byte(fd, operation, position),
            Err(errno) => Verdict::Fail(ErrorKind::Media, Some(errno)),
        }
    }

    /// Asks the file system for one byte by system call: its answer is the reason.
    fn ask_for_byte(&self, fd: BorrowedFd<'_>, operation: Operation, position: u64) -> Verdict {
        let answer = if matches!(operation, Operation::Write | Operation::Atomic) {
            fs::fallocate(fd, fs::FallocateFlags::KEEP_SIZE, position, 1)
        } else {
            fs::pread(fd, &mut [0], position).map(|_| ())
        };
        match answer {
            Ok(()) => Verdict::Retry,
            Err(errno) => Verdict::Fail(ErrorKind::from_errno(errno), Some(errno)),
        }
    }
}
