//! The default policy: a line that says what happened, and the end that would have come.
//!
//! # Safety
//!
//! Files are shortened under their own slices, which is the attack.
#![allow(unsafe_code, reason = "the attacks are made of raw faults")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "an attack's argument is that it is one")]
#![allow(clippy::multiple_unsafe_ops_per_block, reason = "as above")]

use crate::attack::{four_pages, read, tell, touch, write, written};
use crate::common::page;
use crate::{End, run};
use memmap2::{Mmap, MmapMut, MmapOptions};
use std::os::fd::{AsRawFd, FromRawFd};

pub(crate) const SCENARIOS: &[(&str, fn())] = &[
    ("read", read_beyond),
    ("write", write_beyond),
    ("offset", read_beyond_from_an_offset),
    ("deleted", read_deleted),
    ("memory-file", read_memory_file),
    ("read-only", write_read_only),
    ("thread", read_in_a_thread),
    ("threads", read_in_many_threads),
    ("no-query", read_without_the_query),
    ("no-descriptor", read_without_a_descriptor),
    ("full", write_to_a_full_file_system),
    ("remapped", read_what_was_remapped),
    ("unmapped", read_what_somebody_unmapped),
];

/// The path that the child told, which is removed.
fn path(end: &End) -> String {
    let stdout = String::from_utf8_lossy(&end.output.stdout);
    let line = stdout.lines().find_map(|line| line.split("path=").nth(1));
    let path = line.expect("the child tells its path").to_owned();
    let _ = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir(&path));
    path
}

fn read_beyond() {
    let (scratch, map) = read();
    tell(&scratch);
    scratch.file.set_len(page() as u64).unwrap();
    touch(&map, 2 * page() + 5);
}

#[test]
fn a_file_that_was_shortened_is_named_with_range_and_reason() {
    let end = run("read", None).assert_killed(libc::SIGBUS);
    let (path, page) = (path(&end), page());
    end.assert_said(&[
        &format!("memmap2: cannot read {path} [{}..{}): ", 2 * page, 3 * page),
        &format!("the file has {page} bytes now (SIGBUS at 0x"),
        "; BIFOLIO_MEMMAP2_FAULT=zero reads zeros instead",
    ]);
}

fn write_beyond() {
    let (scratch, mut map) = written();
    tell(&scratch);
    scratch.file.set_len(0).unwrap();
    write(&mut map, page(), 1);
}

#[test]
fn a_write_is_told_as_one_where_the_cpu_says_so() {
    let end = run("write", Some("abort")).assert_killed(libc::SIGBUS);
    let verb = if cfg!(target_arch = "x86_64") { "write" } else { "access" };
    let said = format!("cannot {verb} {} [{}..{})", path(&end), page(), 2 * page());
    end.assert_said(&[&said, "the file has 0 bytes now"]);
}

fn read_beyond_from_an_offset() {
    let scratch = four_pages();
    let map = unsafe { MmapOptions::new().offset(page() as u64 + 5).map(&scratch.file) }.unwrap();
    tell(&scratch);
    scratch.file.set_len(9).unwrap();
    touch(&map, 1);
}

#[test]
fn the_range_is_that_of_the_file_and_not_of_the_map() {
    let end = run("offset", None).assert_killed(libc::SIGBUS);
    let said = format!("{} [{}..{}): the file has 9 bytes now", path(&end), page(), 2 * page());
    end.assert_said(&[&said]);
}

fn read_deleted() {
    let (scratch, map) = read();
    scratch.file.set_len(0).unwrap();
    std::fs::remove_file(&scratch.path).unwrap();
    touch(&map, 0);
}

/// Its name leads nowhere: the reason is not guessed.
#[test]
fn of_a_file_without_a_name_no_length_is_told() {
    let end = run("deleted", None).assert_killed(libc::SIGBUS);
    end.assert_said(&[" (deleted) [0..", "the page is gone: the file was shortened, "]);
}

fn read_memory_file() {
    let fd = unsafe { libc::memfd_create(c"folio".as_ptr(), 0) };
    let file = unsafe { std::fs::File::from_raw_fd(fd) };
    file.set_len(page() as u64).unwrap();
    let map = unsafe { Mmap::map(&file) }.unwrap();
    file.set_len(0).unwrap();
    touch(&map, 0);
}

#[test]
fn a_memory_file_has_a_name_too() {
    run("memory-file", None).assert_killed(libc::SIGBUS).assert_said(&["/memfd:folio"]);
}

fn write_read_only() {
    let (scratch, map) = read();
    tell(&scratch);
    unsafe { map.as_ptr().cast_mut().write_volatile(1) };
}

