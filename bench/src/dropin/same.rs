//! What the two crates answer to the same requests, odd ones first of all: the same bytes, the same
//! errors.
//!
//! # Safety
//!
//! The maps are of files that only the benchmark knows.
#![allow(unsafe_code, reason = "the constructors of both are unsafe")]

use std::path::Path;

/// Gives each crate the same requests, and returns its answers as text.
macro_rules! answers {
    ($memmap2:ident, $dir:expr) => {{
        use std::fs::{File, OpenOptions};
        use std::io::Result;
        use $memmap2::{Advice, Mmap, MmapMut, MmapOptions, RemapOptions};

        /// What is left of a result: bytes, or kind and errno.
        fn told<T: AsRef<[u8]>>(result: Result<T>) -> String {
            match result {
                Ok(map) => {
                    let map = map.as_ref();
                    let sum =
                        map.iter().fold(0_u64, |sum, &byte| sum * 31 % 1_000_003 + u64::from(byte));
                    format!("{} bytes, {sum}", map.len())
                }
                Err(error) => format!("{:?} {:?}", error.kind(), error.raw_os_error()),
            }
        }
        fn done(result: Result<()>) -> String {
            told(result.map(|()| [0; 0]))
        }

        let page = 4096_usize;
        let path = $dir.join("answers");
        std::fs::write(&path, (0..3 * page + 77).map(|at| at as u8).collect::<Vec<_>>()).unwrap();
        let written = OpenOptions::new().read(true).write(true).open(&path).unwrap();
        let read = File::open(&path).unwrap();
        let only_written = OpenOptions::new().write(true).open(&path).unwrap();
        let directory = File::open($dir).unwrap();
        let (pipe, _end) = std::io::pipe().unwrap();
        let empty = File::create_new($dir.join("empty"))
            .map(drop)
            .and_then(|()| OpenOptions::new().read(true).write(true).open($dir.join("empty")));
        std::fs::remove_file($dir.join("empty")).unwrap();
        let empty = empty.unwrap();
        let mut answers = Vec::new();
        let offsets = [0, 1, 4095, 4096, 12365, 12366, 1 << 40, i64::MAX as u64, u64::MAX];
        let lens =
            [None, Some(0), Some(1), Some(4096), Some(5000), Some(1 << 60), Some(usize::MAX)];
        for offset in offsets {
            for len in lens {
                let mut options = MmapOptions::new();
                options.offset(offset);
                if let Some(len) = len {
                    options.len(len);
                }
                // Bytes beyond the end would be a signal to read.
                let end = len.map_or(Some(0), |len| offset.checked_add(len as u64));
                let is_inside = end.is_some_and(|end| end <= 3 * page as u64 + 77);
                let show = |map: Result<Mmap>| match map {
                    Ok(map) if !is_inside => format!("{} bytes", map.len()),
                    map => told(map),
                };
                // A huge offset makes the peer overflow while it counts, in debug mode.
                if len.is_some_and(|len| len > 1 << 59) && offset > 1 << 50 {
                    continue;
                }
                let at = format!("{offset} {len:?}");
                // SAFETY: nobody changes the file.
                answers.push(format!("map {at}: {}", show(unsafe { options.map(&read) })));
                // SAFETY: as above.
                let copy = unsafe { options.map_copy_read_only(&read) };
                answers.push(format!("copy {at}: {}", show(copy)));
                // SAFETY: as above.
                answers
                    .push(format!("directory {at}: {}", show(unsafe { options.map(&directory) })));
                // SAFETY: as above.
                answers.push(format!("pipe {at}: {}", show(unsafe { options.map(&pipe) })));
                // SAFETY: as above.
                answers.push(format!(
                    "write-only {at}: {}",
                    show(unsafe { options.map(&only_written) })
                ));
                // SAFETY: as above.
                answers.push(format!("closed {at}: {}", show(unsafe { options.map(1 << 29) })));
            }
        }
        // SAFETY: as above.
        answers.push(told(unsafe { MmapMut::map_mut(&read) }));
        // SAFETY: as above.
        answers.push(told(unsafe { MmapOptions::new().map_copy(&read) }));
        // SAFETY: as above.
        answers.push(told(unsafe { Mmap::map(&read) }.and_then(Mmap::make_mut)));
        // SAFETY: as above.
        answers.push(told(unsafe { Mmap::map(&empty) }));
        // SAFETY: as above.
        answers.push(told(unsafe { Mmap::map(&empty) }.and_then(Mmap::make_mut)));
        for len in [0, 1, 4096, 5000, isize::MAX as usize, usize::MAX] {
            answers.push(format!("anon {len}: {}", told(MmapMut::map_anon(len))));
        }
        for bits in [1, 13, 21, 63] {
            let huge = MmapOptions::new().huge(Some(bits)).len(1 << 21).map_anon();
            answers.push(format!(
                "huge {bits}: {}",
                huge.map_or_else(|e| format!("{e:?}"), |_| "a map".into())
            ));
        }
        // SAFETY: as above.
        let mut map = unsafe { MmapOptions::new().offset(5).map_mut(&written) }.unwrap();
        for (offset, len) in
            [(0, 0), (0, 9), (4000, 200), (0, 12360), (12360, 0), (12360, 1), (1, 12360)]
        {
            answers.push(format!("flush {offset} {len}: {}", done(map.flush_range(offset, len))));
            let flushed = map.flush_async_range(offset, len);
            answers.push(format!("flush {offset} {len}: {}", done(flushed)));
        }
        for (offset, len) in [(0, 0), (0, 9), (4000, 200), (0, 12360), (12360, 0), (12361, 0)] {
            let advised = map.advise_range(Advice::Random, offset, len);
            answers.push(format!("advise {offset} {len}: {}", done(advised)));
        }
        answers.push(done(map.lock()));
        answers.push(done(map.unlock()));
        for len in [1, 5000, 12360, 0, 7, 1 << 60] {
            let options = RemapOptions::new().may_move(true);
            // SAFETY: nothing points into the map.
            answers.push(format!("remap {len}: {}", done(unsafe { map.remap(len, options) })));
            answers.push(told(Ok(&map)));
        }
        for file in [&read, &directory, &empty] {
            let refused = Mmap::map_if_safe(file).unwrap_err();
            answers.push(format!("{} {}", refused.not_safe(), refused.map_failed()));
            answers.push(format!("{:?}", std::io::Error::from(refused).kind()));
        }
        answers.push(format!("{:?}", MmapOptions::new().offset(3).len(4).huge(None).populate()));
        answers.push(format!("{:?}", RemapOptions::new().may_move(true)));
        answers
    }};
}

