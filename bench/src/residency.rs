//! What is in memory, by parts; taking it out; and bringing it in from the disk.
//!
//! - **buckets**: a file of which little is cached, and one of which all is, cut into 2,000 and
//!   32,000 parts, beside mincore(2) of a mapping of all of it, which is how vmtouch and fincore
//!   ask. Mapping is in both times, as it is in theirs.
//! - **evict**: with the counting before and after, beside posix_fadvise(2) alone, which does not
//!   say what it left.
//! - **cold**: the file is evicted before each time, which is not timed; then it is brought in and
//!   mapped. Beside each way that there is: touching with the kernel's read-ahead, hints and
//!   `MADV_POPULATE_READ`, and one thread that reads. The file system and the disk decide, so these
//!   have no bars. With a random pattern, which the peer is not spared from, the file is small.
//!
//! # Safety
//!
//! The peers are system calls on maps of files that only the benchmark knows.
#![allow(unsafe_code, reason = "the peers are system calls")]

use crate::cases::{Case, Scale, file};
use crate::pair::{Bar, Outcome, compare};
use bifolio::page::page_size;
use bifolio::{Access, Dirty, FileMap, Pages, Pattern, Residency, memory};
use std::fs::File;
use std::hint::black_box;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

/// All cases, in the order of the report.
pub const CASES: &[Case] = &[
    Case { name: "buckets", run: buckets },
    Case { name: "evict", run: evict },
    Case { name: "cold", run: cold },
];

fn map_unsafely(file: &File) -> memmap2::Mmap {
    // SAFETY: the benchmark's own file, which nobody changes.
    unsafe { memmap2::Mmap::map(file) }.unwrap()
}

fn resident(buckets: &[Residency]) -> u64 {
    let pages = buckets.iter().map(|bucket| match bucket {
        Residency::Known(pages) => pages.resident_pages,
        other => panic!("{other:?}"),
    });
    pages.sum()
}

fn by_mincore(file: &File) -> u64 {
    let map = map_unsafely(file);
    let mut answers = vec![0_u8; map.len().div_ceil(page_size().bytes())];
    // SAFETY: a byte is written for each page of the map, and as many there are.
    let answer =
        unsafe { libc::mincore(map.as_ptr().cast_mut().cast(), map.len(), answers.as_mut_ptr()) };
    assert_eq!(answer, 0);
    answers.iter().map(|&answer| u64::from(answer & 1)).sum()
}

fn drop_cache(file: &File) {
    file.sync_all().unwrap();
    // SAFETY: it takes numbers only.
    let answer = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    assert_eq!(answer, 0);
}

fn read(file: &File, len: u64) {
    let mut buffer = vec![0; 1 << 20];
    for at in (0..len).step_by(buffer.len()) {
        file.read_at(&mut buffer, at).unwrap();
    }
}

fn buckets(dir: &Path, scale: Scale) -> Vec<Outcome> {
    let sparse = File::create_new(dir.join("sparse")).unwrap();
    let len = (10_u64 << 30) / scale.shrink as u64;
    sparse.set_len(len).unwrap();
    let sparse = File::open(dir.join("sparse")).unwrap();
    let mut word = [0; 8];
    for at in (0..len).step_by((len / 64) as usize) {
        sparse.read_exact_at(&mut word, at).unwrap();
    }
    let full = File::open(file(dir, "full", (256 << 20) / scale.shrink)).unwrap();
    full.sync_all().unwrap();
    let mut outcomes = vec![];
    for (name, file, bar) in [
        ("10 GiB mostly not cached", &sparse, Bar::RatioMax(0.2)),
        ("256 MiB all cached", &full, Bar::None),
    ] {
        let len = file.metadata().unwrap().len();
        read(file, if len < 1 << 30 { len } else { 0 });
        for count in [60, 2_000, 32_000] {
            let mut answers = vec![Residency::default(); count];
            outcomes.push(compare(
                &format!("residency of {name}, {count} buckets / mincore"),
                bar,
                scale.rounds,
                1,
                &mut |_| {
                    memory::cached(file, 0..len, &mut answers).unwrap();
                    resident(&answers)
                },
                &mut |_| by_mincore(file),
            ));
        }
    }
    outcomes
}

