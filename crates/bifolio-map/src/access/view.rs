//! A window onto bytes that others may change or take away: what a slice would be if it were never
//! a reference.
//!
//! # Invariants
//!
//! 0. While the view's lifetime runs, `[ptr, ptr + len)` is address space that its owner keeps
//!    mapped (with whatever protection, over whatever file): accesses may fault, and may race with
//!    anyone, but never touch memory of another owner.
//! 1. No reference to that memory exists that a write through a `ViewMut` could contradict.
//! 2. For `Via::Guarded` the dispatcher is installed.
//! 3. For `Via::File` nothing is mapped, `ptr` is never used, and the origin has a file.
//!
//! All guarded access of the crate goes through here, so that its soundness is argued once. It
//! holds no policy: what to do with an error is the caller's matter.
//!
//! # Safety
//!
//! Unsafe code hands pointers inside the window to the guarded assembly and to system calls, after
//! the bounds were checked.
#![allow(unsafe_code, reason = "all guarded access of the crate goes through here")]

use crate::error::{Error, ErrorKind, Operation, Result};
use crate::origin::{Origin, Verdict};
use bifolio_sys::fs;
use bifolio_sys::guard::{self, Fault, Word};
use bifolio_sys::mm::IoVec;
use bifolio_sys::{Errno, process};
use core::fmt;
use core::marker::PhantomData;
use core::mem::MaybeUninit;
use core::ops::Range;
use zerocopy::{FromBytes, IntoBytes};

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

/// How often a fault that cannot be explained is tried again: the file may shrink and grow while we
/// look.
const RETRIES_MAX: u32 = 16;

/// A readable window onto bytes that others may change or take away.
///
/// It is `Copy` and as cheap as a slice. No method raises a signal: what a plain access would
/// answer with SIGBUS is an [`Error`] with the exact range. What is read is what memory held at
/// some moment; two reads may differ, and a long read may mix moments.
///
/// Offsets are in bytes from the start of the view.
#[derive(Clone, Copy)]
pub struct View<'a> {
    ptr: *mut u8,
    len: usize,
    /// Where the view starts in its mapping, in bytes.
    start: usize,
    via: Via,
    origin: &'a Origin,
}

// SAFETY: by invariant 0 the memory stays mapped for the lifetime, whichever thread looks; races
// live inside assembly and system calls.
unsafe impl Send for View<'_> {}
// SAFETY: as above.
unsafe impl Sync for View<'_> {}

/// A window that can be written too. Writes take `&self`: the memory is shared with others anyway,
/// and no reference to it exists.
#[derive(Clone, Copy)]
pub struct ViewMut<'a> {
    view: View<'a>,
    _writes: PhantomData<*mut u8>,
}

// SAFETY: as for `View`.
unsafe impl Send for ViewMut<'_> {}
// SAFETY: as for `View`.
unsafe impl Sync for ViewMut<'_> {}

