//! A window onto bytes that others may change or take away: what a slice would be if it were never
//! a reference.
//!
//! # Invariants
//!
//! 0. While the view's lifetime runs, `[ptr, ptr + len)` is address space that its owner keeps
//!    mapped (with whatever protection, over whatever file): accesses may fault, and may race with
//!    anyone, but never touch memory of another owner.
//! 1. No reference to that memory exists that a write through a `ViewMut` could contradict.
//! 2. For `Via::Guarded` the dispatcher is installed, and this CPU has the assembly.
//! 3. For `Via::File` nothing is mapped, `ptr` is never used, and the origin has a file.
//!
//! All guarded access of the crate goes through here and its sibling files, so that its soundness
//! is argued once. It holds no policy: what to do with an error is the caller's matter.
//!
//! # Safety
//!
//! Unsafe code hands pointers inside the window to the guarded assembly, after the bounds were
//! checked.
#![allow(unsafe_code, reason = "all guarded access of the crate goes through here")]

use crate::error::{Error, ErrorKind, Operation, Result};
use crate::origin::Origin;
use bifolio_sys::guard;
use core::fmt;
use core::mem::MaybeUninit;
use core::ops::Range;

/// How the bytes are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Via {
    /// By the guarded assembly.
    Guarded,
    /// By system calls on the mapped memory, or on its file where those are refused.
    Syscall,
    /// By pread(2) and pwrite(2): nothing is mapped.
    File,
}

/// A readable window onto bytes that others may change or take away.
///
/// It is `Copy` and as cheap as a slice; it borrows the mapping, and keeps its length when the
/// mapping grows. No method raises a signal: what a plain access would answer with SIGBUS is an
/// [`Error`] with the exact range. What is read is what memory held at some moment; two reads may
/// differ, and a long read may mix moments.
///
/// Offsets are in bytes from the start of the view. Of a file that became shorter, memory shows
/// zeros from its new end to the end of that page; only behind it is the truncation seen.
///
/// # Examples
///
/// A view cannot outlive its mapping:
///
/// ```compile_fail,E0505
/// use bifolio_map::{Access, FileMap};
///
/// let map = FileMap::open("Cargo.toml").unwrap();
/// let view = map.view();
/// drop(map);
/// view.len();
/// ```
///
/// And it is no slice without `unsafe`:
///
/// ```compile_fail,E0133
/// use bifolio_map::{Access, FileMap};
///
/// let map = FileMap::open("Cargo.toml").unwrap();
/// let bytes: &[u8] = map.view().as_slice().unwrap();
/// ```
///
/// ```compile_fail,E0308
/// use bifolio_map::{Access, FileMap};
///
/// let map = FileMap::open("Cargo.toml").unwrap();
/// let bytes: &[u8] = &map.view();
/// ```
#[derive(Clone, Copy)]
pub struct View<'a> {
    ptr: *mut u8,
    len: usize,
    /// Where the view starts in its mapping, in bytes.
    pub(super) start: usize,
    pub(super) via: Via,
    pub(super) origin: &'a Origin,
}

// SAFETY: by invariant 0 the memory stays mapped for the lifetime, whichever thread looks; races
// live inside assembly and system calls.
unsafe impl Send for View<'_> {}
// SAFETY: as above.
unsafe impl Sync for View<'_> {}

impl<'a> View<'a> {
    /// # Safety
    ///
    /// Invariants 0, 1 and 3 hold for the lifetime `'a`, and for `Via::Guarded` the dispatcher is
    /// installed.
    #[inline]
    pub(crate) unsafe fn new(ptr: *mut u8, len: usize, via: Via, origin: &'a Origin) -> Self {
        let via = match via {
            Via::Guarded if !guard::available() => Via::Syscall,
            via => via,
        };
        View { ptr, len, start: 0, via, origin }
    }