/// An error of the program stays one, and is named under either policy.
#[test]
fn writing_to_a_read_only_map_is_told_and_ends_as_ever() {
    for policy in ["abort", "zero"] {
        let end = run("read-only", Some(policy)).assert_killed(libc::SIGSEGV);
        let path = path(&end);
        let end = end.assert_said(&[&path, "the map does not permit that", "SIGSEGV at 0x"]);
        assert!(!end.stderr.contains("reads zeros"), "{}", end.stderr);
    }
}

fn read_in_a_thread() {
    std::thread::spawn(read_beyond).join().unwrap();
}

/// Where the handler runs on the two pages that std gives a thread for it.
#[test]
fn a_thread_has_stack_enough_for_the_handler() {
    let end = run("thread", None).assert_killed(libc::SIGBUS);
    path(&end);
    end.assert_said(&["the file has "]);
}

fn read_in_many_threads() {
    let (scratch, map) = read();
    tell(&scratch);
    scratch.file.set_len(0).unwrap();
    let start = std::sync::Barrier::new(32);
    std::thread::scope(|scope| {
        for at in 0..32 {
            let (map, start) = (&map, &start);
            scope.spawn(move || {
                start.wait();
                touch(map, at % 4 * page())
            });
        }
    });
}

/// More threads than desks: some of them get to say it, whole lines each, and the process ends.
#[test]
fn many_threads_that_fault_at_once_end_it_once() {
    let end = run("threads", None).assert_killed(libc::SIGBUS);
    path(&end);
    let words = end.words();
    assert!(!words.is_empty(), "{}", end.stderr);
    for line in words {
        assert!(line.ends_with("reads zeros instead"), "{line}");
    }
}

/// Kills whatever asks by ioctl(2): a sandbox, or a kernel before 6.11.
fn read_without_the_query() {
    let (scratch, map) = read();
    tell(&scratch);
    scratch.file.set_len(0).unwrap();
    crate::others::refuse_ioctl();
    touch(&map, page());
}

#[test]
fn without_the_query_the_text_names_the_file() {
    let end = run("no-query", None).assert_killed(libc::SIGBUS);
    let said = format!("cannot read {} [{}..{})", path(&end), page(), 2 * page());
    end.assert_said(&[&said, "the file has 0 bytes now"]);
}

fn read_without_a_descriptor() {
    let (scratch, map) = read();
    tell(&scratch);
    scratch.file.set_len(0).unwrap();
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &none) }, 0);
    assert!(scratch.file.as_raw_fd() > 2);
    touch(&map, 0);
}

/// What cannot be found out is not made up.
#[test]
fn without_a_descriptor_the_file_stays_unnamed() {
    for policy in ["abort", "zero"] {
        let end = run("no-descriptor", Some(policy)).assert_killed(libc::SIGBUS);
        path(&end);
        end.assert_said(&["cannot read a map: the page is gone"]);
    }
}

/// A file with holes on a file system that has no room for them.
fn write_to_a_full_file_system() {
    let Some(path) = crate::others::small_file_system() else {
        return println!("skipped: no file system can be mounted here");
    };
    let file = std::fs::File::options().read(true).write(true).create_new(true).open(path).unwrap();
    file.set_len(1 << 20).unwrap();
    let mut map = unsafe { MmapMut::map_mut(&file) }.unwrap();
    for at in (0..1 << 20).step_by(page()) {
        write(&mut map, at, 1);
    }
}

#[test]
fn a_full_file_system_is_told_from_a_shortened_file() {
    let end = run("full", None);
    path(&end);
    if String::from_utf8_lossy(&end.output.stdout).contains("skipped: ") {
        return eprintln!("skipped: no file system can be mounted here");
    }
    end.assert_killed(libc::SIGBUS).assert_said(&["the file system has no page there"]);
}

fn read_what_was_remapped() {
    let scratch = four_pages();
    tell(&scratch);
    let mut map = unsafe { MmapOptions::new().len(page()).map(&scratch.file) }.unwrap();
    let room = 64 * page();
    unsafe { map.remap(room, memmap2::RemapOptions::new().may_move(true)) }.unwrap();
    touch(&map, 63 * page());
}

#[test]
fn what_was_remapped_is_watched_where_it_is() {
    let end = run("remapped", None).assert_killed(libc::SIGBUS);
    let said = format!("{} [{}..{})", path(&end), 63 * page(), 64 * page());
    end.assert_said(&[&said, &format!("the file has {} bytes now", 4 * page())]);
}

fn read_what_somebody_unmapped() {
    let (scratch, map) = read();
    tell(&scratch);
    unsafe { libc::munmap(map.as_ptr().cast_mut().cast(), page()) };
    touch(&map, 0);
}

#[test]
fn a_map_that_somebody_unmapped_is_told() {
    let end = run("unmapped", None).assert_killed(libc::SIGSEGV);
    path(&end);
    end.assert_said(&["cannot read a map: somebody else has unmapped a part of the map"]);
}
