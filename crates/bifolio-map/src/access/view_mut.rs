//! A window that can be written: what a `&mut [u8]` would be if it were never a reference.
//!
//! It does not exclude other writers, in this process or elsewhere: their bytes mix.
//!
//! # Safety
//!
//! Unsafe code hands pointers inside the window to the guarded assembly, after the bounds were
//! checked; the invariants are those of the readable window.
#![allow(unsafe_code, reason = "guarded writes by pointer")]

use super::{Via, View};
use crate::error::{Operation, Result};
use crate::origin::Origin;
use bifolio_sys::guard;
use core::fmt;
use core::ops::{Deref, Range};

/// A window that can be written too. Writes take `&self`: the memory is shared with others anyway,
/// and no reference to it exists.
#[derive(Clone, Copy)]
pub struct ViewMut<'a> {
    /// Its memory was mapped to be written, or its file opened so.
    view: View<'a>,
}

impl<'a> Deref for ViewMut<'a> {
    type Target = View<'a>;

    #[inline]
    fn deref(&self) -> &View<'a> {
        &self.view
    }
}

impl<'a> ViewMut<'a> {
    /// # Safety
    ///
    /// Invariants 0 to 3 of the view hold for the lifetime `'a`, and the memory was mapped to be
    /// written.
    #[inline]
    pub(crate) unsafe fn new(ptr: *mut u8, len: usize, via: Via, origin: &'a Origin) -> Self {
        // SAFETY: the caller's promise.
        ViewMut { view: unsafe { View::new(ptr, len, via, origin) } }
    }

    /// The readable window.
    #[inline]
    pub fn as_view(&self) -> View<'a> {
        self.view
    }

    /// The part of the window in `range`.
    ///
    /// # Errors
    ///
    /// As [`View::slice`].
    #[inline]
    pub fn slice_mut(&self, range: Range<usize>) -> Result<ViewMut<'a>> {
        self.check_range(Operation::Write, &range)?;
        Ok(ViewMut { view: self.view.slice(range)? })
    }

    /// As [`View::by_syscall`], for writing too (`process_vm_writev`, or `pwrite` where that is
    /// refused).
    pub fn by_syscall(self) -> ViewMut<'a> {
        ViewMut { view: self.view.by_syscall() }
    }

    /// Writes the bytes of `buf` at `offset`: as many as the window has room for; 0 at its end.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](crate::ErrorKind::OutOfBounds) where `offset` lies beyond the end;
    /// [`Truncated`](crate::ErrorKind::Truncated), [`NoSpace`](crate::ErrorKind::NoSpace) and
    /// the others where a page cannot be had: the first
    /// [`done_bytes`](crate::Error::done_bytes) bytes of `buf` are then written, and no other.
    #[inline]
    pub fn write_at(&self, buf: &[u8], offset: usize) -> Result<usize> {
        let Some(room) = self.len().checked_sub(offset) else {
            return Err(self.out_of_bounds(Operation::Write, offset, buf.len()));
        };
        let len = buf.len().min(room);
        self.write_all_at(&buf[..len], offset)?;
        Ok(len)
    }

    /// Writes all of `buf` at `offset`.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](crate::ErrorKind::OutOfBounds) where the window has less room (nothing is
    /// written then), and as [`write_at`](Self::write_at).
    #[inline]
    pub fn write_all_at(&self, buf: &[u8], offset: usize) -> Result<()> {
        self.check(Operation::Write, offset, buf.len())?;
        if self.via != Via::Guarded {
            return self.write_by_syscall(buf, offset);
        }
        self.guarded(Operation::Write, offset, buf.len(), move |done| {
            let (target, rest) = (self.address(offset + done), &buf[done..]);
            // SAFETY: the range was checked, the window is guarded, and no reference covers it
            // (invariants 0 to 2 of the view).
            unsafe { guard::copy(target, rest.as_ptr(), rest.len()) }
        })
    }

    /// Sets every byte in `range` to `byte`.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](crate::ErrorKind::OutOfBounds) where `range` reaches beyond the window or
    /// ends before it starts, and as [`write_at`](Self::write_at).
    pub fn fill(&self, range: Range<usize>, byte: u8) -> Result<()> {
        self.check_range(Operation::Write, &range)?;
        let (offset, len) = (range.start, range.len());
        if self.via != Via::Guarded {
            return self.fill_in_blocks(offset, len, byte);
        }
        self.guarded(Operation::Write, offset, len, move |done| {
            // SAFETY: the range was checked, the window is guarded, and no reference covers it
            // (invariants 0 to 2 of the view).
            unsafe { guard::fill(self.address(offset + done), byte, len - done) }
        })
    }

    fn fill_in_blocks(&self, offset: usize, len: usize, byte: u8) -> Result<()> {
        let block = [byte; 4096];
        for done in (0..len).step_by(block.len()) {
            let block = &block[..block.len().min(len - done)];
            self.write_by_syscall(block, offset + done).map_err(|error| {
                let done = done + error.done_bytes();
                self.of_whole(error, offset, len, done)
            })?;
        }
        Ok(())
    }

    /// The bytes as a plain mutable slice: no copies, and no protection.
    ///
    /// # Errors
    ///
    /// [`Unsupported`](crate::ErrorKind::Unsupported) where the bytes are not mapped, but read from
    /// the file.
    ///
    /// # Safety
    ///
    /// For as long as the slice lives:
    ///
    /// - nobody else reads or writes these bytes: no thread, no process, and no other view, slice
    ///   or system call;
    /// - nobody shortens the file, punches a hole into it or replaces its blocks, and the file
    ///   system has space for every page that is written for the first time: otherwise an access
    ///   raises SIGBUS, which ends the process;
    /// - every page permits writing and stays, as for [`as_slice`](View::as_slice).
    #[allow(clippy::mut_from_ref, reason = "the exclusiveness is the caller's promise")]
    pub unsafe fn as_mut_slice(&self) -> Result<&'a mut [u8]> {
        self.check_mapped()?;
        // SAFETY: the bytes stay mapped, to be written, for `'a` (invariant 0 of the view); the
        // rest is the caller's promise.
        Ok(unsafe { core::slice::from_raw_parts_mut(self.address(0), self.len()) })
    }
}

impl fmt::Debug for ViewMut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ViewMut").field(&self.view).finish()
    }
}
