//! Breaks while everything goes well: the bytes stay, and the writer does not wait long.
//!
//! # Safety
//!
//! Unsafe code asks for a change of protection that must be refused.
#![allow(unsafe_code, reason = "a raw call that must fail")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "an attack's argument is that it is one")]

use crate::scratch::{Random, Scratch, lease_time, pattern, soak};
use crate::{await_answer, break_leases, lease, lease_with, try_lease};
use bifolio_map::{Errno, LeaseState, Mapping, Options, PrivateMap, page};
use bifolio_sys::mm::{MprotectFlags, mprotect};
use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const COPIED: Option<LeaseState> = Some(LeaseState::Copied { unreadable_bytes: 0 });

#[test]
fn readers_see_the_same_bytes_through_hundreds_of_breaks() {
    let _time = lease_time::steady();
    let scratch = Scratch::new();
    let words: Vec<u64> = (0..32 << 10).map(|i: u64| i.wrapping_mul(0x9E37_79B9)).collect();
    let content: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    let path = scratch.file("file", &content);
    let reads = AtomicU64::new(0);
    for _ in 0..150 * soak() {
        fs::write(&path, &content).unwrap();
        let stable = lease(&path);
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            for reader in 0..3 {
                let (stable, words, reads, is_over) = (&stable, &words, &reads, &is_over);
                scope.spawn(move || {
                    let (mut at, mut count) = (reader, 0);
                    while !is_over.load(Ordering::SeqCst) {
                        for _ in 0..1000 {
                            at = (at + 513 * 7) % words.len();
                            let word = stable[at * 8..][..8].try_into().unwrap();
                            assert_eq!(u64::from_le_bytes(word), words[at]);
                        }
                        count += 1000;
                    }
                    reads.fetch_add(count, Ordering::SeqCst);
                });
            }
            fs::write(&path, vec![0xA5; content.len()]).unwrap();
            is_over.store(true, Ordering::SeqCst);
        });
        assert!(*stable == *content);
        assert_eq!(stable.lease(), COPIED);
    }
    println!("{} million reads during breaks", reads.into_inner() / 1_000_000);
}

#[test]
fn a_writer_waits_no_longer_than_is_said() {
    let _time = lease_time::steady();
    let scratch = Scratch::new();
    let content = pattern(48 << 20);
    let path = scratch.file("file", &content);
    let mut longest = Duration::ZERO;
    for _ in 0..5 {
        let stable = lease(&path);
        let start = Instant::now();
        break_leases(&path);
        longest = longest.max(start.elapsed());
        assert!(*stable == *content);
    }
    println!("the longest wait was {longest:?}");
    // Not a limit on time but the promise: a lease of which this could not be said is refused.
    assert!(longest <= lease_time::third(), "{longest:?}");
}

#[test]
fn who_will_not_wait_is_told_so() {
    let _time = lease_time::steady();
    let scratch = Scratch::new();
    let path = scratch.file("file", b"leased");
    let stable = lease(&path);
    let mut writer = OpenOptions::new();
    writer.write(true).custom_flags(libc::O_NONBLOCK);
    assert_eq!(writer.open(&path).unwrap_err().kind(), ErrorKind::WouldBlock);
    break_leases(&path);
    fs::write(&path, "other!").unwrap();
    assert_eq!((&*stable, stable.lease()), (&b"leased"[..], COPIED));
}

#[test]
fn dropping_bytes_during_a_break_frees_the_writer() {
    let _time = lease_time::steady();
    let mut random = Random::new("dropping_bytes_during_a_break_frees_the_writer");
    let scratch = Scratch::new();
    let content = pattern(20 << 20);
    let path = scratch.file("file", &content);
    for _ in 0..60 * soak() {
        let stable = lease(&path);
        let start = Barrier::new(2);
        thread::scope(|scope| {
            scope.spawn(|| {
                start.wait();
                break_leases(&path);
            });
            start.wait();
            for _ in 0..random.below(200) {
                thread::yield_now();
            }
            // The first byte of a page that is copied late.
            let at = content.len() - 1;
            assert_eq!(stable[at], content[at]);
            drop(stable);
        });
    }
    assert_eq!(crate::lease(&path).len(), content.len());
}

