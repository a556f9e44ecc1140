//! A move that fails after its target is gone, as the kernel may let it: the addresses are taken
//! back before anybody else has them, and whatever then lies there is no reader's.
//!
//! # Safety
//!
//! Pages are unmapped under a mapping, as the kernel would, while its owner waits for the kernel.
#![allow(unsafe_code, reason = "does what the kernel does before it fails")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "an attack's argument is that it is one")]

use crate::scratch::filter::decide_moves;
use crate::scratch::{Scratch, assert_plays, child, lease_time, pattern};
use crate::{lease, readable};
use bifolio_map::LeaseState;
use std::fs;
use std::io;
use std::ops::Range;
use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

const LEN: usize = (3 << 20) + 77;

fn unmap(place: &Range<usize>) {
    let start = std::ptr::without_provenance_mut(place.start);
    assert_eq!(unsafe { libc::munmap(start, place.len()) }, 0);
}

/// Maps memory at this place where nothing is; whether it is ours then.
fn take(place: &Range<usize>) -> io::Result<()> {
    let start = std::ptr::without_provenance_mut(place.start);
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
    let taken = unsafe { libc::mmap(start, place.len(), libc::PROT_READ, flags, -1, 0) };
    if taken == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[test]
fn a_move_that_fails_halfway_leaves_its_place_to_nobody_and_is_made_again() {
    let _time = lease_time::steady();
    assert_plays(&mut child("half-moved"));
}

pub(crate) fn half_moved() {
    let moves = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&moves);
    let decided = decide_moves(move |place| match count.fetch_add(1, Ordering::SeqCst) {
        0 => {
            unmap(&place);
            Some(libc::ENOMEM)
        }
        _ => {
            let refused = take(&place).map_err(|error| error.raw_os_error());
            assert_eq!(refused, Err(Some(libc::EEXIST)), "nobody holds the place");
            None
        }
    });
    if let Err(error) = decided {
        return println!("skipped: seccomp filters cannot be listened to: {error}");
    }
    let scratch = Scratch::new();
    let content = pattern(LEN);
    let path = scratch.file("file", &content);
    let stable = lease(&path);
    fs::write(&path, vec![0; LEN]).unwrap();
    assert_eq!(stable.lease(), Some(LeaseState::Copied { unreadable_bytes: 0 }));
    assert_eq!(moves.load(Ordering::SeqCst), 2);
    assert!(*stable == *content);
}

#[test]
fn what_cannot_be_moved_there_again_is_withdrawn() {
    if let Some(_time) = lease_time::shortened(3) {
        assert_plays(&mut child("never-moved"));
    }
}

pub(crate) fn never_moved() {
    let moves = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&moves);
    let decided = decide_moves(move |place| {
        if count.fetch_add(1, Ordering::SeqCst) == 0 {
            unmap(&place);
        }
        Some(libc::ENOMEM)
    });
    if let Err(error) = decided {
        return println!("skipped: seccomp filters cannot be listened to: {error}");
    }
    let scratch = Scratch::new();
    let path = scratch.file("file", &pattern(LEN));
    let stable = lease(&path);
    fs::write(&path, vec![0; LEN]).unwrap();
    let Some(LeaseState::Copied { unreadable_bytes }) = stable.lease() else { panic!() };
    assert!(unreadable_bytes >= LEN && moves.load(Ordering::SeqCst) > 1);
    assert_eq!(readable(&stable, 0), b"");
    let pages = stable.as_ptr().addr()..stable.as_ptr().addr() + LEN.next_multiple_of(4096);
    assert_eq!(take(&pages).unwrap_err().raw_os_error(), Some(libc::EEXIST));
}

/// What lies there then is what the slice would show.
#[test]
fn who_has_lost_the_place_to_another_ends_the_process() {
    let _time = lease_time::steady();
    let scratch = Scratch::new();
    let path = scratch.file("file", &pattern(LEN));
    let output = child("place-taken").env("BIFOLIO_FILE", &path).output().unwrap();
    let (stdout, stderr) = (&output.stdout, String::from_utf8_lossy(&output.stderr));
    match String::from_utf8_lossy(stdout).lines().find(|line| line.contains("skipped")) {
        Some(reason) => println!("{reason}"),
        None => assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{stderr}"),
    }
}

pub(crate) fn place_taken() {
    let decided = decide_moves(|place| {
        unmap(&place);
        // A page in the middle.
        take(&(place.start + (1 << 20)..place.start + (1 << 20) + 1)).unwrap();
        Some(libc::ENOMEM)
    });
    if let Err(error) = decided {
        return println!("skipped: seccomp filters cannot be listened to: {error}");
    }
    // The parent removes it: this process is ended.
    let path = std::path::PathBuf::from(std::env::var_os("BIFOLIO_FILE").unwrap());
    let stable = lease(&path);
    fs::write(&path, b"0").unwrap();
    panic!("it goes on, and shows {:?}", readable(&stable, 0).first());
}
