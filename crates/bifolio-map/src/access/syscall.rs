//! Access by system call: on the mapped memory, or on its file where that is refused.
//!
//! No signal takes part: the kernel answers `EFAULT`, or with fewer bytes, where an instruction
//! would fault.
//!
//! # Safety
//!
//! Unsafe code hands ranges to the kernel, which checks whether they are mapped, but not whose they
//! are: the bounds were checked against the window of the view.
#![allow(unsafe_code, reason = "system calls on raw ranges")]

use super::attempt::Attempt;
use super::{Via, View, ViewMut};
use crate::error::{Operation, Result};
use bifolio_sys::fs::OFlags;
use bifolio_sys::fs::fd::BorrowedFd;
use bifolio_sys::mm::IoVec;
use bifolio_sys::signal::without_sigxfsz;
use bifolio_sys::{Errno, fs, process};

impl View<'_> {
    /// Copies `[offset, offset + len)` to `target`, all or an error.
    ///
    /// # Safety
    ///
    /// `offset + len <= self.len()`, and `target` can be written for `len` bytes that no reference
    /// covers but the caller's.
    #[inline(never)]
    pub(super) unsafe fn fetch_by_syscall(
        &self,
        target: *mut u8,
        offset: usize,
        len: usize,
    ) -> Result<()> {
        let mut attempt = Attempt::new(*self, Operation::Read, offset, len);
        while attempt.done() < len {
            let (at, rest) = (offset + attempt.done(), len - attempt.done());
            let to = target.wrapping_add(attempt.done());
            let from_memory = match self.via {
                Via::File => Err(Errno::NOSYS),
                // SAFETY: `to` and the bytes after it are the rest of the caller's target.
                _ => unsafe { read_own_memory(to, self.address(at), rest) },
            };
            attempt.note(match (from_memory, self.origin.mirror()) {
                // Refused, absent or faulted: the file can still be asked.
                // SAFETY: as above.
                (Err(_), Some(fd)) => unsafe { fs::pread_raw(fd, to, rest, self.position(at)) },
                (answer, _) => answer,
            })?;
        }
        Ok(())
    }
}

impl ViewMut<'_> {
    /// Writes `buf`, for which there is room at `offset`: all or an error.
    #[inline(never)]
    pub(super) fn write_by_syscall(&self, buf: &[u8], offset: usize) -> Result<()> {
        let mut attempt = Attempt::new(self.as_view(), Operation::Write, offset, buf.len());
        while attempt.done() < buf.len() {
            let (at, rest) = (offset + attempt.done(), &buf[attempt.done()..]);
            let to_memory = match self.via {
                Via::File => Err(Errno::NOSYS),
                // SAFETY: the caller checked the range, and no reference covers it (invariant 1 of
                // the view).
                _ => unsafe { write_own_memory(self.address(at), rest) },
            };
            attempt.note(match (to_memory, self.origin.mirror()) {
                // Refused or absent: the file can still be written. (A fault has its reason in the
                // file too, so writing there would not help.)
                (Err(errno), Some(fd)) if errno != Errno::FAULT => {
                    self.write_within(fd, rest, self.position(at))
                }
                (answer, _) => answer,
            })?;
        }
        Ok(())
    }

    /// Writes to the file what lies before its end, which a mapping would not move either: 0 bytes
    /// beyond it.
    ///
    /// A file that another process shortens between the two calls does grow again. One that is open
    /// for appending is refused: there pwrite(2) writes at the end, whatever offset it is given.
    fn write_within(&self, fd: BorrowedFd<'_>, buf: &[u8], position: u64) -> Result<usize, Errno> {
        if fs::fcntl_getfl(fd)?.contains(OFlags::APPEND) {
            return Err(Errno::OPNOTSUPP);
        }
        let rest = self.origin.file_len().unwrap_or(0).saturating_sub(position);
        let len = rest.min(buf.len() as u64) as usize;
        if len == 0 {
            return Ok(0);
        }
        // Where the limit was lowered below the file's length.
        without_sigxfsz(|| fs::pwrite(fd, &buf[..len], position))
    }
}

/// Copies memory of this process by system call: as many bytes as can be had.
///
/// # Safety
///
/// `target` can be written for `len` bytes.
unsafe fn read_own_memory(target: *mut u8, source: *mut u8, len: usize) -> Result<usize, Errno> {
    let local = IoVec { base: target.cast(), len };
    let remote = IoVec { base: source.cast(), len };
    // SAFETY: the caller's promise.
    unsafe { process::process_vm_readv(process::getpid(), &[local], &[remote]) }
}

/// Copies to memory of this process by system call: as many bytes as can be had.
///
/// # Safety
///
/// No reference covers the `source.len()` bytes at `target`, and whoever owns them lets them be
/// written.
unsafe fn write_own_memory(target: *mut u8, source: &[u8]) -> Result<usize, Errno> {
    let local = IoVec { base: source.as_ptr().cast_mut().cast(), len: source.len() };
    let remote = IoVec { base: target.cast(), len: source.len() };
    // SAFETY: the caller's promise; the local side is only read.
    unsafe { process::process_vm_writev(process::getpid(), &[local], &[remote]) }
}
