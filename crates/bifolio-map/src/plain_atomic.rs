//! Plain references to atomics in shared memory: only where nobody can take the page away.
//!
//! A reference is used without a guard, so the page must be there for as long as the mapping is,
//! whatever other processes do. Three things could take it away:
//!
//! - **Shortening the file.** Memory without a file has no descriptor to do it by (but for who may
//!   open `/proc/PID/map_files`, and so write any memory of the process anyway); a memory file can
//!   be sealed ([`Seals::SHRINK`]).
//! - **Punching a hole.** The page comes back as zeros, as if somebody had stored zeros, which is
//!   sound; but it has to be allocated again, which fails with SIGBUS where the system promises
//!   memory strictly (`vm.overcommit_memory` = 2) and has none left. Memory without a file was
//!   promised at mmap(2), so that its pages always come back. In a memory file, holes are refused
//!   after [`Seals::FUTURE_WRITE`], and the page is allocated before the reference is made.
//! - **Changing the mapping.** Only its owner can, by value, which ends the reference first.
//!
//! What remains is what threatens any memory: a broken memory module, a failing swap device, and
//! the kernel's killing of processes when memory runs out.
//!
//! Others may write the same bytes by guarded access, or in other processes by anything. An atomic
//! of Rust's lives in an `UnsafeCell`, so that is no broken promise of aliasing; the foreign access
//! is an instruction outside of Rust (the guarded assembly, another program), which the CPU keeps
//! whole per aligned word.
//!
//! # Safety
//!
//! Unsafe code makes the references, and says which types they may be of.
#![allow(unsafe_code, reason = "makes references to atomics in shared memory")]

use crate::access::Access;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::memory_file::{Seals, seals};
use crate::shared::{Lasting, SharedMap};
use bifolio_sys::fs::{self, FallocateFlags};
use core::sync::atomic::{
    AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicIsize, AtomicU8, AtomicU16, AtomicU32,
    AtomicU64, AtomicUsize,
};

/// An atomic integer of `core::sync::atomic`.
///
/// # Safety
///
/// Any bytes are a value, all operations are atomic instructions, and the alignment is the size.
pub unsafe trait PlainAtomic: sealed::Sealed + Sync {}

mod sealed {
    pub trait Sealed {}
}

macro_rules! plain_atomics {
    ($($atomic:ident)*) => {$(
        impl sealed::Sealed for $atomic {}
        // SAFETY: an integer in an `UnsafeCell`, aligned to its size, as its documentation says.
        unsafe impl PlainAtomic for $atomic {}
        const _: () = assert!(align_of::<$atomic>() == size_of::<$atomic>());
    )*};
}

plain_atomics!(AtomicU8 AtomicU16 AtomicU32 AtomicU64 AtomicUsize);
plain_atomics!(AtomicI8 AtomicI16 AtomicI32 AtomicI64 AtomicIsize);

impl SharedMap {
    /// A plain reference to the atomic at `offset`, where nobody can take its page away: in memory
    /// without a file ([`SharedMap::anon`], without `no_reserve` and huge pages), and in a memory
    /// file that is sealed with [`Seals::LASTING`].
    ///
    /// It costs two or three system calls in a memory file: ask once and keep it. Where the memory
    /// can be taken away, the guarded atomics of [`Access`] are the way.
    ///
    /// # Errors
    ///
    /// [`Revocable`](ErrorKind::Revocable) where others could take the page away;
    /// [`OutOfBounds`](ErrorKind::OutOfBounds); [`Misaligned`](ErrorKind::Misaligned);
    /// [`NoSpace`](ErrorKind::NoSpace) where the page cannot be had.
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::SharedMap;
    /// use std::sync::atomic::{AtomicU64, Ordering};
    ///
    /// let map = SharedMap::anon(4096)?;
    /// let counter = map.atomic_ref::<AtomicU64>(64)?;
    /// counter.fetch_add(1, Ordering::SeqCst);
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    ///
    /// # References
    ///
    /// fcntl(2), *File Sealing*; `F_SEAL_FUTURE_WRITE`: Linux 5.1.
    pub fn atomic_ref<A: PlainAtomic>(&self, offset: usize) -> Result<&A> {
        let (len, size) = (self.len(), size_of::<A>());
        let range = offset..offset.saturating_add(size);
        if range.end > len {
            return Err(self.out_of_bounds(Operation::Atomic, &range, len));
        }
        let fail = |kind| self.body.origin.error(Operation::Atomic, kind, offset, size);
        let pointer = self.body.ptr().as_ptr().wrapping_add(offset).cast::<A>();
        if !pointer.is_aligned() {
            return Err(fail(ErrorKind::Misaligned { align_bytes: size }));
        }
        match self.lasting {
            Lasting::Always => {}
            Lasting::Never => return Err(fail(ErrorKind::Revocable)),
            Lasting::WhenSealed => self.keep_for_good(offset, size, fail)?,
        }
        // SAFETY: the bytes are shown, so mapped to be read and written while `self` is borrowed
        // (its invariants 0 and 1), aligned by the check above, and any bytes are a value. The page
        // stays: checked above, and argued in this file's header.
        Ok(unsafe { &*pointer })
    }

    /// Makes sure that the page at `offset` of a memory file is there and that nobody can take it
    /// away.
    fn keep_for_good(
        &self,
        offset: usize,
        size: usize,
        fail: impl Fn(ErrorKind) -> Error,
    ) -> Result<()> {
        let Some(fd) = self.fd() else { return Err(fail(ErrorKind::Revocable)) };
        // A file that knows no seals can be shortened by whoever may write it.
        if !seals(fd).is_ok_and(|seals| seals.contains(Seals::LASTING)) {
            return Err(fail(ErrorKind::Revocable));
        }
        let start = self.body.origin.file_offset + offset as u64;
        // Asked for after the seals, so what is found cannot change any more.
        match self.body.origin.file_len() {
            Some(len) if start + size as u64 <= len => {}
            len => {
                return Err(fail(ErrorKind::Truncated { len_bytes: len.unwrap_or(0) }));
            }
        }
        fs::fallocate(fd, FallocateFlags::KEEP_SIZE, start, size as u64)
            .map_err(|errno| fail(ErrorKind::from_errno(errno)).with_errno(errno))
    }
}
