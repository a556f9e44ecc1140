//! When a process is dead to the others, and how they hear of it.

use std::sync::atomic::Ordering::SeqCst;

use bifolio_sync::{Owner, Peers, State};
use bifolio_sys::Errno;
use bifolio_sys::futex::{wait, wait_any};

use crate::ground::{Child, Ground, sleep_for_ever, until};

#[test]
fn who_is_killed_is_dead_and_who_sleeps_on_its_life_wakes() {
    let ground = Ground::new(4);
    let seats = ground.seats();
    let child = Child::new(|| {
        ground.publish(&seats, 0);
        sleep_for_ever();
    });
    let owner = ground.published(0);
    assert!(!seats.is_dead(owner));
    let life = seats.life(owner).unwrap();
    child.kill();
    // No time limits it: it wakes by the kernel's mark, or the test hangs.
    while wait(life.word, life.value, None) != Err(Errno::AGAIN) {}
    assert_eq!(seats.life(owner).map(|life| life.value), None);
    until(|| seats.is_dead(owner));
    child.wait();
    assert!(seats.is_dead(owner));
}

/// All who sleep on the life and on the deaths wake up, although the kernel wakes one.
#[test]
fn every_sleeper_hears_of_a_death() {
    let ground = Ground::new(16);
    let seats = ground.seats();
    let victim = Child::new(|| {
        ground.publish(&seats, 0);
        sleep_for_ever();
    });
    let owner = ground.published(0);
    let sleep = |index: usize| {
        seats.me().unwrap();
        let mut words = vec![seats.deaths()];
        // Half of them sleep on the life, too.
        words.extend(seats.life(owner).filter(|_| index.is_multiple_of(2)));
        ground.word(index).store(1, SeqCst);
        while !seats.is_dead(owner) {
            let _ = wait_any(&words, None);
            let deaths = seats.deaths();
            words = vec![deaths];
            words.extend(seats.life(owner).filter(|_| index.is_multiple_of(2)));
        }
    };
    let sleepers: Vec<_> = (1..9).map(|index| Child::new(|| sleep(index))).collect();
    until(|| (1..9).all(|index| ground.word(index).load(SeqCst) == 1));
    victim.kill();
    for sleeper in sleepers {
        assert_eq!(sleeper.wait(), 0);
    }
}

#[test]
fn who_is_stopped_is_alive() {
    let ground = Ground::new(4);
    let seats = ground.seats();
    let child = Child::new(|| {
        ground.publish(&seats, 0);
        sleep_for_ever();
    });
    let owner = ground.published(0);
    child.signal(libc::SIGSTOP);
    child.wait_stopped();
    for _ in 0..10_000 {
        assert!(!seats.is_dead(owner));
    }
    assert!(seats.life(owner).is_some());
    assert!(seats.list().iter().any(|one| one.owner == owner && one.state == State::Alive));
    // It does not run even one instruction more.
    child.kill();
    until(|| seats.is_dead(owner));
}

#[test]
fn whoever_drops_its_seats_is_dead_and_another_may_sit_there() {
    let ground = Ground::new(1);
    let (first, second) = (ground.seats(), ground.seats());
    let owner = first.me().unwrap();
    assert!(!second.is_dead(owner) && !first.is_dead(owner));
    assert_eq!(second.me().unwrap_err().errno(), Errno::USERS);
    let deaths = second.deaths();
    drop(first);
    assert!(second.is_dead(owner));
    assert_ne!(second.deaths().value, deaths.value);
    let next = second.me().unwrap();
    assert_eq!(Some(next), Owner::new(0, 2));
    assert!(second.is_dead(owner) && !second.is_dead(next));
}

/// One that is stopped while it watches takes no notice away from the others.
#[test]
fn who_is_stopped_keeps_nobody_from_hearing() {
    let ground = Ground::new(8);
    let seats = ground.seats();
    let sit = |index| {
        let child = Child::new(|| {
            ground.publish(&seats, index);
            sleep_for_ever();
        });
        (ground.published(index), child)
    };
    let (owner, victim) = sit(0);
    let stopped = [sit(1), sit(2)];
    for (_, child) in &stopped {
        child.signal(libc::SIGSTOP);
        child.wait_stopped();
    }
    seats.me().unwrap();
    victim.kill();
    loop {
        let deaths = seats.deaths();
        if seats.is_dead(owner) {
            break;
        }
        let _ = wait_any(&[deaths], None);
    }
    assert!(stopped.iter().all(|&(owner, _)| !seats.is_dead(owner)));
}

#[test]
fn two_memories_of_one_process_know_nothing_of_each_other() {
    let grounds = [Ground::new(4), Ground::new(4)];
    let handles = grounds.each_ref().map(Ground::seats);
    let own = handles.each_ref().map(|seats| seats.me().unwrap());
    let child = Child::new(|| {
        grounds[0].publish(&handles[0], 0);
        grounds[1].publish(&handles[1], 0);
        sleep_for_ever();
    });
    let theirs = grounds.each_ref().map(|ground| ground.published(0));
    let [first, second] = &handles;
    assert!(!first.is_dead(theirs[0]) && !second.is_dead(theirs[1]));
    child.kill();
    until(|| first.is_dead(theirs[0]) && second.is_dead(theirs[1]));
    let other = grounds[0].seats();
    let [first, second] = handles;
    drop(first);
    assert!(other.is_dead(own[0]));
    assert_eq!(second.me(), Ok(own[1]));
    assert!(!second.is_dead(own[1]) && !grounds[1].seats().is_dead(own[1]));
}

#[test]
fn only_what_is_shared_is_contained() {
    let ground = Ground::new(4);
    let seats = ground.seats();
    let (start, len) = ground.range();
    assert!(seats.contains(start, len) && seats.contains(start.wrapping_add(len), 0));
    assert!(!seats.contains(start, len + 1) && !seats.contains(start, usize::MAX));
    assert!(!seats.contains(start.wrapping_sub(1), 1));
    assert!(!seats.contains(start.wrapping_add(len), 1));
    assert!(!seats.contains(start.wrapping_add(len + 1), 0));
}