/// How many requests there were.
///
/// # Panics
///
/// Where the answers differ.
pub fn compared(dir: &Path) -> usize {
    let ours: Vec<String> = answers!(bifolio_memmap2, dir);
    let peer: Vec<String> = answers!(memmap2, dir);
    assert_eq!(ours.len(), peer.len());
    for (ours, peer) in ours.iter().zip(&peer) {
        assert_eq!(ours, peer, "ours is left, the peer's right");
    }
    ours.len()
}

/// Whether advice through one map reached the one behind it: the attack on what `advise_range` of
/// memmap2 0.9.12 checks.
macro_rules! advice_reaches_the_neighbour {
    ($memmap2:ident, $dir:expr) => {{
        use $memmap2::{Advice, Mmap};
        let file = |name: &str| {
            let path = $dir.join(name);
            std::fs::write(&path, [7; 4096]).unwrap();
            std::fs::File::open(&path).unwrap()
        };
        let (one, other) = (file("one"), file("other"));
        let mut kept = Vec::new();
        // The kernel puts maps side by side, mostly.
        let pair = (0..64).find_map(|_| {
            // SAFETY: nobody changes the files.
            let back = unsafe { Mmap::map(&other) }.unwrap();
            // SAFETY: as above.
            let front = unsafe { Mmap::map(&one) }.unwrap();
            if front.as_ptr().wrapping_add(4096) == back.as_ptr() {
                return Some((front, back));
            }
            kept.push((front, back));
            None
        });
        let (front, back) = pair.expect("two maps side by side");
        let outcome = front.advise_range(Advice::DontFork, 4096, 4096);
        (outcome.is_ok(), super::same::is_kept_from_children(back.as_ptr() as usize))
    }};
}

/// Whether the map at an address carries the kernel's flag for `MADV_DONTFORK`.
pub fn is_kept_from_children(address: usize) -> bool {
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let start = format!("{address:x}-");
    let mut lines = smaps.lines().skip_while(|line| !line.starts_with(&start)).skip(1);
    let flags = lines.find_map(|line| line.strip_prefix("VmFlags:")).expect("the map is listed");
    flags.split_whitespace().any(|flag| flag == "dc")
}

/// For ours and for the peer: whether the advice was taken, and whether it reached the neighbour.
pub fn neighbours(dir: &Path) -> [(bool, bool); 2] {
    [
        advice_reaches_the_neighbour!(bifolio_memmap2, dir),
        advice_reaches_the_neighbour!(memmap2, dir),
    ]
}
