//! Each kind of mapping tells what was written to it, and nothing else.

use super::{Scratch, bytes, dirty, page, take, ways};
use bifolio_map::{
    AccessMut, AnonMap, ErrorKind, HugeMap, HugePages, Operation, Options, PrivateMap, SharedMap,
    Track, Tracking,
};

/// A mapping that the tests can write, slice or not.
pub(crate) trait Subject: Track + Sized + Send + Sync {
    fn put(&mut self, bytes: &[u8], offset: usize);
}

impl Subject for AnonMap {
    fn put(&mut self, bytes: &[u8], offset: usize) {
        self[offset..][..bytes.len()].copy_from_slice(bytes);
    }
}

macro_rules! subjects {
    ($($kind:ty),*) => {$(
        impl Subject for $kind {
            fn put(&mut self, bytes: &[u8], offset: usize) {
                self.write_all_at(bytes, offset).unwrap();
            }
        }
    )*};
}

subjects!(SharedMap, PrivateMap, HugeMap);

const PAGES: usize = 1100;

/// What holds for every kind whose pages are of the ordinary size, and that shows `PAGES` pages
/// less a few bytes.
///
/// Its first byte lies `lead` bytes behind the start of its page.
fn tells_from(lead: usize, what: &str, mut map: impl Subject, way: Tracking) {
    println!("{what} by {way:?}");
    let len = map.len();
    let shown = |pages: std::ops::Range<usize>| {
        let range = bytes(pages);
        range.start.saturating_sub(lead)..(range.end - lead).min(len)
    };
    map.put(b"before", 0);
    assert_eq!(map.tracking(), None);
    map.track_by(way).unwrap();
    assert_eq!(map.tracking(), Some(way));
    assert_eq!(map.track().unwrap(), way);
    assert_eq!(dirty(&map), []);
    map.put(b"x", shown(3..4).start);
    map.put(&vec![7; 2 * page()], shown(5..6).start);
    map.put(b"z", len - 1);
    let mut one = [0];
    map.read_exact_at(&mut one, shown(9..10).start).unwrap();
    let written = [shown(3..4), shown(5..7), shown(PAGES - 1..PAGES)];
    assert_eq!(dirty(&map), written);
    assert_eq!(dirty(&map), written);
    assert_eq!(take(&map), written);
    assert_eq!(take(&map), []);
    // Pages that are written again, and one for the first time.
    map.put(b"yy", shown(6..7).start);
    map.put(b"y", 0);
    assert_eq!(take(&map), [shown(0..1), shown(6..7)]);

    // A part is taken; the rest is not touched.
    for at in [0, 100, 101, 500] {
        map.put(b"p", shown(at..at + 1).start);
    }
    let part = shown(100..101).start..shown(499..500).end;
    let taken: Vec<_> = map.take_dirty(part.clone()).map(Result::unwrap).collect();
    assert_eq!(taken, [shown(100..102)]);
    assert_eq!(map.take_dirty(part).count(), 0);
    assert_eq!(take(&map), [shown(0..1), shown(500..501)]);

    // More runs than are looked for at once; what is not asked for stays.
    for at in (0..PAGES).step_by(2) {
        map.put(b"p", shown(at..at + 1).start);
    }
    let all: Vec<_> = (0..PAGES).step_by(2).map(|at| shown(at..at + 1)).collect();
    assert_eq!(dirty(&map), all);
    let first: Vec<_> = map.take_dirty(0..len).take(7).map(Result::unwrap).collect();
    assert_eq!(first, all[..7]);
    assert_eq!(dirty(&map), all[7..]);
    assert_eq!(take(&map), all[7..]);

    map.mark_dirty(shown(8..10).start + 1..shown(9..10).end).unwrap();
    assert_eq!(take(&map), [shown(8..10)]);
    map.mark_dirty(0..0).unwrap();
    refuses(&map);

    map.put(b"q", 0);
    map.untrack().unwrap();
    map.untrack().unwrap();
    assert_eq!(map.tracking(), None);
    map.put(b"q", 0);
    let error = map.dirty(0..len).next().unwrap().unwrap_err();
    assert_eq!((error.operation(), error.kind()), (Operation::Track, ErrorKind::NotTracked));
    assert_eq!(map.mark_dirty(0..1).unwrap_err().kind(), ErrorKind::NotTracked);
    map.track_by(way).unwrap();
    assert_eq!(dirty(&map), []);
}

fn tells(what: &str, map: impl Subject, way: Tracking) {
    tells_from(0, what, map, way);
}