impl<'a> View<'a> {
    /// # Safety
    ///
    /// Invariants 0, 2 and 3 hold for the lifetime `'a`.
    pub(crate) unsafe fn new(ptr: *mut u8, len: usize, via: Via, origin: &'a Origin) -> Self {
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
        if range.start > range.end || range.end > self.len {
            return Err(self.out_of_bounds(
                Operation::Read,
                range.start,
                range.end.saturating_sub(range.start),
            ));
        }
        Ok(View {
            ptr: self.ptr.wrapping_add(range.start),
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
        if offset > self.len {
            return Err(self.out_of_bounds(Operation::Read, offset, buf.len()));
        }
        let len = buf.len().min(self.len - offset);
        // SAFETY: `offset + len <= self.len`, and `buf` has room for `len` bytes.
        unsafe { self.fetch(Operation::Read, buf.as_mut_ptr().cast(), offset, len) }?;
        Ok(len)
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
        unsafe { self.fetch(Operation::Read, buf.as_mut_ptr(), offset, len) }
    }

    /// Reads a value of any plain type at `offset`; aligned values of 1, 2, 4 and 8 bytes in one
    /// piece (acquire), others byte by byte in no particular order.
    ///
    /// # Errors
    ///
    /// As [`read_exact_at`](Self::read_exact_at).
    #[inline]
    pub fn load<T: FromBytes>(&self, offset: usize) -> Result<T> {
        let size = size_of::<T>();
        self.check(Operation::Read, offset, size)?;
        let mut value = MaybeUninit::<T>::uninit();
        let target = value.as_mut_ptr().cast::<u8>();
        let source = self.ptr.wrapping_add(offset);
        let is_word = self.via == Via::Guarded && source.addr().is_multiple_of(size.max(1));
        let done = match size {
            // SAFETY: the range was checked; `target` has room for the word.
            1 if is_word => unsafe { load_word::<u8>(source, target) },
            // SAFETY: as above, and the source is aligned.
            2 if is_word => unsafe { load_word::<u16>(source, target) },
            // SAFETY: as above.
            4 if is_word => unsafe { load_word::<u32>(source, target) },
            // SAFETY: as above.
            8 if is_word => unsafe { load_word::<u64>(source, target) },
            _ => false,
        };
        if !done {
            // SAFETY: the range was checked above, and `target` has room for a `T`.
            unsafe { self.fetch(Operation::Read, target, offset, size) }?;
        }
        // SAFETY: all bytes of the value were written, and any bytes are a `T`.
        Ok(unsafe { value.assume_init() })
    }

    /// The offset of the first byte at or after `from` that equals `byte`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::OutOfBounds`] where `from` lies beyond the end, and as
    /// [`read_at`](Self::read_at).
    pub fn find_byte(&self, byte: u8, from: usize) -> Result<Option<usize>> {
        if from > self.len {
            return Err(self.out_of_bounds(Operation::Read, from, 0));
        }
        if self.via != Via::Guarded {
            return self.find_in_blocks(from, |block| block.iter().position(|&b| b == byte));
        }
        let mut at = from;
        let mut retries = 0;
        loop {
            // SAFETY: `at <= self.len`, so the rest lies inside the window (invariant 0); the
            // dispatcher stands (invariant 2).
            match unsafe { guard::find_byte(self.address(at), byte, self.len - at) } {
                Ok(found) => return Ok(found.map(|index| at + index)),
                Err(fault) => {
                    at += fault.done;
                    self.judge(Operation::Read, from, self.len - from, at, fault, &mut retries)?;
                }
            }
        }
    }

    /// The offset of the first byte in which the two views differ; `None` where one is the
    /// beginning of the other (compare the lengths).
    ///
    /// # Errors
    ///
    /// As [`read_at`](Self::read_at), for the view whose page cannot be had.
    pub fn compare(&self, other: &View<'_>) -> Result<Option<usize>> {
        let len = self.len.min(other.len);
        if self.via != Via::Guarded || other.via != Via::Guarded {
            return self.compare_in_blocks(other, len);
        }
        let mut at = 0;
        let mut retries = 0;
        loop {
            let (mine, theirs) = (self.ptr.wrapping_add(at), other.ptr.wrapping_add(at));
            // SAFETY: `at <= len`, which is within both windows (invariant 0); the dispatcher
            // stands (invariant 2).
            match unsafe { guard::compare(mine, theirs, len - at) } {
                Ok(found) => return Ok(found.map(|index| at + index)),
                Err(fault) => {
                    at += fault.done;
                    // Which side it was shows when its byte is asked for alone.
                    let side = if self.load::<u8>(at).is_err() { self } else { other };
                    side.judge(Operation::Read, 0, len, at, fault, &mut retries)?;
                }
            }
        }
    }

    /// Copies `[offset, offset + len)` to `target`, all or an error.
    ///
    /// # Safety
    ///
    /// `offset + len <= self.len`, and `target` can be written for `len` bytes that no reference
    /// covers but the caller's.
    #[inline]
    unsafe fn fetch(
        &self,
        operation: Operation,
        target: *mut u8,
        offset: usize,
        len: usize,
    ) -> Result<()> {
        if self.via == Via::Guarded {
            let source = self.ptr.wrapping_add(offset);
            // SAFETY: the source is inside the window (invariant 0), the dispatcher stands
            // (invariant 2); the target is the caller's.
            match unsafe { guard::copy(target, source, len) } {
                Ok(()) => return Ok(()),
                // SAFETY: the caller's promise.
                Err(fault) => {
                    return unsafe { self.fetch_rest(operation, target, offset, len, fault) };
                }
            }
        }
        // SAFETY: the caller's promise.
        unsafe { self.fetch_by_syscall(operation, target, offset, len) }
    }

    /// Goes on after a fault: explains it, and tries again where the page can be had now.
    ///
    /// # Safety
    ///
    /// As `fetch`.
    #[cold]
    unsafe fn fetch_rest(
        &self,
        operation: Operation,
        target: *mut u8,
        offset: usize,
        len: usize,
        mut fault: Fault,
    ) -> Result<()> {
        let (mut done, mut retries) = (0, 0);
        loop {
            done += fault.done;
            self.judge(operation, offset, len, offset + done, fault, &mut retries)?;
            let (target, source) =
                (target.wrapping_add(done), self.ptr.wrapping_add(offset + done));
            // SAFETY: `done <= len`, so both stay inside what `fetch` was given.
            match unsafe { guard::copy(target, source, len - done) } {
                Ok(()) => return Ok(()),
                Err(next) => fault = next,
            }
        }
    }

    /// # Safety
    ///
    /// As `fetch`.
    unsafe fn fetch_by_syscall(
        &self,
        operation: Operation,
        target: *mut u8,
        offset: usize,
        len: usize,
    ) -> Result<()> {
        let mut done = 0;
        while done < len {
            let (to, at) = (target.wrapping_add(done), offset + done);
            let from_memory = match self.via {
                // SAFETY: both ranges are inside what `fetch` was given.
                Via::Syscall => unsafe {
                    read_own_memory(to, self.ptr.wrapping_add(at), len - done)
                },
                _ => Err(Errno::NOSYS),
            };
            let answer = match (from_memory, self.origin.mirror()) {
                // Refused, absent or faulted: the file can still be asked.
                (Err(_), Some(fd)) => {
                    // SAFETY: `to` can be written for `len - done` bytes.
                    unsafe { fs::pread_raw(fd, to, len - done, self.position(at)) }
                }
                (answer, _) => answer,
            };
            match answer {
                Ok(0) => return Err(self.short(operation, offset, len, done)),
                Ok(count) => done += count,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(self.refused(operation, offset, len, done, errno)),
            }
        }
        Ok(())
    }

    /// The file ended before the view did.
    #[cold]
    fn short(&self, operation: Operation, offset: usize, len: usize, done: usize) -> Error {
        let end = self.position(offset + done);
        let len_bytes = self.origin.file_len().unwrap_or(end);
        self.error(operation, ErrorKind::Truncated { len_bytes }, offset, len).with_done(done)
    }

    /// Why a system call did not reach the bytes.
    #[cold]
    fn refused(
        &self,
        operation: Operation,
        offset: usize,
        len: usize,
        done: usize,
        errno: Errno,
    ) -> Error {
        let is_beyond =
            self.origin.file_len().is_some_and(|len| len <= self.position(offset + done));
        match errno {
            Errno::FAULT if is_beyond => self.short(operation, offset, len, done),
            Errno::FAULT => {
                self.error(operation, ErrorKind::NotAccessible, offset, len).with_done(done)
            }
            errno => {
                let kind = ErrorKind::from_errno(errno);
                self.error(operation, kind, offset, len).with_done(done).with_errno(errno)
            }
        }
    }

    /// Where the byte at `offset` lies in the file.
    fn position(&self, offset: usize) -> u64 {
        self.origin.file_offset.saturating_add((self.start + offset) as u64)
    }

    /// Explains a fault at `at`: returns to try again, or the error of the whole access `[offset,
    /// offset + len)`.
    #[cold]
    pub(super) fn judge(
        &self,
        operation: Operation,
        offset: usize,
        len: usize,
        at: usize,
        fault: Fault,
        retries: &mut u32,
    ) -> Result<()> {
        let (kind, errno) = match self.origin.explain(operation, self.start + at, fault) {
            Verdict::Retry if *retries < RETRIES_MAX => {
                *retries += 1;
                return Ok(());
            }
            Verdict::Retry => (ErrorKind::NotAccessible, None),
            Verdict::Fail(kind, errno) => (kind, errno),
        };
        let error = self.error(operation, kind, offset, len).with_done(at - offset);
        Err(match errno {
            Some(errno) => error.with_errno(errno),
            None => error,
        })
    }

    #[inline]
    pub(super) fn check(&self, operation: Operation, offset: usize, len: usize) -> Result<()> {
        match offset.checked_add(len) {
            Some(end) if end <= self.len => Ok(()),
            _ => Err(self.out_of_bounds(operation, offset, len)),
        }
    }

    #[cold]
    pub(super) fn out_of_bounds(&self, operation: Operation, offset: usize, len: usize) -> Error {
        self.error(operation, ErrorKind::OutOfBounds { len_bytes: self.len as u64 }, offset, len)
    }

    #[cold]
    pub(super) fn error(
        &self,
        operation: Operation,
        kind: ErrorKind,
        offset: usize,
        len: usize,
    ) -> Error {
        self.origin.error(operation, kind, self.start.saturating_add(offset), len)
    }

    /// An error in some part as one of the whole access `[offset, offset + len)`.
    #[cold]
    pub(super) fn of_whole(&self, error: Error, offset: usize, len: usize, done: usize) -> Error {
        let start = self.position(offset);
        error.with_range(start..start.saturating_add(len as u64)).with_done(done)
    }

    pub(super) fn via(&self) -> Via {
        self.via
    }

    /// The address of the byte at `offset`.
    pub(super) fn address(&self, offset: usize) -> *mut u8 {
        self.ptr.wrapping_add(offset)
    }

    /// Looks for something in private copies of the view's blocks.
    fn find_in_blocks(
        &self,
        from: usize,
        find: impl Fn(&[u8]) -> Option<usize>,
    ) -> Result<Option<usize>> {
        let mut block = [0; 4096];
        let mut at = from;
        loop {
            match self.read_at(&mut block, at)? {
                0 => return Ok(None),
                len => match find(&block[..len]) {
                    Some(index) => return Ok(Some(at + index)),
                    None => at += len,
                },
            }
        }
    }

    fn compare_in_blocks(&self, other: &View<'_>, len: usize) -> Result<Option<usize>> {
        let (mut mine, mut theirs) = ([0; 4096], [0; 4096]);
        let mut at = 0;
        while at < len {
            let count = (len - at).min(mine.len());
            self.read_exact_at(&mut mine[..count], at)?;
            other.read_exact_at(&mut theirs[..count], at)?;
            if let Some(index) = (0..count).find(|&i| mine[i] != theirs[i]) {
                return Ok(Some(at + index));
            }
            at += count;
        }
        Ok(None)
    }
}

/// Loads one word; `false` where it faulted, which the copying path then explains.
///
/// # Safety
///
/// `source` is aligned for `W` and inside a view's window, the dispatcher stands, and `target` has
/// room for a `W`.
#[inline]
unsafe fn load_word<W: Word>(source: *const u8, target: *mut u8) -> bool {
    // SAFETY: the caller's promise.
    match unsafe { W::load(source.cast()) } {
        Ok(word) => {
            // SAFETY: the caller's promise; the target may be unaligned.
            unsafe { target.cast::<W>().write_unaligned(word) };
            true
        }
        Err(_) => false,
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

impl fmt::Debug for ViewMut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ViewMut").field(&self.view).finish()
    }
}

impl<'a> core::ops::Deref for ViewMut<'a> {
    type Target = View<'a>;

    fn deref(&self) -> &View<'a> {
        &self.view
    }
}

impl<'a> ViewMut<'a> {
    /// # Safety
    ///
    /// Invariants 0 to 3 hold for the lifetime `'a`, and the memory was mapped to be written.
    pub(crate) unsafe fn new(ptr: *mut u8, len: usize, via: Via, origin: &'a Origin) -> Self {
        // SAFETY: the caller's promise.
        let view = unsafe { View::new(ptr, len, via, origin) };
        ViewMut { view, _writes: PhantomData }
    }

