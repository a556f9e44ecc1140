//! Mutexes between processes that are really killed; glibc's and Boost's tests say what to try.

mod common;

use bifolio_sync::{LockError, Mutex};
use common::{Family, LONG, Random};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

common::both! {
    it_opens_and_closes_and_nothing_else_is_there
    a_lock_outside_of_the_memory_is_refused
    whoever_waits_gets_the_lock_of_a_killed_holder_and_is_told
    what_nobody_repaired_stays_inconsistent_and_what_is_given_up_stays_shut
    a_holder_that_is_stopped_is_not_dead
    a_guard_does_nothing_in_a_child_and_a_panic_leaves_a_warning
    three_thousand_locks_of_one_killed_process_are_all_there_again
    nine_processes_with_a_hundred_mutexes_are_killed_one_by_one
    no_increment_is_lost_between_processes
}

type Word = Mutex<u32>;

/// A child that holds the mutex, and never gives it back.
fn holder(family: &Family<Word>, value: u32) -> common::Child {
    let before = family.stage();
    let child = family.child(|mutex| {
        let mut guard = mutex.lock(family).unwrap();
        *guard = value;
        family.advance();
        family.await_stage(|_| false);
    });
    family.await_stage(|stage| stage > before);
    child
}

fn it_opens_and_closes_and_nothing_else_is_there() {
    let family = Family::<Word>::new();
    let mutex = family.data();
    *mutex.lock(&family).unwrap() += 1;
    {
        let guard = mutex.try_lock(&family).unwrap();
        assert_eq!(*guard, 1);
        assert!(!guard.is_inconsistent());
        assert!(matches!(mutex.try_lock(&family), Err(LockError::WouldBlock)));
        let soon = Duration::from_millis(1);
        assert!(matches!(mutex.lock_for(&family, soon), Err(LockError::TimedOut)));
    }
    assert_eq!(mutex.holder(), None);
    assert_eq!(*mutex.lock_for(&family, Duration::MAX).unwrap(), 1);
}

fn a_lock_outside_of_the_memory_is_refused() {
    let family = Family::<Word>::new();
    let mutex = Mutex::new(0_u32);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(mutex.lock(&family)))).is_err());
}

fn whoever_waits_gets_the_lock_of_a_killed_holder_and_is_told() {
    let family = Family::<Word>::new();
    let mutex = family.data();
    let doomed = holder(&family, 7);
    assert!(mutex.holder().is_some());
    let waiter = family.child(|mutex| match mutex.lock(&family) {
        Err(LockError::OwnerDead(mut guard)) => {
            assert!(guard.is_inconsistent());
            assert_eq!(*guard, 7);
            *guard = 8;
            guard.repaired();
        }
        other => panic!("{other:?}"),
    });
    waiter.await_sleep();
    family.kill(doomed);
    family.join(waiter);
    assert_eq!(*mutex.lock(&family).unwrap(), 8);
}

fn what_nobody_repaired_stays_inconsistent_and_what_is_given_up_stays_shut() {
    let family = Family::<Word>::new();
    let mutex = family.data();
    family.kill(holder(&family, 1));
    for _ in 0..3 {
        assert!(matches!(mutex.try_lock(&family), Err(LockError::OwnerDead(_))));
    }
    // A second death, of one that held it unrepaired.
    let doomed = family.child(|mutex| {
        let Err(LockError::OwnerDead(_guard)) = mutex.lock(&family) else { panic!() };
        family.advance();
        family.await_stage(|_| false);
    });
    family.await_stage(|stage| stage == 2);
    let waiter = family.child(|mutex| {
        assert!(matches!(mutex.lock(&family), Err(LockError::Poisoned)));
    });
    waiter.await_sleep();
    let Err(LockError::WouldBlock) = mutex.try_lock(&family) else { panic!() };
    // Else the waiter may take it from the dead before this process does.
    family.stop(&waiter);
    family.kill(doomed);
    let Err(LockError::OwnerDead(guard)) = mutex.lock(&family) else { panic!() };
    guard.poison();
    family.signal(&waiter, libc::SIGCONT);
    family.join(waiter);
    assert!(mutex.is_poisoned());
    assert!(matches!(mutex.try_lock(&family), Err(LockError::Poisoned)));
    assert!(mutex.clear_poison());
    assert!(matches!(mutex.lock(&family), Err(LockError::OwnerDead(_))));
}

