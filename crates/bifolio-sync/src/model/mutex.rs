//! Models of the lock word and the mutex.

use super::{Crowd, Memory, every_ordering_matters, kill_at_every_step, run};
use crate::mutex::Mutex;
use crate::refusal::LockError;
use std::vec::Vec;

/// Two halves that are equal whenever nobody changes them.
type Halves = Mutex<[u32; 2]>;

/// Adds one to both halves; repairs them first where somebody died in between.
fn add(halves: &Halves, crowd: &Crowd) {
    let mut guard = match halves.lock(crowd) {
        Ok(guard) => guard,
        Err(LockError::OwnerDead(mut guard)) => {
            guard[1] = guard[0];
            guard.repaired();
            guard
        }
        Err(why) => panic!("{why}"),
    };
    assert_eq!(guard[0], guard[1]);
    guard[0] += 1;
    guard[1] += 1;
}

/// One process dies, `others` live; all but the dead one get the lock.
fn one_dies(others: u32, fuse: Option<u32>) {
    let memory = Memory::new(Halves::new([0; 2]));
    let processes: Vec<_> = (1..=others).map(|seat| memory.start(seat, None, add)).collect();
    memory.live(0, fuse, add);
    processes.into_iter().for_each(|process| process.join().unwrap());
    memory.live(3, None, |halves, crowd| {
        add(halves, crowd);
        let halves = halves.lock(crowd).unwrap();
        assert!(halves[0] > others && halves[0] <= others + 2, "{halves:?}");
    });
}

#[test]
fn two_do_not_hold_it_at_once_and_none_sleeps_for_ever() {
    run(3, || one_dies(2, None));
}

#[test]
fn a_holder_or_a_waiter_dies_at_any_step() {
    let steps = kill_at_every_step(3, |fuse| one_dies(1, fuse));
    assert!(steps >= 5, "{steps}");
}

#[test]
fn a_waiter_that_was_woken_dies_and_another_waits() {
    let steps = kill_at_every_step(2, |fuse| one_dies(2, fuse));
    assert!(steps >= 5, "{steps}");
}

#[test]
fn whoever_waits_for_a_lock_that_is_given_up_hears_of_it() {
    run(3, || {
        let memory = Memory::new(Halves::new([0; 2]));
        let waiters = [1, 2].map(|seat| {
            memory.start(seat, None, |halves, crowd| match halves.lock(crowd) {
                Ok(_) | Err(LockError::Poisoned) => {}
                Err(why) => panic!("{why}"),
            })
        });
        memory.live(0, None, |halves, crowd| halves.lock(crowd).unwrap().poison());
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
        memory.live(0, None, |halves, crowd| {
            assert!(matches!(halves.lock(crowd), Err(LockError::Poisoned)));
            assert!(halves.clear_poison());
            assert!(matches!(halves.lock(crowd), Err(LockError::OwnerDead(_))));
        });
    });
}

#[test]
fn each_ordering_of_the_lock_word_matters() {
    every_ordering_matters(
        "raw.rs",
        0,
        &[|| run(3, || one_dies(2, None)), || _ = kill_at_every_step(2, |fuse| one_dies(1, fuse))],
    );
}
