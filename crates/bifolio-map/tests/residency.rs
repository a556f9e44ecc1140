//! What is in memory is counted exactly, or said to be unknown: never guessed.

mod scratch;

use bifolio_map::{
    Access, AnonMap, Backend, ErrorKind, FileMap, Options, Pages, PrivateMap, Residency, Resident,
    SharedMap, Untold, memory,
};
use bifolio_sys::fs::{Advice, fadvise};
use bifolio_sys::page::page_size;
use scratch::{Scratch, assert_plays, child, pattern, scenario};
use std::fs::{self, File, OpenOptions, Permissions};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;

const PAGES: usize = 512;

/// The user whom nothing belongs to.
const STRANGER: u32 = 65534;

fn page() -> usize {
    page_size().bytes()
}

fn known(residency: Residency) -> Resident {
    match residency {
        Residency::Known(resident) => resident,
        other => panic!("{other:?}"),
    }
}

/// Makes a file of which the first half is cached and the second is not.
fn half_cached(path: &Path) -> File {
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path).unwrap();
    file.write_all_at(&pattern(PAGES * page()), 0).unwrap();
    file.sync_all().unwrap();
    fadvise(&file, 0, None, Advice::DontNeed).unwrap();
    // No read-ahead, so that what is read is what is cached.
    fadvise(&file, 0, None, Advice::Random).unwrap();
    for at in 0..PAGES / 2 {
        file.read_exact_at(&mut [0], (at * page()) as u64).unwrap();
    }
    file
}

#[test]
fn the_owner_hears_how_much_of_a_file_is_cached() {
    let scratch = Scratch::new();
    let path = scratch.join("file");
    let file = half_cached(&path);
    let half = PAGES as u64 / 2;
    for backend in [Backend::Map, Backend::Read] {
        let map = Options::new().backend(backend).open(&path).unwrap();
        let residency = map.residency(0..map.len()).unwrap();
        if backend == Backend::Read && residency == Residency::Unknown(Untold::NotOffered) {
            println!("skipped: there is no cachestat here");
            continue;
        }
        let whole = known(residency);
        assert_eq!((whole.total_pages, whole.resident_pages), (2 * half, half), "{backend:?}");
        assert_eq!(whole.resident_bytes(), half * page() as u64);
        assert_eq!(whole.fraction(), 0.5);
        // Half a page on each side of the border of what is cached.
        let border = PAGES / 2 * page();
        let edge = known(map.residency(border - 10..border + 10).unwrap());
        assert_eq!((edge.total_pages, edge.resident_pages), (2, 1));
        assert_eq!(known(map.residency(7..7).unwrap()).total_pages, 0);
        let error = map.residency(0..map.len() + 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfBounds { len_bytes: map.len() as u64 });
    }
    // The pages of a private mapping are those of the file until they are copied.
    let private = PrivateMap::open(&path).unwrap();
    let whole = known(private.residency(0..private.len()).unwrap());
    assert_eq!((whole.resident_pages, whole.cache), (half, None));
    // Counted in pages of the file, though the map begins within one.
    let map = Options::new().offset(page() as u64 / 2).open(&path).unwrap();
    assert_eq!(known(map.residency(0..page()).unwrap()).total_pages, 2);
    drop(file);
}

#[test]
fn dirty_pages_are_counted() {
    let scratch = Scratch::new();
    let path = scratch.join("file");
    let file = half_cached(&path);
    file.sync_all().unwrap();
    file.write_all_at(&[1], 3 * page() as u64).unwrap();
    let map = FileMap::open(&path).unwrap();
    match known(map.residency(0..map.len()).unwrap()).cache {
        // The page may be on its way to the disk already.
        Some(cache) => assert!(cache.dirty_pages + cache.writeback_pages >= 1, "{cache:?}"),
        None => println!("skipped: there is no cachestat here"),
    }
}

