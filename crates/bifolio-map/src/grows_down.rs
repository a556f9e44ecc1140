//! Memory that the kernel extends downwards when somebody touches what lies below it.
//!
//! # Invariants
//!
//! 0. The span is what was mapped; pages that the kernel adds below belong to nobody here.
//! 1. No reference to the bytes is made by safe code: kernels before 4.12 take the lowest page for
//!    a guard, so an access to it may fault.
//!
//! Guarded access ends at the lowest byte, so safe code never makes it grow. Whoever does, by
//! running a stack in it, unmaps what grew: no call tells how far it went, for the kernel makes one
//! area of neighbours that are alike.
//!
//! # Safety
//!
//! Unsafe code lends writable windows of pages that no reference points to.
#![allow(unsafe_code, reason = "lends writable windows of pages that no reference points to")]

use crate::access::{AccessMut, ViewMut};
use crate::body::Body;
use crate::error::Result;
use crate::kind::kind;
use crate::object::Object;
use crate::options::{Options, Wish};
use crate::origin::Origin;
use crate::span::Request;
use bifolio_sys::mm::{MapFlags, ProtFlags};

/// Private memory that grows downwards by faults, as the first stack of a process does: guarded
/// access to what was mapped.
///
/// Pages below that a raw access has added stay mapped when it is dropped. `Send` and `Sync`. A
/// stack of a fixed size is better an [`AnonMap`](crate::AnonMap) with
/// [`guard_pages`](Options::guard_pages).
///
/// # References
///
/// mmap(2), `MAP_GROWSDOWN`.
pub struct GrowsDownMap {
    body: Body,
}

kind!(GrowsDownMap, Private, ReadWrite);

impl Options {
    /// Maps `len` bytes of zeroed private memory that grows downwards.
    ///
    /// # Errors
    ///
    /// What mmap(2) reports; [`Invalid`](crate::ErrorKind::Invalid) for what it cannot
    /// have, as guard pages.
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::{Access, Options};
    ///
    /// let stack = Options::new().stack().grows_down(64 << 10)?;
    /// assert_eq!(stack.load::<u64>(stack.len() - 8)?, 0);
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    pub fn grows_down(&self, len: usize) -> Result<GrowsDownMap> {
        let object = Object::AnonymousMemory;
        self.only(&[Wish::Residency], &object)?;
        let request = Request {
            len,
            protection: ProtFlags::READ | ProtFlags::WRITE,
            flags: MapFlags::PRIVATE | MapFlags::GROWSDOWN | self.flags(),
            placement: self.placement,
        };
        Ok(GrowsDownMap { body: Body::map(request, Origin::without_file(object))? })
    }
}

impl AccessMut for GrowsDownMap {
    fn view_mut(&self) -> ViewMut<'_> {
        // SAFETY: the pages are writable, and no reference to them is ever made (invariant 1).
        unsafe { self.body.view_mut() }
    }
}
