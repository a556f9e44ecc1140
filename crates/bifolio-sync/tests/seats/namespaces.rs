//! Numbers of processes mean nothing: they are the same in two namespaces, and are used again.
//!
//! # Safety
//!
//! What is called takes numbers.
#![allow(unsafe_code, reason = "makes namespaces")]

use std::fs::write;
use std::sync::atomic::Ordering::SeqCst;

use bifolio_sync::{Peers, Seats, State};
use bifolio_sys::futex::wait_any;

use crate::ground::{Child, Ground, sleep_for_ever, until};

/// Forks the first process of a new PID namespace, which does `work`, and a parent that says its
/// number in a word and ends as it does. None where that is not permitted.
fn in_namespace(ground: &Ground, index: usize, work: impl FnOnce()) -> Option<Child> {
    const REFUSED: u64 = u64::MAX;
    let child = Child::new(|| {
        // SAFETY: it takes numbers.
        if unsafe { libc::unshare(libc::CLONE_NEWPID) } != 0 {
            return ground.word(index).store(REFUSED, SeqCst);
        }
        let first = Child::new(work);
        ground.word(index).store(first.pid as u64, SeqCst);
        assert_eq!(first.wait(), 0);
    });
    until(|| ground.word(index).load(SeqCst) != 0);
    if ground.word(index).load(SeqCst) == REFUSED {
        println!("skipped: a new PID namespace is not permitted here");
        return None;
    }
    Some(child)
}

/// Sleeps until somebody is proved dead.
fn hear_of(seats: &Seats, owner: bifolio_sync::Owner) {
    seats.me().unwrap();
    loop {
        let deaths = seats.deaths();
        if seats.is_dead(owner) {
            return;
        }
        let _ = wait_any(&[deaths], None);
    }
}

/// Both are process 1, and their keepers are thread 2.
#[test]
fn the_same_number_in_two_namespaces_is_two_processes() {
    let ground = Ground::new(8);
    let seats = ground.seats();
    let victim = in_namespace(&ground, 0, || {
        assert_eq!(std::process::id(), 1);
        ground.publish(&seats, 1);
        sleep_for_ever();
    });
    let Some(victim) = victim else { return };
    let owner = ground.published(1);
    let other = in_namespace(&ground, 2, || {
        assert_eq!(std::process::id(), 1);
        ground.publish(&seats, 3);
        hear_of(&seats, owner);
        ground.word(4).store(1, SeqCst);
        until(|| ground.word(5).load(SeqCst) == 1);
    });
    let other = other.unwrap();
    let (survivor, list) = (ground.published(3), seats.list());
    let find = |owner| list.iter().find(|one| one.owner == owner).unwrap();
    assert_eq!((find(owner).pid, find(survivor).pid), (1, 1));
    assert_ne!(find(owner).pid_namespace, find(survivor).pid_namespace);
    let first = ground.word(0).load(SeqCst) as i32;
    // SAFETY: its parent waits for it, so that the number is still its own.
    assert_eq!(unsafe { libc::kill(first, libc::SIGKILL) }, 0);
    until(|| ground.word(4).load(SeqCst) == 1);
    assert!(seats.is_dead(owner) && !seats.is_dead(survivor));
    ground.word(5).store(1, SeqCst);
    assert_eq!(other.wait(), 0);
    until(|| seats.is_dead(survivor));
    assert_ne!(victim.wait(), 0);
}

/// Another process gets the number of the dead, and even the number of its keeper, in a seat
/// beside it.
#[test]
fn a_number_that_is_used_again_revives_nobody() {
    let ground = Ground::new(8);
    let seats = ground.seats();
    let work = || {
        let sit = |index| {
            let child = Child::new(|| {
                ground.publish(&seats, index);
                sleep_for_ever();
            });
            (ground.published(index), child)
        };
        let (dead, child) = sit(1);
        let pid = child.pid;
        child.kill();
        child.wait();
        until(|| seats.is_dead(dead));
        if let Err(error) = write("/proc/sys/kernel/ns_last_pid", (pid - 1).to_string()) {
            return println!("skipped: the next number cannot be chosen: {error}");
        }
        let (alive, child) = sit(1);
        assert_eq!(child.pid, pid);
        assert_ne!(alive, dead);
        assert!(seats.is_dead(dead) && !seats.is_dead(alive));
        let list = seats.list();
        let state = |owner| list.iter().find(|one| one.owner == owner).map(|one| one.state);
        assert_eq!(state(alive), Some(State::Alive));
        assert_eq!(state(dead), Some(State::Dead));
        child.kill();
        child.wait();
        until(|| seats.is_dead(alive));
    };
    if let Some(child) = in_namespace(&ground, 0, work) {
        assert_eq!(child.wait(), 0);
    }
}