#[test]
fn a_stranger_hears_that_it_is_unknown() {
    if bifolio_sys::process::geteuid().as_raw() == STRANGER {
        return println!("skipped: this user is the stranger");
    }
    let scratch = Scratch::for_everyone();
    let path = scratch.join("file");
    let file = half_cached(&path);
    file.set_permissions(Permissions::from_mode(0o644)).unwrap();
    // The child may not be allowed to run this binary where it lies.
    let binary = scratch.join("binary");
    fs::copy(std::env::current_exe().unwrap(), &binary).unwrap();
    fs::set_permissions(&binary, Permissions::from_mode(0o755)).unwrap();
    let mut stranger = std::process::Command::new(&binary);
    stranger.args(child("stranger").get_args()).env("BIFOLIO_CHILD", "stranger");
    stranger.env("BIFOLIO_FILE", &path).current_dir("/").uid(STRANGER).gid(STRANGER);
    match stranger.output() {
        Err(error) => println!("skipped: another user cannot be had ({error})"),
        Ok(_) => assert_plays(&mut stranger),
    }
}

/// mincore(2) tells this user that every page is there.
fn stranger() {
    let map = FileMap::open(std::env::var_os("BIFOLIO_FILE").unwrap()).unwrap();
    let mut lies = vec![0; PAGES];
    let start = bifolio_map::Mapping::as_ptr(&map.mapping().unwrap()).addr();
    bifolio_sys::mm::mincore(start, &mut lies).unwrap();
    assert!(lies.iter().all(|&lie| lie & 1 == 1), "mincore tells strangers the truth here");
    match map.residency(0..map.len()).unwrap() {
        Residency::Unknown(Untold::NotOwner) => {}
        // cachestat(2) before Linux 6.13 asks for no rights.
        Residency::Known(resident) => assert_eq!(resident.resident_pages, PAGES as u64 / 2),
        other => panic!("{other:?}"),
    }
    // Of this one only mincore could tell.
    let private = PrivateMap::open(std::env::var_os("BIFOLIO_FILE").unwrap()).unwrap();
    let residency = private.residency(0..private.len()).unwrap();
    assert_eq!(residency, Residency::Unknown(Untold::NotOwner));
}

#[test]
fn anonymous_memory_counts_what_was_touched() {
    let mut map = AnonMap::new(64 * page()).unwrap();
    let none = known(map.residency(0..map.len()).unwrap());
    assert_eq!((none.total_pages, none.resident_pages, none.cache), (64, 0, None));
    for at in (0..map.len()).step_by(4 * page()) {
        map[at] = 1;
    }
    assert_eq!(known(map.residency(0..map.len()).unwrap()).resident_pages, 16);
}

#[test]
fn shared_memory_counts_what_was_touched() {
    let map = SharedMap::anon(64 * page()).unwrap();
    bifolio_map::AccessMut::fill(&map, 0..5 * page(), 1).unwrap();
    let resident = known(map.residency(0..map.len()).unwrap());
    assert_eq!((resident.total_pages, resident.resident_pages), (64, 5));
}

#[test]
fn a_loaded_file_is_memory() {
    let map = FileMap::open("/proc/self/smaps").unwrap();
    let resident = known(map.residency(0..map.len()).unwrap());
    assert_eq!(resident.fraction(), 1.0);
}

/// Where the children start.
#[test]
fn scenarios() {
    match scenario().as_deref() {
        None => {}
        Some("stranger") => stranger(),
        Some(other) => panic!("no scenario is called {other}"),
    }
}
#[test]
fn buckets_cover_the_range_and_count_it_once() {
    let scratch = Scratch::new();
    let path = scratch.join("file");
    half_cached(&path);
    let map = FileMap::open(&path).unwrap();
    for count in [1, 3, 64, PAGES, PAGES + 7] {
        let mut buckets = vec![Residency::default(); count];
        map.residency_by(0..map.len(), &mut buckets).unwrap();
        let mut end = 0;
        for (index, &bucket) in buckets.iter().enumerate() {
            let range = memory::bucket(0..map.len() as u64, index, count);
            assert_eq!(range.start, end, "bucket {index} of {count}");
            end = range.end;
            let part = map.residency(range.start as usize..range.end as usize).unwrap();
            assert_eq!(bucket, part, "bucket {index} of {count}");
        }
        assert_eq!(end, map.len() as u64);
        let total: u64 = buckets.iter().map(|&bucket| known(bucket).total_pages).sum();
        assert_eq!(total, PAGES as u64, "{count} buckets");
        let resident: u64 = buckets.iter().map(|&bucket| known(bucket).resident_pages).sum();
        assert_eq!(resident, PAGES as u64 / 2, "{count} buckets");
    }
}
