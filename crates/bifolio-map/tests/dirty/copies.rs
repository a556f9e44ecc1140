//! What is handed on: replicas, checkpoints, the medium; and what failed, which stays dirty.

use super::scratch::cache::attempts;
use super::{Scratch, bytes, dirty, page, take, ways};
use bifolio_map::{
    Access, AccessMut, AnonMap, Error, ErrorKind, Operation, Pages, Residency, SharedMap, Track,
};
use std::io::{self, Cursor, Seek, SeekFrom, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

#[test]
fn a_replica_gets_what_is_dirty_and_nothing_else() {
    for way in ways() {
        let len = 100 * page() - 9;
        let mut map = SharedMap::anon(len).unwrap();
        let replica = SharedMap::memfd("replica", len).unwrap();
        map.track_by(way).unwrap();
        map.write_all_at(b"a", 0).unwrap();
        map.fill(bytes(50..53), 1).unwrap();
        map.write_all_at(b"z", len - 1).unwrap();
        replica.write_all_at(b"own", 10 * page()).unwrap();
        let copied = map.copy_dirty_to(0..len, &replica.view_mut()).unwrap();
        assert_eq!(copied, 5 * page() - 9);
        assert_eq!(replica.compare(&map).unwrap(), Some(10 * page()));
        map.mark_dirty(bytes(10..11)).unwrap();
        assert_eq!(map.copy_dirty_to(0..len, &replica.view_mut()).unwrap(), page());
        assert_eq!(replica.compare(&map).unwrap(), None);
        assert_eq!(map.copy_dirty_to(0..len, &replica.view_mut()).unwrap(), 0);
    }
}

#[test]
fn a_replica_that_is_too_short_loses_nothing() {
    for way in ways() {
        let mut map = SharedMap::anon(8 * page()).unwrap();
        let replica = SharedMap::anon(5 * page()).unwrap();
        map.track_by(way).unwrap();
        for at in [1, 3, 6, 7] {
            map.write_all_at(b"x", at * page()).unwrap();
        }
        let error = map.copy_dirty_to(0..8 * page(), &replica.view_mut()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfBounds { len_bytes: 5 * page() as u64 });
        assert_eq!(dirty(&map), [bytes(6..8)]);
        assert_eq!(replica.load::<u8>(3 * page()).unwrap(), b'x');
    }
}

/// A sink that takes so many bytes.
struct Short(Cursor<Vec<u8>>, usize);

impl Write for Short {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        let len = buf.len().min(self.1);
        if len == 0 {
            return Err(io::Error::other("full"));
        }
        self.1 -= len;
        self.0.write(&buf[..len])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Short {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}

#[test]
fn a_checkpoint_that_fails_halfway_is_gone_on_with() {
    for way in ways() {
        let mut map = AnonMap::new(600 * page()).unwrap();
        map.track_by(way).unwrap();
        // More runs than are looked for at once.
        for at in (0..600).step_by(2) {
            map[at * page() + 5] = 1;
        }
        let mut file = Short(Cursor::new(vec![0; map.len()]), 0);
        for room in [0, 1, 10 * page() + 7, 200 * page()] {
            file.1 = room;
            let error = map.write_dirty_to(0..map.len(), &mut file).unwrap_err();
            assert_eq!(error.to_string(), "full");
        }
        file.1 = usize::MAX;
        map.write_dirty_to(0..map.len(), &mut file).unwrap();
        assert_eq!(file.0.get_ref()[..], map[..]);
        assert_eq!(take(&map), []);
    }
}

#[test]
fn a_checkpoint_goes_to_a_file() {
    let scratch = Scratch::new();
    let path = scratch.file("checkpoint", b"");
    let mut file = std::fs::File::options().write(true).open(&path).unwrap();
    let mut map = AnonMap::new(20 * page()).unwrap();
    map.track().unwrap();
    map[20 * page() - 1] = 1;
    map[3 * page()] = 2;
    assert_eq!(map.write_dirty_to(0..map.len(), &mut file).unwrap(), 2 * page());
    assert_eq!(std::fs::read(&path).unwrap(), map[..]);
}

#[test]
fn a_panic_loses_nothing() {
    for way in ways() {
        let mut map = AnonMap::new(9 * page()).unwrap();
        map.track_by(way).unwrap();
        map[page()] = 1;
        map[4 * page()] = 1;
        map[7 * page()] = 1;
        let mut count = 0;
        let put = |_| {
            count += 1;
            assert!(count < 2, "as intended");
            Ok::<(), Error>(())
        };
        catch_unwind(AssertUnwindSafe(|| map.each_dirty(0..map.len(), put))).unwrap_err();
        assert_eq!(take(&map), [bytes(4..5), bytes(7..8)]);
    }
}

/// The file is shortened under the mapping: the bytes cannot be had, and are dirty until they can.
#[test]
fn what_was_truncated_away_stays_dirty() {
    for way in ways() {
        let mut map = SharedMap::memfd("dirty", 8 * page()).unwrap();
        let replica = SharedMap::anon(8 * page()).unwrap();
        map.track_by(way).unwrap();
        map.write_all_at(b"1", page()).unwrap();
        map.write_all_at(b"6", 6 * page()).unwrap();
        bifolio_sys::fs::ftruncate(map.fd().unwrap(), 4 * page() as u64).unwrap();
        let error = map.copy_dirty_to(0..8 * page(), &replica.view_mut()).unwrap_err();
        assert_eq!(error.operation(), Operation::Read);
        assert_eq!(error.kind(), ErrorKind::Truncated { len_bytes: 4 * page() as u64 });
        assert_eq!(dirty(&map), [bytes(6..7)]);
        bifolio_sys::fs::ftruncate(map.fd().unwrap(), 8 * page() as u64).unwrap();
        map.write_all_at(b"7", 7 * page()).unwrap();
        assert_eq!(map.copy_dirty_to(0..8 * page(), &replica.view_mut()).unwrap(), 2 * page());
        assert_eq!(replica.compare(&map).unwrap(), None);
    }
}

#[test]
fn a_flush_of_dirty_pages_leaves_none() {
    let len = 1000 * page();
    // The kernel may write back by itself what is to be counted.
    attempts(|| {
        let scratch = Scratch::new();
        let cached_dirty = |map: &SharedMap| match map.residency(0..len).unwrap() {
            Residency::Known(resident) => resident.cache.map(|cache| cache.dirty_pages),
            _ => None,
        };
        for way in ways() {
            let mut map = SharedMap::create(scratch.join("file"), len).unwrap();
            map.fill(0..len, 1).unwrap();
            map.track_by(way).unwrap();
            map.flush(0..len).unwrap();
            let Some(0) = cached_dirty(&map) else {
                return println!("skipped: nobody tells what is dirty in the cache here");
            };
            for at in (0..1000).step_by(3) {
                map.write_all_at(b"x", at * page()).unwrap();
            }
            assert_eq!(cached_dirty(&map).unwrap(), 334);
            // A part first.
            assert_eq!(map.flush_dirty(bytes(0..9)).unwrap(), 3 * page());
            assert_eq!(cached_dirty(&map).unwrap(), 331);
            assert_eq!(map.flush_dirty(0..len).unwrap(), 331 * page());
            assert_eq!(cached_dirty(&map).unwrap(), 0);
            assert_eq!(map.flush_dirty(0..len).unwrap(), 0);
            let error = map.flush_dirty(0..len + 1).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::OutOfBounds { len_bytes: len as u64 });
        }
    });
    // Without a medium it means nothing, and works.
    for map in [SharedMap::anon(len), SharedMap::memfd("dirty", len)] {
        let mut map = map.unwrap();
        map.track().unwrap();
        map.write_all_at(b"x", 9).unwrap();
        assert_eq!(map.flush_dirty(0..len).unwrap(), page());
    }
}
