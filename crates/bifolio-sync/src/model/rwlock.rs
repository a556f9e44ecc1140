//! Models of the lock for readers and writers, and of the permits, which share its slots.

use super::{Crowd, Memory, every_ordering_matters, kill_at_every_step, run};
use crate::permits::Permits;
use crate::refusal::LockError;
use crate::rwlock::RwLock;
use std::vec::Vec;

/// Two halves that are equal whenever nobody writes, and one slot, so that readers meet there.
type Halves<const READERS: usize> = RwLock<[u32; 2], READERS>;

fn write<const READERS: usize>(halves: &Halves<READERS>, crowd: &Crowd) {
    let mut guard = match halves.write(crowd) {
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

fn read<const READERS: usize>(halves: &Halves<READERS>, crowd: &Crowd) {
    match halves.read(crowd) {
        Ok(halves) => assert_eq!(halves[0], halves[1]),
        // Whoever died may have written half.
        Err(LockError::OwnerDead(halves)) => assert!(halves[0] - halves[1] <= 1),
        Err(why) => panic!("{why}"),
    }
}

type Life<const READERS: usize> = fn(&Halves<READERS>, &Crowd);

/// One process dies, or not; the others come to their end, and after them somebody writes.
fn one_dies<const READERS: usize>(
    dies: Life<READERS>,
    fuse: Option<u32>,
    others: &[Life<READERS>],
) {
    let memory = Memory::new(Halves::<READERS>::new([0; 2]));
    let others: Vec<_> =
        (1..).zip(others).map(|(seat, life)| memory.start(seat, None, *life)).collect();
    memory.live(0, fuse, dies);
    others.into_iter().for_each(|process| process.join().unwrap());
    memory.live(3, None, |halves, crowd| {
        write(halves, crowd);
        read(halves, crowd);
    });
}

#[test]
fn readers_and_a_writer_exclude_each_other_and_none_sleeps_for_ever() {
    run(3, || one_dies::<2>(write, None, &[read]));
    run(2, || one_dies::<2>(write, None, &[read, read]));
    run(2, || one_dies::<2>(write, None, &[write, read]));
}

#[test]
fn readers_wait_for_a_slot() {
    run(2, || one_dies::<1>(read, None, &[read, write]));
    kill_at_every_step(2, |fuse| one_dies::<1>(read, fuse, &[read]));
}

#[test]
fn a_writer_dies_at_any_step() {
    assert!(kill_at_every_step(3, |fuse| one_dies::<2>(write, fuse, &[read])) >= 5);
    kill_at_every_step(3, |fuse| one_dies::<2>(write, fuse, &[write]));
}

#[test]
fn a_reader_dies_at_any_step() {
    assert!(kill_at_every_step(3, |fuse| one_dies::<2>(read, fuse, &[write])) >= 5);
    kill_at_every_step(1, |fuse| one_dies::<2>(read, fuse, &[write, read]));
}

#[test]
fn each_ordering_of_readers_and_writers_matters() {
    let models: [fn(); 3] = [
        || run(3, || one_dies::<2>(write, None, &[read])),
        || run(2, || one_dies::<1>(read, None, &[read, write])),
        || _ = kill_at_every_step(2, |fuse| one_dies::<1>(read, fuse, &[write])),
    ];
    // The slot of the dead is freed after the proof of death, which orders it; that another does
    // the same and a third comes takes more processes than there are.
    every_ordering_matters("slots.rs", 2, &models);
    every_ordering_matters("raw.rs", 0, &models);
}

/// Takes two permits of three, and gives them back.
fn borrow(permits: &Permits<2>, crowd: &Crowd) {
    let permit = permits.acquire(crowd, 2).unwrap();
    assert!(permits.lent() >= 2 && permits.lent() <= 3);
    drop(permit);
}

fn permits(fuse: Option<u32>) {
    let memory = Memory::new(Permits::<2>::new(3));
    let other = memory.start(1, None, borrow);
    memory.live(0, fuse, borrow);
    other.join().unwrap();
    memory.live(3, None, |permits, crowd| drop(permits.acquire(crowd, 3).unwrap()));
}

#[test]
fn permits_are_not_lent_twice_and_come_back_from_the_dead() {
    assert!(kill_at_every_step(3, permits) >= 5);
}
