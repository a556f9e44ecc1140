//! The drop-in beside the crate whose interface it has: the same names and answers, and the same
//! time.
//!
//! # Safety
//!
//! The maps are of files that only the benchmark knows.
#![allow(unsafe_code, reason = "the constructors of both are unsafe")]

mod api;
mod programs;
mod same;

use crate::cases::{Case, Scale};
use crate::pair::{Bar, Outcome, compare};
use std::fs::File;
use std::hint::black_box;
use std::io::{Seek, Write};
use std::os::fd::FromRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case { name: "dropin-same", run: answers },
    Case { name: "dropin-open", run: open },
    Case { name: "dropin-cat", run: cat },
    Case { name: "dropin-programs", run: programs::programs },
];

const BAR: Bar = Bar::RatioMax(1.03);

/// Compares names, types and answers, and shows the peer's fault; there is nothing to time.
fn answers(dir: &Path, _: Scale) -> Vec<Outcome> {
    let forgotten = api::forgotten(&peer_source());
    assert!(forgotten.is_empty(), "not compared: {forgotten:?}");
    assert_eq!(api::ours::advice(), api::peer::advice());
    let count = same::compared(dir);
    let [ours, peer] = same::neighbours(dir);
    assert_eq!(ours, (false, false), "ours advised on what lies behind a map");
    assert_eq!(peer, (true, true), "the peer's fault is gone: say so in docs/memmap2.md");
    eprintln!("memmap2: {count} answers agree; the peer advises on its neighbour, ours does not");
    vec![]
}

/// The source of the peer, as cargo has it.
fn peer_source() -> String {
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--locked", "--manifest-path"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let end = text.find("/memmap2-0.9.12/Cargo.toml").expect("cargo names the peer's manifest");
    let start = text[..end].rfind('"').expect("a path in quotes") + 1;
    let src = PathBuf::from(&text[start..end]).join("memmap2-0.9.12/src");
    let read = |name: &str| std::fs::read_to_string(src.join(name)).unwrap();
    read("lib.rs") + &read("advice.rs")
}

/// Opens, maps, looks at the length and unmaps, with each crate.
macro_rules! map_and_unmap {
    ($memmap2:ident, $path:expr) => {
        |repeat| {
            let mut sum = 0;
            for _ in 0..repeat {
                let file = File::open($path).unwrap();
                // SAFETY: nobody changes the file.
                let map = unsafe { $memmap2::Mmap::map(&file) }.unwrap();
                sum += black_box(&map).len() as u64;
            }
            sum
        }
    };
}

/// The same with memory.
macro_rules! map_memory {
    ($memmap2:ident) => {
        |repeat| {
            (0..repeat)
                .map(|_| black_box($memmap2::MmapMut::map_anon(5000).unwrap()).len() as u64)
                .sum()
        }
    };
}

/// Reads bytes by index.
macro_rules! index {
    ($map:expr) => {
        |repeat| {
            let map = &$map;
            let mut at = 0_usize;
            let mut sum = 0;
            for _ in 0..repeat {
                at = (at + 4093) % map.len();
                sum += u64::from(black_box(map)[at]);
            }
            sum
        }
    };
}

fn open(dir: &Path, scale: Scale) -> Vec<Outcome> {
    let path = &dir.join("small");
    std::fs::write(path, [7; 5000]).unwrap();
    let (repeat, rounds) = (5000 / scale.hurry, scale.rounds);
    let mut ours = map_and_unmap!(bifolio_memmap2, path);
    let mut peer = map_and_unmap!(memmap2, path);
    let mut all = vec![];
    let work = "open + map + unmap, 5 kB file / memmap2";
    all.push(compare(work, BAR, rounds, repeat, &mut ours, &mut peer));
    let held: Vec<_> = (0..10_000 / scale.shrink)
        // SAFETY: nobody changes the file.
        .map(|_| unsafe { bifolio_memmap2::Mmap::map(&File::open(path).unwrap()) }.unwrap())
        .collect();
    let work = "the same while ten thousand maps are alive / memmap2";
    all.push(compare(work, BAR, rounds, repeat, &mut ours, &mut peer));
    drop(held);
    let (mut ours, mut peer) = (map_memory!(bifolio_memmap2), map_memory!(memmap2));
    let work = "map + unmap 5 kB of memory / memmap2";
    all.push(compare(work, Bar::None, rounds, repeat, &mut ours, &mut peer));
    let file = File::open(path).unwrap();
    // SAFETY: nobody changes the file.
    let mine = unsafe { bifolio_memmap2::Mmap::map(&file) }.unwrap();
    // SAFETY: as above.
    let theirs = unsafe { memmap2::Mmap::map(&file) }.unwrap();
    let (mut ours, mut peer) = (index!(mine), index!(theirs));
    let work = "a byte by index, warm / memmap2";
    all.push(compare(work, BAR, rounds, 1_000_000 / scale.hurry, &mut ours, &mut peer));
    all
}

/// The work of memmap2's own example: a file is mapped and written to an output, here to memory.
macro_rules! cat {
    ($memmap2:ident, $path:expr, $out:expr) => {
        |repeat| {
            for _ in 0..repeat {
                let file = File::open($path).unwrap();
                // SAFETY: nobody changes the file.
                let map = unsafe { $memmap2::Mmap::map(&file) }.unwrap();
                let mut out: &File = $out;
                out.rewind().unwrap();
                out.write_all(&map[..]).unwrap();
            }
            $out.metadata().unwrap().len()
        }
    };
}

fn cat(dir: &Path, scale: Scale) -> Vec<Outcome> {
    let (path, out) = (&dir.join("data"), &memory_file());
    std::fs::write(path, vec![7; (64 << 20) / scale.shrink]).unwrap();
    let mut ours = cat!(bifolio_memmap2, path, out);
    let mut peer = cat!(memmap2, path, out);
    let work = "memmap2's example `cat`, 64 MiB to memory / memmap2";
    vec![compare(work, BAR, scale.rounds, 4, &mut ours, &mut peer)]
}

fn memory_file() -> File {
    // SAFETY: memfd_create(2) reads a name, which is constant.
    let fd = unsafe { libc::memfd_create(c"out".as_ptr(), libc::MFD_CLOEXEC) };
    assert!(fd >= 0);
    // SAFETY: the kernel has just made it for this call.
    unsafe { File::from_raw_fd(fd) }
}