#[test]
fn many_leases_of_one_file_are_broken_together() {
    let _time = lease_time::steady();
    let scratch = Scratch::new();
    let content = pattern(1 << 20);
    let path = scratch.file("file", &content);
    let offsets = || (0..40).map(|index| index * 20_000);
    let all: Vec<_> =
        offsets().map(|at| lease_with(&path, &Options::new().offset(at as u64))).collect();
    fs::write(&path, vec![0; content.len()]).unwrap();
    for (at, stable) in offsets().zip(&all) {
        assert!(**stable == content[at..], "from {at}");
        assert_eq!(stable.lease(), COPIED);
    }
}

#[test]
fn many_files_are_broken_one_after_the_other() {
    let _time = lease_time::steady();
    let scratch = Scratch::new();
    let page = page::page_size().bytes();
    let held: Vec<_> = (0..200)
        .map(|index| {
            let path = scratch.file(&index.to_string(), &vec![index as u8; page + index]);
            (lease(&path), path)
        })
        .collect();
    held.iter().for_each(|(_, path)| fs::write(path, "short").unwrap());
    for (index, (stable, _)) in held.iter().enumerate() {
        assert_eq!(stable.len(), page + index);
        assert!(stable.iter().all(|&byte| byte == index as u8), "file {index}");
    }
}

#[test]
fn what_is_about_to_be_broken_is_not_leased() {
    let _time = lease_time::steady();
    let scratch = Scratch::new();
    let path = scratch.file("file", &pattern(100_000));
    for _ in 0..200 * soak() {
        thread::scope(|scope| {
            let writer = scope.spawn(|| fs::write(&path, pattern(100_000)).unwrap());
            // Either there is a lease and the bytes are whole, or there is none.
            if let Ok(stable) = try_lease(&path) {
                let first = stable.to_vec();
                writer.join().unwrap();
                assert!(*stable == *first);
            }
        });
    }
}

#[test]
fn a_lease_ends_with_its_bytes() {
    let _time = lease_time::steady();
    let scratch = Scratch::new();
    let path = scratch.file("file", b"leased");
    let (one, other) = (lease(&path), lease(&path));
    drop(one);
    thread::scope(|scope| {
        scope.spawn(|| fs::write(&path, "other!").unwrap());
        assert_eq!(Some(await_answer(&other)), COPIED);
    });
    assert_eq!(&*other, b"leased");
    drop(other);
    let mut writer = OpenOptions::new();
    // Nobody is asked any more.
    writer.write(true).custom_flags(libc::O_NONBLOCK).open(&path).unwrap();
}

/// What debuggers write by reaches private mappings that are read-only too.
#[test]
fn nothing_in_the_process_can_write_to_the_pages() {
    let _time = lease_time::steady();
    let scratch = Scratch::new();
    let path = scratch.file("file", b"leased");
    let stable = lease(&path);
    let memory = OpenOptions::new().write(true).open("/proc/self/mem").unwrap();
    let private = PrivateMap::open(&path).unwrap();
    let address = |ptr: *const u8| ptr.addr() as u64;
    assert!(memory.write_at(b"X", address(stable.as_ptr())).is_err());
    // It does write where that is possible.
    let reachable = memory.write_at(b"X", address(private.as_ptr()));
    assert!(reachable.is_ok() || reachable.unwrap_err().kind() == ErrorKind::PermissionDenied);
    let page = page::page_size().bytes();
    let start = stable.as_ptr().cast_mut().cast();
    let writable = MprotectFlags::READ | MprotectFlags::WRITE;
    assert_eq!(unsafe { mprotect(start, page, writable) }, Err(Errno::ACCESS));
    assert_eq!(&*stable, b"leased");
}
