//! What the kernel refuses: the other way is taken, and what could not be done leaves pages dirty.
//!
//! # Safety
//!
//! Filters of system calls are installed on threads that end, and attackers make raw calls.
#![allow(unsafe_code, reason = "the attacks are made of raw calls")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "an attack's argument is that it is one")]
#![allow(clippy::multiple_unsafe_ops_per_block, reason = "as above")]

use super::scratch::filter::{refuse, under};
use super::scratch::{assert_plays, child};
use super::{bytes, dirty, kinds, page, take, ways};
use bifolio_map::{
    AccessMut, Advice, AnonMap, ErrorKind, Operation, Options, Pages, SharedMap, Track, Tracking,
};
use bifolio_sys::mm::{
    RegisterMode, USER_MODE_ONLY, UffdFeatures, uffdio_api, uffdio_register, userfaultfd,
};

/// The ioctls, as `linux/userfaultfd.h` and `linux/fs.h` number them.
const UFFDIO_WRITEPROTECT: u32 = 0xC018_AA06;
const PAGEMAP_SCAN: u32 = 0xC060_6610;

#[test]
fn where_the_kernel_refuses_pages_are_closed() {
    assert_plays(&mut child("filtered"));
}

/// In a process of its own, since what is refused once is never asked for again.
pub(crate) fn filtered() {
    if let Err(error) = refuse(libc::SYS_userfaultfd, None, libc::EPERM) {
        return println!("skipped: seccomp filters cannot be installed: {error}");
    }
    let mut map = AnonMap::new(page()).unwrap();
    let error = map.track_by(Tracking::PageTables).unwrap_err();
    assert_eq!((error.operation(), error.kind()), (Operation::Track, ErrorKind::Unsupported));
    assert_eq!(map.track().unwrap(), Tracking::WriteProtection);
    assert_eq!(ways(), [Tracking::WriteProtection]);
    kinds::every_kind_tells_its_writes();
}

#[test]
fn pages_that_cannot_be_marked_are_dirty_all_the_same() {
    let mut map = AnonMap::new(8 * page()).unwrap();
    if map.track_by(Tracking::PageTables).is_err() {
        return println!("skipped: the page tables do not track here");
    }
    map[2 * page()] = 1;
    let fail = |map: &AnonMap| {
        let put = |_| Err(map.dirty(1..2).next().unwrap().unwrap_err());
        map.each_dirty(0..map.len(), put).unwrap_err();
    };
    if !under(libc::SYS_ioctl, Some(UFFDIO_WRITEPROTECT), libc::ENOMEM, || fail(&map)) {
        return;
    }
    assert_eq!(dirty(&map), [bytes(2..8)]);
    assert_eq!(take(&map), [bytes(2..8)]);
    map[page()] = 1;
    assert_eq!(take(&map), [bytes(1..2)]);
}

#[test]
fn growth_that_cannot_be_marked_is_told_later() {
    let mut map = Options::new().reserve(64 * page()).memfd("dirty", 8 * page()).unwrap();
    if map.track_by(Tracking::PageTables).is_err() {
        return println!("skipped: the page tables do not track here");
    }
    map.grow(16 * page()).unwrap();
    map.write_all_at(b"x", 0).unwrap();
    let refused = || {
        let mut told = map.take_dirty(0..16 * page());
        let error = told.next().unwrap().unwrap_err();
        assert_eq!((error.operation(), error.kind()), (Operation::Track, ErrorKind::NoMemory));
        assert!(told.next().is_none());
    };
    if !under(libc::SYS_ioctl, Some(UFFDIO_WRITEPROTECT), libc::ENOMEM, refused) {
        return;
    }
    assert_eq!(take(&map), [bytes(0..1), bytes(8..16)]);
}

#[test]
fn a_taking_that_fails_loses_nothing() {
    for way in ways() {
        let mut map = AnonMap::new(8 * page()).unwrap();
        map.track_by(way).unwrap();
        map[2 * page()] = 1;
        map[5 * page()] = 1;
        let (call, second) = match way {
            Tracking::PageTables => (libc::SYS_ioctl, Some(PAGEMAP_SCAN)),
            _ => (libc::SYS_mprotect, None),
        };
        let refused = || {
            let error = map.take_dirty(0..map.len()).next().unwrap().unwrap_err();
            assert_eq!((error.operation(), error.kind()), (Operation::Track, ErrorKind::NoMemory));
        };
        if !under(call, second, libc::ENOMEM, refused) {
            return;
        }
        // More, perhaps, but not less.
        let told = take(&map);
        assert!([2, 5].iter().all(|at| told.iter().any(|range| range.contains(&(at * page())))));
        assert_eq!(take(&map), []);
    }
}

