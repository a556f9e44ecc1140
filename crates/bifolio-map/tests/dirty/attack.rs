//! Writers that go other ways than an instruction in this process, and pages that others take.
//!
//! # Safety
//!
//! It forks, and makes the system calls of the attackers on pages of the maps.
#![allow(unsafe_code, reason = "the attacks are made of raw calls")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "an attack's argument is that it is one")]
#![allow(clippy::multiple_unsafe_ops_per_block, reason = "as above")]

use super::{bytes, dirty, page, take, ways};
use bifolio_map::{
    Access, AccessMut, AnonMap, ErrorKind, HugePages, Mapping, Options, SharedMap, Track, Tracking,
};
use std::fs::File;
use std::os::fd::AsRawFd;

/// Runs `child` in a forked process, and returns whether it returned true there.
///
/// The child allocates nothing: another thread may have held the allocator's lock.
fn fork(child: impl FnOnce() -> bool) -> bool {
    match unsafe { libc::fork() } {
        0 => {
            let ok = child();
            unsafe { libc::_exit(if ok { 0 } else { 1 }) }
        }
        pid => {
            assert!(pid > 0);
            let mut status = 0;
            assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
            status == 0
        }
    }
}

/// read(2) of a file into pages of the map; returns what the call does.
fn read_into(map: &impl Mapping, file: &File, at: usize, len: usize) -> isize {
    let address = map.as_ptr().wrapping_add(at).cast_mut();
    unsafe { libc::read(file.as_raw_fd(), address.cast(), len) }
}

#[test]
fn writes_by_system_calls_are_seen_or_refused() {
    let zeros = File::open("/dev/zero").unwrap();
    for way in ways() {
        let scratch = super::Scratch::new();
        let file = SharedMap::open(scratch.file("file", &vec![1; 16 * page()])).unwrap();
        let memory = SharedMap::memfd("dirty", 16 * page()).unwrap();
        for mut map in [file, memory, SharedMap::anon(16 * page()).unwrap()] {
            map.track_by(way).unwrap();
            let read = read_into(&map, &zeros, 3 * page(), 2 * page());
            let written = map.view_mut().by_syscall().write_all_at(b"folio", 9 * page() - 2);
            if way == Tracking::PageTables {
                assert_eq!(read, 2 * page() as isize);
                written.unwrap();
                assert_eq!(take(&map), [bytes(3..5), bytes(8..10)]);
                continue;
            }
            assert!(read <= 0, "{read} bytes came into closed pages");
            assert!(written.is_ok() || written.unwrap_err().done_bytes() == 0);
            // Where the file is written instead, this mapping was not.
            assert_eq!(take(&map), []);
            // Pages that are dirty are open.
            map.fill(bytes(3..5), 7).unwrap();
            assert_eq!(read_into(&map, &zeros, 3 * page(), 2 * page()), 2 * page() as isize);
            assert_eq!(map.load::<u8>(3 * page()).unwrap(), 0);
            assert_eq!(take(&map), [bytes(3..5)]);
        }
        let mut map = AnonMap::new(16 * page()).unwrap();
        map.track_by(way).unwrap();
        let populated = map.populate_write(bytes(2..4));
        assert_eq!(populated.is_ok(), way == Tracking::PageTables);
        assert_eq!(take(&map).len(), usize::from(populated.is_ok()));
        let read = read_into(&map, &zeros, page(), page());
        assert_eq!(read > 0, way == Tracking::PageTables);
        assert_eq!(take(&map).len(), usize::from(read > 0));
    }
}

/// Its page tables are another's, and it must not touch its parent's.
#[test]
fn a_child_of_fork_is_not_tracked_by_its_parent() {
    let mut map = AnonMap::new(8 * page()).unwrap();
    if map.track_by(Tracking::PageTables).is_err() {
        return println!("skipped: the page tables do not track here");
    }
    map[page()] = 1;
    let len = map.len();
    assert!(fork(|| {
        map[2 * page()] = 1;
        let error = |error: bifolio_map::Error| error.kind() == ErrorKind::NotTracked;
        let refused = [map.dirty(0..len).next(), map.take_dirty(0..len).next()];
        let is_refused = refused.into_iter().all(|told| told.is_some_and(|t| t.is_err_and(error)));
        // One's own tracking can be begun, and ends with the process.
        let is_ended = map.untrack().is_ok() && map.track_by(Tracking::PageTables).is_ok();
        map[3 * page()] = 1;
        let told = map.take_dirty(0..len).next();
        let is_own = told.is_some_and(|told| told.is_ok_and(|told| told == bytes(3..4)));
        is_refused && is_ended && is_own && map.take_dirty(0..len).next().is_none()
    }));
    assert_eq!(take(&map), [bytes(1..2)]);
    map[5 * page()] = 1;
    assert_eq!(take(&map), [bytes(5..6)]);
}

