//! The lease under stable bytes: breaks, races with them, and everything that can go wrong.
//!
//! What the other processes do to a file stands in `tests/stable`.
//!
//! # Safety
//!
//! Unsafe code permits leases, and breaks their contract where a test says so; it makes the raw
//! calls of the attackers. Bytes that may be gone are read by guarded access, never by reference.
#![allow(unsafe_code, reason = "the attacks are made of raw memory and raw calls")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "an attack's argument is that it is one")]

#[path = "../scratch/mod.rs"]
mod scratch;

mod breaks;
mod limits;
mod lost;
mod media;
mod refusals;
mod unmapped;

use bifolio_map::{FileMap, LeaseState, NoRung, Options, Policy, Refusal, Rung, Stable};
use bifolio_sys::{fault, guard};
use scratch::scenario;
use std::fs::{self, OpenOptions};
use std::path::Path;
use std::time::{Duration, Instant};

/// A lease or nothing.
fn policy() -> Policy {
    unsafe { Policy::new().without_copy().lease() }
}

fn try_lease(path: &Path) -> Result<Stable, NoRung> {
    FileMap::open(path).unwrap().stable(&policy())
}

fn lease(path: &Path) -> Stable {
    lease_with(path, &Options::new())
}

fn lease_with(path: &Path, options: &Options) -> Stable {
    let map = options.open(path).unwrap();
    let is_open_elsewhere =
        |refused: &NoRung| matches!(refused.reason(Rung::Leased), Some(Refusal::OpenForWriting));
    // A child that another test forks has the descriptor that wrote the file, until it executes.
    let deadline = Instant::now() + Duration::from_secs(20);
    let stable = loop {
        match map.stable(&policy()) {
            Err(refused) if is_open_elsewhere(&refused) && Instant::now() < deadline => {
                std::thread::yield_now();
            }
            answer => break answer.unwrap(),
        }
    };
    assert_eq!(stable.rung(), Rung::Leased);
    assert_eq!(stable.lease(), Some(LeaseState::Held));
    stable
}

/// Opens it for writing, which waits for the holders of leases.
fn break_leases(path: &Path) {
    drop(OpenOptions::new().write(true).open(path).unwrap());
}

/// Waits until somebody waits for this file's leases.
fn await_break(path: &Path) {
    use std::os::unix::fs::MetadataExt;
    let inode = format!(":{} ", fs::metadata(path).unwrap().ino());
    let is_breaking = |line: &str| line.contains("BREAKING") && line.contains(&inode);
    while !fs::read_to_string("/proc/locks").unwrap().lines().any(is_breaking) {
        std::thread::yield_now();
    }
}

/// What the lease became, once it has been broken.
fn await_answer(stable: &Stable) -> LeaseState {
    loop {
        match stable.lease().unwrap() {
            LeaseState::Held => std::thread::yield_now(),
            state => return state,
        }
    }
}

/// The bytes from `at` on, as far as they can be read.
fn readable(stable: &Stable, at: usize) -> Vec<u8> {
    fault::install().unwrap();
    let mut bytes = vec![0; stable.len() - at];
    let start = stable.as_ptr().wrapping_add(at);
    let copied = unsafe { guard::copy(bytes.as_mut_ptr(), start, bytes.len()) };
    bytes.truncate(copied.map_or_else(|fault| fault.done, |()| stable.len() - at));
    bytes
}

/// Where the children start.
#[test]
fn scenarios() {
    match scenario().as_deref() {
        None => {}
        Some("areas") => limits::areas(),
        Some("fork") => limits::fork(),
        Some("fork-later") => limits::fork_later(),
        Some("half-moved") => unmapped::half_moved(),
        Some("never-moved") => unmapped::never_moved(),
        Some("place-taken") => unmapped::place_taken(),
        Some("full-queue") => limits::full_queue(),
        Some("holder") => lost::holder(),
        Some("no-areas") => limits::no_areas(),
        Some("no-cut") => limits::no_cut(),
        Some("no-moves") => limits::no_moves(),
        Some("no-moves-of-many") => limits::no_moves_of_many(),
        Some("overlay") => refusals::overlay(),
        Some("stranger") => refusals::stranger(),
        Some("truncated-medium") => media::truncated_medium(),
        Some(other) => panic!("no scenario is called {other}"),
    }
}
