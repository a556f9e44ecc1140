//! Ranges that are not the map's: refused before the kernel is asked.
//!
//! # Safety
//!
//! The maps are of files that only the test knows.
#![allow(unsafe_code, reason = "the emulated constructors are unsafe")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "the files are the test's own")]
#![allow(clippy::multiple_unsafe_ops_per_block, reason = "as above")]

use crate::common::{Scratch, page};
use memmap2::{Advice, Mmap, MmapMut, MmapRaw, UncheckedAdvice};
use std::io::{ErrorKind, Result};

/// Offsets and lengths of which each leaves a map of two pages.
fn outside() -> Vec<(usize, usize)> {
    let len = 2 * page();
    vec![(len, 1), (len + 1, 0), (0, len + 1), (page(), len), (1, len), (len - 1, 2)]
        .into_iter()
        .chain([(usize::MAX, 1), (1, usize::MAX), (len, usize::MAX), (usize::MAX, usize::MAX)])
        .collect()
}

fn assert_refused(what: &str, range: (usize, usize), outcome: Result<()>) {
    let kind = outcome.map_err(|error| error.kind());
    assert_eq!(kind, Err(ErrorKind::InvalidInput), "{what} {range:?}");
}

/// The attack: memmap2 0.9.12 advises on what lies behind the map for (page, two pages), since it
/// compares the length with that of the map and not with what is left of it.
#[test]
fn no_range_reaches_behind_the_map() {
    let scratch = Scratch::with(&vec![7; 2 * page()]);
    let read = unsafe { Mmap::map(&scratch.file) }.unwrap();
    let written = unsafe { MmapMut::map_mut(&scratch.file) }.unwrap();
    let raw = MmapRaw::map_raw(&scratch.file).unwrap();
    let drop = UncheckedAdvice::DontNeed;
    for range @ (offset, len) in outside() {
        assert_refused("advise", range, read.advise_range(Advice::DontFork, offset, len));
        assert_refused("advise", range, written.advise_range(Advice::DontFork, offset, len));
        assert_refused("advise", range, raw.advise_range(Advice::DontFork, offset, len));
        assert_refused("drop", range, unsafe { read.unchecked_advise_range(drop, offset, len) });
        assert_refused("drop", range, unsafe { written.unchecked_advise_range(drop, offset, len) });
        assert_refused("drop", range, unsafe { raw.unchecked_advise_range(drop, offset, len) });
        assert_refused("flush", range, written.flush_range(offset, len));
        assert_refused("flush", range, written.flush_async_range(offset, len));
        assert_refused("flush", range, raw.flush_range(offset, len));
        assert_refused("flush", range, raw.flush_async_range(offset, len));
    }
}

#[test]
fn every_range_inside_is_taken() {
    let len = 2 * page();
    let scratch = Scratch::with(&vec![7; len]);
    let map = unsafe { MmapMut::map_mut(&scratch.file) }.unwrap();
    for (offset, len) in [(0, 0), (0, len), (1, len - 1), (len - 1, 1), (len, 0), (page(), 7)] {
        map.advise_range(Advice::Random, offset, len).unwrap();
        map.flush_range(offset, len).unwrap();
        map.flush_async_range(offset, len).unwrap();
    }
}
