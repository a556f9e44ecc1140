//! Where a handler works: places in static memory, since an alternate stack has no room for a path.
//!
//! # Invariants
//!
//! 0. What lies on a desk is touched only by the handler that has put its process's number on it,
//!    until it takes the number off.
//!
//! A number of another process was left by the parent at fork(2), whose threads the child has not:
//! such a desk is free. Where all are in use, the access is tried again, and faults again; those
//! who use them need nothing of the thread that waits.
//!
//! # Safety
//!
//! The cells are shared between handlers under invariant 0.
#![allow(unsafe_code, reason = "static memory that signal handlers write")]

use super::report::Text;
use bifolio_map::fault::Site;
use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many faults are looked into at once.
const DESKS: usize = 16;
/// A path, and what is said of it.
const TEXT_BYTES: usize = 4096 + 512;
const NOBODY: u32 = 0;

struct Desk {
    process: AtomicU32,
    room: UnsafeCell<Room>,
}

// SAFETY: `room` is touched by one at a time (invariant 0).
unsafe impl Sync for Desk {}

struct Room {
    site: Site,
    text: [u8; TEXT_BYTES],
}

static ALL: [Desk; DESKS] = [const { Desk::new() }; DESKS];

impl Desk {
    const fn new() -> Desk {
        let room = Room { site: Site::new(), text: [0; TEXT_BYTES] };
        Desk { process: AtomicU32::new(NOBODY), room: UnsafeCell::new(room) }
    }

    /// Whether it is this process's from now on.
    fn is_taken_by(&self, process: u32) -> bool {
        let found = self.process.load(Ordering::SeqCst);
        let exchange =
            || self.process.compare_exchange(found, process, Ordering::SeqCst, Ordering::SeqCst);
        found != process && exchange().is_ok()
    }
}

/// A desk that is ours until it is dropped.
pub(super) struct Taken(&'static Desk);

impl Taken {
    /// Takes a desk that is free. Async-signal-safe.
    pub(super) fn take() -> Option<Taken> {
        let process = std::process::id();
        ALL.iter().find(|desk| desk.is_taken_by(process)).map(Taken)
    }

    /// A place to look something up in, and one for text.
    pub(super) fn room(&mut self) -> (&mut Site, Text<'_>) {
        // SAFETY: the desk is ours (invariant 0), and `&mut self` lends it once.
        let room = unsafe { &mut *self.0.room.get() };
        (&mut room.site, Text::new(&mut room.text))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.process.store(NOBODY, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As many as there are, each once; one that a parent left is free.
    #[test]
    fn a_desk_is_one_handler_s() {
        let taken: Vec<Taken> = std::iter::from_fn(Taken::take).collect();
        assert_eq!(taken.len(), DESKS);
        ALL[3].process.store(std::process::id() + 1, Ordering::SeqCst);
        assert!(std::ptr::eq(Taken::take().unwrap().0, &ALL[3]));
        drop(taken);
        assert!(Taken::take().is_some());
    }
}
