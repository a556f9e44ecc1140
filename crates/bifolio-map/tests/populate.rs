//! After populating, every page is there and reading or writing faults no more; what cannot be had
//! is named to the page.

mod scratch;

use bifolio_map::{
    Access, AccessMut, AnonMap, Backend, ErrorKind, FileMap, Mapping, Operation, Options, Pages,
    Pattern, SharedMap,
};
use bifolio_sys::mm::{self, Categories, PageRegion, PagemapScan};
use bifolio_sys::page::page_size;
use scratch::{Random, Scratch, pattern};
use std::fs::{self, File, OpenOptions};
use std::iter;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

fn page() -> usize {
    page_size().bytes()
}

/// Pages of an address range that are not mapped, or `None` where the kernel cannot tell.
fn missing_pages(range: Range<usize>) -> Option<usize> {
    let pagemap = File::open("/proc/self/pagemap").ok()?;
    let scan = PagemapScan {
        range,
        inverted: Categories::PRESENT,
        all_of: Categories::PRESENT,
        report: Categories::PRESENT,
        ..PagemapScan::default()
    };
    let mut regions = [PageRegion::default(); 64];
    let scanned = mm::pagemap_scan(&pagemap, &scan, &mut regions).ok()?;
    let bytes: u64 = scanned.regions.iter().map(|region| region.end - region.start).sum();
    Some(bytes as usize / page())
}

/// Minor and major faults of the calling thread so far.
fn faults() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // After the name: state, six numbers, then minflt, cminflt, majflt.
    fields[7].parse::<u64>().unwrap() + fields[9].parse::<u64>().unwrap()
}

/// Faults of the calling thread that waited for a disk.
fn major_faults() -> u64 {
    let stat = fs::read_to_string("/proc/thread-self/stat").unwrap();
    let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    fields[9].parse().unwrap()
}

/// What counting faults may cost in faults itself: the counter is a file, read into fresh memory.
const NOISE: u64 = 8;

/// Reads every page of the map, and returns how many faults that took.
fn faults_of_reading(map: &impl Access) -> u64 {
    let before = faults();
    for at in (0..map.len()).step_by(512) {
        map.load::<u8>(at).unwrap();
    }
    faults() - before
}

/// How often populating may be undone before it is taken for not done: the kernel takes pages back,
/// and moves them, when it likes.
const TRIES: u32 = 10;

/// Populates what `open` opens: every page is there then, and reading takes no fault. Each try has
/// a mapping of its own, so that none profits from the one before.
fn assert_populates(open: impl Fn() -> FileMap, what: &str) {
    let mut left = String::new();
    for _ in 0..TRIES {
        let map = open();
        map.populate(0..map.len()).unwrap();
        let start = map.mapping().unwrap().as_ptr().addr();
        let missing = missing_pages(page_size().round_down(start)..start + map.len());
        let faults = faults_of_reading(&map);
        match missing {
            None | Some(0) if faults < NOISE => return,
            _ => left = format!("{missing:?} pages missing, {faults} faults"),
        }
    }
    panic!("{what}: {left}");
}

#[test]
fn every_page_of_a_cached_file_is_there_however_it_was_written() {
    let scratch = Scratch::new();
    let path = scratch.join("file");
    let len = 21 * (1 << 20) + 123;
    let content = pattern(len);
    for piece in [len, 1 << 16, page()] {
        let file = File::create(&path).unwrap();
        for at in (0..len).step_by(piece) {
            file.write_all_at(&content[at..len.min(at + piece)], at as u64).unwrap();
        }
        for offset in [0, 5 * page() as u64 + 7] {
            let open = || Options::new().offset(offset).open(&path).unwrap();
            assert_populates(open, &format!("written by {piece}, from {offset}"));
            let map = open();
            assert_eq!(map.load::<u8>(4711).unwrap(), content[offset as usize + 4711]);
        }
    }
}