    /// The length in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether it has no bytes.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The part of the view in `range`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::OutOfBounds`] where `range` reaches beyond the view, or ends before it starts.
    #[inline]
    pub fn slice(&self, range: Range<usize>) -> Result<View<'a>> {
        self.check_range(Operation::Read, &range)?;
        Ok(View {
            ptr: self.address(range.start),
            len: range.end - range.start,
            start: self.start + range.start,
            ..*self
        })
    }

    /// The same bytes, reached by system calls (`process_vm_readv`, or `pread` where that is
    /// refused) instead of the guarded assembly: no signal handler takes part, so it works with
    /// a handler that does not chain and on a thread that blocks SIGBUS.
    ///
    /// A call costs about a microsecond; large reads lose little. Atomic operations are not
    /// available through it.
    ///
    /// # References
    ///
    /// process_vm_readv(2), Linux 3.2.
    pub fn by_syscall(self) -> View<'a> {
        let via = if self.via == Via::Guarded { Via::Syscall } else { self.via };
        View { via, ..self }
    }

    /// The same bytes, read from the file, where that is reading the mapping.
    pub(super) fn by_file(&self) -> Option<View<'a>> {
        self.origin.mirror().map(|_| View { via: Via::File, ..*self })
    }

    /// Reads from `offset` into `buf`: as many bytes as `buf` has room for and the view has left; 0
    /// at its end.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::OutOfBounds`] where `offset` lies beyond the end; [`ErrorKind::Truncated`],
    /// [`ErrorKind::Media`] and the others where a page cannot be had: [`Error::done_bytes`]
    /// bytes at the front of `buf` are then read.
    #[inline]
    pub fn read_at(&self, buf: &mut [u8], offset: usize) -> Result<usize> {
        // SAFETY: a `MaybeUninit<u8>` has the layout of a `u8`, and `read_uninit_at` writes nothing
        // but initialised bytes.
        let buf = unsafe { &mut *(&raw mut *buf as *mut [MaybeUninit<u8>]) };
        self.read_uninit_at(buf, offset)
    }

    /// As [`read_at`](Self::read_at), into memory that need not be initialised: exactly the
    /// returned number of bytes at its front is.
    ///
    /// # Errors
    ///
    /// As [`read_at`](Self::read_at).
    #[inline]
    pub fn read_uninit_at(&self, buf: &mut [MaybeUninit<u8>], offset: usize) -> Result<usize> {
        let Some(rest) = self.len.checked_sub(offset) else {
            return Err(self.out_of_bounds(Operation::Read, offset, buf.len()));
        };
        let len = buf.len().min(rest);
        // SAFETY: `offset + len <= self.len`, and `buf` has room for `len` bytes.
        unsafe { self.fetch(buf.as_mut_ptr().cast(), offset, len) }?;
        Ok(len)
    }

    /// Fills `buf` from `offset`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::OutOfBounds`] where the view has fewer bytes left (nothing is read then), and
    /// as [`read_at`](Self::read_at).
    #[inline]
    pub fn read_exact_at(&self, buf: &mut [u8], offset: usize) -> Result<()> {
        let len = buf.len();
        self.check(Operation::Read, offset, len)?;
        // SAFETY: the range was checked on the line above, and `buf` has `len` bytes.
        unsafe { self.fetch(buf.as_mut_ptr(), offset, len) }
    }

    /// As [`read_at`](Self::read_at), for a caller that reads on where this ends.
    ///
    /// The bytes before one that cannot be had are a shorter answer; the error is for a call that
    /// starts at that byte.
    #[inline]
    pub(super) fn read_on(&self, buf: &mut [u8], offset: usize) -> Result<usize> {
        if self.via == Via::Guarded && offset <= self.len {
            let len = buf.len().min(self.len - offset);
            // SAFETY: `offset + len <= self.len` (invariants 0 and 2), and `buf` has `len` bytes.
            match unsafe { guard::copy_streaming(buf.as_mut_ptr(), self.address(offset), len) } {
                Ok(()) => return Ok(len),
                Err(fault) if fault.done != 0 => return Ok(fault.done),
                Err(_) => {}
            }
        }
        match self.read_at(buf, offset) {
            Err(error) if error.done_bytes() != 0 => Ok(error.done_bytes()),
            answer => answer,
        }
    }

    /// The bytes as a plain slice: no copies, and no protection.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Unsupported`] where the bytes are not mapped, but read from the file.
    ///
    /// # Safety
    ///
    /// For as long as the slice lives:
    ///
    /// - nobody writes these bytes: no thread, no process that maps or writes the file, and no view
    ///   of this mapping;
    /// - nobody shortens the file, punches a hole into it or replaces its blocks, and its medium
    ///   delivers every page: otherwise an access raises SIGBUS, which ends the process;
    /// - every page permits reading and stays: it lies within the file, and is not only reserved,
    ///   nor guarding, nor closed, and the kernel may not zero it
    ///   ([`DroppableMap`](crate::DroppableMap), [`Discard::Free`](crate::Discard::Free)).
    pub unsafe fn as_slice(&self) -> Result<&'a [u8]> {
        self.check_mapped()?;
        // SAFETY: the bytes stay mapped for `'a` (invariant 0); the rest is the caller's promise.
        Ok(unsafe { core::slice::from_raw_parts(self.ptr, self.len) })
    }

    /// Copies `[offset, offset + len)` to `target`, all or an error.
    ///
    /// # Safety
    ///
    /// `offset + len <= self.len`, and `target` can be written for `len` bytes that no reference
    /// covers but the caller's.
    #[inline]
    pub(super) unsafe fn fetch(&self, target: *mut u8, offset: usize, len: usize) -> Result<()> {
        if self.via != Via::Guarded {
            // SAFETY: the caller's promise.
            return unsafe { self.fetch_by_syscall(target, offset, len) };
        }
        let copy = |done| {
            let (target, source) = (target.wrapping_add(done), self.address(offset + done));
            // SAFETY: the source is inside the window and guarded (invariants 0 and 2), and the
            // target the caller's; `done <= len`.
            unsafe { guard::copy(target, source, len - done) }
        };
        self.guarded_read(offset, len, copy, |file, done| {
            // SAFETY: the rest of the same range, and of the same target.
            unsafe { file.fetch(target.wrapping_add(done), offset + done, len - done) }
        })
    }

    /// The address of the byte at `offset`.
    #[inline]
    pub(super) fn address(&self, offset: usize) -> *mut u8 {
        self.ptr.wrapping_add(offset)
    }

    /// Where the byte at `offset` lies in the file.
    pub(super) fn position(&self, offset: usize) -> u64 {
        self.origin.file_offset.saturating_add((self.start + offset) as u64)
    }

    #[inline]
    pub(super) fn check(&self, operation: Operation, offset: usize, len: usize) -> Result<()> {
        match offset.checked_add(len) {
            Some(end) if end <= self.len => Ok(()),
            _ => Err(self.out_of_bounds(operation, offset, len)),
        }
    }

    #[inline]
    pub(super) fn check_range(&self, operation: Operation, range: &Range<usize>) -> Result<()> {
        if range.start <= range.end && range.end <= self.len {
            return Ok(());
        }
        Err(self.out_of_bounds(operation, range.start, range.end.saturating_sub(range.start)))
    }

    pub(super) fn check_mapped(&self) -> Result<()> {
        match self.via {
            Via::File => Err(self.error(Operation::Map, ErrorKind::Unsupported, 0, self.len)),
            Via::Guarded | Via::Syscall => Ok(()),
        }
    }

    #[cold]
    #[inline(never)]
    pub(super) fn out_of_bounds(&self, operation: Operation, offset: usize, len: usize) -> Error {
        self.error(operation, ErrorKind::OutOfBounds { len_bytes: self.len as u64 }, offset, len)
    }

    #[cold]
    #[inline(never)]
    pub(super) fn error(
        &self,
        operation: Operation,
        kind: ErrorKind,
        offset: usize,
        len: usize,
    ) -> Error {
        self.origin.error(operation, kind, self.start.saturating_add(offset), len)
    }

    /// An error in some part as one of the whole access `[offset, offset + len)`, of which `done`
    /// bytes were done.
    #[cold]
    #[inline(never)]
    pub(super) fn of_whole(&self, error: Error, offset: usize, len: usize, done: usize) -> Error {
        let start = self.position(offset);
        error.with_range(start..start.saturating_add(len as u64)).with_done(done)
    }
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("object", &format_args!("{}", self.origin.object))
            .field("start", &self.start)
            .field("len", &self.len)
            .field("via", &self.via)
            .finish()
    }
}
