//! What is in memory of a mapping is counted exactly: small pages, huge ones, and those in swap.
//!
//! # Safety
//!
//! The kernel is told to begin to write, by a call that takes a descriptor and numbers.
#![allow(unsafe_code, reason = "sync_file_range of libc")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "the call takes no pointer")]

mod scratch;

use bifolio_map::{
    Access, AccessMut, AnonMap, Backend, ErrorKind, FileMap, HugePages, Options, Pages, PrivateMap,
    Residency, SharedMap, Untold, memory, page,
};
use bifolio_sys::fs::MemfdFlags;
use scratch::cache::{PAGES, attempts, cached, half_cached, known, page};
use scratch::{Scratch, assert_plays, filter, fuse, mounting_child, pattern, scenario};
use std::fs::{self, File, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::Path;

/// `cachestat` in the kernel's table, which is the same on every architecture.
const SYS_CACHESTAT: libc::c_long = 451;

#[test]
fn the_owner_hears_how_much_of_a_file_is_cached() {
    let scratch = Scratch::new();
    let path = scratch.join("file");
    let (file, _locked) = half_cached(&path);
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
    let (file, _locked) = half_cached(&path);
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
fn pages_that_are_being_written_are_told_apart() {
    if scratch::can_mount() {
        assert_plays(&mut mounting_child("being-written"));
    }
}

/// The server of the file system tells that they are on the disk when it is told to.
fn being_written() {
    let scratch = Scratch::new();
    let mount = scratch.join("mount");
    fs::create_dir(&mount).unwrap();
    let (gate, content) = (fuse::Gate::default(), fuse::Content(pattern(64 * page())));
    if !fuse::serve_behind(gate.clone(), content, &mount) {
        return println!("skipped: no FUSE here");
    }
    let map = SharedMap::open(mount.join("file")).unwrap();
    let states = || {
        let cache = known(map.residency(0..map.len()).unwrap()).cache?;
        Some((cache.dirty_pages, cache.writeback_pages))
    };
    for at in [3, 4, 9] {
        map.store(&1_u8, at * page()).unwrap();
    }
    let written = states();
    let file = map.fd().unwrap().as_raw_fd();
    let begun = unsafe { libc::sync_file_range(file, 0, 0, libc::SYNC_FILE_RANGE_WRITE) };
    let being_written = states();
    // Nothing is asserted before: who ends waits for the pages.
    gate.open();
    map.flush(0..map.len()).unwrap();
    assert_eq!(begun, 0);
    let Some((dirty, writeback)) = written else {
        return println!("skipped: there is no cachestat here");
    };
    // The kernel may begin to write by itself.
    assert_eq!(dirty + writeback, 3, "{written:?}");
    match being_written.unwrap() {
        // Before Linux 6.16 FUSE writes copies of the pages.
        (0, 0) => println!("skipped: this kernel writes pages of FUSE elsewhere"),
        states => assert_eq!(states, (0, 3)),
    }
    assert_eq!(states(), Some((0, 0)));
    drop(map);
    let _ = std::process::Command::new("umount").arg("-l").arg(&mount).status();
}

/// Where the children start.
#[test]
fn scenarios() {
    match scenario().as_deref() {
        None => {}
        Some("being-written") => being_written(),
        Some(other) => panic!("no scenario is called {other}"),
    }
}

/// Only the kernel's reclaim leaves a trace, and only cachestat(2) tells of it.
#[test]
fn what_was_pushed_out_is_told_where_the_kernel_tells_it() {
    attempts(|| {
        let scratch = Scratch::new();
        let path = scratch.file("file", &pattern(PAGES * page()));
        let file = File::open(&path).unwrap();
        file.sync_all().unwrap();
        let map = FileMap::open(&path).unwrap();
        let traces = |answer: Residency| {
            known(answer).cache.map(|cache| (cache.evicted_pages, cache.recently_evicted_pages))
        };
        let of_file = || traces(cached(&file, 0..map.len() as u64, 1)[0]);
        map.evict(0..map.len(), bifolio_map::Dirty::Leave).unwrap();
        match of_file() {
            Some(traces) => assert_eq!(traces, (0, 0), "nobody needed the memory"),
            None => return println!("skipped: there is no cachestat here"),
        }
        map.populate(0..map.len()).unwrap();
        map.advise(0..map.len(), bifolio_map::Advice::PageOut).unwrap();
        let Some((evicted, recently)) = of_file() else { panic!() };
        if evicted == 0 {
            return println!("skipped: the kernel took nothing back");
        }
        assert!(
            evicted <= PAGES as u64 && (1..=evicted).contains(&recently),
            "{evicted} {recently}"
        );
        assert_eq!(traces(map.residency(0..map.len()).unwrap()), Some((evicted, recently)));
        // They are no pages in memory, and none when they have come back.
        map.populate(0..map.len()).unwrap();
        let left = of_file().unwrap().0;
        assert!(left < evicted, "{left} of {evicted}");
        let is_told = filter::under(SYS_CACHESTAT, None, libc::ENOSYS, || {
            assert_eq!(of_file(), None, "it is not told, and not guessed");
            assert_eq!(traces(map.residency(0..map.len()).unwrap()), None);
        });
        if !is_told {
            println!("skipped: cachestat cannot be refused");
        }
    });
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
    AccessMut::fill(&map, 0..5 * page(), 1).unwrap();
    let resident = known(map.residency(0..map.len()).unwrap());
    assert_eq!((resident.total_pages, resident.resident_pages), (64, 5));
}

#[test]
fn a_loaded_file_is_memory() {
    let map = FileMap::open("/proc/self/smaps").unwrap();
    let resident = known(map.residency(0..map.len()).unwrap());
    assert_eq!(resident.fraction(), 1.0);
}

#[test]
fn buckets_cover_the_range_and_count_it_once() {
    let scratch = Scratch::new();
    let path = scratch.join("file");
    let (_, _locked) = half_cached(&path);
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

#[test]
fn huge_pages_are_counted() {
    let size = bifolio_map::page::page_size().bytes() * 512;
    let mut map = Options::new().huge_pages(HugePages::Transparent).anon(4 * size).unwrap();
    map[0] = 1;
    for at in (2 * size..map.len()).step_by(page()) {
        map[at] = 1;
    }
    let start = map.as_ptr().addr();
    let mut buckets = [Residency::default(); 37];
    map.residency_by(0..map.len(), &mut buckets).unwrap();
    let Some(expected) = smaps(start, "AnonHugePages:") else {
        return println!("skipped: the kernel does not tell which pages are huge");
    };
    let huge: Option<u64> = buckets.iter().map(|&bucket| known(bucket).huge_pages).sum();
    match huge {
        None => println!("skipped: the page tables cannot be asked"),
        Some(huge) => assert_eq!(huge * page() as u64, expected),
    }
    if expected == 0 {
        println!("skipped: no huge page was to be had");
    }
    assert_eq!(known(map.residency(size..size).unwrap()).huge_pages, None);
}

/// What smaps tells of the mapping that starts there, in bytes.
fn smaps(start: usize, field: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/self/smaps").ok()?;
    let mut lines = text.lines().skip_while(|line| !line.starts_with(&format!("{start:x}-")));
    let line = lines.find(|line| line.starts_with(field))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? << 10)
}

/// The kernel marks them as it marks pages in swap.
#[test]
fn guard_pages_are_not_in_swap() {
    let reservation = Options::new().reservation(64 * page()).unwrap();
    reservation.commit(0..64 * page()).unwrap();
    if let Err(error) = reservation.guard(4 * page()..8 * page()) {
        return println!("skipped: {error}");
    }
    let resident = known(reservation.residency(0..64 * page()).unwrap());
    assert_eq!(resident.resident_pages, 0);
    assert!(matches!(resident.swapped_pages, None | Some(0)), "{resident:?}");
}

/// A small swap file, used as long as this lives.
struct Swap(std::path::PathBuf);

impl Swap {
    fn new(scratch: &Scratch) -> Option<Swap> {
        let path = scratch.file("swap", &vec![0; 16 << 20]);
        fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        let is_on = ["mkswap", "swapon"].iter().all(|tool| run(tool, &path));
        if !is_on {
            println!("skipped: no swap can be had");
        }
        is_on.then_some(Swap(path))
    }
}

impl Drop for Swap {
    fn drop(&mut self) {
        run("swapoff", &self.0);
    }
}

fn run(tool: &str, path: &Path) -> bool {
    let mut command = std::process::Command::new(tool);
    command.arg(path).env("PATH", "/usr/sbin:/sbin:/usr/bin:/bin");
    command.output().is_ok_and(|output| output.status.success())
}

#[test]
fn pages_in_swap_are_counted() {
    let scratch = Scratch::new();
    let Some(_swap) = Swap::new(&scratch) else { return };
    let mut map = AnonMap::new(100 * page()).unwrap();
    map[..60 * page()].fill(1);
    map.advise(0..40 * page(), bifolio_map::Advice::PageOut).unwrap();
    let start = map.as_ptr().addr();
    let mut buckets = [Residency::default(); 7];
    map.residency_by(0..map.len(), &mut buckets).unwrap();
    let swapped: u64 = buckets.iter().map(|&b| known(b).swapped_pages.unwrap_or(0)).sum();
    assert_eq!(swapped * page() as u64, smaps(start, "Swap:").unwrap());
    assert!(swapped > 0, "nothing was swapped out");
    assert_eq!(known(*buckets.last().unwrap()).swapped_pages, Some(0));

    let map = SharedMap::anon(10 * page()).unwrap();
    assert_eq!(known(map.residency(0..map.len()).unwrap()).swapped_pages, None);
    let map = SharedMap::memfd("swap", 64 * page()).unwrap();
    AccessMut::fill(&map, 0..64 * page(), 1).unwrap();
    map.advise(0..64 * page(), bifolio_map::Advice::PageOut).unwrap();
    let resident = known(map.residency(0..map.len()).unwrap());
    if resident.cache.is_none() {
        return println!("skipped: there is no cachestat here");
    }
    let swapped = resident.swapped_pages.unwrap();
    assert!(swapped > 0, "{resident:?}");
    assert!(resident.resident_pages + swapped >= 64, "{resident:?}");
}

/// Of the pool of huge pages: what this process has touched, and of files all or nothing.
#[test]
fn pages_of_the_pool_are_counted() {
    let Ok(size) = page::default_huge_page_size() else {
        return println!("skipped: no huge pages here");
    };
    let Some(_pool) = Pool::with_pages(4) else { return };
    let map = Options::new().huge_pages(HugePages::Pool(None)).huge(2 * size.bytes()).unwrap();
    let small = size.bytes() as u64 / page() as u64;
    AccessMut::store(&map, &1_u8, 5).unwrap();
    let whole = known(map.residency(0..map.len()).unwrap());
    assert_eq!((whole.total_pages, whole.resident_pages), (2 * small, small));
    if let Some(huge) = whole.huge_pages {
        assert_eq!(huge, small);
    }
    let edge = known(map.residency(size.bytes() - 1..size.bytes() + 1).unwrap());
    assert_eq!((edge.total_pages, edge.resident_pages), (2, 1));

    let file = bifolio_sys::fs::memfd_create(c"pool", MemfdFlags::HUGETLB | MemfdFlags::CLOEXEC);
    let file = File::from(file.unwrap());
    file.set_len(2 * size.bytes() as u64).unwrap();
    let range = || 0..2 * size.bytes() as u64;
    assert_eq!(known(cached(&file, range(), 1)[0]).resident_pages, 0);
    let map = SharedMap::from_file(file.try_clone().unwrap()).unwrap();
    for (touched, expected) in [(0, None), (size.bytes(), Some(2 * small))] {
        AccessMut::store(&map, &1_u8, touched).unwrap();
        let answers = [cached(&file, range(), 1)[0], map.residency(0..map.len()).unwrap()];
        for answer in answers {
            match (answer, expected) {
                (Residency::Known(pages), Some(count)) => assert_eq!(pages.resident_pages, count),
                (Residency::Unknown(Untold::NotOffered), None) => {}
                wrong => panic!("{wrong:?}"),
            }
        }
    }
}

/// The pool of huge pages with some free ones, and made what it was when dropped.
struct Pool;

impl Pool {
    const FILE: &str = "/proc/sys/vm/nr_hugepages";

    fn with_pages(pages: usize) -> Option<Pool> {
        if fs::read_to_string(Pool::FILE).is_ok_and(|count| count.trim() != "0")
            || fs::write(Pool::FILE, pages.to_string()).is_err()
        {
            println!("skipped: the pool of huge pages is in use, or not to be changed");
            return None;
        }
        let pool = Pool;
        let now = fs::read_to_string(Pool::FILE).unwrap();
        if now.trim() != pages.to_string() {
            println!("skipped: only {} huge pages were to be had", now.trim());
            return None;
        }
        Some(pool)
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let _ = fs::write(Pool::FILE, "0");
    }
}
