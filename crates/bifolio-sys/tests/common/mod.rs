//! Memory for the tests: a few private pages, unmapped on drop.
//!
//! # Safety
//!
//! A mapping belongs to the test that made it, and no reference into it is ever made.
#![allow(unsafe_code, reason = "the tests map, write and unmap pages")]
#![allow(dead_code, reason = "no test uses all of it")]

use std::ffi::c_void;
use std::ptr;

use bifolio_sys::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use bifolio_sys::page::page_size;

/// Private anonymous pages, zeroed.
pub(crate) struct Pages {
    pub(crate) base: *mut c_void,
    pub(crate) len: usize,
}

impl Pages {
    pub(crate) fn new(count: usize) -> Self {
        Self::with(count * page_size().bytes(), MapFlags::PRIVATE).unwrap()
    }

    pub(crate) fn with(len: usize, flags: MapFlags) -> Result<Self, bifolio_sys::Errno> {
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: without an address, the kernel maps where nothing is.
        let base = unsafe { mmap_anonymous(ptr::null_mut(), len, protection, flags) }?;
        Ok(Self { base, len })
    }

    /// The address of a page.
    pub(crate) fn page(&self, number: usize) -> *mut c_void {
        let offset = number * page_size().bytes();
        assert!(offset < self.len);
        self.base.wrapping_byte_add(offset)
    }

    /// Writes the first byte of a page.
    pub(crate) fn touch(&self, number: usize, byte: u8) {
        // SAFETY: the page lies within the mapping (asserted by `page`), which is writable and this
        // test's alone.
        unsafe { self.page(number).cast::<u8>().write_volatile(byte) };
    }

    /// Reads the first byte of a page.
    pub(crate) fn peek(&self, number: usize) -> u8 {
        // SAFETY: the page lies within the mapping (asserted by `page`), which is readable and this
        // test's alone.
        unsafe { self.page(number).cast::<u8>().read_volatile() }
    }
}

impl Drop for Pages {
    fn drop(&mut self) {
        // SAFETY: `with` mapped this range, and the tests keep no pointer into it.
        let unmapped = unsafe { munmap(self.base, self.len) };
        assert_eq!(unmapped, Ok(()));
    }
}

/// Says why a test does not run, if the feature is absent.
pub(crate) fn is_missing(feature: bifolio_sys::features::Feature) -> bool {
    let support = feature.support();
    let missing = support != bifolio_sys::features::Support::Available;
    if missing {
        println!("skipped: {} is {support}", feature.name());
    }
    missing
}
