//! The resolver of faults under the maps: runs inside the signal handler.
//!
//! Nothing here allocates or panics, and little of it stands on the stack. It waits for nobody:
//! where another thread is at work, the access is tried again.
//!
//! # Safety
//!
//! Zeros are put in the place of pages of the range that faulted: it was registered for a map that
//! owns it, and leaves the table before the map goes.
#![allow(unsafe_code, reason = "called in a signal handler, and replaces pages")]

use super::desk::Taken;
use super::policy::{OnFault, now};
use super::record::record;
use super::report::{Report, Text};
use bifolio_map::fault::{self, Cause, Info, Resolution, Signal, Site, Turn};
use std::fmt::{Display, Write};

/// What else can be had.
const HINT: &str = "; BIFOLIO_MEMMAP2_FAULT=zero reads zeros instead";
/// What is said of the first page that was replaced, and of no other.
const FIRST: &str = "; it reads as zeros now, and so will others without a word";

/// What may be done about a fault in a map, beside telling of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repair {
    /// Nothing: its bytes are lent as a slice to one who has promised nothing, so they never change
    /// under him.
    Never,
    /// What the policy says: whoever made the map has answered for its bytes, or gets none but by
    /// pointers.
    ByPolicy,
}

impl Repair {
    /// What [`resolve`] takes.
    pub(crate) const fn data(self) -> usize {
        self as usize
    }
}

/// As [`Resolver`](bifolio_map::fault::Resolver), with [`Repair::data`].
///
/// # Safety
///
/// To be called by the dispatcher, for a range that a map of this crate owns and was registered
/// with.
pub(crate) unsafe fn resolve(info: &Info, repair: usize) -> Resolution {
    // To guarded access a fault is a value.
    if info.is_guarded {
        return Resolution::Decline;
    }
    let Some(mut desk) = Taken::take() else { return Resolution::Retry };
    let (site, mut text) = desk.room();
    let found = site.look_up(info.addr);
    let site = found.is_ok().then_some(&*site);
    let is_mendable = info.cause() == Cause::Unbacked && repair == Repair::ByPolicy.data();
    let is_asked_for = now() == OnFault::Zero;
    if is_mendable
        && is_asked_for
        && let Some(site) = site
        && !site.is_executable()
    {
        // SAFETY: the caller's promise.
        return unsafe { mend(info, site, &mut text) };
    }
    say(info, site, &mut text, if is_mendable && !is_asked_for { &HINT } else { &"" });
    Resolution::Decline
}

/// Brings the page back, or puts zeros in its place.
///
/// # Safety
///
/// As of [`resolve`].
unsafe fn mend(info: &Info, site: &Site, text: &mut Text<'_>) -> Resolution {
    let addresses = site.page(info.addr);
    let replaced = {
        // What another thread has replaced in this moment is not replaced again.
        let Some(_turn) = Turn::take() else { return Resolution::Retry };
        // It may have been here before, or the file have grown.
        let is_write = info.is_write.unwrap_or(site.is_writable());
        if fault::bring_in(info.addr, is_write).is_ok() {
            return Resolution::Retry;
        }
        // SAFETY: the page lies in a range that was registered, and which is not unmapped while its
        // resolver runs; what its bytes become is the policy that was chosen.
        unsafe { fault::put_zeros(addresses.clone(), site.is_writable()) }
    };
    if let Err(errno) = replaced {
        let errno = errno.raw_os_error();
        say(info, Some(site), text, &format_args!("; no zeros fit there (errno {errno})"));
        return Resolution::Decline;
    }
    if record(site, addresses, info.is_write) == 0 {
        say(info, Some(site), text, &FIRST);
    }
    Resolution::Retry
}

/// Says on the standard error what happened: one line, by one write.
fn say(info: &Info, site: Option<&Site>, text: &mut Text<'_>, more: &dyn Display) {
    let report = Report {
        name: site.map(Site::name),
        file_range: site.and_then(|site| site.file_range(site.page(info.addr))),
        file_len: site.and_then(Site::file_len),
        is_write: info.is_write,
        cause: info.cause(),
    };
    let signal = match info.signal {
        Signal::Bus => "SIGBUS",
        Signal::Segv => "SIGSEGV",
    };
    // What does not fit is cut, so this does not fail.
    let _ = writeln!(text, "memmap2: {report} ({signal} at {:#x}){more}", info.addr);
    fault::say(text.as_bytes());
}
