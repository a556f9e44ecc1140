//! A replica that is kept equal by dirty ranges alone, through everything that can happen to a
//! mapping at once: several writers, copies that fail, iterators that are dropped, cuts, joins,
//! growth, resizing, discarding, eviction.

use super::kinds::Subject;
use super::{Scratch, page, ways};
use crate::scratch::{Random, soak};
use bifolio_map::{
    Access, AccessMut, Advice, AnonMap, Error, Options, Pages, PrivateMap, SharedMap, Track,
    Tracking,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

const PAGES: usize = 96;

/// The copy, and how the map is brought to it.
struct Replica {
    bytes: Vec<u8>,
}

impl Replica {
    /// Copies what is dirty, and fails at it now and then; `false` where it did.
    fn try_copy(&mut self, map: &impl Track, random: &mut Random) -> bool {
        self.bytes.resize(map.len(), 0xee);
        if random.below(4) == 0 {
            // Of the ranges that are told, the caller deals with a few.
            let count = random.below(5);
            for range in map.take_dirty(0..map.len()).take(count) {
                let range = range.unwrap();
                map.read_exact_at(&mut self.bytes[range.clone()], range.start).unwrap();
            }
            return false;
        }
        let mut left = if random.below(2) == 0 { usize::MAX } else { random.below(20) };
        let copied = map.each_dirty(0..map.len(), |range| {
            left = left.checked_sub(1).ok_or(Failed::OnPurpose)?;
            map.read_exact_at(&mut self.bytes[range.clone()], range.start).unwrap();
            Ok(())
        });
        match copied {
            Ok(_) => true,
            Err(Failed::OnPurpose) => false,
            Err(Failed::Really(error)) => panic!("{error}"),
        }
    }

    /// At a moment when nobody writes, the copy is the map.
    fn follow(&mut self, map: &impl Track, random: &mut Random) {
        while !self.try_copy(map, random) {}
        let mut all = vec![0; map.len()];
        map.read_exact_at(&mut all, 0).unwrap();
        let differs = all.iter().zip(&self.bytes).position(|(one, other)| one != other);
        assert_eq!(
            (differs, all.len()),
            (None, self.bytes.len()),
            "page {:?}",
            differs.map(|at| at / page())
        );
    }
}

#[derive(Debug)]
enum Failed {
    OnPurpose,
    Really(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Failed::Really(error)
    }
}

/// A random range of a map of `len` bytes, and what to fill it with.
fn scribble(len: usize, random: &mut Random) -> (usize, Vec<u8>) {
    let count = match random.below(8) {
        0 => random.below(6 * page()) + 1,
        _ => random.below(100) + 1,
    };
    let count = count.min(len);
    (random.below(len - count + 1), vec![random.next() as u8; count])
}

/// Writers on threads of their own, and a copier among them.
fn writers(map: &(impl AccessMut + Track + Sync), replica: &mut Replica, random: &mut Random) {
    let writes = 25 * soak() as usize;
    let left = AtomicUsize::new(3);
    thread::scope(|scope| {
        for _ in 0..3 {
            let (mut random, left) = (Random::seeded(random.next()), &left);
            scope.spawn(move || {
                for _ in 0..writes {
                    let (at, bytes) = scribble(map.len(), &mut random);
                    map.write_all_at(&bytes, at).unwrap();
                }
                left.fetch_sub(1, Ordering::SeqCst);
            });
        }
        while left.load(Ordering::SeqCst) != 0 {
            replica.try_copy(map, random);
        }
    });
    replica.follow(map, random);
}

/// Something that changes the map as a whole, or what lies behind it.
fn upset_shared(mut map: SharedMap, random: &mut Random) -> SharedMap {
    let pages = map.len().div_ceil(page());
    let from = random.below(pages);
    let to = from + 1 + random.below(pages - from);
    let part = from * page()..(to * page()).min(map.len());
    match random.below(6) {
        0 => {
            let (front, back) = map.split_at(part.start).map_err(|(_, error)| error).unwrap();
            back.fill(0..back.len().min(9), 7).unwrap();
            map = front.join(back).map_err(|(_, _, error)| error).unwrap();
        }
        1 if map.capacity() > map.len() => {
            let room = (map.capacity() - map.len()).min(5 * page());
            map.grow(map.len() + random.below(room) + 1).unwrap();
        }
        2 => map.discard(part).unwrap(),
        3 => map.advise(part, Advice::PageOut).unwrap(),
        4 if map.fd().is_some() => drop(map.flush_async(part)),
        _ => {
            let read_only = map.into_read_only().map_err(|(_, error)| error).unwrap();
            map = read_only.into_writable().map_err(|(_, error)| error).unwrap();
        }
    }
    map
}

fn shared(mut map: SharedMap, way: Tracking, random: &mut Random) {
    map.track_by(way).unwrap();
    let mut replica = Replica { bytes: map.read_to_vec(0..map.len()).unwrap() };
    for _ in 0..5 * soak() {
        writers(&map, &mut replica, random);
        map = upset_shared(map, random);
        replica.follow(&map, random);
    }
}

fn private(mut map: PrivateMap, way: Tracking, random: &mut Random) {
    map.track_by(way).unwrap();
    let mut replica = Replica { bytes: map.read_to_vec(0..map.len()).unwrap() };
    for _ in 0..5 * soak() {
        writers(&map, &mut replica, random);
        let from = random.below(map.len());
        let to = from + random.below(map.len() - from);
        map.discard(from..to).unwrap();
        let (front, back) = map.split_at(from / page() * page()).unwrap();
        map = front.join(back).unwrap();
        replica.follow(&map, random);
    }
}

/// A slice is written by threads that share it out among them.
fn anonymous(mut map: AnonMap, way: Tracking, random: &mut Random) {
    map.track_by(way).unwrap();
    let mut replica = Replica { bytes: map.to_vec() };
    for _ in 0..12 * soak() {
        let part = map.len().div_ceil(3);
        thread::scope(|scope| {
            for part in map.chunks_mut(part) {
                let mut random = Random::seeded(random.next());
                scope.spawn(move || {
                    for _ in 0..8 {
                        let (at, bytes) = scribble(part.len(), &mut random);
                        part[at..][..bytes.len()].copy_from_slice(&bytes);
                    }
                });
            }
        });
        if random.below(2) == 0 {
            replica.try_copy(&map, random);
        }
        let from = random.below(map.len());
        let to = from + random.below(map.len() - from);
        match random.below(6) {
            0 => map.discard(from..to).unwrap(),
            1 => map.resize(random.below(2 * PAGES * page()) + 1).unwrap(),
            2 => map.advise(from..to, Advice::PageOut).unwrap(),
            3 => {
                let (front, mut back) = map.split_at(from / page() * page()).unwrap();
                back.put(b"x", 0);
                map = front.join(back).unwrap();
            }
            4 => map = map.into_read_only().unwrap().into_mut().unwrap(),
            _ => {}
        }
        replica.follow(&map, random);
    }
}

#[test]
pub(crate) fn a_replica_follows() {
    let mut random = Random::new("a_replica_follows");
    let scratch = Scratch::new();
    let len = PAGES * page() - 77;
    let file = |name: &str| scratch.file(name, &crate::scratch::pattern(len));
    for way in ways() {
        anonymous(AnonMap::new(len).unwrap(), way, &mut random);
        anonymous(Options::new().guard_pages(1, 2).anon(len).unwrap(), way, &mut random);
        shared(SharedMap::anon(len).unwrap(), way, &mut random);
        shared(SharedMap::memfd("torture", len).unwrap(), way, &mut random);
        let reserved = Options::new().reserve(1 << 30);
        shared(reserved.memfd("torture", len).unwrap(), way, &mut random);
        shared(SharedMap::open(file("shared")).unwrap(), way, &mut random);
        shared(reserved.open_shared(file("reserved")).unwrap(), way, &mut random);
        private(PrivateMap::open(file("private")).unwrap(), way, &mut random);
    }
}