#[test]
fn every_page_of_a_file_on_disk_is_there() {
    let scratch = Scratch::new();
    let path = scratch.file("file", &pattern(24 << 20));
    let file = File::open(&path).unwrap();
    let mut random = Random::new("every_page_of_a_file_on_disk_is_there");
    for round in 0..4 {
        let pieces: Vec<_> = (0..200 * round).map(|_| random.below(24 << 20) as u64).collect();
        let open = || {
            evict(&file, 0, 0);
            // Some of it is cached again, in pieces that fault-around cannot join.
            for &offset in &pieces {
                file.read_exact_at(&mut [0; 1], offset).unwrap();
            }
            FileMap::open(&path).unwrap()
        };
        assert_populates(open, &format!("round {round}"));
    }
}

/// Writes a file back and drops a part of it from the cache; a length of 0 is the rest.
fn evict(file: &File, offset: u64, len: u64) {
    use bifolio_sys::fs::{Advice, fadvise};
    file.sync_all().unwrap();
    fadvise(file, offset, std::num::NonZeroU64::new(len), Advice::DontNeed).unwrap();
}

/// A pattern by which each fault would read its one page, and wait for it.
#[test]
fn a_random_pattern_does_not_make_it_read_page_by_page() {
    let scratch = Scratch::new();
    let path = scratch.file("file", &pattern(24 << 20));
    let file = File::open(&path).unwrap();
    // With the block that is tried by touching, and so small that nothing is tried.
    for len in [24 << 20, 1 << 20] {
        evict(&file, 0, 0);
        let map = FileMap::open(&path).unwrap();
        map.access(0..len, Pattern::Random).unwrap();
        let before = major_faults();
        map.populate(0..len).unwrap();
        let faults = major_faults() - before;
        assert!(faults < (len / page()) as u64 / 8, "{faults} pages were waited for");
        let start = map.mapping().unwrap().as_ptr().addr();
        assert!(matches!(missing_pages(start..start + len), None | Some(0)));
    }
}

/// One mapping may have a pattern for each of its ranges.
#[test]
fn the_pattern_of_a_range_is_told_to_the_kernel() {
    let scratch = Scratch::new();
    let map = FileMap::open(scratch.file("file", &pattern(4 * page()))).unwrap();
    map.access(0..page(), Pattern::Random).unwrap();
    map.access(page()..2 * page(), Pattern::Sequential).unwrap();
    let flags_at = |number: usize| {
        let start = map.mapping().unwrap().as_ptr().addr() + number * page();
        let smaps = fs::read_to_string("/proc/self/smaps").ok()?;
        let mut lines = smaps.lines().skip_while(|line| !line.starts_with(&format!("{start:x}-")));
        let flags = lines.find_map(|line| line.strip_prefix("VmFlags:"))?;
        let is = |flag| flags.split_whitespace().any(|one| one == flag);
        Some((is("rr"), is("sr")))
    };
    let expected = [(true, false), (false, true), (false, false)];
    for (number, expected) in expected.into_iter().enumerate() {
        match flags_at(number) {
            None => println!("skipped: the kernel does not tell the flags"),
            Some(flags) => assert_eq!(flags, expected, "range {number}"),
        }
    }
    map.access(0..map.len(), Pattern::Normal).unwrap();
    assert!(matches!(flags_at(0), None | Some((false, false))));
    assert_eq!(flags_at(1), None, "the areas are one again");
}

#[test]
fn every_page_of_a_file_in_memory_is_there() {
    let Some(scratch) = Scratch::in_memory() else {
        return println!("skipped: no tmpfs");
    };
    let path = scratch.file("file", &pattern(20 << 20));
    assert_populates(|| FileMap::open(&path).unwrap(), "tmpfs");
}

