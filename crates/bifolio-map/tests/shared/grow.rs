//! Growth without moving: by threads, by processes, on full disks and beyond limits.

use crate::support::{Directory, FileSystem, child, rounds};
use bifolio_map::{Access, AccessMut, ErrorKind, Mapping, Operation, Options, SharedMap};
use std::fs::{self, File};
use std::process::Command;
use std::sync::Barrier;

const TIB: usize = 1 << 40;

#[test]
fn a_tebibyte_of_addresses_over_a_small_file() {
    let directory = Directory::new("tebibyte");
    let path = directory.file(&[1; 4096]);
    let map = Options::new().reserve(TIB).open_shared(&path).unwrap();
    assert_eq!((map.len(), map.capacity()), (4096, TIB));
    let (view, ptr) = (map.view(), map.as_ptr());
    let error = map.load::<u8>(4096).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfBounds { len_bytes: 4096 });
    for len in [4097, 100_000, 5_000_000] {
        map.grow(len).unwrap();
        assert_eq!((map.len(), fs::metadata(&path).unwrap().len()), (len, len as u64));
        map.write_all_at(&[2], len - 1).unwrap();
        assert_eq!(map.load::<u8>(len - 1).unwrap(), 2);
    }
    // Nothing moved, and what was lent before is as it was.
    assert_eq!((map.as_ptr(), view.len()), (ptr, 4096));
    assert_eq!(view.load::<u8>(4095).unwrap(), 1);
    map.grow(10).unwrap();
    assert_eq!(map.len(), 5_000_000);
}

#[test]
fn an_empty_file_grows() {
    let directory = Directory::new("from-zero");
    let path = directory.file(b"");
    let map = Options::new().reserve(1 << 20).open_shared(&path).unwrap();
    assert!(map.is_empty());
    map.grow(3).unwrap();
    map.write_all_at(b"new", 0).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
}

#[test]
fn growth_from_an_offset_off_the_page() {
    let directory = Directory::new("grow-offset");
    let path = directory.file(&[1; 6000]);
    let map = Options::new().offset(5001).reserve(1 << 20).open_shared(&path).unwrap();
    assert_eq!(map.len(), 999);
    map.grow(1 << 20).unwrap();
    map.write_all_at(&[9], (1 << 20) - 1).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 5001 + (1 << 20));
    assert_eq!(fs::read(&path).unwrap().last(), Some(&9));
}

#[test]
fn memory_without_a_file_grows_too() {
    let map = Options::new().reserve(TIB).shared(100).unwrap();
    map.write_all_at(&[7; 100], 0).unwrap();
    map.grow(1 << 20).unwrap();
    assert_eq!(map.load::<u8>(99).unwrap(), 7);
    map.fill(100..1 << 20, 8).unwrap();
}

#[test]
fn beyond_the_reservation_is_an_error_that_says_so() {
    let map = Options::new().reserve(10_000).memfd("small", 100).unwrap();
    map.grow(10_000).unwrap();
    for map in [map, SharedMap::anon(10_000).unwrap()] {
        let error = map.grow(10_001).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BeyondReservation { reserved_bytes: 10_000 });
        assert!(error.to_string().ends_with("only 10000 bytes of addresses are reserved"));
        assert!(error.help().is_some());
        assert_eq!(map.len(), 10_000);
    }
}

#[test]
fn other_mappings_see_the_new_length_on_demand() {
    let directory = Directory::new("refresh");
    let path = directory.file(&[1; 100]);
    let options = Options::new().reserve(1 << 20);
    let (one, other) = (options.open_shared(&path).unwrap(), options.open_shared(&path).unwrap());
    one.grow(50_000).unwrap();
    one.write_all_at(&[5], 49_999).unwrap();
    assert_eq!(other.len(), 100);
    assert_eq!(other.refresh().unwrap(), 50_000);
    assert_eq!(other.load::<u8>(49_999).unwrap(), 5);
    // Beyond the reservation it sees as much as it has addresses for.
    File::options().write(true).open(&path).unwrap().set_len(2 << 20).unwrap();
    assert_eq!(other.refresh().unwrap(), 1 << 20);
    // A shorter file is no shorter mapping, but an error.
    File::options().write(true).open(&path).unwrap().set_len(10).unwrap();
    assert_eq!(other.refresh().unwrap(), 1 << 20);
    let error = other.load::<u8>(500_000).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated { len_bytes: 10 });
    assert_eq!(SharedMap::anon(7).unwrap().refresh().unwrap(), 7);
}

