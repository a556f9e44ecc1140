//! Where faults are recorded: places in static memory, which a signal handler fills and the program
//! empties.
//!
//! # Invariants
//!
//! 0. What is in a place is touched only by whoever has taken its state from `FREE` (the handler)
//!    or from `FULL` (the program) to `TAKEN`, until that one sets the state anew.
//! 1. A place that is `FULL` holds a fault and the name that belongs to it.
//!
//! A place that is `TAKEN` while the process forks is lost to the child.
//!
//! # Safety
//!
//! The cells are shared between threads and handlers under invariant 0.
#![allow(unsafe_code, reason = "static memory that a signal handler writes")]

use super::report::Report;
use bifolio_map::fault::{Cause, Site};
use std::cell::UnsafeCell;
use std::ffi::OsString;
use std::fmt;
use std::ops::Range;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

/// How many faults are kept until they are taken.
const PLACES: usize = 64;
/// The kernel's longest path.
const NAME_BYTES: usize = 4096;

const FREE: u8 = 0;
const TAKEN: u8 = 1;
const FULL: u8 = 2;

struct Place {
    state: AtomicU8,
    room: UnsafeCell<Room>,
}

// SAFETY: `room` is touched by one at a time (invariant 0).
unsafe impl Sync for Place {}

/// What a place holds.
struct Room {
    name: [u8; NAME_BYTES],
    entry: Entry,
}

/// A fault that was repaired.
#[derive(Clone)]
struct Entry {
    order: u64,
    addresses: Range<usize>,
    file_range: Option<Range<u64>>,
    file_len: Option<u64>,
    is_write: Option<bool>,
    name_len: usize,
}

impl Place {
    const fn new() -> Place {
        let entry = Entry {
            order: 0,
            addresses: 0..0,
            file_range: None,
            file_len: None,
            is_write: None,
            name_len: 0,
        };
        let room = Room { name: [0; NAME_BYTES], entry };
        Place { state: AtomicU8::new(FREE), room: UnsafeCell::new(room) }
    }
}

static ALL: [Place; PLACES] = [const { Place::new() }; PLACES];
/// How many faults were repaired in all.
static REPAIRED: AtomicU64 = AtomicU64::new(0);
/// How many of those found no place, and were not told of yet.
static UNLISTED: AtomicU64 = AtomicU64::new(0);

/// A place that is ours until it is dropped, and what state it has then.
struct Taken {
    place: &'static Place,
    next: u8,
}

impl Taken {
    /// Takes a place that is in this state, if there is one. Async-signal-safe.
    fn take(from: u8) -> Option<Taken> {
        let place = ALL.iter().find(|place| {
            place.state.compare_exchange(from, TAKEN, Ordering::SeqCst, Ordering::SeqCst).is_ok()
        })?;
        Some(Taken { place, next: FREE })
    }

    fn room(&mut self) -> &mut Room {
        // SAFETY: the place is ours (invariant 0), and `&mut self` lends it once.
        unsafe { &mut *self.place.room.get() }
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.place.state.store(self.next, Ordering::SeqCst);
    }
}

/// Records that zeros stand at `addresses` instead of what `site` says, and tells how often that
/// happened before. Async-signal-safe.
pub(super) fn record(site: &Site, addresses: Range<usize>, is_write: Option<bool>) -> u64 {
    let order = REPAIRED.fetch_add(1, Ordering::SeqCst);
    let Some(mut taken) = Taken::take(FREE) else {
        UNLISTED.fetch_add(1, Ordering::SeqCst);
        return order;
    };
    let room = taken.room();
    let name_len = site.name().len().min(NAME_BYTES);
    room.name[..name_len].copy_from_slice(&site.name()[..name_len]);
    let entry = &mut room.entry;
    entry.order = order;
    entry.file_range = site.file_range(addresses.clone());
    entry.addresses = addresses;
    entry.file_len = site.file_len();
    entry.is_write = is_write;
    entry.name_len = name_len;
    taken.next = FULL;
    order
}

/// A fault in whose place zeros were put.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fault {
    /// The path of the file as the kernel tells it, ending in ` (deleted)` where it has lost its
    /// name; empty for memory.
    pub path: PathBuf,
    /// The bytes of the file that are zero in this process now; `None` for memory.
    pub file_range: Option<Range<u64>>,
    /// Where they lie: pages, of which a map may show a part.
    pub addresses: Range<usize>,
    /// The length of the file at that moment, in bytes; `None` where its path leads to it no more.
    pub file_len: Option<u64>,
    /// Whether it was a write, which is lost then; `None` where the CPU does not say so.
    pub is_write: Option<bool>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let report = Report {
            name: Some(self.path.as_os_str().as_encoded_bytes()),
            file_range: self.file_range.clone(),
            file_len: self.file_len,
            is_write: self.is_write,
            cause: Cause::Unbacked,
        };
        report.fmt(f)
    }
}

/// The faults since they were last asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Faults {
    /// They in the order in which they came, as many as there was room for: one for each page.
    pub list: Vec<Fault>,
    /// How many more there were.
    pub unlisted: u64,
}

/// Takes what was recorded since the last call.
pub fn take_faults() -> Faults {
    let mut found = Vec::new();
    // What is recorded meanwhile may be left for the next call.
    for _ in 0..PLACES {
        let Some(mut taken) = Taken::take(FULL) else { break };
        let room = taken.room();
        let name = room.name[..room.entry.name_len].to_vec();
        found.push((room.entry.clone(), PathBuf::from(OsString::from_vec(name))));
    }
    found.sort_by_key(|(entry, _)| entry.order);
    let list = found.into_iter().map(|(entry, path)| {
        let Entry { addresses, file_range, file_len, is_write, .. } = entry;
        Fault { path, file_range, addresses, file_len, is_write }
    });
    Faults { list: list.collect(), unlisted: UNLISTED.swap(0, Ordering::SeqCst) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// More faults than places: those that came first are told in their order, the others are
    /// counted, and the places are free again.
    #[test]
    fn faults_without_a_place_are_counted() {
        let mut site = Site::new();
        site.look_up(take_faults as fn() -> Faults as usize).unwrap();
        for _ in 0..2 {
            for page in 0..PLACES + 3 {
                record(&site, page * 4096..(page + 1) * 4096, Some(false));
            }
            let faults = take_faults();
            assert_eq!((faults.list.len(), faults.unlisted), (PLACES, 3));
            let program = std::env::current_exe().unwrap();
            for (page, fault) in faults.list.iter().enumerate() {
                assert_eq!(fault.path, program);
                assert_eq!(fault.addresses, page * 4096..(page + 1) * 4096);
            }
        }
        assert_eq!(take_faults(), Faults::default());
    }
}