#[test]
fn only_the_range_is_brought_in() {
    let scratch = Scratch::new();
    let path = scratch.join("file");
    let file = File::create(&path).unwrap();
    file.write_all_at(&pattern(8 << 20), 0).unwrap();
    evict(&file, 0, 0);
    let map = FileMap::open(&path).unwrap();
    map.populate(page() + 1..3 * page() + 1).unwrap();
    let start = map.mapping().unwrap().as_ptr().addr();
    if let Some(missing) = missing_pages(start + page()..start + 4 * page()) {
        assert_eq!(missing, 0);
        // What lies far away stays away.
        let far = start + (4 << 20);
        assert_ne!(missing_pages(far..far + (4 << 20)), Some(0));
    }
    map.populate(5..5).unwrap();
    let error = map.populate(0..map.len() + 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfBounds { len_bytes: 8 << 20 });
}

#[test]
fn the_first_page_beyond_the_end_is_named() {
    let scratch = Scratch::new();
    let path = scratch.join("file");
    for (backend, len, rest) in [
        (Backend::Map, 4 << 20, 2 << 20),
        (Backend::Map, 12 << 20, (9 << 20) + 1),
        (Backend::Map, 16 * page(), 3 * page()),
        (Backend::Read, 4 << 20, 1 << 20),
    ] {
        fs::write(&path, pattern(len)).unwrap();
        let offset = page() / 2;
        let map = Options::new().backend(backend).offset(offset as u64).open(&path).unwrap();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(rest as u64).unwrap();
        let error = map.populate(0..map.len()).unwrap_err();
        assert_eq!(error.operation(), Operation::Populate);
        assert_eq!(error.kind(), ErrorKind::Truncated { len_bytes: rest as u64 });
        // The last page of the file is there where it is mapped, up to its end.
        let first = match backend {
            Backend::Map => rest.next_multiple_of(page()) as u64,
            _ => rest as u64 / page() as u64 * page() as u64,
        };
        assert_eq!(error.range(), Some(first..first + page() as u64), "{backend:?} {len} {rest}");
        map.populate(0..rest - offset).unwrap();
    }
}

#[test]
fn a_file_that_is_not_mapped_is_cached() {
    let scratch = Scratch::new();
    let path = scratch.join("file");
    let file = File::create(&path).unwrap();
    file.write_all_at(&pattern(1 << 20), 0).unwrap();
    let options = Options::new().backend(Backend::Read);
    for is_asked_when_opened in [false, true] {
        evict(&file, 0, 0);
        if is_asked_when_opened {
            options.populate().open(&path).unwrap();
        } else {
            let map = options.open(&path).unwrap();
            map.populate(0..map.len()).unwrap();
        }
        if let Ok(stat) = bifolio_sys::fs::cachestat(&file, 0, None) {
            assert_eq!(stat.cached, (1 << 20) / page() as u64);
        }
    }
}

#[test]
fn written_pages_are_ready_to_be_written() {
    let scratch = Scratch::new();
    let path = scratch.file("file", &pattern(1 << 20));
    let map = SharedMap::open(&path).unwrap();
    map.populate_write(0..map.len()).unwrap();
    let write = || {
        let before = faults();
        for at in (0..map.len()).step_by(page()) {
            map.write_all_at(&[7], at).unwrap();
        }
        faults() - before
    };
    let faults = write();
    assert!(faults < NOISE, "writing took {faults} faults");

    OpenOptions::new().write(true).open(&path).unwrap().set_len(5 * page() as u64).unwrap();
    let error = map.populate_write(page()..map.len()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated { len_bytes: 5 * page() as u64 });
    assert_eq!(error.range(), Some(5 * page() as u64..6 * page() as u64));
}

