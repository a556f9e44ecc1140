//! Locks for readers and writers, and permits, between processes that are really killed.

mod common;

use bifolio_sync::{LockError, Permits, RwLock};
use common::{Child, Family, LONG, Random};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

common::both! {
    readers_share_and_a_writer_does_not
    a_killed_reader_hinders_no_writer
    a_killed_writer_is_told_to_readers_and_repaired_by_the_next_writer
    a_reader_beyond_the_slots_waits_and_those_of_the_dead_are_free
    guards_do_nothing_in_a_child_and_a_panic_while_writing_leaves_a_warning
    nine_processes_read_and_write_and_are_killed_one_by_one
    permits_come_back_from_the_dead_and_are_never_more
}

type Halves = RwLock<[u32; 2], 4>;

const SOON: Duration = Duration::from_millis(1);

/// A child that reads, or writes half, and never ends.
fn inside(family: &Family<Halves>, writes: bool) -> Child {
    let before = family.stage();
    let child = family.child(|lock| {
        let _reader;
        let mut writer;
        if writes {
            writer = lock.write(family).unwrap();
            writer[0] += 1;
        } else {
            _reader = lock.read(family).unwrap();
        }
        family.advance();
        family.await_stage(|_| false);
    });
    family.await_stage(|stage| stage > before);
    child
}

fn readers_share_and_a_writer_does_not() {
    let family = Family::<Halves>::new();
    let lock = family.data();
    {
        let [one, two] = [lock.read(&family).unwrap(), lock.try_read(&family).unwrap()];
        assert_eq!((*one, lock.readers()), (*two, 2));
        assert!(matches!(lock.try_write(&family), Err(LockError::WouldBlock)));
        assert!(matches!(lock.write_for(&family, SOON), Err(LockError::TimedOut)));
        // A writer that gave up hinders no reader.
        drop(lock.try_read(&family).unwrap());
    }
    {
        let mut writer = lock.write(&family).unwrap();
        *writer = [1, 1];
        assert!(matches!(lock.try_read(&family), Err(LockError::WouldBlock)));
        assert!(matches!(lock.read_for(&family, SOON), Err(LockError::TimedOut)));
        assert!(matches!(lock.try_write(&family), Err(LockError::WouldBlock)));
    }
    assert_eq!(*lock.read(&family).unwrap(), [1, 1]);
    assert_eq!((lock.readers(), lock.writer()), (0, None));
}

fn a_killed_reader_hinders_no_writer() {
    let family = Family::<Halves>::new();
    let lock = family.data();
    let [doomed, alive] = [inside(&family, false), inside(&family, false)];
    let writer = family.child(|lock| lock.write(&family).unwrap()[0] = 7);
    writer.await_sleep();
    family.kill(doomed);
    // The other reader lives, and stopped or not it reads.
    family.stop(&alive);
    assert!(matches!(lock.write_for(&family, SOON), Err(LockError::TimedOut)));
    family.kill(alive);
    family.join(writer);
    assert_eq!(lock.readers(), 0);
    assert_eq!(lock.read(&family).unwrap()[0], 7);
}

fn a_killed_writer_is_told_to_readers_and_repaired_by_the_next_writer() {
    let family = Family::<Halves>::new();
    let lock = family.data();
    let doomed = inside(&family, true);
    let waiters = [false, true].map(|writes| {
        family.child(|lock| {
            // One may come after the other has repaired it.
            let found = match writes {
                false => match lock.read(&family) {
                    Err(LockError::OwnerDead(halves)) => halves[0] == 1,
                    Ok(halves) => halves[0] == halves[1],
                    Err(_) => false,
                },
                true => match lock.write(&family) {
                    Err(LockError::OwnerDead(mut halves)) => {
                        halves[1] = halves[0];
                        halves.repaired();
                        true
                    }
                    _ => false,
                },
            };
            assert!(found);
        })
    });
    waiters.iter().for_each(Child::await_sleep);
    family.kill(doomed);
    waiters.into_iter().for_each(|waiter| family.join(waiter));
    assert_eq!(*lock.read(&family).unwrap(), [1, 1]);

    family.kill(inside(&family, true));
    assert!(matches!(lock.try_read(&family), Err(LockError::OwnerDead(_))));
    let Err(LockError::OwnerDead(writer)) = lock.try_write(&family) else { panic!() };
    writer.poison();
    assert!(matches!(lock.read(&family), Err(LockError::Poisoned)));
    assert!(lock.clear_poison());
    assert!(matches!(lock.read(&family), Err(LockError::OwnerDead(_))));
}

