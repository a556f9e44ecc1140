//! Tracking follows the pages: through moves, cuts, changes of protection and of length.
//!
//! # Safety
//!
//! A stray write is made by its address.
#![allow(unsafe_code, reason = "the attack is a raw write")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "an attack's argument is that it is one")]
#![allow(clippy::multiple_unsafe_ops_per_block, reason = "as above")]

use super::kinds::Subject;
use super::scratch::filter::under;
use super::{bytes, dirty, page, take, ways};
use bifolio_map::{
    Access, AccessMut, AnonMap, Discard, ErrorKind, Options, Pages, PrivateMap, SharedMap, Track,
    Tracking,
};

/// Splits a tracked map, writes to both halves, and joins them; then the same at the ends.
fn cuts<M: Subject>(mut map: M, way: Tracking, split: fn(M, usize) -> (M, M), join: fn(M, M) -> M) {
    let len = map.len();
    map.track_by(way).unwrap();
    map.put(b"1", 0);
    map.put(b"1", len - 1);
    let (mut front, mut back) = split(map, 8 * page());
    assert_eq!((front.tracking(), back.tracking()), (Some(way), Some(way)));
    front.put(b"2", 7 * page());
    back.put(b"2", 0);
    assert_eq!(dirty(&front), [bytes(0..1), bytes(7..8)]);
    assert_eq!(dirty(&back), [bytes(0..1), bytes(7..8)]);
    assert_eq!(take(&back), [bytes(0..1), bytes(7..8)]);
    back.put(b"3", page());
    let map = join(front, back);
    assert_eq!(dirty(&map), [bytes(0..1), bytes(7..8), bytes(9..10)]);
    assert_eq!(take(&map), [bytes(0..1), bytes(7..8), bytes(9..10)]);
    // At the ends there is nothing to cut.
    let (nothing, mut map) = split(map, 0);
    assert_eq!((nothing.len(), nothing.tracking()), (0, Some(way)));
    assert_eq!(take(&nothing), []);
    map.put(b"4", len - 1);
    let map = join(nothing, map);
    let (map, nothing) = split(map, len);
    let mut map = join(map, nothing);
    assert_eq!(take(&map), [bytes(15..16)]);
    map.put(b"5", len - 1);
    assert_eq!(take(&map), [bytes(15..16)]);
}

/// The cut lies in what growth has shown and nobody has asked about yet.
#[test]
fn what_growth_has_shown_is_told_of_each_half_alone() {
    for way in ways() {
        for front_stays in [true, false] {
            let mut map = Options::new().reserve(8 * page()).memfd("grown", page()).unwrap();
            map.track_by(way).unwrap();
            map.grow(8 * page()).unwrap();
            let (front, back) = shared_halves(map, 4 * page());
            assert_eq!(take(&front), [bytes(1..4)]);
            // The pages before are another's, or nobody's.
            let front = front_stays.then_some(front);
            assert_eq!(take(&back), [bytes(0..4)]);
            assert!(front.is_none_or(|front| take(&front).is_empty()));
        }
    }
}

fn shared_halves(map: SharedMap, at: usize) -> (SharedMap, SharedMap) {
    map.split_at(at).map_err(|(_, error)| error).unwrap()
}

fn joined_again(front: SharedMap, back: SharedMap) -> SharedMap {
    front.join(back).map_err(|(_, _, error)| error).unwrap()
}

#[test]
fn halves_are_tracked_as_the_whole_was() {
    let len = 16 * page();
    for way in ways() {
        for options in [Options::new(), Options::new().guard_pages(1, 1)] {
            cuts(
                options.anon(len).unwrap(),
                way,
                |map, at| map.split_at(at).unwrap(),
                |front, back| front.join(back).unwrap(),
            );
        }
        for map in [SharedMap::anon(len), SharedMap::memfd("dirty", len)] {
            cuts(map.unwrap(), way, shared_halves, joined_again);
        }
        let scratch = super::Scratch::new();
        let path = scratch.file("private", &vec![1; len]);
        cuts(
            PrivateMap::open(path).unwrap(),
            way,
            |map, at| map.split_at(at).unwrap(),
            |front, back| front.join(back).unwrap(),
        );
    }
}

