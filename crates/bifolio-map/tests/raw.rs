//! Raw maps: every call on the pages, and that no descriptor and no range stays behind.
//!
//! # Safety
//!
//! The bytes are read by pointers; the files are the test's own.
#![allow(unsafe_code, reason = "raw maps are read by pointers")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "the files are the test's own")]
#![allow(clippy::multiple_unsafe_ops_per_block, reason = "as above")]

#[path = "scratch/mod.rs"]
mod scratch;

use bifolio_map::fault::{Info, Resolution, bring_in, put_zeros};
use bifolio_map::page::page_size;
use bifolio_map::{Constancy, ErrorKind, HugePages, Options, Protection, RawMap, Seals, Sharing};
use scratch::{Scratch, pattern};
use std::fs::File;
use std::sync::atomic::{AtomicUsize, Ordering};

fn byte(map: &RawMap, at: usize) -> u8 {
    assert!(at < map.len());
    unsafe { map.as_ptr().add(at).read_volatile() }
}

fn file(scratch: &Scratch, content: &[u8]) -> File {
    let path = scratch.file("raw", content);
    File::options().read(true).write(true).open(path).unwrap()
}

#[test]
fn a_file_is_mapped_without_its_descriptor() {
    let (scratch, page) = (Scratch::new(), page_size().bytes());
    let bytes = pattern(2 * page + 9);
    let file = file(&scratch, &bytes);
    for offset in [0, 1, page - 1, page, 2 * page + 9] {
        let options = Options::new().offset(offset as u64).populate();
        assert_eq!(options.raw_len(&file).unwrap(), bytes.len() - offset);
        let map = options.raw_file(&file, Sharing::File, Protection::Read).unwrap();
        assert_eq!(map.len(), bytes.len() - offset);
        assert!((0..map.len()).all(|at| byte(&map, at) == bytes[offset + at]), "from {offset}");
    }
    let beyond = Options::new().offset(bytes.len() as u64 + 1);
    let error = beyond.raw_file(&file, Sharing::File, Protection::Read).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfBounds { len_bytes: bytes.len() as u64 });
    let long = Options::new().len(usize::MAX).raw_len(&file).unwrap_err();
    assert_eq!(long.kind(), ErrorKind::TooLarge);
    for options in [Options::new().reserve(1), Options::new().huge_pages(HugePages::Pool(None))] {
        let error = options.raw_file(&file, Sharing::File, Protection::Read).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    let map = Options::new().raw_file(&file, Sharing::Private, Protection::ReadWrite).unwrap();
    drop(file);
    unsafe { map.as_ptr().write_volatile(!bytes[0]) };
    assert_eq!(std::fs::read(scratch.join("raw")).unwrap(), bytes);
    assert_eq!(Options::new().offset(1).raw_anon(1).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn every_call_reaches_the_pages() {
    let (scratch, page) = (Scratch::new(), page_size().bytes());
    let file = file(&scratch, &pattern(3 * page));
    let options = Options::new().offset(5).len(page);
    let mut map = options.raw_file(&file, Sharing::File, Protection::Read).unwrap();
    map.protect(Protection::ReadWrite).unwrap();
    unsafe { map.as_ptr().write_volatile(77) };
    map.flush(0..1).unwrap();
    map.flush_async(0..page).unwrap();
    assert_eq!(std::fs::read(scratch.join("raw")).unwrap()[5], 77);
    map.lock(0..page).unwrap();
    map.unlock(0..page).unwrap();
    unsafe { map.advise(0..page, libc::MADV_RANDOM) }.unwrap();
    assert!(RawMap::knows_advice(libc::MADV_RANDOM) && !RawMap::knows_advice(9999));
    let outside = 1..page + 1;
    let kind = ErrorKind::OutOfBounds { len_bytes: page as u64 };
    assert_eq!(map.flush(outside.clone()).unwrap_err().kind(), kind);
    assert_eq!(map.lock(outside.clone()).unwrap_err().kind(), kind);
    assert_eq!(unsafe { map.advise(outside, 0) }.unwrap_err().kind(), kind);
    unsafe { map.remap(2 * page, true) }.unwrap();
    assert_eq!(
        (map.len(), byte(&map, 0), byte(&map, page)),
        (2 * page, 77, pattern(3 * page)[page + 5])
    );
    unsafe { map.remap(0, false) }.unwrap();
    assert!(map.is_empty());
    let error = unsafe { map.remap(usize::MAX, true) }.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
}

/// A page that is always there, so that an address is.
#[test]
fn nothing_has_an_address_too() {
    let scratch = Scratch::new();
    let empty = file(&scratch, b"");
    let map = Options::new().raw_file(&empty, Sharing::File, Protection::Read).unwrap();
    assert!(map.is_empty() && page_size().is_aligned(map.as_ptr().addr()));
    map.flush(0..0).unwrap();
    let map = Options::new().raw_anon(0).unwrap();
    assert!(map.is_empty());
    let directory = File::open(std::env::temp_dir()).unwrap();
    let options = Options::new().len(0);
    assert!(options.raw_file(&directory, Sharing::File, Protection::Read).is_err());
}

static CALLS: AtomicUsize = AtomicUsize::new(0);

/// Puts zeros where nothing can be had.
unsafe fn zeros(info: &Info, _: usize) -> Resolution {
    CALLS.fetch_add(1, Ordering::SeqCst);
    let page = page_size().bytes();
    let start = info.addr - info.addr % page;
    let is_gone = bring_in(info.addr, false).is_err();
    if is_gone && unsafe { put_zeros(start..start + page, false) }.is_ok() {
        return Resolution::Retry;
    }
    Resolution::Decline
}

#[test]
fn a_resolver_goes_with_its_map() {
    let (scratch, page) = (Scratch::new(), page_size().bytes());
    let file = file(&scratch, &pattern(3 * page));
    let mut map = Options::new().raw_file(&file, Sharing::File, Protection::Read).unwrap();
    unsafe { map.on_fault(zeros, 0) }.unwrap();
    file.set_len(page as u64).unwrap();
    assert_eq!((byte(&map, 2 * page), CALLS.load(Ordering::SeqCst)), (0, 1));
    assert_eq!((byte(&map, 0), byte(&map, 2 * page)), (pattern(page)[0], 0));
    assert_eq!(CALLS.load(Ordering::SeqCst), 1);
    // The second resolver takes the place of the first.
    unsafe { map.on_fault(zeros, 0) }.unwrap();
    assert_eq!((byte(&map, page), CALLS.load(Ordering::SeqCst)), (0, 2));
    drop(map);
    // Many maps, each with its range, and each range gone with its map.
    for round in 0..3 {
        let maps: Vec<RawMap> = (0..300)
            .map(|_| {
                let mut map = Options::new()
                    .len(2 * page)
                    .raw_file(&file, Sharing::File, Protection::Read)
                    .unwrap();
                unsafe { map.on_fault(zeros, 0) }.unwrap();
                map
            })
            .collect();
        let before = CALLS.load(Ordering::SeqCst);
        assert!(maps.iter().all(|map| byte(map, page) == 0), "round {round}");
        assert_eq!(CALLS.load(Ordering::SeqCst), before + 300);
    }
}

#[test]
fn what_keeps_a_file_constant_is_told() {
    let scratch = Scratch::new();
    assert_eq!(Constancy::of(file(&scratch, b"bytes")).unwrap(), Constancy::Changeable);
    // Files on tmpfs can have seals, and begin with the one that forbids them.
    if let Some(memory) = Scratch::in_memory() {
        let found = Constancy::of(file(&memory, b"bytes")).unwrap();
        assert!(matches!(found, Constancy::NotSealed(Seals::SEAL)), "{found:?}");
    }
    assert_eq!(Constancy::of(std::io::pipe().unwrap().0).unwrap(), Constancy::Changeable);
}
