//! What was prefetched is in memory when that is done, or the page that cannot be had is named; a
//! prefetch needs no mapping to go on.

mod scratch;

use bifolio_map::{
    Access, AnonMap, Backend, ErrorKind, FileMap, Operation, Options, Pages, Pattern, PrivateMap,
    SharedMap,
};
use bifolio_sys::fs::{Advice, fadvise};
use scratch::cache::{attempts, cached, known, page};
use scratch::{Scratch, assert_plays, fuse, pattern, scenario, staged_child};
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;

const LEN: usize = (5 << 20) + 123;

fn evict(path: &Path) -> File {
    let file = File::open(path).unwrap();
    file.sync_all().unwrap();
    fadvise(&file, 0, None, Advice::DontNeed).unwrap();
    file
}

/// Evicts the file, prefetches by `work`, and checks that all of it is cached.
fn assert_caches(path: &Path, work: impl Fn()) {
    attempts(|| {
        let file = evict(path);
        work();
        let resident = known(cached(&file, 0..LEN as u64, 1)[0]).resident_pages;
        assert_eq!(resident, LEN.div_ceil(page()) as u64);
    });
}

#[test]
fn every_page_is_there_when_it_is_done() {
    let scratch = Scratch::new();
    let path = scratch.file("file", &pattern(LEN));
    for backend in [Backend::Map, Backend::Read] {
        assert_caches(&path, || {
            let map = Options::new().backend(backend).open(&path).unwrap();
            map.access(0..LEN, Pattern::Random).unwrap();
            let prefetch = map.prefetch(Some(0..LEN)).unwrap();
            drop(map);
            while !prefetch.is_finished() {
                let progress = prefetch.progress();
                assert!(progress.done_bytes <= progress.total_bytes);
                std::thread::yield_now();
            }
            assert_eq!(prefetch.progress().done_bytes, LEN as u64);
            prefetch.wait().unwrap();
        });
    }
    assert_caches(&path, || {
        SharedMap::open(&path).unwrap().prefetch(Some(0..LEN)).unwrap().wait().unwrap()
    });
    assert_caches(&path, || {
        // In parts, the later ones first.
        let map = PrivateMap::open(&path).unwrap();
        let parts = [4 << 20..LEN, 1 << 20..3 << 20, 0..(1 << 20) + 1, 3 << 20..4 << 20, 7..7];
        let prefetch = map.prefetch(parts).unwrap();
        assert_eq!(prefetch.progress().total_bytes, LEN as u64 + 1);
        prefetch.wait().unwrap();
    });
    let map = FileMap::open(&path).unwrap();
    let error = map.prefetch([0..5, 0..LEN + 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfBounds { len_bytes: LEN as u64 });
    assert!(!format!("{:?}", map.prefetch(Some(0..LEN)).unwrap()).is_empty());
}

#[test]
fn only_the_ranges_are_read() {
    let scratch = Scratch::new();
    let path = scratch.file("file", &pattern(16 << 20));
    let file = evict(&path);
    let map = FileMap::open(&path).unwrap();
    let cancelled = map.prefetch(Some(0..16 << 20)).unwrap().cancel();
    assert!(cancelled.done_bytes <= cancelled.total_bytes);
    evict(&path);
    map.prefetch(Some(1 << 20..(1 << 20) + 5)).unwrap().wait().unwrap();
    // What lies far away stays away.
    let far = known(cached(&file, 8 << 20..16 << 20, 1)[0]);
    assert_eq!(far.resident_pages, 0);
}

#[test]
fn holes_are_passed_over() {
    attempts(|| {
        let scratch = Scratch::new();
        let path = scratch.join("file");
        let file = File::create(&path).unwrap();
        let (len, at) = (1_u64 << 30, 600 << 20);
        file.set_len(len).unwrap();
        file.write_all_at(&pattern(64 << 10), at).unwrap();
        let file = evict(&path);
        let map = FileMap::open(&path).unwrap();
        let prefetch = map.prefetch(Some(0..map.len())).unwrap();
        while !prefetch.is_finished() {
            std::thread::yield_now();
        }
        assert_eq!(prefetch.progress().done_bytes, len);
        prefetch.wait().unwrap();
        let resident = known(cached(&file, 0..len, 1)[0]).resident_pages;
        assert!(resident <= (4 << 20) / page() as u64, "{resident} pages were read");
        let data = known(cached(&file, at..at + (64 << 10), 1)[0]);
        assert_eq!(data.resident_pages, data.total_pages);
    });
}

#[test]
fn where_the_file_ends_is_named() {
    let scratch = Scratch::new();
    let path = scratch.file("file", &pattern(LEN));
    let map = Options::new().offset(page() as u64).open(&path).unwrap();
    let rest = (2_u64 << 20) + 77;
    OpenOptions::new().write(true).open(&path).unwrap().set_len(rest).unwrap();
    let error = map.prefetch(Some(0..map.len())).unwrap().wait().unwrap_err();
    assert_eq!(error.operation(), Operation::Prefetch);
    assert_eq!(error.kind(), ErrorKind::Truncated { len_bytes: rest });
    let end = rest.next_multiple_of(page() as u64);
    assert_eq!(error.range(), Some(rest..end));
}

#[test]
fn memory_has_nothing_to_be_read_from() {
    let map = AnonMap::new(LEN).unwrap();
    let prefetch = map.prefetch(Some(0..LEN)).unwrap();
    assert!(prefetch.is_finished());
    assert_eq!(prefetch.progress().total_bytes, 0);
    prefetch.wait().unwrap();
}

#[test]
fn a_page_that_cannot_be_read_is_named() {
    if scratch::can_mount() {
        assert_plays(&mut staged_child("true", "media"));
    }
}

/// The second half of the file cannot be read.
fn media() {
    let scratch = Scratch::new();
    let mount = scratch.join("mount");
    std::fs::create_dir(&mount).unwrap();
    let content = pattern(64 * page());
    if !fuse::serve(fuse::Content(content), &mount) {
        return println!("skipped: no FUSE here");
    }
    let map = FileMap::open(mount.join("file")).unwrap();
    let error = map.prefetch(Some(0..map.len())).unwrap().wait().unwrap_err();
    assert_eq!((error.operation(), error.kind()), (Operation::Prefetch, ErrorKind::Media));
    let first = 32 * page() as u64;
    assert!(error.range().unwrap().start <= first, "{error}");
    let _ = std::process::Command::new("umount").arg("-l").arg(&mount).status();
}

/// Where the children start.
#[test]
fn scenarios() {
    match scenario().as_deref() {
        None => {}
        Some("media") => media(),
        Some(other) => panic!("no scenario is called {other}"),
    }
}
