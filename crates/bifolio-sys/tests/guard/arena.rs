//! Memory with pages missing, and a second view of it through which everything can be prepared and
//! checked.
//!
//! # Safety
//!
//! This file maps memory and takes it away, and lends a view of it as a slice.
#![allow(unsafe_code, reason = "see # Safety above")]

use std::ffi::c_void;
use std::ptr;

use bifolio_sys::guard::Cause;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags};

/// How a page is made to fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// `PROT_NONE`: SIGSEGV.
    Protected,
    /// The file ends before it: SIGBUS.
    Truncated,
}

impl Missing {
    pub(crate) const ALL: [Self; 2] = [Self::Protected, Self::Truncated];

    pub(crate) fn cause(self) -> Cause {
        match self {
            Self::Protected => Cause::NoPermission,
            Self::Truncated => Cause::Unbacked,
        }
    }
}

/// A memory file mapped twice: `guarded`, where pages are taken away, and `open`, where they are
/// not.
pub(crate) struct Arena {
    guarded: *mut u8,
    open: *mut u8,
    len: usize,
    page: usize,
    file: rustix::fd::OwnedFd,
}

impl Arena {
    pub(crate) fn new(pages: usize) -> Self {
        bifolio_sys::fault::install().expect("sigaction");
        let page = rustix::param::page_size();
        let len = pages * page;
        let file = rustix::fs::memfd_create(c"arena", rustix::fs::MemfdFlags::CLOEXEC)
            .expect("memfd_create");
        rustix::fs::ftruncate(&file, len as u64).expect("ftruncate");
        let map = || {
            let protection = ProtFlags::READ | ProtFlags::WRITE;
            // SAFETY: a new mapping, at an address of the kernel's choice.
            let map = unsafe {
                rustix::mm::mmap(ptr::null_mut(), len, protection, MapFlags::SHARED, &file, 0)
            };
            map.expect("mmap").cast()
        };
        Self { guarded: map(), open: map(), len, page, file }
    }

    /// `pages` pages of which the last is missing.
    pub(crate) fn without_last_page(pages: usize, missing: Missing) -> Self {
        let arena = Self::new(pages);
        match missing {
            Missing::Protected => arena.protect(pages - 1, MprotectFlags::empty()),
            Missing::Truncated => {
                rustix::fs::ftruncate(&arena.file, (arena.len - arena.page) as u64)
                    .expect("ftruncate");
            }
        }
        arena
    }

    pub(crate) fn page(&self) -> usize {
        self.page
    }

    pub(crate) fn protect(&self, page: usize, protection: MprotectFlags) {
        let start = self.at(page * self.page).cast::<c_void>();
        // SAFETY: a page of the guarded view, to which no reference exists.
        unsafe { rustix::mm::mprotect(start, self.page, protection) }.expect("mprotect");
    }

    /// The guarded view's address at `offset`.
    pub(crate) fn at(&self, offset: usize) -> *mut u8 {
        assert!(offset <= self.len, "{offset} of {}", self.len);
        self.guarded.wrapping_add(offset)
    }

    /// The first `len` bytes of the open view.
    pub(crate) fn bytes(&mut self, len: usize) -> &mut [u8] {
        assert!(len <= self.len);
        // SAFETY: mapped and initialised, and borrowed from `self`; the guarded view is not used
        // through references, and not used while this borrow lasts.
        unsafe { std::slice::from_raw_parts_mut(self.open, len) }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        for view in [self.guarded, self.open] {
            // SAFETY: mapped by `new`, with this length.
            unsafe { rustix::mm::munmap(view.cast(), self.len) }.expect("munmap");
        }
    }
}