#[test]
fn a_child_of_fork_goes_on_alone_behind_closed_pages() {
    let mut map = AnonMap::new(8 * page()).unwrap();
    map.track_by(Tracking::WriteProtection).unwrap();
    map[page()] = 1;
    let len = map.len();
    assert!(fork(|| {
        map[2 * page()] = 1;
        let mut told = map.take_dirty(0..len);
        told.next().is_some_and(|told| told.is_ok_and(|told| told == bytes(1..3)))
    }));
    assert_eq!(take(&map), [bytes(1..2)]);
}

/// What the documentation warns of is so: others are not seen.
#[test]
fn what_other_processes_write_is_not_seen() {
    for way in ways() {
        let mut map = SharedMap::memfd("dirty", 8 * page()).unwrap();
        map.track_by(way).unwrap();
        map.write_all_at(b"1", 0).unwrap();
        assert!(fork(|| map.write_all_at(b"2", page()).is_ok()));
        let second = SharedMap::from_file(map.fd().unwrap().try_clone_to_owned().unwrap()).unwrap();
        second.write_all_at(b"3", 2 * page()).unwrap();
        assert_eq!(map.load::<u8>(page()).unwrap(), b'2');
        assert_eq!(take(&map), [0..page()]);
    }
}

/// A whole huge page is dirty, and after its first taking only what is written of it.
#[test]
fn huge_pages_are_told_page_by_page() {
    let Ok(huge) = bifolio_map::page::thp_size() else {
        return println!("skipped: no huge pages here");
    };
    let huge = huge.bytes();
    for way in ways() {
        let options = Options::new().huge_pages(HugePages::Transparent);
        let mut map = options.anon(4 * huge).unwrap();
        map.fill(1);
        map.track_by(way).unwrap();
        assert_eq!(dirty(&map), []);
        map[2 * huge + page()] = 7;
        let start = 2 * huge;
        let told = take(&map);
        assert_eq!(told.len(), 1, "{told:?}");
        assert!(told[0].contains(&(start + page())) && told[0].len() <= huge, "{told:?}");
        map[start] = 7;
        assert_eq!(take(&map), [start..start + page()]);
        assert_eq!((map[start], map[start + 1], map[start + page()]), (7, 1, 7));
        // All of it written at once, and a part of it taken.
        map.fill(3);
        let part = huge + 3 * page()..huge + 5 * page();
        assert_eq!(map.take_dirty(part.clone()).map(Result::unwrap).count(), 1);
        assert_eq!(take(&map), [0..part.start, part.end..4 * huge]);
        assert_eq!(take(&map), []);
    }
}

/// Threads that take at once: each page goes to one of them.
#[test]
fn a_page_is_taken_by_one() {
    for way in ways() {
        let mut map = SharedMap::anon(512 * page()).unwrap();
        map.track_by(way).unwrap();
        for _ in 0..20 {
            map.fill(0..map.len(), 1).unwrap();
            let taken: usize = std::thread::scope(|scope| {
                let taker = || {
                    let taken = map.take_dirty(0..map.len());
                    taken.map(|range| range.unwrap().len()).sum::<usize>()
                };
                let takers = [scope.spawn(taker), scope.spawn(taker), scope.spawn(taker)];
                takers.map(|taker| taker.join().unwrap()).into_iter().sum()
            });
            match way {
                Tracking::PageTables => assert_eq!(taken, map.len()),
                // Those that look at a word together may both tell of it.
                _ => assert!(taken >= map.len()),
            }
            assert_eq!(take(&map), []);
        }
    }
}
