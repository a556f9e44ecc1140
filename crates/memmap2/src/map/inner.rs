//! What the three types are made of: raw pages, their address at hand, and the watch on their
//! faults.
//!
//! # Invariants
//!
//! 0. `ptr` and `len` are those of `raw`.
//! 1. Faults in the pages go to the policy's resolver, from the mapping to the unmapping; only
//!    where the table cannot grow after a `remap` they go where they went before Bifolio.
//!
//! It promises nothing about the bytes.
//!
//! # Safety
//!
//! Unsafe code takes the number of a descriptor for one, names the resolver, and gives the kernel
//! advice that its caller answers for.
#![allow(unsafe_code, reason = "descriptors are numbers here, and faults go to a resolver")]

use super::RemapOptions;
use super::descriptor::MmapRawDescriptor;
use crate::fault::{self, Repair};
use bifolio_map::{Errno, Error, ErrorKind, Options, Protection, RawMap, Sharing};
use std::io;
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;

pub(super) struct Inner {
    ptr: NonNull<u8>,
    len: usize,
    repair: Repair,
    raw: RawMap,
}

// SAFETY: the pages belong to no thread; `ptr` is an address among them (invariant 0).
unsafe impl Send for Inner {}
// SAFETY: `&Inner` tells the address and asks the kernel, which any thread may.
unsafe impl Sync for Inner {}

impl Inner {
    /// Maps a file that is open.
    pub(super) fn map_file(
        options: &Options,
        file: &MmapRawDescriptor,
        sharing: Sharing,
        protection: Protection,
        repair: Repair,
    ) -> io::Result<Inner> {
        let mapped = options.raw_file(lent(file)?, sharing, protection);
        Inner::watched(mapped.map_err(error)?, repair)
    }

    /// Maps memory.
    pub(super) fn map_anon(options: &Options, len: usize) -> io::Result<Inner> {
        Inner::watched(options.raw_anon(len).map_err(error)?, Repair::Never)
    }

    fn watched(raw: RawMap, repair: Repair) -> io::Result<Inner> {
        let mut inner = Inner { ptr: NonNull::dangling(), len: 0, repair, raw };
        inner.watch().map_err(error)?;
        Ok(inner)
    }

    /// Makes the invariants hold, for pages that are new or were moved.
    fn watch(&mut self) -> Result<(), Error> {
        self.ptr = NonNull::new(self.raw.as_ptr()).expect("no page is mapped at address zero");
        self.len = self.raw.len();
        fault::settle();
        // SAFETY: the resolver is async-signal-safe; it answers `Retry` only for a page that the
        // kernel has brought in, or that it has replaced by zeros: not where a slice is lent
        // without a promise (`Repair::Never`); elsewhere that is a part of the promise.
        unsafe { self.raw.on_fault(fault::resolve, self.repair.data()) }
    }

    #[inline]
    pub(super) fn ptr(&self) -> *mut u8 {
        self.ptr.as_ptr()
    }

    #[inline]
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The range of so many bytes, if it lies inside the map.
    fn range(&self, offset: usize, len: usize) -> io::Result<Range<usize>> {
        match offset.checked_add(len) {
            Some(end) if end <= self.len => Ok(offset..end),
            _ => Err(io::ErrorKind::InvalidInput.into()),
        }
    }

    pub(super) fn flush(&self, offset: usize, len: usize) -> io::Result<()> {
        self.raw.flush(self.range(offset, len)?).map_err(error)
    }

    pub(super) fn flush_async(&self, offset: usize, len: usize) -> io::Result<()> {
        self.raw.flush_async(self.range(offset, len)?).map_err(error)
    }

    /// # Safety
    ///
    /// Whoever holds a reference to the bytes of the pages lives with what the advice does to them.
    pub(super) unsafe fn advise(&self, advice: i32, offset: usize, len: usize) -> io::Result<()> {
        let range = self.range(offset, len)?;
        // SAFETY: the caller's promise.
        unsafe { self.raw.advise(range, advice) }.map_err(error)
    }

    pub(super) fn lock(&self) -> io::Result<()> {
        self.raw.lock(0..self.len).map_err(error)
    }

    pub(super) fn unlock(&self) -> io::Result<()> {
        self.raw.unlock(0..self.len).map_err(error)
    }

    pub(super) fn protect(&mut self, protection: Protection) -> io::Result<()> {
        self.raw.protect(protection).map_err(error)
    }

    /// # Safety
    ///
    /// No pointer or reference into the bytes is used afterwards, where they move or become fewer.
    pub(super) unsafe fn remap(&mut self, len: usize, options: RemapOptions) -> io::Result<()> {
        // SAFETY: the caller's promise.
        let outcome = unsafe { self.raw.remap(len, options.may_move) };
        // Without a watch a fault is as it was before Bifolio.
        let _ = self.watch();
        // For more bytes than there are addresses mremap(2) says `EINVAL`.
        outcome.map_err(|error| from_errno(error.errno().unwrap_or(Errno::INVAL)))
    }
}

/// The descriptor of this number, for one call.
pub(super) fn lent(file: &MmapRawDescriptor) -> io::Result<BorrowedFd<'_>> {
    if file.0 < 0 {
        return Err(from_errno(Errno::BADF));
    }
    // SAFETY: it is not -1. That it is open, and stays so, is for the caller to see to, as the
    // emulated interface takes numbers: all that is done with it is to ask the kernel, to which a
    // closed one is an error.
    Ok(unsafe { BorrowedFd::borrow_raw(file.0) })
}

/// The error as memmap2 has it: that of the system call, or one without.
pub(super) fn error(error: Error) -> io::Error {
    match (error.errno(), error.kind()) {
        (Some(errno), _) => from_errno(errno),
        (None, ErrorKind::OutOfBounds { .. }) => {
            io::Error::new(io::ErrorKind::InvalidData, "the offset lies beyond the end of the file")
        }
        (None, ErrorKind::TooLarge) => too_long(),
        _ => error.into(),
    }
}

pub(super) fn from_errno(errno: Errno) -> io::Error {
    io::Error::from_raw_os_error(errno.raw_os_error())
}

/// A slice has at most `isize::MAX` bytes.
pub(super) fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the length is more than a slice can have")
}
