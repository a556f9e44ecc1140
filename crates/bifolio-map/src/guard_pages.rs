//! Private memory with guard pages around it: addresses that no access is permitted to.
//!
//! They belong to the same span as the bytes, before and behind what the body shows, so they live
//! and move with it and no slice reaches them.
//!
//! # Safety
//!
//! mprotect(2) and mlock(2) take pointers; the pages are fresh and nobody knows them.
#![allow(unsafe_code, reason = "mprotect and mlock take pointers")]

use crate::body::Body;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::mapping::Protection;
use crate::object::Object;
use crate::options::{Guards, Options};
use crate::origin::Origin;
use crate::pages;
use crate::span::{Placement, Request};
use bifolio_sys::mm::{self, Advice as RawAdvice, MapFlags, ProtFlags};
use bifolio_sys::page::page_size;

impl Options {
    /// Maps `len` bytes of private memory between its guard pages.
    pub(crate) fn map_between_guards(&self, len: usize) -> Result<Body> {
        let object = Object::AnonymousMemory;
        let refuse = |kind| Error::new(Operation::Map, &object, kind);
        if len == 0 {
            return self.unguarded().map_anonymous(0);
        }
        let page = page_size();
        let before = page.bytes().checked_mul(self.guards.before);
        let after = page.bytes().checked_mul(self.guards.after);
        let total = page
            .round_up(len)
            .and_then(|bytes| bytes.checked_add(before?)?.checked_add(after?))
            .ok_or_else(|| refuse(ErrorKind::TooLarge))?;
        let delta = before.unwrap_or(0);
        let below = |addr: usize| addr.checked_sub(delta).ok_or_else(|| refuse(ErrorKind::Invalid));
        let placement = match self.placement {
            Placement::Anywhere => Placement::Anywhere,
            Placement::Hint(addr) => Placement::Hint(below(addr)?),
            Placement::Exactly(addr) => Placement::Exactly(below(addr)?),
        };
        // Closed at first, so that guard pages are never counted, brought in or locked.
        let plain = Options { populate: false, locked: false, ..*self };
        let flags = MapFlags::PRIVATE | plain.flags();
        let request = Request { len: total, protection: ProtFlags::empty(), flags, placement };
        let (span, origin) = Body::map(request, Origin::without_file(object.clone()))?.into_parts();
        let body = Body::from_parts(span, delta, len, page, origin)
            .protect(Protection::None, Protection::ReadWrite)
            .map_err(|(_, error)| error.with_operation(Operation::Map))?;
        if self.populate {
            // As MAP_POPULATE: what cannot be had now is left for later.
            let _ = pages::advise(&body, &(0..len), RawAdvice::PopulateWrite);
        }
        if self.locked {
            let (start, len_pages) = body.pages(Operation::Lock, &(0..len))?;
            // SAFETY: the pages are the body's own; locking changes no byte.
            unsafe { mm::mlock(start.cast(), len_pages) }
                .map_err(|errno| body.refused(Operation::Lock, &(0..len), errno))?;
        }
        Ok(body)
    }

    /// The same without guard pages.
    pub(crate) fn unguarded(&self) -> Options {
        Options { guards: Guards::default(), ..*self }
    }
}