/// What reserved addresses lie behind goes with the second half.
#[test]
fn growth_is_dirty_in_the_half_that_grows() {
    for way in ways() {
        let mut map = Options::new().reserve(1 << 30).memfd("dirty", 8 * page()).unwrap();
        map.track_by(way).unwrap();
        map.write_all_at(b"1", page()).unwrap();
        let (front, back) = shared_halves(map, 4 * page());
        back.grow(6 * page() + 10).unwrap();
        assert_eq!(take(&front), [bytes(1..2)]);
        assert_eq!(take(&back), [4 * page()..6 * page() + 10]);
        assert_eq!(take(&back), []);
        // Within the page that was shown in part.
        back.grow(6 * page() + 20).unwrap();
        back.write_all_at(b"2", 0).unwrap();
        assert_eq!(dirty(&back), [0..page(), 6 * page()..6 * page() + 20]);
        assert_eq!(take(&back), [0..page(), 6 * page()..6 * page() + 20]);
        assert_eq!(take(&back), []);
        // A look from the middle tells of no more than it was asked about.
        back.grow(30 * page()).unwrap();
        let part = bytes(10..12);
        assert_eq!(back.take_dirty(part.clone()).map(Result::unwrap).collect::<Vec<_>>(), [part]);
        assert_eq!(take(&back), [bytes(6..10), bytes(12..30)]);
        assert_eq!(take(&back), []);
    }
}

#[test]
fn halves_that_are_tracked_otherwise_do_not_join() {
    let halves = || AnonMap::new(2 * page()).unwrap().split_at(page()).unwrap();
    let (mut front, back) = halves();
    front.track().unwrap();
    let (mut front, mut back, error) = front.join(back).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    front[0] = 1;
    back[0] = 1;
    assert_eq!(take(&front), [0..page()]);
    back.track().unwrap();
    let mut map = front.join(back).unwrap();
    map[page()] = 1;
    assert_eq!(take(&map), [bytes(1..2)]);
}

#[test]
fn what_is_read_only_for_a_while_stays_dirty() {
    for way in ways() {
        let mut map = AnonMap::new(8 * page()).unwrap();
        map.track_by(way).unwrap();
        map[0] = 1;
        map[3 * page()] = 1;
        assert_eq!(map.take_dirty(0..page()).count(), 1);
        let map = map.into_read_only().unwrap();
        let map = map.into_mut().unwrap().into_no_access().unwrap();
        let mut map = map.into_mut().unwrap().into_exec().unwrap().into_mut().unwrap();
        assert_eq!(dirty(&map), [bytes(3..4)]);
        map[0] = 2;
        map[5 * page()] = 2;
        assert_eq!(take(&map), [bytes(0..1), bytes(3..4), bytes(5..6)]);

        let mut map = SharedMap::memfd("dirty", 8 * page()).unwrap();
        map.track_by(way).unwrap();
        map.write_all_at(b"1", page()).unwrap();
        let map = map.into_read_only().map_err(|(_, error)| error).unwrap();
        let map = map.into_writable().map_err(|(_, error)| error).unwrap();
        map.write_all_at(b"1", 2 * page()).unwrap();
        assert_eq!(take(&map), [bytes(1..3)]);
    }
}

/// A stray write to a map that is read-only finds no resolver that opens it.
#[test]
fn read_only_pages_are_not_opened() {
    let mut map = AnonMap::new(page()).unwrap();
    map.track_by(Tracking::WriteProtection).unwrap();
    let map = map.into_read_only().unwrap();
    let address = map.as_ptr().cast_mut();
    let stored = unsafe { bifolio_sys::guard::fill(address, 7, 1) };
    assert_eq!(stored.unwrap_err().done, 0);
    assert_eq!(map[0], 0);
    let mut map = map.into_mut().unwrap();
    map[0] = 1;
    assert_eq!(take(&map), [0..page()]);
}

/// It comes back as it was where it cannot be unmapped.
#[test]
fn read_only_pages_are_not_opened_by_an_unmapping_that_failed() {
    let mut map = AnonMap::new(page()).unwrap();
    map.track_by(Tracking::WriteProtection).unwrap();
    let mut map = Some(map.into_read_only().unwrap());
    under(libc::SYS_munmap, None, libc::ENOMEM, || {
        map = map.take().and_then(|map| map.unmap().err()).map(|(map, _)| map);
    });
    let map = map.expect("a map that could not be unmapped");
    let address = map.as_ptr().cast_mut();
    let stored = unsafe { bifolio_sys::guard::fill(address, 7, 1) };
    assert_eq!((stored.unwrap_err().done, map[0]), (0, 0));
    let mut map = map.into_mut().unwrap();
    map[0] = 1;
    assert_eq!(take(&map), [0..page()]);
}