#[test]
fn a_full_disk_is_an_error_of_the_growth() {
    let all = [
        FileSystem::tmpfs("grow-tmpfs"),
        FileSystem::image("grow-ext4", "mkfs.ext4"),
        // No fallocate(2) there: zeros are appended.
        FileSystem::image("grow-ext2", "mkfs.ext2"),
    ];
    for file_system in all.into_iter().flatten() {
        let path = file_system.join("growing");
        fs::write(&path, [1; 4096]).unwrap();
        let map = Options::new().reserve(TIB).open_shared(&path).unwrap();
        map.grow(200_000).unwrap();
        assert_eq!((map.len(), fs::metadata(&path).unwrap().len()), (200_000, 200_000));
        let error = map.grow(64 << 20).unwrap_err();
        assert_eq!((error.operation(), error.kind()), (Operation::Grow, ErrorKind::NoSpace));
        assert_eq!(error.errno(), Some(bifolio_sys::Errno::NOSPC));
        assert_eq!(map.len(), 200_000);
        // Nothing was lost, and what was granted before can be written to the last byte.
        assert_eq!(map.load::<u8>(4095).unwrap(), 1);
        map.fill(0..200_000, 2).unwrap();
        map.flush(0..200_000).unwrap();
        assert!(fs::metadata(&path).unwrap().len() >= 200_000);
    }
}

#[test]
fn what_was_grown_can_be_written_when_the_disk_is_full() {
    let all = [
        FileSystem::tmpfs("grown-tmpfs"),
        FileSystem::image("grown-ext4", "mkfs.ext4"),
        FileSystem::image("grown-ext2", "mkfs.ext2"),
    ];
    for file_system in all.into_iter().flatten() {
        let path = file_system.join("growing");
        fs::write(&path, []).unwrap();
        let map = Options::new().reserve(TIB).open_shared(&path).unwrap();
        map.grow(300_000).unwrap();
        file_system.fill();
        map.fill(0..300_000, 3).unwrap();
        map.flush(0..300_000).unwrap();
    }
}

#[test]
fn holes_inside_the_grown_range_are_filled() {
    let Some(file_system) = FileSystem::image("grow-holes", "mkfs.ext4") else { return };
    let path = file_system.join("sparse");
    let file = File::create(&path).unwrap();
    let map = Options::new().len(4096).reserve(1 << 20).open_shared(&path).unwrap();
    file.set_len(1 << 20).unwrap();
    map.grow(1 << 20).unwrap();
    file_system.fill();
    map.fill(4096..1 << 20, 3).unwrap();
}

#[test]
fn the_limit_on_file_sizes_is_an_error_and_no_signal() {
    let directory = Directory::new("limit");
    let path = directory.file(&[1; 4096]);
    let inner = child("grow beyond the limit", &path);
    let mut shell = Command::new("sh");
    // In blocks of 512 bytes.
    shell.args(["-c", "ulimit -f 1024; exec \"$@\"", "sh"]).arg(inner.get_program());
    shell.args(inner.get_args());
    shell.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let status = shell.status().unwrap();
    assert!(status.success(), "{status}");
}

#[test]
fn threads_and_processes_grow_the_same_file() {
    let directory = Directory::new("concurrent");
    for round in 0..rounds(3) {
        let path = directory.path().join(format!("file-{round}"));
        fs::write(&path, b"").unwrap();
        let mut children: Vec<_> = (0..2).map(|_| child("grow", &path).spawn().unwrap()).collect();
        let map = Options::new().reserve(1 << 30).open_shared(&path).unwrap();
        let barrier = Barrier::new(2);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    barrier.wait();
                    for step in 1..=200_usize {
                        map.grow(step * 10_000).unwrap();
                        map.write_all_at(&[0xaa; 8], step * 10_000 - 8).unwrap();
                    }
                });
            }
        });
        for child in &mut children {
            assert!(child.wait().unwrap().success());
        }
        assert_eq!(map.refresh().unwrap(), 2_000_000);
        for step in 1..=200_usize {
            // Whoever grew later has taken nothing back.
            assert_eq!(map.load::<[u8; 8]>(step * 10_000 - 8).unwrap(), [0xaa; 8]);
        }
    }
}
