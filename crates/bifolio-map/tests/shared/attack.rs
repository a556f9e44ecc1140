//! Other processes do to the file what they like while threads read and write the mapping: nothing
//! raises a signal, and every error says what is so.
//!
//! The bytes of the file are below 128 whoever writes them, so that a buffer of other bytes shows
//! exactly what was read.
//!
//! # Safety
//!
//! One unsafe call runs code in a child between fork(2) and execve(2).
#![allow(unsafe_code, reason = "runs code between fork(2) and execve(2)")]

use crate::support::{Attacker, Directory, Random, rounds};
use bifolio_map::{
    Access, AccessMut, Error, ErrorKind, Options, PrivateMap, SharedMap, StoreOrder,
};
use bifolio_sys::page::page_size;
use std::fs::{self, File};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The length of the file that is attacked, in bytes.
pub(crate) const LEN: usize = 64 * 4096;
/// A byte that nobody writes.
const CANARY: u8 = 0xee;
/// The longest access.
const ACCESS_MAX: usize = 3 * 4096;

/// What an error in the middle of an attack has to be.
fn check(error: &Error, offset: usize, len: usize) {
    let ErrorKind::Truncated { len_bytes } = error.kind() else { panic!("{error}") };
    assert_eq!(error.range(), Some(offset as u64..(offset + len) as u64), "{error}");
    assert!(error.done_bytes() < len.max(1), "{error}");
    // Where it stopped lay beyond the end at that moment.
    assert!(len_bytes <= (offset + error.done_bytes()) as u64, "{error}");
}

/// Reads, with a proof that exactly `done_bytes` were read.
fn read(map: &impl Access, buf: &mut [u8], offset: usize) -> bool {
    buf.fill(CANARY);
    let (done, is_error) = match map.read_exact_at(buf, offset) {
        Ok(()) => (buf.len(), false),
        Err(error) => {
            check(&error, offset, buf.len());
            (error.done_bytes(), true)
        }
    };
    assert!(buf[..done].iter().all(|&byte| byte < 128), "a byte that nobody wrote was read");
    assert!(buf[done..].iter().all(|&byte| byte == CANARY), "more than {done} bytes were read");
    is_error
}

/// One random operation; tells whether it met an error.
fn operate(map: &impl AccessMut, random: &mut Random, buf: &mut [u8]) -> bool {
    let view = map.view_mut();
    let len = random.below(ACCESS_MAX) + 1;
    let offset = random.below(LEN - len + 1);
    let aligned = offset / 8 * 8;
    let result = match random.below(8) {
        0..3 => return read(&view.as_view(), &mut buf[..len], offset),
        3 => {
            buf[..len].fill(random.below(128) as u8);
            view.write_all_at(&buf[..len], offset).map_err(|error| (error, offset, len))
        }
        4 => {
            let byte = random.below(128) as u8;
            view.fill(offset..offset + len, byte).map_err(|error| (error, offset, len))
        }
        5 => view.store(&0x0102_0304_0506_0708_u64, aligned).map_err(|error| (error, aligned, 8)),
        6 => view
            .atomic::<u64>(aligned)
            .and_then(|atomic| {
                atomic.fetch_and(0x7f7f_7f7f_7f7f_7f7f)?;
                atomic.store(0x1111_1111_1111_1111, StoreOrder::SeqCst)?;
                atomic.compare_exchange(0x1111_1111_1111_1111, 0).map(drop)
            })
            .map_err(|error| (error, aligned, 8)),
        _ => view.find_byte(CANARY, offset).map(|found| assert_eq!(found, None)).map_err(|error| {
            assert!(matches!(error.kind(), ErrorKind::Truncated { .. }), "{error}");
            (error, offset, LEN - offset)
        }),
    };
    match result {
        Ok(()) => false,
        Err((error, offset, len)) => {
            check(&error, offset, len);
            true
        }
    }
}

/// Operates on the map by several threads until enough was done, and enough errors were met.
fn withstand<M: AccessMut + Sync>(map: &M, test: &str, count: usize) {
    let errors = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let errors = &errors;
            let mut random = Random::new(&format!("{test}, thread {thread}"));
            scope.spawn(move || {
                let mut buf = vec![0; ACCESS_MAX];
                let mut done = 0;
                // The attacker may not have been given the processor yet.
                while done < count || (errors.load(Ordering::SeqCst) < 10 && done < 100 * count) {
                    if operate(map, &mut random, &mut buf) {
                        errors.fetch_add(1, Ordering::SeqCst);
                    }
                    done += 1;
                }
            });
        }
    });
    let errors = errors.into_inner();
    assert!(errors >= 10, "only {errors} errors were met: the attack did not take place");
    println!("{test}: {errors} errors in {} operations", 3 * count);
}