    /// The readable window.
    pub fn as_view(&self) -> View<'a> {
        self.view
    }

    /// The part of the window in `range`.
    ///
    /// # Errors
    ///
    /// As [`View::slice`].
    pub fn slice_mut(&self, range: Range<usize>) -> Result<ViewMut<'a>> {
        Ok(ViewMut { view: self.view.slice(range)?, _writes: PhantomData })
    }

    /// As [`View::by_syscall`], for writing too (`process_vm_writev`, or `pwrite` where that is
    /// refused).
    pub fn by_syscall(self) -> ViewMut<'a> {
        ViewMut { view: self.view.by_syscall(), _writes: PhantomData }
    }

    /// Writes the bytes of `buf` at `offset`: as many as the window has room for; 0 at its end.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::OutOfBounds`] where `offset` lies beyond the end; [`ErrorKind::Truncated`],
    /// [`ErrorKind::NoSpace`] and the others where a page cannot be had: the first
    /// [`Error::done_bytes`] bytes of `buf` are then written.
    #[inline]
    pub fn write_at(&self, buf: &[u8], offset: usize) -> Result<usize> {
        if offset > self.len {
            return Err(self.out_of_bounds(Operation::Write, offset, buf.len()));
        }
        let len = buf.len().min(self.len - offset);
        self.write_all_at(&buf[..len], offset)?;
        Ok(len)
    }

    /// Writes all of `buf` at `offset`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::OutOfBounds`] where the window has less room (nothing is written then), and as
    /// [`write_at`](Self::write_at).
    #[inline]
    pub fn write_all_at(&self, buf: &[u8], offset: usize) -> Result<()> {
        self.check(Operation::Write, offset, buf.len())?;
        if self.via != Via::Guarded {
            return self.write_by_syscall(buf, offset);
        }
        let (mut done, mut retries) = (0, 0);
        loop {
            let target = self.ptr.wrapping_add(offset + done);
            let rest = &buf[done..];
            // SAFETY: the range was checked (invariants 0 to 2), and `buf` is a slice of the
            // caller's.
            match unsafe { guard::copy(target, rest.as_ptr(), rest.len()) } {
                Ok(()) => return Ok(()),
                Err(fault) => {
                    done += fault.done;
                    let at = offset + done;
                    self.judge(Operation::Write, offset, buf.len(), at, fault, &mut retries)?;
                }
            }
        }
    }

    /// Sets every byte in `range` to `byte`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::OutOfBounds`] where `range` reaches beyond the window, and as
    /// [`write_at`](Self::write_at).
    pub fn fill(&self, range: Range<usize>, byte: u8) -> Result<()> {
        let len = range.end.saturating_sub(range.start);
        self.check(Operation::Write, range.start, len)?;
        if self.via != Via::Guarded {
            let block = [byte; 4096];
            return (range.start..range.start + len).step_by(block.len()).try_for_each(|at| {
                self.write_by_syscall(&block[..block.len().min(range.start + len - at)], at)
            });
        }
        let (mut done, mut retries) = (0, 0);
        loop {
            let at = range.start + done;
            // SAFETY: the range was checked (invariants 0 to 2).
            match unsafe { guard::fill(self.address(at), byte, len - done) } {
                Ok(()) => return Ok(()),
                Err(fault) => {
                    done += fault.done;
                    let at = range.start + done;
                    self.judge(Operation::Write, range.start, len, at, fault, &mut retries)?;
                }
            }
        }
    }

    /// Writes a value of any plain type at `offset`; aligned values of 1, 2, 4 and 8 bytes in one
    /// piece (release), others byte by byte in no particular order.
    ///
    /// # Errors
    ///
    /// As [`write_all_at`](Self::write_all_at).
    #[inline]
    pub fn store<T: IntoBytes + zerocopy::Immutable>(
        &self,
        value: &T,
        offset: usize,
    ) -> Result<()> {
        let bytes = value.as_bytes();
        self.check(Operation::Write, offset, bytes.len())?;
        let target = self.ptr.wrapping_add(offset);
        let is_word = self.via == Via::Guarded && target.addr().is_multiple_of(bytes.len().max(1));
        let done = match *bytes {
            // SAFETY: the range was checked.
            [a] if is_word => unsafe { u8::store(target, a) }.is_ok(),
            // SAFETY: as above, and the target is aligned.
            [a, b] if is_word => {
                unsafe { u16::store(target.cast(), u16::from_ne_bytes([a, b])) }.is_ok()
            }
            [a, b, c, d] if is_word => {
                // SAFETY: as above.
                unsafe { u32::store(target.cast(), u32::from_ne_bytes([a, b, c, d])) }.is_ok()
            }
            [a, b, c, d, e, f, g, h] if is_word => {
                let word = u64::from_ne_bytes([a, b, c, d, e, f, g, h]);
                // SAFETY: as above.
                unsafe { u64::store(target.cast(), word) }.is_ok()
            }
            _ => false,
        };
        if done { Ok(()) } else { self.write_all_at(bytes, offset) }
    }

    fn write_by_syscall(&self, buf: &[u8], offset: usize) -> Result<()> {
        let mut done = 0;
        while done < buf.len() {
            let (rest, at) = (&buf[done..], offset + done);
            let to_memory = match self.via {
                // SAFETY: the caller checked the range; no reference covers it (invariant 1).
                Via::Syscall => unsafe {
                    write_own_memory(self.ptr.wrapping_add(at), rest.as_ptr(), rest.len())
                },
                _ => Err(Errno::NOSYS),
            };
            let answer = match (to_memory, self.origin.mirror()) {
                // Refused or absent: the file can still be written, but never beyond its end, which
                // a mapping does not move either.
                (Err(errno), Some(fd)) if errno != Errno::FAULT => match self.origin.file_len() {
                    Some(len) if len >= self.position(at + rest.len()) => {
                        fs::pwrite(fd, rest, self.position(at))
                    }
                    _ => Ok(0),
                },
                (answer, _) => answer,
            };
            match answer {
                Ok(0) => return Err(self.short(Operation::Write, offset, buf.len(), done)),
                Ok(count) => done += count,
                Err(Errno::INTR) => {}
                Err(errno) => {
                    return Err(self.refused(Operation::Write, offset, buf.len(), done, errno));
                }
            }
        }
        Ok(())
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
/// `source` can be read for `len` bytes, and no reference covers the target.
unsafe fn write_own_memory(target: *mut u8, source: *const u8, len: usize) -> Result<usize, Errno> {
    let local = IoVec { base: source.cast_mut().cast(), len };
    let remote = IoVec { base: target.cast(), len };
    // SAFETY: the caller's promise.
    unsafe { process::process_vm_writev(process::getpid(), &[local], &[remote]) }
}
