//! The work of the library: opening, reading, scanning, prefaulting.
//!
//! Each case makes its own file, does the same work through Bifolio and through the peer, and
//! returns the comparison. `scale` shrinks sizes where only the answers are checked.
//!
//! # Safety
//!
//! The peer's maps are unsafe to make; they are of files that only the benchmark knows.
#![allow(unsafe_code, reason = "the peer's constructor is unsafe")]

use crate::pair::{Bar, Outcome, compare};
use bifolio::{Access, FileMap, Pages};
use std::hint::black_box;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// Sizes and repetitions: full for measuring, small for checking answers.
#[derive(Clone, Copy)]
pub struct Scale {
    /// Divides the sizes of files.
    pub shrink: usize,
    /// How many rounds are counted.
    pub rounds: u32,
    /// Divides how often small work is repeated in a round.
    pub hurry: u32,
}

/// A named case.
pub struct Case {
    /// What it is called on the command line.
    pub name: &'static str,
    /// Runs it in a directory of its own.
    pub run: fn(&Path, Scale) -> Vec<Outcome>,
}

/// All cases, in the order of the report.
pub const CASES: &[Case] = &[
    Case { name: "open", run: open },
    Case { name: "read", run: read },
    Case { name: "scan", run: scan },
    Case { name: "prefault", run: prefault },
    Case { name: "fault", run: fault },
];

/// A file of `len` bytes that no page repeats, from a multiplicative congruential generator.
pub fn file(dir: &Path, name: &str, len: usize) -> PathBuf {
    let path = dir.join(name);
    let mut out = std::io::BufWriter::with_capacity(1 << 20, std::fs::File::create(&path).unwrap());
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..len.div_ceil(8) {
        state = next(state);
        // No byte 0xff, so that a search for it reads everything.
        out.write_all(&(state >> 1 & 0x7f7f_7f7f_7f7f_7f7f).to_le_bytes()).unwrap();
    }
    out.into_inner().unwrap().set_len(len as u64).unwrap();
    path
}

/// The next state of a linear congruential generator (Knuth's MMIX).
pub fn next(state: u64) -> u64 {
    state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407)
}

fn map_unsafely(path: &Path) -> memmap2::Mmap {
    // SAFETY: the benchmark's own file, which nobody changes.
    unsafe { memmap2::Mmap::map(&std::fs::File::open(path).unwrap()) }.unwrap()
}

fn open(dir: &Path, scale: Scale) -> Vec<Outcome> {
    let path = file(dir, "small", 5000);
    let mut ours = |repeat| {
        let mut sum = 0;
        for _ in 0..repeat {
            let map = FileMap::open(&path).unwrap();
            sum += u64::from(map.load::<u8>(17).unwrap());
        }
        sum
    };
    let mut peer = |repeat| {
        let mut sum = 0;
        for _ in 0..repeat {
            sum += u64::from(map_unsafely(&path)[17]);
        }
        sum
    };
    let work = "open + map + read 1 byte + unmap, 5 kB file / memmap2";
    let repeat = 5000 / scale.hurry;
    vec![compare(work, Bar::RatioMax(1.10), scale.rounds, repeat, &mut ours, &mut peer)]
}

fn read(dir: &Path, scale: Scale) -> Vec<Outcome> {
    let len = (1 << 20) / scale.shrink.min(8);
    let path = file(dir, "warm", len);
    let map = FileMap::open(&path).unwrap();
    let slice = map_unsafely(&path);
    // Both mappings are brought in, so that no fault is timed.
    assert_eq!(slice.iter().map(|&b| u64::from(b)).sum::<u64>(), sum_by_chunks(&map));
    let sizes = [
        (8, 400_000, Bar::MoreNsMax(3.0)),
        (64, 400_000, Bar::None),
        (512, 200_000, Bar::None),
        (4096, 40_000, Bar::RatioMax(1.05)),
        (16_384, 10_000, Bar::None),
        (65_536, 3_000, Bar::RatioMax(1.05)),
    ];
    sizes
        .into_iter()
        .map(|(size, repeat, bar)| {
            let (mut mine, mut theirs) = (vec![0; size], vec![0; size]);
            let steps = (len - size) / 64;
            let offset = move |i: u32| (i as usize).wrapping_mul(40_503) % steps * 64;
            let mut ours = |repeat| {
                let mut sum = 0;
                for i in 0..repeat {
                    map.read_exact_at(black_box(&mut mine), offset(i)).unwrap();
                    sum += u64::from(mine[0]);
                }
                sum
            };
            let mut peer = |repeat| {
                let mut sum = 0;
                for i in 0..repeat {
                    let at = offset(i);
                    black_box(&mut theirs).copy_from_slice(&slice[at..at + size]);
                    sum += u64::from(theirs[0]);
                }
                sum
            };
            let work = format!("read_exact_at of {size} B, warm / memcpy from a slice");
            compare(&work, bar, scale.rounds, repeat / scale.hurry, &mut ours, &mut peer)
        })
        .collect()
}

fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let words = words.iter().fold(0_u64, |sum, word| sum.wrapping_add(u64::from_le_bytes(*word)));
    rest.iter().fold(words, |sum, &byte| sum.wrapping_add(u64::from(byte)))
}

