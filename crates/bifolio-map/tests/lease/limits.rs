//! Leases at the limits of a process: no areas left, no room for a signal, a forked child.
//!
//! # Safety
//!
//! Unsafe code sets limits, and forks a child that calls nothing but this library.
#![allow(unsafe_code, reason = "limits and forks of libc")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "an attack's argument is that it is one")]

use crate::media::empty_as_reader;
use crate::scratch::filter::{refuse, refuse_moves_and_reads_at};
use crate::scratch::{Scratch, assert_plays, child, lease_time, pattern};
use crate::{await_answer, await_break, break_leases, lease, policy, readable};
use bifolio_map::{Advice, AnonMap, FileMap, LeaseState, Options, Pages, Refusal, Rung, page};
use std::fs;
use std::io::Write;
use std::sync::Barrier;
use std::thread;

const LEN: usize = (3 << 20) + 77;

/// Takes areas until the process may have no more, and gives the one that took them.
fn take_all_areas() -> AnonMap {
    let page = page::page_size().bytes();
    let hog = Options::new().no_reserve().anon(page << 18).unwrap();
    let full = (0..1 << 18)
        .step_by(2)
        .find(|at| hog.advise(at * page..(at + 1) * page, Advice::DontDump).is_err());
    assert!(full.is_some(), "there is no end of areas");
    hog
}

#[test]
fn without_areas_the_writer_waits_until_there_are_some() {
    let _time = lease_time::steady();
    assert_plays(&mut child("areas"));
}

pub(crate) fn areas() {
    let scratch = Scratch::new();
    let content = pattern(LEN);
    let path = scratch.file("file", &content);
    let stable = lease(&path);
    let (go, zeros) = (Barrier::new(2), vec![0; LEN]);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            go.wait();
            fs::write(&path, &zeros).unwrap();
        });
        let hog = take_all_areas();
        go.wait();
        await_break(&path);
        assert!(*stable == *content);
        assert!(!writer.is_finished());
        drop(hog);
        writer.join().unwrap();
    });
    assert_eq!(stable.lease(), Some(LeaseState::Copied { unreadable_bytes: 0 }));
    assert!(*stable == *content);
}

#[test]
fn without_areas_for_too_long_the_bytes_are_withdrawn() {
    if let Some(_time) = lease_time::shortened(9) {
        assert_plays(&mut child("no-areas"));
    }
}

pub(crate) fn no_areas() {
    let scratch = Scratch::new();
    let path = scratch.file("file", &pattern(LEN));
    let stable = lease(&path);
    let go = Barrier::new(2);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            go.wait();
            break_leases(&path);
        });
        let hog = take_all_areas();
        go.wait();
        writer.join().unwrap();
        drop(hog);
    });
    let unreadable_bytes = page::page_size().round_up(LEN).unwrap();
    assert_eq!(await_answer(&stable), LeaseState::Copied { unreadable_bytes });
    fs::write(&path, vec![0; LEN]).unwrap();
    assert_eq!(readable(&stable, 0), b"");
}

#[test]
fn pieces_that_cannot_be_moved_are_withdrawn_while_the_lease_is_held() {
    if let Some(_time) = lease_time::shortened(3) {
        assert_plays(&mut child("no-moves"));
    }
}

/// Pages that cannot be read part the copy in four, none of which can be moved. To wait a third of
/// the time for each would be to wait until the lease is taken away.
pub(crate) fn no_moves() {
    let page = page::page_size().bytes();
    // Where reads begin that are made in pieces of 8 MiB, and go on behind a page that failed.
    let gaps = [0, 1, 2].map(|gap| ((gap + 1) * (8 << 20) + gap * page) as u32);
    if let Err(error) = refuse_moves_and_reads_at(true, &gaps) {
        return println!("skipped: seccomp filters cannot be installed: {error}");
    }
    let scratch = Scratch::new();
    let path = scratch.file("file", &pattern(gaps[2] as usize + 2 * page));
    let stable = lease(&path);
    break_leases(&path);
    let unreadable_bytes = stable.len();
    assert_eq!(await_answer(&stable), LeaseState::Copied { unreadable_bytes });
    fs::write(&path, vec![0; stable.len()]).unwrap();
    for at in (0..stable.len()).step_by(page) {
        assert_eq!(readable(&stable, at), b"");
    }
}

#[test]
fn leases_whose_bytes_cannot_be_moved_end_before_they_are_taken_away() {
    if let Some(_time) = lease_time::shortened(3) {
        assert_plays(&mut child("no-moves-of-many"));
    }
}