fn a_holder_that_is_stopped_is_not_dead() {
    let family = Family::<Word>::new();
    let mutex = family.data();
    let child = family.child(|mutex| {
        let mut guard = mutex.lock(&family).unwrap();
        family.advance();
        family.await_stage(|stage| stage == 2);
        *guard = 5;
    });
    family.await_stage(|stage| stage == 1);
    family.stop(&child);
    for _ in 0..3 {
        let waited = mutex.lock_for(&family, Duration::from_millis(20));
        assert!(matches!(waited, Err(LockError::TimedOut)));
    }
    family.advance();
    family.signal(&child, libc::SIGCONT);
    assert_eq!(*mutex.lock_for(&family, LONG).unwrap(), 5);
    family.join(child);
}

fn a_guard_does_nothing_in_a_child_and_a_panic_leaves_a_warning() {
    let family = Family::<Word>::new();
    let mutex = family.data();
    let mut guard = Some(mutex.lock(&family).unwrap());
    // The child has a copy of the guard, and drops that.
    family.join(family.child(|mutex| {
        assert_ne!(mutex.holder(), None);
        drop(guard.take());
        assert!(matches!(mutex.try_lock(&family), Err(LockError::WouldBlock)));
    }));
    drop(guard.take());
    assert_eq!(mutex.holder(), None);

    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _guard = mutex.lock(&family).unwrap();
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    let Err(LockError::OwnerDead(mut guard)) = mutex.lock(&family) else { panic!() };
    guard.repaired();
    drop(guard);
    drop(mutex.lock(&family).unwrap());
}

fn three_thousand_locks_of_one_killed_process_are_all_there_again() {
    let family = Family::<[Word; 3000]>::new();
    let child = family.child(|mutexes| {
        for mutex in mutexes {
            std::mem::forget(mutex.lock(&family).unwrap());
        }
        family.advance();
        family.await_stage(|_| false);
    });
    family.await_stage(|stage| stage == 1);
    family.kill(child);
    for mutex in family.data() {
        assert!(matches!(mutex.lock_for(&family, LONG), Err(LockError::OwnerDead(_))));
    }
}

/// Two halves that are equal whenever nobody holds the lock, and a count that only grows.
type Halves = Mutex<[u32; 2]>;

fn nine_processes_with_a_hundred_mutexes_are_killed_one_by_one() {
    let mut random = Random::new();
    for _round in 0..5 {
        let family = Family::<[Halves; 100]>::new();
        let mut children: Vec<_> = (0..9)
            .map(|_| {
                let mut own = Random::with(random.below(u32::MAX));
                family.child(|mutexes| work(&family, mutexes, &mut own))
            })
            .collect();
        while !children.is_empty() {
            let before = family.stage();
            let deeds = random.below(300);
            family.await_stage(|stage| stage.wrapping_sub(before) >= deeds);
            let doomed = children.swap_remove(random.below(children.len() as u32) as usize);
            family.kill(doomed);
        }
        for mutex in family.data() {
            let halves = match mutex.lock_for(&family, LONG) {
                Ok(halves) => halves,
                Err(LockError::OwnerDead(mut halves)) => {
                    halves[1] = halves[0];
                    halves
                }
                Err(why) => panic!("{why}"),
            };
            assert_eq!(halves[0], halves[1]);
        }
    }
}

/// Changes what the mutexes hold until it is killed.
fn work(family: &Family<[Halves; 100]>, mutexes: &[Halves; 100], random: &mut Random) {
    loop {
        // A few of them, so that others wait; two at once, in order.
        let first = random.below(8) as usize;
        let second = first + 1 + random.below(3) as usize;
        let guards = [first, second].map(|index| match mutexes[index].lock(family) {
            Ok(guard) => guard,
            Err(LockError::OwnerDead(mut guard)) => {
                guard[1] = guard[0];
                guard.repaired();
                guard
            }
            Err(why) => panic!("{why}"),
        });
        for mut guard in guards {
            assert_eq!(guard[0], guard[1]);
            guard[0] += 1;
            guard[1] += 1;
        }
        family.advance();
    }
}

fn no_increment_is_lost_between_processes() {
    let family = Family::<Mutex<u64>>::new();
    let children: Vec<_> = (0..3)
        .map(|_| family.child(|mutex| (0..20_000).for_each(|_| *mutex.lock(&family).unwrap() += 1)))
        .collect();
    children.into_iter().for_each(|child| family.join(child));
    assert_eq!(*family.data().lock(&family).unwrap(), 60_000);
}