#[test]
fn a_shared_mapping_survives_truncation_holes_and_overwriting() {
    let directory = Directory::new("attack-shared");
    let path = directory.file(&[1; LEN]);
    let map = SharedMap::open(&path).unwrap();
    let _attacker = Attacker::start("attack", &path);
    withstand(&map, "a shared mapping under attack", rounds(40_000));
}

#[test]
fn a_shared_mapping_in_memory_survives_too() {
    let shm = Path::new("/dev/shm");
    if !shm.is_dir() {
        println!("skipped: no /dev/shm");
        return;
    }
    let path = shm.join(format!("bifolio-attack-{}", std::process::id()));
    fs::write(&path, [1; LEN]).unwrap();
    let map = SharedMap::open(&path).unwrap();
    {
        let _attacker = Attacker::start("attack", &path);
        withstand(&map, "a shared mapping in memory under attack", rounds(40_000));
    }
    fs::remove_file(&path).unwrap();
}

#[test]
fn a_private_mapping_survives_it() {
    let directory = Directory::new("attack-private");
    let path = directory.file(&[1; LEN]);
    let map = PrivateMap::open(&path).unwrap();
    let _attacker = Attacker::start("attack", &path);
    withstand(&map, "a private mapping under attack", rounds(20_000));
    // What asks or changes page tables meets the same attack.
    let mut random = Random::new("a private mapping's pages under attack");
    for round in 0..rounds(300) {
        for range in map.copied_ranges().unwrap() {
            assert!(range.start < range.end && range.end <= LEN);
        }
        let start = random.below(LEN);
        let end = start + random.below(LEN - start);
        if let Err(error) = map.discard(start..end) {
            assert!(matches!(error.kind(), ErrorKind::Truncated { .. }), "{error}");
        }
        if round % 10 == 0
            && let Err(error) = map.commit_to(directory.path().join("saved"))
        {
            assert!(matches!(error.kind(), ErrorKind::Truncated { .. }), "{error}");
        }
    }
}

#[test]
fn growth_and_refresh_survive_a_file_that_shrinks() {
    let directory = Directory::new("attack-grow");
    let path = directory.file(&[1; LEN]);
    let map = Options::new().len(LEN).reserve(64 * LEN).open_shared(&path).unwrap();
    let _attacker = Attacker::start("attack", &path);
    let mut random = Random::new("growth under attack");
    let mut before = map.len();
    for _ in 0..rounds(500) {
        let len = LEN + random.below(LEN);
        map.grow(len).unwrap();
        assert!(map.refresh().unwrap() >= len.max(before));
        before = map.len();
        if let Err(error) = map.write_all_at(&[5; 100], before - 100) {
            assert!(matches!(error.kind(), ErrorKind::Truncated { .. }), "{error}");
        }
        map.flush(0..before).unwrap();
    }
}

#[test]
fn an_interrupted_write_says_how_many_bytes_were_written() {
    let directory = Directory::new("done-bytes");
    let page = page_size().bytes();
    let path = directory.file(&vec![0; 2 * page]);
    let map = Options::new().len(4 * page).open_shared(&path).unwrap();
    for start in [0, 1, page - 1, page, 2 * page - 17, 2 * page - 1] {
        for extra in [1, 8, 100, page, 2 * page] {
            let len = 2 * page - start + extra;
            let byte = (start + extra) as u8 | 1;
            let results = [
                map.write_all_at(&vec![byte; len], start),
                map.fill(start..start + len, byte),
                map.view_mut().by_syscall().write_all_at(&vec![byte; len], start),
            ];
            for result in results {
                let error = result.unwrap_err();
                assert_eq!(error.done_bytes(), 2 * page - start, "{error}");
                assert_eq!(error.kind(), ErrorKind::Truncated { len_bytes: 2 * page as u64 });
            }
            assert!(fs::read(&path).unwrap()[start..].iter().all(|&seen| seen == byte));
        }
    }
}

