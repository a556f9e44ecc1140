//! Dirty pages are told, all of them, by both ways of tracking: of every kind of mapping, whatever
//! happens to the pages meanwhile.

#![allow(clippy::single_range_in_vec_init, reason = "lists of ranges, of which some have one")]

#[path = "../scratch/mod.rs"]
mod scratch;

mod attack;
mod copies;
mod cuts;
mod kinds;
mod race;
mod refused;
mod torture;

use bifolio_map::{Track, Tracking};
use scratch::{Scratch, assert_plays, child, scenario};
use std::ops::Range;
use std::os::unix::process::CommandExt;

/// The user whom nothing belongs to.
const STRANGER: u32 = 65534;

/// The size of a page in bytes.
fn page() -> usize {
    bifolio_map::page::page_size().bytes()
}

/// The ways that can be had here.
fn ways() -> Vec<Tracking> {
    let mut map = bifolio_map::AnonMap::new(page()).unwrap();
    match map.track_by(Tracking::PageTables) {
        Ok(()) => vec![Tracking::PageTables, Tracking::WriteProtection],
        Err(error) => {
            println!("skipped: the page tables do not track here: {error}");
            vec![Tracking::WriteProtection]
        }
    }
}

/// The bytes of pages.
fn bytes(pages: Range<usize>) -> Range<usize> {
    pages.start * page()..pages.end * page()
}

/// Ranges as they are told, with those that touch put together.
fn joined(ranges: impl Iterator<Item = bifolio_map::Result<Range<usize>>>) -> Vec<Range<usize>> {
    let mut all: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        let range = range.unwrap();
        assert!(!range.is_empty());
        match all.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            Some(last) => {
                assert!(last.end < range.start, "{last:?} before {range:?}");
                all.push(range);
            }
            None => all.push(range),
        }
    }
    all
}

/// What is dirty.
fn dirty(map: &impl Track) -> Vec<Range<usize>> {
    joined(map.dirty(0..map.len()))
}

/// What is dirty, and clean from now on.
fn take(map: &impl Track) -> Vec<Range<usize>> {
    joined(map.take_dirty(0..map.len()))
}

/// What another user, whom nothing is permitted that needs privilege, can do: all of it.
#[test]
fn an_ordinary_user_tracks_too() {
    if bifolio_sys::process::geteuid().as_raw() == STRANGER {
        return println!("skipped: this user is the stranger");
    }
    let scratch = Scratch::for_everyone();
    let binary = scratch.copy_of_this();
    let mut stranger = std::process::Command::new(&binary);
    stranger.args(child("stranger").get_args()).env("BIFOLIO_CHILD", "stranger");
    stranger.current_dir("/").uid(STRANGER).gid(STRANGER);
    match stranger.output() {
        Err(error) => println!("skipped: another user cannot be had ({error})"),
        Ok(_) => assert_plays(&mut stranger),
    }
}

/// What the children of these tests do.
#[test]
fn scenarios() {
    match scenario().as_deref() {
        Some("stranger") => {
            kinds::every_kind_tells_its_writes();
            race::no_write_is_lost();
            torture::a_replica_follows();
        }
        Some("filtered") => refused::filtered(),
        Some("areas") => refused::areas(),
        Some(other) => panic!("{other}"),
        None => {}
    }
}
