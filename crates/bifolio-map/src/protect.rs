//! Changing what the pages of a mapping permit.
//!
//! # Safety
//!
//! mprotect(2) takes a pointer; the pages are the body's own, and it is consumed, so that nothing
//! borrows them.
#![allow(unsafe_code, reason = "mprotect takes a pointer")]

use crate::body::Body;
use crate::dirty::Tracker;
use crate::error::{Error, Operation, Result};
use crate::mapping::Protection;
use bifolio_sys::mm::{self, MprotectFlags};

impl Body {
    /// Changes what all its bytes permit from `old` to `new`; guard pages stay as they are.
    ///
    /// # Panics
    ///
    /// Where the kernel has changed a part of the pages, refuses the rest, and then refuses to
    /// change that part back: no type could tell what is left.
    pub(crate) fn protect(self, old: Protection, new: Protection) -> Result<Body, (Body, Error)> {
        let all = 0..self.len();
        let (start, len) = match self.pages(Operation::Protect, &all) {
            Ok(pages) => pages,
            Err(error) => return Err((self, error)),
        };
        let tracker = self.tracker.as_ref();
        let change = |protection: Protection| {
            let flags = match protection {
                // Pages whose first write is to be noticed stay closed until then.
                Protection::ReadWrite if tracker.is_some_and(Tracker::is_closing) => {
                    Protection::Read.flags()
                }
                protection => protection.flags(),
            };
            match len {
                0 => Ok(()),
                // SAFETY: the pages are the body's own, and as `self` is consumed no reference into
                // them is alive.
                _ => unsafe { mm::mprotect(start.cast(), len, flags) },
            }
        };
        let let_write = |protection| {
            let is_writable = protection == Protection::ReadWrite;
            tracker.iter().for_each(|tracker| _ = tracker.set_writable(is_writable));
        };
        let_write(new);
        let Err(errno) = change(new) else { return Ok(self) };
        // The pages before the one it failed at may be changed: the range can consist of several of
        // the kernel's areas, where advice was given to a part of it.
        if let Err(second) = change(old) {
            panic!("{} bytes are half {old:?}, half {new:?}: {errno}, {second}", all.end);
        }
        let_write(old);
        let error = self.refused(Operation::Protect, &all, errno);
        Err((self, error))
    }
}

impl Protection {
    pub(crate) const fn flags(self) -> MprotectFlags {
        match self {
            Protection::None => MprotectFlags::empty(),
            Protection::Read => MprotectFlags::READ,
            Protection::ReadWrite => MprotectFlags::READ.union(MprotectFlags::WRITE),
            Protection::ReadExec => MprotectFlags::READ.union(MprotectFlags::EXEC),
        }
    }
}