/// What a user writes to go over a file: the chunks of a view, in a buffer of the recommended size.
fn fold_chunks(map: &FileMap, step: impl Fn(u64, &[u8]) -> u64) -> u64 {
    let mut chunks = map.view().chunks([0; 4096]);
    let mut total = 0;
    while let Some(chunk) = chunks.next_chunk().unwrap() {
        total = step(total, chunk.bytes);
    }
    total
}

fn sum_by_chunks(map: &FileMap) -> u64 {
    fold_chunks(map, |total, chunk| total + chunk.iter().map(|&b| u64::from(b)).sum::<u64>())
}

fn scan(dir: &Path, scale: Scale) -> Vec<Outcome> {
    let path = file(dir, "large", (1 << 30) / scale.shrink);
    let map = FileMap::open(&path).unwrap();
    let slice = map_unsafely(&path);
    map.populate(0..map.len()).unwrap();
    black_box(sum(&slice));
    let mut ours = |_| fold_chunks(&map, |total, chunk| total.wrapping_add(sum(chunk)));
    let mut plain = |_| sum(&slice);
    let mut by_read = |_| {
        let mut file = std::fs::File::open(&path).unwrap();
        let mut buf = vec![0; 1 << 16];
        let mut total = 0_u64;
        loop {
            match file.read(&mut buf).unwrap() {
                0 => return total,
                len => total = total.wrapping_add(sum(&buf[..len])),
            }
        }
    };
    let mut find = |_| map.view().find_byte(0xff, 0).unwrap().map_or(u64::MAX, |at| at as u64);
    let mut memchr = |_| memchr::memchr(0xff, &slice).map_or(u64::MAX, |at| at as u64);
    let slice_bar = Bar::RatioMax(1.0 / 0.95);
    let read_bar = Bar::RatioMax(1.0 / 1.5);
    vec![
        compare(
            "sum of 1 GiB by chunks, warm / over an unsafe slice",
            slice_bar,
            scale.rounds,
            1,
            &mut ours,
            &mut plain,
        ),
        compare(
            "sum of 1 GiB by chunks, warm / read(2) in 64 KiB blocks",
            read_bar,
            scale.rounds,
            1,
            &mut ours,
            &mut by_read,
        ),
        compare(
            "find_byte over 1 GiB, warm / memchr over an unsafe slice",
            slice_bar,
            scale.rounds,
            1,
            &mut find,
            &mut memchr,
        ),
    ]
}

fn prefault(dir: &Path, scale: Scale) -> Vec<Outcome> {
    let path = file(dir, "prefault", (256 << 20) / scale.shrink);
    // Mapping, unmapping and the proof that all is there are outside of what is compared only in
    // that both sides do the same.
    let mut ours = |_| {
        let map = FileMap::open(&path).unwrap();
        map.populate(0..map.len()).unwrap();
        map.len() as u64
    };
    let mut madvise = |_| {
        let map = map_unsafely(&path);
        map.advise(memmap2::Advice::PopulateRead).unwrap();
        map.len() as u64
    };
    let mut touch = |_| {
        let map = map_unsafely(&path);
        let sum: u64 = map.iter().step_by(1 << 16).map(|&b| u64::from(b)).sum();
        black_box(sum);
        map.len() as u64
    };
    vec![
        compare(
            "prefault of 256 MiB / MADV_POPULATE_READ",
            Bar::RatioMax(1.0 / 3.0),
            scale.rounds,
            1,
            &mut ours,
            &mut madvise,
        ),
        compare(
            "prefault of 256 MiB / a touch every 64 KiB",
            Bar::RatioMax(1.10),
            scale.rounds,
            1,
            &mut ours,
            &mut touch,
        ),
    ]
}

/// What a fault costs that is survived and explained, and what access by system call costs.
fn fault(dir: &Path, scale: Scale) -> Vec<Outcome> {
    let path = file(dir, "cut", 1 << 16);
    let map = FileMap::open(&path).unwrap();
    std::fs::File::options().write(true).open(&path).unwrap().set_len(4096).unwrap();
    let (view, by_syscall) = (map.view(), map.view().by_syscall());
    let errors = |view: bifolio::View<'_>, repeat: u32| {
        (0..repeat).map(|_| u64::from(view.load::<u64>(1 << 15).is_err())).sum()
    };
    let words = |view: bifolio::View<'_>, repeat: u32| {
        (0..repeat).map(|_| view.load::<u64>(8).unwrap() & 1).sum()
    };
    let repeat = 20_000 / scale.hurry;
    vec![
        compare(
            "a load from a page that is gone, with its explanation / the same by system call",
            Bar::None,
            scale.rounds,
            repeat,
            &mut |repeat| errors(view, repeat),
            &mut |repeat| errors(by_syscall, repeat),
        ),
        compare(
            "a load by system call / a guarded one",
            Bar::None,
            scale.rounds,
            repeat,
            &mut |repeat| words(by_syscall, repeat),
            &mut |repeat| words(view, repeat),
        ),
    ]
}

/// A directory for a case's files, below the directory that was asked for.
pub fn scratch(parent: Option<&Path>) -> TempDir {
    let mut builder = tempfile::Builder::new();
    builder.prefix("bifolio-bench-");
    match parent {
        Some(parent) => builder.tempdir_in(parent),
        None => builder.tempdir(),
    }
    .unwrap()
}