#[test]
fn a_map_that_was_resized_is_dirty_as_a_whole() {
    for way in ways() {
        for options in [Options::new(), Options::new().guard_pages(1, 0)] {
            let mut map = options.anon(4 * page()).unwrap();
            map.track_by(way).unwrap();
            for len in [100 * page() + 5, 50 * page(), 50 * page() - 7, 3000 * page(), 1] {
                map.resize(len).unwrap();
                assert_eq!(map.tracking(), Some(way));
                assert_eq!(take(&map), [0..len]);
                assert_eq!(take(&map), []);
                map[len - 1] = 1;
                assert_eq!(take(&map), [(len - 1) / page() * page()..len]);
            }
        }
    }
}

#[test]
fn maps_that_are_swapped_keep_their_own() {
    for way in ways() {
        let mut maps = [AnonMap::new(4 * page()).unwrap(), AnonMap::new(4 * page()).unwrap()];
        maps[0].track_by(way).unwrap();
        maps[0][0] = 1;
        let [one, other] = &mut maps;
        std::mem::swap(one, other);
        assert_eq!(maps[0].tracking(), None);
        assert_eq!(take(&maps[1]), [0..page()]);
        maps[1][page()] = 1;
        assert_eq!(take(&maps[1]), [bytes(1..2)]);
        let [one, other] = maps;
        one.unmap().unwrap();
        other.unmap().unwrap();
    }
}

/// Zeros that nobody wrote are a change too, and so is the file that shows again.
#[test]
fn what_is_dropped_is_dirty() {
    let scratch = super::Scratch::new();
    let path = scratch.file("file", &vec![1; 1200 * page()]);
    for way in ways() {
        let part = bytes(3..1030);
        let mut map = AnonMap::new(1200 * page()).unwrap();
        map.track_by(way).unwrap();
        map.fill(7);
        take(&map);
        map.discard(part.clone()).unwrap();
        assert_eq!(take(&map), std::slice::from_ref(&part));
        assert_eq!(take(&map), []);

        let mut map = PrivateMap::open(&path).unwrap();
        map.track_by(way).unwrap();
        map.fill(0..map.len(), 7).unwrap();
        take(&map);
        map.discard(part.clone()).unwrap();
        assert_eq!(take(&map), std::slice::from_ref(&part));

        for map in [SharedMap::anon(1200 * page()), SharedMap::memfd("dirty", 1200 * page())] {
            let mut map = map.unwrap();
            map.track_by(way).unwrap();
            map.fill(0..map.len(), 7).unwrap();
            take(&map);
            map.discard(part.clone()).unwrap();
            assert_eq!(take(&map), std::slice::from_ref(&part));
            assert_eq!(take(&map), []);
        }
    }
}

#[test]
fn huge_pages_that_are_dropped_are_dirty() {
    let Ok(mut map) = bifolio_map::HugeMap::new(4 << 20) else {
        return println!("skipped: no huge pages");
    };
    let page = map.page_bytes();
    if map.store(&1_u8, page).is_err() {
        return println!("skipped: the pool is empty");
    }
    map.track().unwrap();
    map.discard(page..2 * page, Discard::DontNeed).unwrap();
    assert_eq!(take(&map), [page..2 * page]);
}

/// What the kernel takes out of memory and brings in again is as dirty as it was.
#[test]
fn reclaimed_pages_stay_what_they_are() {
    let scratch = super::Scratch::new();
    let len = 1200 * page();
    for way in ways() {
        let path = scratch.file("shared", &vec![1; len]);
        for mut map in [SharedMap::open(&path).unwrap(), SharedMap::memfd("dirty", len).unwrap()] {
            map.track_by(way).unwrap();
            map.fill(0..len, 7).unwrap();
            take(&map);
            map.fill(bytes(512..1030), 8).unwrap();
            evict(&map);
            assert_eq!(dirty(&map), [bytes(512..1030)]);
            let mut all = vec![0; len];
            map.read_exact_at(&mut all, 0).unwrap();
            assert_eq!(dirty(&map), [bytes(512..1030)]);
            evict(&map);
            map.write_all_at(b"x", page()).unwrap();
            assert_eq!(take(&map), [bytes(1..2), bytes(512..1030)]);
            evict(&map);
            assert_eq!(take(&map), []);
        }
    }
}

/// Puts the pages of a map out, as far as the kernel does.
fn evict(map: &SharedMap) {
    map.advise(0..map.len(), bifolio_map::Advice::PageOut).unwrap();
    map.evict(0..map.len(), bifolio_map::Dirty::WriteBack).unwrap();
}