fn evict(dir: &Path, scale: Scale) -> Vec<Outcome> {
    let file = File::open(file(dir, "evicted", (64 << 20) / scale.shrink)).unwrap();
    let len = file.metadata().unwrap().len();
    file.sync_all().unwrap();
    let (mut ours, mut peer) = (vec![], vec![]);
    for _ in 0..scale.rounds {
        read(&file, len);
        let start = Instant::now();
        let evicted = memory::evict(&file, 0..len, Dirty::Leave).unwrap();
        ours.push(start.elapsed().as_nanos() as f64);
        assert_eq!(resident(&[evicted.after]), 0);
        read(&file, len);
        let start = Instant::now();
        drop_cache(&file);
        peer.push(start.elapsed().as_nanos() as f64);
        assert_eq!(by_mincore(&file), 0);
    }
    let work = "evict 64 MiB and count what stayed / posix_fadvise alone";
    vec![Outcome::of(work, Bar::RatioMax(1.5), ours, peer)]
}

/// Brings in and maps all pages of a map.
type Bring = fn(&File, &memmap2::Mmap);

fn touch(_: &File, map: &memmap2::Mmap) {
    black_box(map.iter().step_by(1 << 16).map(|&byte| u64::from(byte)).sum::<u64>());
}

fn hint(_: &File, map: &memmap2::Mmap) {
    for at in (0..map.len()).step_by(32 << 20) {
        let len = (32 << 20).min(map.len() - at);
        map.advise_range(memmap2::Advice::WillNeed, at, len).unwrap();
    }
    map.advise(memmap2::Advice::PopulateRead).unwrap();
}

fn read_and_touch(file: &File, map: &memmap2::Mmap) {
    read(file, map.len() as u64);
    touch(file, map);
}

fn populate_at_random(_: &File, map: &memmap2::Mmap) {
    map.advise(memmap2::Advice::Random).unwrap();
    map.advise(memmap2::Advice::PopulateRead).unwrap();
}

fn cold(dir: &Path, scale: Scale) -> Vec<Outcome> {
    let large = file(dir, "large", (128 << 20) / scale.shrink);
    let small = file(dir, "small", (16 << 20) / scale.shrink);
    let peers: [(&str, &Path, Pattern, Bring, Bar); 4] = [
        ("128 MiB / a touch every 64 KiB", &large, Pattern::Normal, touch, Bar::None),
        ("128 MiB / WILLNEED, POPULATE_READ", &large, Pattern::Normal, hint, Bar::None),
        ("128 MiB / one reader, touches", &large, Pattern::Normal, read_and_touch, Bar::None),
        (
            "16 MiB told to be random / POPULATE_READ",
            &small,
            Pattern::Random,
            populate_at_random,
            Bar::RatioMax(0.5),
        ),
    ];
    let compare = |(name, path, pattern, bring, bar): (&str, &Path, Pattern, Bring, Bar)| {
        let (mut ours, mut peer) = (vec![], vec![]);
        let file = File::open(path).unwrap();
        for _ in 0..scale.rounds {
            drop_cache(&file);
            let start = Instant::now();
            let map = FileMap::open(path).unwrap();
            map.access(0..map.len(), pattern).unwrap();
            map.populate(0..map.len()).unwrap();
            ours.push(start.elapsed().as_nanos() as f64);
            let len = map.len().div_ceil(page_size().bytes()) as u64;
            assert_eq!(by_mincore(&file), len);
            drop(map);
            drop_cache(&file);
            let start = Instant::now();
            let map = map_unsafely(&file);
            bring(&file, &map);
            peer.push(start.elapsed().as_nanos() as f64);
            assert_eq!(by_mincore(&file), len);
        }
        Outcome::of(&format!("populate from the disk, {name}"), bar, ours, peer)
    };
    peers.map(compare).into()
}