/// Another part of the program maps over a page of a tracked map: the scan fails when it comes
/// there, with the pages before it protected already.
#[test]
fn a_taking_that_fails_halfway_loses_nothing() {
    let mut map = AnonMap::new(8 * page()).unwrap();
    if map.track_by(Tracking::PageTables).is_err() {
        return println!("skipped: the page tables do not track here");
    }
    map[2 * page()] = 1;
    let hole = map.as_ptr().wrapping_add(5 * page()).cast_mut().cast();
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let mapped = unsafe { libc::mmap(hole, page(), protection, flags, -1, 0) };
    assert_eq!(mapped, hole);
    let error = map.take_dirty(0..map.len()).next().unwrap().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotTracked);
    // Tracking what lies there again, by another userfaultfd, lets the scans go on.
    let uffd = userfaultfd(USER_MODE_ONLY).unwrap();
    uffdio_api(&uffd, UffdFeatures::WP_ASYNC | UffdFeatures::WP_UNPOPULATED).unwrap();
    let range = hole.addr()..hole.addr() + page();
    uffdio_register(&uffd, range, RegisterMode::WriteProtect).unwrap();
    assert_eq!(take(&map), [0..map.len()]);
}

#[test]
fn a_flush_that_fails_leaves_pages_dirty() {
    for way in ways() {
        let mut map = SharedMap::memfd("dirty", 8 * page()).unwrap();
        map.track_by(way).unwrap();
        map.write_all_at(b"x", 2 * page()).unwrap();
        map.write_all_at(b"x", 5 * page()).unwrap();
        let refused = || {
            let error = map.flush_dirty(0..8 * page()).unwrap_err();
            assert_eq!((error.operation(), error.kind()), (Operation::Flush, ErrorKind::Media));
        };
        if !under(libc::SYS_msync, None, libc::EIO, refused) {
            return;
        }
        assert_eq!(take(&map), [bytes(2..6)]);
    }
}

#[test]
fn tracking_that_cannot_begin_changes_nothing() {
    let mut map = AnonMap::new(8 * page()).unwrap();
    let refused = || {
        let error = map.track_by(Tracking::WriteProtection).unwrap_err();
        assert_eq!((error.operation(), error.kind()), (Operation::Track, ErrorKind::NoMemory));
        assert_eq!(map.tracking(), None);
        map[0] = 1;
    };
    under(libc::SYS_mprotect, None, libc::ENOMEM, refused);
    map.track().unwrap();
    map[page()] = 1;
    assert_eq!(take(&map), [bytes(1..2)]);
}

/// Every second page dirty takes an area for each; where the process may have no more, all pages
/// are opened, and dirty.
#[test]
fn where_there_are_no_more_areas_everything_is_dirty() {
    assert_plays(&mut child("areas"));
}

/// Takes all areas that the process may have.
pub(crate) fn areas() {
    let mut map = AnonMap::new(64 * page()).unwrap();
    map.track_by(Tracking::WriteProtection).unwrap();
    let hog = Options::new().no_reserve().anon(page() << 18).unwrap();
    let is_full = (0..1 << 18).step_by(2).any(|at| {
        let advised = hog.advise(at * page()..(at + 1) * page(), Advice::DontDump);
        advised.is_err_and(|error| error.kind() == ErrorKind::NoMemory)
    });
    if !is_full {
        return println!("skipped: there is no end to the areas of this process");
    }
    map[10 * page()] = 1;
    map[20 * page()] = 1;
    drop(hog);
    assert_eq!(take(&map), [bytes(0..64)]);
    assert_eq!(take(&map), []);
    map[10 * page()] = 2;
    map[20 * page()] = 2;
    assert_eq!(take(&map), [bytes(10..11), bytes(20..21)]);
}
