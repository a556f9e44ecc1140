//! Durability of shared mappings: what is on the medium when, and what is not.
//!
//! A byte written to a shared mapping is in the page cache at once: every process sees it, and it
//! survives the death of every process, kill -9 included. What a crash of the kernel or a power cut
//! leaves is said at [`SharedMap::flush`], for the users of all three calls.
//!
//! # Safety
//!
//! msync(2) takes a pointer; the pages it gets are the mapping's own.
#![allow(unsafe_code, reason = "msync takes a pointer")]

use crate::access::Access;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::shared::SharedMap;
use bifolio_sys::fs::{self, SyncRange};
use bifolio_sys::mm::{self, MsyncFlags};
use core::num::NonZeroU64;
use core::ops::Range;

impl SharedMap {
    /// Writes the pages of `range` to the medium, with what is needed to read them back (the file's
    /// length, and where its blocks lie), and waits for it.
    ///
    /// It writes what any process has changed there, by whatever way; bytes that are written while
    /// it runs may be in or not.
    ///
    /// # Durability
    ///
    /// The death of a process loses nothing, flushed or not: the kernel has the bytes. For a power
    /// cut or a crash of the kernel:
    ///
    /// - **Until it returns** any of the bytes written since the last flush may be on the medium
    ///   and others not, whatever the order in which they were written. What must come first must
    ///   be flushed first.
    /// - **Tearing**: a page may be half written. No disk promises more than one sector (512 or
    ///   4096 bytes), so a record that must be whole needs a checksum, or a copy.
    /// - **Errors are told once** (Linux 4.13): a failed write-back is reported to the first flush
    ///   of each open file that asks; the pages then count as clean, and may be dropped with what
    ///   they held. A flush that succeeds after one that failed proves nothing about the earlier
    ///   bytes: write them again.
    /// - **The name** of a file that was just created is durable once its directory was synced.
    /// - **The device's own cache** is flushed where the file system asks for it, as ext4, XFS and
    ///   Btrfs do unless they are told not to. tmpfs, memory files and memory without a file have
    ///   no medium: there it succeeds and means nothing.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](ErrorKind::OutOfBounds); [`Media`](ErrorKind::Media),
    /// [`NoSpace`](ErrorKind::NoSpace) and what else writing back met, now or since the file was
    /// last flushed through this mapping.
    ///
    /// # References
    ///
    /// msync(2), `MS_SYNC`, which Linux does as fdatasync(2) of the range; fsync(2), *Notes*;
    /// [errseq_t](https://docs.kernel.org/core-api/errseq.html).
    pub fn flush(&self, range: Range<usize>) -> Result<()> {
        let (start, len) = self.shown_pages(&range)?;
        if len == 0 {
            return Ok(());
        }
        // SAFETY: the pages are the mapping's own; writing them back changes none.
        unsafe { mm::msync(start.cast(), len, MsyncFlags::SYNC) }
            .map_err(|errno| self.body.refused(Operation::Flush, &range, errno))
    }

    /// Starts writing the pages of `range` to the medium, without waiting for it and without
    /// promising anything: a [`flush`](SharedMap::flush) that follows has less to do.
    ///
    /// Pages that are being written already are passed over, even if they were changed since. It
    /// may wait where the device's queue is full.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](ErrorKind::OutOfBounds), and what sync_file_range(2) reports.
    ///
    /// # References
    ///
    /// sync_file_range(2), `SYNC_FILE_RANGE_WRITE`: `MS_ASYNC` of msync(2) does nothing since Linux
    /// 2.6.19.
    pub fn flush_async(&self, range: Range<usize>) -> Result<()> {
        let (_, len) = self.shown_pages(&range)?;
        let (Some(fd), Some(_)) = (self.fd(), NonZeroU64::new(len as u64)) else { return Ok(()) };
        let offset = self.body.origin.file_offset + range.start as u64;
        let len = NonZeroU64::new((range.end - range.start) as u64);
        fs::sync_file_range(fd, offset, len, SyncRange::Start)
            .map_err(|errno| self.body.refused(Operation::Flush, &range, errno))
    }

    /// Writes the whole file to the medium, with all that the file system knows about it, and waits
    /// for it.
    ///
    /// Only who needs the times or the mode of the file needs more than
    /// [`flush`](SharedMap::flush).
    ///
    /// # Errors
    ///
    /// As [`flush`](SharedMap::flush).
    ///
    /// # References
    ///
    /// fsync(2).
    pub fn sync_all(&self) -> Result<()> {
        let Some(fd) = self.fd() else { return Ok(()) };
        fs::fsync(fd).map_err(|errno| self.body.refused(Operation::Flush, &(0..self.len()), errno))
    }

    /// The pages of a range of the bytes shown.
    fn shown_pages(&self, range: &Range<usize>) -> Result<(*mut u8, usize)> {
        let len = self.len();
        if range.end > len {
            return Err(self.out_of_bounds(Operation::Flush, range, len));
        }
        let (start, len) = self.body.pages(Operation::Flush, range)?;
        Ok((start, if range.is_empty() { 0 } else { len }))
    }

    /// The error for a range that reaches beyond the `len` bytes shown.
    #[cold]
    pub(crate) fn out_of_bounds(
        &self,
        operation: Operation,
        range: &Range<usize>,
        len: usize,
    ) -> Error {
        let kind = ErrorKind::OutOfBounds { len_bytes: len as u64 };
        let asked = range.end.saturating_sub(range.start);
        self.body.origin.error(operation, kind, range.start, asked)
    }
}