#[test]
fn a_write_by_one_process_is_seen_by_another_at_once() {
    let directory = Directory::new("ping-pong");
    let path = directory.file(&[0; 4096]);
    let map = SharedMap::open(&path).unwrap();
    let turn = map.atomic::<u64>(128).unwrap();
    let mut other = Attacker::start("answer every odd number", &path);
    for round in 0..rounds(500) as u64 {
        map.store(&(round * 3), 256).unwrap();
        turn.store(2 * round + 1, StoreOrder::Release).unwrap();
        other.wait_until(|| turn.load().unwrap() == 2 * round + 2);
        assert_eq!(map.load::<u64>(512).unwrap(), round * 3 + 1);
    }
}

#[test]
fn a_killed_writer_leaves_whole_words_and_the_others_unharmed() {
    let directory = Directory::new("killed-writer");
    let path = directory.file(&[0; LEN]);
    let map = SharedMap::open(&path).unwrap();
    let mut random = Random::new("a_killed_writer");
    for _ in 0..rounds(20) {
        let before = map.load::<u64>(0).unwrap();
        let mut writer = Attacker::start("write whole words", &path);
        writer.wait_until(|| map.load::<u64>(0).unwrap() != before);
        for _ in 0..random.below(100_000) {
            std::hint::spin_loop();
        }
        drop(writer);
        for offset in (0..LEN).step_by(8) {
            let bytes = map.load::<u64>(offset).unwrap().to_ne_bytes();
            assert!(bytes.iter().all(|&byte| byte == bytes[0]), "a torn word at {offset}");
        }
        map.write_all_at(&[random.below(100) as u8; 8], 0).unwrap();
    }
}

#[test]
fn children_inherit_memory_without_a_file() {
    use std::os::unix::process::CommandExt;
    let (plain, growing) =
        (SharedMap::anon(8192).unwrap(), Options::new().reserve(1 << 20).shared(8192).unwrap());
    let (plain, growing) = (std::sync::Arc::new(plain), std::sync::Arc::new(growing));
    let inherited = (plain.clone(), growing.clone());
    let mut command = std::process::Command::new("true");
    // SAFETY: between fork(2) and execve(2) it only writes memory and calls fallocate(2): no lock,
    // no allocation.
    unsafe {
        command.pre_exec(move || {
            inherited.0.write_all_at(b"from the child", 5000)?;
            inherited.1.grow(100_000)?;
            inherited.1.write_all_at(b"grown", 99_000)?;
            Ok(())
        })
    };
    assert!(command.status().unwrap().success());
    assert_eq!(plain.load::<[u8; 14]>(5000).unwrap(), *b"from the child");
    assert_eq!(growing.refresh().unwrap(), 100_000);
    assert_eq!(growing.load::<[u8; 5]>(99_000).unwrap(), *b"grown");
}

/// What the attacker's process does to the file, until it is killed.
///
/// It is bounded, as the other children are, should nobody be left to kill it.
pub(crate) fn attack(path: &Path) {
    use bifolio_sys::fs::{FallocateFlags, fallocate};
    use std::os::unix::fs::FileExt;
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut random = Random::new("attack");
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    for _ in 0..10_000_000 {
        let at = random.below(LEN);
        match random.below(4) {
            0 => file.set_len(at as u64).unwrap(),
            1 => file.set_len(LEN as u64).unwrap(),
            // Not every file system knows holes.
            2 => drop(fallocate(&file, punch, at as u64, (random.below(20_000) + 1) as u64)),
            _ => {
                let bytes = vec![random.below(128) as u8; random.below(LEN - at) + 1];
                file.write_all_at(&bytes, at as u64).unwrap();
            }
        }
    }
}

/// The other side of `a_write_by_one_process_is_seen_by_another_at_once`.
pub(crate) fn answer(path: &Path) {
    let map = SharedMap::open(path).unwrap();
    let turn = map.atomic::<u64>(128).unwrap();
    for _ in 0..100_000_000 {
        let now = turn.load().unwrap();
        if now % 2 == 0 {
            std::thread::yield_now();
            continue;
        }
        let number = map.load::<u64>(256).unwrap();
        map.store(&(number + 1), 512).unwrap();
        turn.store(now + 1, StoreOrder::Release).unwrap();
    }
}

/// Writes words of equal bytes everywhere until it is killed.
pub(crate) fn write_words(path: &Path) {
    let map = SharedMap::open(path).unwrap();
    let mut byte = map.load::<u8>(0).unwrap();
    for _ in 0..100_000 {
        byte = byte.wrapping_add(1);
        for offset in (0..LEN).step_by(8) {
            map.store(&[byte; 8], offset).unwrap();
        }
    }
}