fn refuses(map: &impl Track) {
    let len = map.len();
    let kind = |range| {
        let mut told = map.take_dirty(range);
        let error = told.next().unwrap().unwrap_err();
        assert!(told.next().is_none());
        assert_eq!(error.operation(), Operation::Track);
        error.kind()
    };
    let beyond = ErrorKind::OutOfBounds { len_bytes: len as u64 };
    assert_eq!(kind(0..len + 1), beyond);
    #[allow(clippy::reversed_empty_ranges, reason = "that is the point")]
    let reversed = 2..1;
    assert_eq!(kind(reversed), beyond);
    let misaligned = ErrorKind::Misaligned { align_bytes: page() };
    assert_eq!(kind(1..len), misaligned);
    assert_eq!(kind(0..page() + 1), misaligned);
    assert_eq!(map.mark_dirty(0..len + 1).unwrap_err().kind(), beyond);
    assert_eq!(map.dirty(0..0).count(), 0);
}

#[test]
pub(crate) fn every_kind_tells_its_writes() {
    let scratch = Scratch::new();
    let len = PAGES * page() - 200;
    let content = super::scratch::pattern(len + page());
    for way in ways() {
        tells("AnonMap", AnonMap::new(len).unwrap(), way);
        let huge = Options::new().huge_pages(HugePages::Transparent);
        tells("AnonMap of huge pages", huge.anon(len).unwrap(), way);
        tells("AnonMap populated", Options::new().populate().anon(len).unwrap(), way);
        tells("AnonMap between guards", Options::new().guard_pages(2, 3).anon(len).unwrap(), way);
        tells("SharedMap", SharedMap::anon(len).unwrap(), way);
        tells("memory file", SharedMap::memfd("dirty", len).unwrap(), way);
        let reserved = Options::new().reserve(1 << 40).memfd("dirty", len).unwrap();
        tells("memory file with a reservation", reserved, way);
        let path = scratch.file("shared", &content[..len]);
        tells("file", SharedMap::open(&path).unwrap(), way);
        // 100 bytes into its first page, and 100 to the end of its last.
        let path = scratch.file("offset", &content);
        let part = Options::new().offset(page() as u64 + 100).len(len);
        tells_from(100, "part of a file", part.open_shared(&path).unwrap(), way);
        tells(
            "private file",
            PrivateMap::open(scratch.file("private", &content[..len])).unwrap(),
            way,
        );
        if let Some(scratch) = Scratch::in_memory() {
            let path = scratch.file("shared", &content[..len]);
            tells("file on tmpfs", SharedMap::open(&path).unwrap(), way);
        }
    }
}

#[test]
fn a_map_without_bytes_has_nothing_dirty() {
    for way in ways() {
        let mut map = AnonMap::new(0).unwrap();
        map.track_by(way).unwrap();
        assert_eq!(take(&map), []);
        map.resize(3 * page()).unwrap();
        assert_eq!(take(&map), [0..3 * page()]);
        map[page()] = 1;
        assert_eq!(take(&map), [bytes(1..2)]);
    }
}

#[test]
fn one_way_at_a_time() {
    let [one, other] = [Tracking::PageTables, Tracking::WriteProtection];
    if ways().len() < 2 {
        return;
    }
    for (one, other) in [(one, other), (other, one)] {
        let mut map = AnonMap::new(page()).unwrap();
        map.track_by(one).unwrap();
        map[0] = 1;
        assert_eq!(map.track_by(other).unwrap_err().kind(), ErrorKind::Invalid);
        map.track_by(one).unwrap();
        assert_eq!(take(&map), [0..page()]);
    }
}

/// Pages of the pool, which the page tables cannot track.
#[test]
fn huge_pages_of_the_pool_are_told_one_by_one() {
    let pages = Options::new().huge_pages(HugePages::Pool(None));
    tells_huge(pages.anon(8 << 20));
    tells_huge(HugeMap::new(8 << 20));
    tells_huge(pages.shared(8 << 20));
}

fn tells_huge(map: bifolio_map::Result<impl Subject>) {
    let mut map = match map {
        Ok(map) => map,
        Err(error) => return println!("skipped: no huge pages: {error}"),
    };
    // A map that promised nothing may lack the pages to be written.
    let page = bifolio_map::page::default_huge_page_size().unwrap().bytes();
    if map.load::<u8>(0).is_err() {
        return println!("skipped: the pool is empty");
    }
    assert_eq!(map.track().unwrap(), Tracking::WriteProtection);
    assert_eq!(map.track_by(Tracking::PageTables).unwrap_err().kind(), ErrorKind::Invalid);
    map.put(b"x", page + 5);
    assert_eq!(take(&map), [page..2 * page]);
    assert_eq!(take(&map), []);
    map.put(b"x", 0);
    map.put(b"x", map.len() - 1);
    let end = map.len();
    assert_eq!(take(&map), [0..page, end - page..end]);
    map.untrack().unwrap();
    let error = map.track_by(Tracking::PageTables).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    map.put(b"x", 0);
}