fn a_reader_beyond_the_slots_waits_and_those_of_the_dead_are_free() {
    let family = Family::<Halves>::new();
    let lock = family.data();
    let mut readers: Vec<_> = (0..4).map(|_| inside(&family, false)).collect();
    assert!(matches!(lock.try_read(&family), Err(LockError::WouldBlock)));
    let waiter = family.child(|lock| drop(lock.read(&family).unwrap()));
    waiter.await_sleep();
    family.kill(readers.pop().unwrap());
    family.join(waiter);
    drop(lock.read_for(&family, LONG).unwrap());
    readers.into_iter().for_each(|reader| family.kill(reader));
    drop(lock.try_write(&family).unwrap());
}

fn guards_do_nothing_in_a_child_and_a_panic_while_writing_leaves_a_warning() {
    let family = Family::<Halves>::new();
    let lock = family.data();
    let mut reader = Some(lock.read(&family).unwrap());
    family.join(family.child(|lock| {
        drop(reader.take());
        assert_eq!(lock.readers(), 1);
    }));
    drop(reader);
    let mut writer = Some(lock.write(&family).unwrap());
    family.join(family.child(|lock| {
        drop(writer.take());
        assert!(matches!(lock.try_read(&family), Err(LockError::WouldBlock)));
    }));
    drop(writer);
    for writes in [false, true] {
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _guards = match writes {
                true => (Some(lock.write(&family).unwrap()), None),
                false => (None, Some(lock.read(&family).unwrap())),
            };
            panic!("on purpose");
        }));
        assert!(panicked.is_err());
        assert_eq!(matches!(lock.read(&family), Err(LockError::OwnerDead(_))), writes);
    }
}

fn nine_processes_read_and_write_and_are_killed_one_by_one() {
    let mut random = Random::new();
    for _round in 0..5 {
        let family = Family::<[Halves; 3]>::new();
        let mut children: Vec<_> = (0..9)
            .map(|_| {
                let mut own = Random::with(random.below(u32::MAX));
                family.child(|locks| work(&family, locks, &mut own))
            })
            .collect();
        while !children.is_empty() {
            let before = family.stage();
            let deeds = random.below(300);
            family.await_stage(|stage| stage.wrapping_sub(before) >= deeds);
            family.kill(children.swap_remove(random.below(children.len() as u32) as usize));
        }
        for lock in family.data() {
            match lock.try_write(&family) {
                Ok(halves) => assert_eq!(halves[0], halves[1]),
                Err(LockError::OwnerDead(halves)) => assert!(halves[0] - halves[1] <= 1),
                Err(why) => panic!("{why}"),
            }
            assert_eq!(lock.readers(), 0);
        }
    }
}

/// Reads and writes until it is killed.
fn work(family: &Family<[Halves; 3]>, locks: &[Halves; 3], random: &mut Random) {
    loop {
        let lock = &locks[random.below(3) as usize];
        if random.below(4) == 0 {
            let mut halves = match lock.write(family) {
                Ok(halves) => halves,
                Err(LockError::OwnerDead(mut halves)) => {
                    halves[1] = halves[0];
                    halves.repaired();
                    halves
                }
                Err(why) => panic!("{why}"),
            };
            assert_eq!(halves[0], halves[1]);
            halves[0] += 1;
            halves[1] += 1;
        } else if let Ok(halves) = lock.read(family) {
            assert_eq!(halves[0], halves[1]);
        }
        family.advance();
    }
}

fn permits_come_back_from_the_dead_and_are_never_more() {
    /// Three permits must lie there, since zeros are none.
    type Pool = (Permits<4>, bool);
    let family = Family::<Pool>::with((Permits::new(3), false));
    let (pool, _) = family.data();
    let holder = |count| {
        let before = family.stage();
        let child = family.child(|(pool, _)| {
            let _permit = pool.acquire(&family, count).unwrap();
            family.advance();
            family.await_stage(|_| false);
        });
        family.await_stage(|stage| stage > before);
        child
    };
    let [one, two] = [holder(1), holder(2)];
    assert_eq!(pool.lent(), 3);
    assert!(pool.try_acquire(&family, 1).unwrap().is_none());
    assert!(pool.acquire_for(&family, 1, SOON).unwrap().is_none());
    let waiter = family.child(|(pool, _)| assert_eq!(pool.acquire(&family, 2).unwrap().count(), 2));
    waiter.await_sleep();
    family.kill(one);
    family.kill(two);
    family.join(waiter);
    let all = pool.acquire(&family, 3).unwrap();
    assert!(pool.try_acquire(&family, 1).unwrap().is_none());
    drop(all);
    assert_eq!(pool.lent(), 0);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(pool.acquire(&family, 4)))).is_err());
}