#[test]
fn anonymous_memory_is_brought_in() {
    let len = 4 << 20;
    let map = AnonMap::new(len).unwrap();
    map.populate(0..len).unwrap();
    let start = map.as_ptr().addr();
    if let Some(missing) = missing_pages(start..start + len) {
        assert_eq!(missing, 0);
    }
    let map = AnonMap::new(len).unwrap();
    map.populate_write(page()..len).unwrap();
    let start = map.as_ptr().addr();
    if let Some(missing) = missing_pages(start..start + len) {
        assert_eq!(missing, 1);
    }
    assert!(map.iter().all(|&byte| byte == 0));
    assert!(faults_of_reading(&map) < NOISE);
}

#[test]
fn a_hole_in_a_full_file_system_is_named() {
    let Some(()) = scratch::can_mount().then_some(()) else { return };
    scratch::assert_plays(&mut scratch::mounting_child("full"));
}

/// A tmpfs of 1 MiB, filled; a page of a sparse file then has no room.
fn full() {
    let scratch = Scratch::new();
    let small = scratch.join("small");
    fs::create_dir(&small).unwrap();
    let mount = ["-t", "tmpfs", "-o", "size=1m", "none"];
    let mounted = std::process::Command::new("mount").args(mount).arg(&small).status().unwrap();
    if !mounted.success() {
        return println!("skipped: tmpfs cannot be mounted");
    }
    let sparse = File::create_new(small.join("sparse")).unwrap();
    sparse.write_all_at(&[1], 0).unwrap();
    sparse.set_len(2 << 20).unwrap();
    let filler = File::create_new(small.join("filler")).unwrap();
    while filler.write_at(&[0; 4096], filler.metadata().unwrap().len()).is_ok() {}

    let map = SharedMap::open(small.join("sparse")).unwrap();
    let error = map.populate_write(0..map.len()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
    assert_eq!(error.range(), Some(page() as u64..2 * page() as u64));
    let error = map.write_all_at(&[1; 10], 3 * page() - 5).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}");
    assert_eq!(error.range(), Some(3 * page() as u64 - 5..3 * page() as u64 + 5));
    read_hole(&small.join("sparse"), &map);
    let _ = std::process::Command::new("umount").arg("--lazy").arg(&small).status();
}

/// Mapping a hole takes a page that a full tmpfs has not; reading it by a system call does not.
fn read_hole(path: &Path, shared: &SharedMap) {
    let hole = |backend| Options::new().backend(backend).open(path).unwrap();
    let (map, read) = (hole(Backend::Map), hole(Backend::Read));
    let (len, error) = (map.len(), map.populate(0..map.len()).unwrap_err());
    assert_eq!(error.range(), Some(page() as u64..2 * page() as u64));
    let model: Vec<u8> = iter::once(1).chain(iter::repeat_n(0, len - 1)).collect();
    for view in [map.view(), shared.view(), map.by_syscall(), read.view()] {
        assert_eq!(view.read_to_vec(0..len).unwrap(), model);
        assert_eq!(view.load::<u8>(4 * page()).unwrap(), 0);
        assert_eq!(view.load::<[u8; 3]>(5 * page() - 1).unwrap(), [0; 3]);
        assert_eq!(view.find_byte(9, 0).unwrap(), None);
        assert_eq!(view.find(&[1, 0], 0).unwrap(), Some(0));
        assert_eq!(view.compare(&read.view()).unwrap(), None);
        let memory = SharedMap::anon(len).unwrap();
        assert_eq!(view.copy_to_view(&memory.view_mut()).unwrap(), len);
        assert_eq!(memory.read_to_vec(0..len).unwrap(), model);
    }
    // What must be one instruction cannot be had from the file.
    let atomic = shared.atomic::<u64>(4 * page()).unwrap();
    assert_eq!(atomic.load().unwrap_err().kind(), ErrorKind::NotAccessible);
    assert_eq!(atomic.fetch_add(1).unwrap_err().kind(), ErrorKind::NoSpace);
}

/// Where the children start.
#[test]
fn scenarios() {
    match scratch::scenario().as_deref() {
        None => {}
        Some("full") => full(),
        Some(other) => panic!("no scenario is called {other}"),
    }
}