/// One helper answers all, and may not wait for each as long as it may wait for one.
pub(crate) fn no_moves_of_many() {
    if let Err(error) = refuse(libc::SYS_mremap, None, libc::ENOMEM) {
        return println!("skipped: seccomp filters cannot be installed: {error}");
    }
    let scratch = Scratch::new();
    let paths: Vec<_> = (0..6).map(|file| scratch.file(&file.to_string(), &[7; 5])).collect();
    let leases: Vec<_> = paths.iter().map(|path| lease(path)).collect();
    thread::scope(|scope| {
        for path in &paths {
            scope.spawn(move || fs::write(path, [0; 5]).unwrap());
        }
    });
    let unreadable_bytes = page::page_size().bytes();
    for stable in leases {
        assert_eq!(await_answer(&stable), LeaseState::Copied { unreadable_bytes });
        assert_eq!(readable(&stable, 0), b"");
    }
}

#[test]
fn what_is_withdrawn_besides_is_told() {
    let _time = lease_time::steady();
    assert_plays(&mut child("no-cut"));
}

/// Two pages cannot be read, nor closed by themselves: all is closed, and what comes behind is
/// opened by being moved there.
pub(crate) fn no_cut() {
    let (page, gap) = (page::page_size().bytes(), 8 << 20);
    let filters = refuse(libc::SYS_mprotect, Some(2 * page as u32), libc::ENOMEM);
    let gaps = [gap, gap + page as u32];
    if let Err(error) = filters.and_then(|()| refuse_moves_and_reads_at(false, &gaps)) {
        return println!("skipped: seccomp filters cannot be installed: {error}");
    }
    let scratch = Scratch::new();
    let behind = gap as usize + 2 * page;
    let content = pattern(behind + 2 * page);
    let path = scratch.file("file", &content);
    let stable = lease(&path);
    break_leases(&path);
    assert_eq!(await_answer(&stable), LeaseState::Copied { unreadable_bytes: behind });
    for at in (0..behind).step_by(page) {
        assert_eq!(readable(&stable, at), b"");
    }
    assert!(readable(&stable, behind) == content[behind..]);
}

#[test]
fn a_break_is_noticed_without_its_signal() {
    if let Some(_time) = lease_time::shortened(9) {
        assert_plays(&mut child("full-queue"));
    }
}

/// No signal can be queued for this process. The kernel then sends SIGIO, which would end it.
pub(crate) fn full_queue() {
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_SIGPENDING, &raw const none) }, 0);
    let scratch = Scratch::new();
    let content = pattern(LEN);
    let path = scratch.file("file", &content);
    let stable = lease(&path);
    fs::write(&path, vec![0; LEN]).unwrap();
    assert!(*stable == *content);
    assert_eq!(stable.lease(), Some(LeaseState::Copied { unreadable_bytes: 0 }));
}

#[test]
fn a_forked_child_neither_leases_nor_gives_back() {
    let _time = lease_time::steady();
    assert_plays(&mut child("fork"));
}

pub(crate) fn fork() {
    let scratch = Scratch::new();
    let content = pattern(LEN);
    let path = scratch.file("file", &content);
    let map = FileMap::open(&path).unwrap();
    let stable = lease(&path);
    match unsafe { libc::fork() } {
        0 => {
            let refused = map.stable(&policy()).unwrap_err();
            let is_refused = refused.reason(Rung::Leased) == Some(&Refusal::Forked);
            // The bytes are not there, and what the child maps may be.
            let is_gone = readable(&stable, 0).is_empty();
            let own = (0..64).map(|_| AnonMap::new(LEN).unwrap()).collect::<Vec<_>>();
            drop(stable);
            let is_kept = own.iter().all(|map| map.iter().all(|&byte| byte == 0));
            unsafe { libc::_exit(i32::from(!(is_refused && is_gone && is_kept))) }
        }
        child => assert_ends_well(child),
    }
    assert_eq!(stable.lease(), Some(LeaseState::Held));
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all(&[0; LEN]).unwrap();
    assert!(*stable == *content);
    assert_eq!(stable.lease(), Some(LeaseState::Copied { unreadable_bytes: 0 }));
}

fn assert_ends_well(child: libc::pid_t) {
    let mut status = 0;
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0);
}

#[test]
fn a_forked_child_sees_no_other_bytes_where_some_were_lost() {
    let _time = lease_time::steady();
    assert_plays(&mut child("fork-later"));
}

/// The break is over, and bytes were lost by it: they are as inaccessible to the child, to which
/// the kernel gives their addresses no more than to its parent.
pub(crate) fn fork_later() {
    let scratch = Scratch::new();
    let path = scratch.file("file", &pattern(LEN));
    let stable = lease(&path);
    empty_as_reader(&path);
    break_leases(&path);
    if await_answer(&stable) == (LeaseState::Copied { unreadable_bytes: 0 }) {
        return println!("skipped: this kernel tells of a reader who empties a file");
    }
    match unsafe { libc::fork() } {
        0 => {
            let own = Options::new().at_exactly(stable.as_ptr().addr()).anon(stable.len());
            let is_gone = own.is_err() && readable(&stable, 0).is_empty();
            drop(stable);
            unsafe { libc::_exit(i32::from(!is_gone)) }
        }
        child => assert_ends_well(child),
    }
}
