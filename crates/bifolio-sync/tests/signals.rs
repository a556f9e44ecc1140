//! Condition variables, semaphores, events, latches, barriers and what is done once, between
//! processes that are really killed.

mod common;

use bifolio_sync::{
    AutoEvent, Barrier, BarrierError, Condvar, Deadline, Event, Expect, Latch, LockError, Mutex,
    MutexGuard, Once, OnceLock, Semaphore, Shared, Waitable, wait_any,
};
use common::{Child, Family, LONG};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

common::both! {
    a_notification_that_a_killed_waiter_took_wakes_another
    a_condition_variable_gives_the_mutex_back_and_times_out
    a_semaphore_counts_and_a_killed_waiter_takes_nothing_along
    all_that_is_posted_is_taken_once
    events_wake_all_or_one
    an_event_for_one_that_a_killed_waiter_was_woken_for_wakes_another
    a_latch_opens_when_all_have_counted_down
    a_barrier_holds_all_until_all_are_there
    a_killed_participant_breaks_the_barrier_for_all_until_it_is_reset
    what_is_done_once_is_done_again_if_its_doer_was_killed
    whichever_comes_first_is_taken_and_nothing_else
}

const SOON: Duration = Duration::from_millis(1);

/// Two wait for what `signal` gives; the first is killed as it is woken. If it died before it
/// `took` that, the other gets it; else what comes next. Says whether it died before.
fn wake_and_kill<T: Sync>(
    family: &Family<T>,
    wait: impl Fn(&T),
    signal: impl Fn(&T),
    took: impl Fn(&T) -> bool,
) -> bool {
    let doomed = family.child(&wait);
    doomed.await_sleep();
    let survivor = family.child(&wait);
    survivor.await_sleep();
    let owner = doomed.owner();
    signal(family.data());
    family.strike(&doomed);
    family.reap(doomed);
    let took = took(family.data());
    family.tell(owner);
    if took {
        signal(family.data());
    }
    family.join(survivor);
    !took
}

fn a_notification_that_a_killed_waiter_took_wakes_another() {
    type Queue = (Mutex<u32>, Condvar);
    let mut died_before = 0;
    for _ in 0..20 {
        let family = Family::<Queue>::new();
        let lock = |queue: &Queue| match queue.0.lock(&family) {
            Ok(count) => *count,
            Err(LockError::OwnerDead(mut count)) => {
                count.repaired();
                *count
            }
            Err(why) => panic!("{why}"),
        };
        let before = wake_and_kill(
            &family,
            |(count, raised)| loop {
                match raised.wait_while(count.lock(&family).unwrap(), |count| *count == 0) {
                    Ok(mut count) => return *count -= 1,
                    Err(LockError::OwnerDead(mut count)) => count.repaired(),
                    Err(why) => panic!("{why}"),
                }
            },
            |(count, raised)| {
                *count.lock(&family).unwrap() = 1;
                raised.notify_one();
            },
            |queue| lock(queue) == 0,
        );
        died_before += u32::from(before);
    }
    println!("{died_before} of 20 died with the notification");
}

fn a_condition_variable_gives_the_mutex_back_and_times_out() {
    let family = Family::<(Mutex<u32>, Condvar)>::new();
    let (count, raised) = family.data();
    let (guard, in_time) = raised.wait_for(count.lock(&family).unwrap(), SOON).unwrap();
    assert!(!in_time);
    drop(guard);
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            family.child(|(count, raised)| {
                let count = count.lock(&family).unwrap();
                drop(raised.wait_while(count, |count| *count == 0).unwrap());
            })
        })
        .collect();
    waiters.iter().for_each(Child::await_sleep);
    *count.lock(&family).unwrap() = 1;
    raised.notify_all();
    waiters.into_iter().for_each(|waiter| family.join(waiter));

    // Whoever has the mutex when it is notified may die with it.
    let mut guard = count.lock(&family).unwrap();
    *guard = 0;
    let waiter = family.child(|(count, raised)| {
        let count: MutexGuard<'_, _, _> = count.lock(&family).unwrap();
        assert!(matches!(raised.wait(count), Err(LockError::OwnerDead(_))));
    });
    drop(guard);
    waiter.await_sleep();
    let doomed = family.child(|(count, raised)| {
        let _guard = count.lock(&family).unwrap();
        raised.notify_one();
        family.advance();
        family.await_stage(|_| false);
    });
    family.await_stage(|stage| stage == 1);
    family.kill(doomed);
    family.join(waiter);
}

fn a_semaphore_counts_and_a_killed_waiter_takes_nothing_along() {
    let family = Family::<Semaphore>::new();
    let semaphore = family.data();
    assert!(!semaphore.try_wait());
    assert_eq!(semaphore.wait_for(&family, SOON), Ok(false));
    semaphore.post(&family, 2).unwrap();
    assert!(semaphore.try_wait());
    assert_eq!(semaphore.wait(&family), Ok(()));
    assert_eq!(semaphore.count(), 0);
    assert!(catch_unwind(AssertUnwindSafe(|| semaphore.post(&family, u32::MAX))).is_err());

    let before = |_| {
        let family = Family::<Semaphore>::new();
        let wait = |semaphore: &Semaphore| semaphore.wait(&family).unwrap();
        wake_and_kill(
            &family,
            wait,
            |semaphore| semaphore.post(&family, 1).unwrap(),
            |it| it.count() == 0,
        )
    };
    let died_before = (0..20).map(before).filter(|before| *before).count();
    println!("{died_before} of 20 died with the wake-up");
}

fn all_that_is_posted_is_taken_once() {
    let family = Family::<Semaphore>::new();
    let takers: Vec<_> = (0..3)
        .map(|_| {
            family.child(|semaphore| (0..5_000).for_each(|_| semaphore.wait(&family).unwrap()))
        })
        .collect();
    let posters: Vec<_> = (0..2)
        .map(|_| {
            family.child(|semaphore| (0..2_500).for_each(|_| semaphore.post(&family, 3).unwrap()))
        })
        .collect();
    posters.into_iter().chain(takers).for_each(|child| family.join(child));
    assert_eq!(family.data().count(), 0);
}

fn events_wake_all_or_one() {
    let family = Family::<(Event, AutoEvent)>::new();
    let (event, auto) = family.data();
    assert!(!event.is_set() && !auto.try_wait());
    assert_eq!(event.wait_for(&family, SOON), Ok(false));
    assert_eq!(auto.wait_until(&family, Deadline::after(SOON).unwrap()), Ok(false));
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            family.child(|(event, auto)| {
                event.wait(&family).unwrap();
                auto.wait(&family).unwrap();
                family.advance();
            })
        })
        .collect();
    waiters.iter().for_each(Child::await_sleep);
    event.set(&family).unwrap();
    assert_eq!(event.wait(&family), Ok(()));
    // For one of them each time, whichever that is.
    for passed in 1..=3 {
        auto.set(&family).unwrap();
        family.await_stage(|stage| stage == passed);
    }
    waiters.into_iter().for_each(|waiter| family.join(waiter));
    event.reset();
    assert!(!event.is_set());
}

fn an_event_for_one_that_a_killed_waiter_was_woken_for_wakes_another() {
    let before = |_| {
        let family = Family::<AutoEvent>::new();
        // Looking takes it: it is given back.
        let took = |event: &AutoEvent| {
            let there = event.try_wait();
            if there {
                event.set(&family).unwrap();
            }
            !there
        };
        wake_and_kill(
            &family,
            |event| event.wait(&family).unwrap(),
            |event| event.set(&family).unwrap(),
            took,
        )
    };
    let died_before = (0..20).map(before).filter(|before| *before).count();
    println!("{died_before} of 20 died with the wake-up");
}

fn a_latch_opens_when_all_have_counted_down() {
    let family = Family::with(Latch::new(3));
    let latch = family.data();
    assert_eq!(latch.wait_for(&family, SOON), Ok(false));
    let children: Vec<_> = (0..3)
        .map(|_| {
            family.child(|latch| {
                latch.count_down(&family).unwrap();
                latch.wait(&family).unwrap();
            })
        })
        .collect();
    children.into_iter().for_each(|child| family.join(child));
    assert!(latch.is_open());
    assert!(catch_unwind(AssertUnwindSafe(|| latch.count_down(&family))).is_err());
    assert!(Family::<Latch>::new().data().is_open());
}

fn a_barrier_holds_all_until_all_are_there() {
    type Rounds = (Barrier<3>, [AtomicU32; 3]);
    let family = Family::<Rounds>::new();
    let children: Vec<_> = (0..3_usize)
        .map(|mine| {
            family.child(|(barrier, done)| {
                let mut participant = barrier.join(&family).unwrap();
                for round in 1..=500 {
                    done[mine].store(round, SeqCst);
                    let last = participant.wait().unwrap();
                    assert!(done.iter().all(|done| done.load(SeqCst) >= round));
                    if last {
                        family.advance();
                    }
                }
                // Whoever leaves early is waited for.
                std::mem::forget(participant);
            })
        })
        .collect();
    children.into_iter().for_each(|child| family.join(child));
    assert_eq!(family.stage(), 500, "one of them is told so in each round");
}

fn a_killed_participant_breaks_the_barrier_for_all_until_it_is_reset() {
    let family = Family::<Barrier<3>>::new();
    let barrier = family.data();
    let doomed = family.child(|barrier| {
        let _participant = barrier.join(&family).unwrap();
        family.advance();
        family.await_stage(|_| false);
    });
    family.await_stage(|stage| stage == 1);
    let waiter = family.child(|barrier| {
        let mut participant = barrier.join(&family).unwrap();
        assert_eq!(participant.wait(), Err(BarrierError::Broken));
        assert_eq!(participant.wait(), Err(BarrierError::Broken));
        family.advance();
        family.await_stage(|stage| stage == 3);
        participant.wait().unwrap();
    });
    waiter.await_sleep();
    family.kill(doomed);
    family.await_stage(|stage| stage == 2);
    assert!(barrier.is_broken());
    assert!(barrier.reset(&family));
    assert!(!barrier.reset(&family));
    let mut here = barrier.join(&family).unwrap();
    let other = family.child(|barrier| _ = barrier.join(&family).unwrap().wait().unwrap());
    family.reach(3);
    here.wait().unwrap();
    family.join(waiter);
    family.join(other);
    drop(here);

    let family = Family::<Barrier<2>>::new();
    let mut lonely = family.data().join(&family).unwrap();
    let second = family.data().join(&family).unwrap();
    assert!(matches!(family.data().join(&family), Err(BarrierError::Full)));
    assert_eq!(lonely.wait_for(SOON), Err(BarrierError::TimedOut));
    assert_eq!(lonely.wait(), Err(BarrierError::Broken));
    drop(second);
}

fn what_is_done_once_is_done_again_if_its_doer_was_killed() {
    let family = Family::<(Once, OnceLock<[u64; 2]>)>::new();
    let (once, value) = family.data();
    let doomed = family.child(|(once, value)| {
        once.call(&family, |interrupted| {
            assert!(!interrupted);
            let _ = value.get_or_init(&family, || {
                family.advance();
                family.await_stage(|_| false);
                [0, 0]
            });
        })
        .unwrap();
    });
    family.await_stage(|stage| stage == 1);
    assert_eq!(once.try_call(&family, |_| panic!("another is at it")), Ok(false));
    let soon = Deadline::after(SOON).unwrap();
    assert_eq!(once.call_until(&family, soon, |_| panic!("another is at it")), Ok(false));
    assert_eq!(value.get(), None);
    let waiter = family.child(|(once, value)| {
        once.call(&family, |interrupted| assert!(interrupted)).unwrap();
        assert_eq!(value.get_or_init(&family, || [7, 8]), Ok(&[7, 8]));
    });
    waiter.await_sleep();
    family.kill(doomed);
    family.join(waiter);
    once.call(&family, |_| panic!("it is done")).unwrap();
    assert_eq!(value.get(), Some(&[7, 8]));
    assert_eq!(value.get_or_init(&family, || panic!("it is made")), Ok(&[7, 8]));

    let family = Family::<Once>::new();
    let once = family.data();
    let failed = catch_unwind(AssertUnwindSafe(|| once.call(&family, |_| panic!("on purpose"))));
    assert!(failed.is_err());
    once.call(&family, |interrupted| assert!(interrupted)).unwrap();
    assert!(once.is_done());
}

fn whichever_comes_first_is_taken_and_nothing_else() {
    type Sources = (Event, AutoEvent, Semaphore, Latch, AtomicU32);
    let family = Family::with((
        Event::new(),
        AutoEvent::new(),
        Semaphore::new(0),
        Latch::new(1),
        AtomicU32::new(0),
    ));
    fn all((event, auto, semaphore, latch, word): &Sources) -> [Waitable<'_>; 5] {
        [
            Waitable::Event(event),
            Waitable::AutoEvent(auto),
            Waitable::Semaphore(semaphore),
            Waitable::Latch(latch),
            Waitable::Word(Expect { word, value: 0 }),
        ]
    }
    let sources = family.data();
    assert_eq!(wait_any(&family, &all(sources), Deadline::after(SOON)), Ok(None));
    let wakers: [fn(&Family<Sources>, &Sources); 5] = [
        |family, sources| sources.0.set(family).unwrap(),
        |family, sources| sources.1.set(family).unwrap(),
        |family, sources| sources.2.post(family, 1).unwrap(),
        |family, sources| _ = sources.3.count_down(family).unwrap(),
        |_, sources| {
            sources.4.store(1, SeqCst);
            bifolio_sys::futex::wake(&sources.4, 1).unwrap();
        },
    ];
    // From the last to the first, since the earlier ones stay as they are.
    for (index, waker) in wakers.into_iter().enumerate().rev() {
        let waiter = family.child(|sources| {
            let deadline = Deadline::after(LONG);
            assert_eq!(wait_any(&family, &all(sources)[..=index], deadline), Ok(Some(index)));
        });
        waiter.await_sleep();
        waker(&family, sources);
        family.join(waiter);
    }
    assert_eq!(sources.2.count(), 0);
    assert!(!sources.1.try_wait());
    let outside = Event::new();
    let asked = || wait_any(&family, &[Waitable::Event(&outside)], None);
    assert!(catch_unwind(AssertUnwindSafe(asked)).is_err());
    let many = [Waitable::Event(&sources.0); 128];
    assert!(wait_any(&family, &many, None).is_err());
}

#[test]
fn fingerprints_and_sizes_are_those_of_the_documents() {
    assert_eq!(size_of::<Mutex<u64>>(), 16);
    assert_eq!(size_of::<bifolio_sync::RwLock<u64>>(), 16 + 16 * 8 + 8);
    assert_eq!(size_of::<bifolio_sync::Permits>(), 24 + 16 * 8);
    assert_eq!(size_of::<Barrier<3>>(), 8 + 3 * 8);
    let words = [
        Event::FINGERPRINT,
        AutoEvent::FINGERPRINT,
        Semaphore::FINGERPRINT,
        Latch::FINGERPRINT,
        Condvar::FINGERPRINT,
        Once::FINGERPRINT,
        <Mutex<[u32; 2]>>::FINGERPRINT,
        <OnceLock<[u32; 2]>>::FINGERPRINT,
        <Barrier<2>>::FINGERPRINT,
        <Barrier<3>>::FINGERPRINT,
    ];
    for (index, one) in words.iter().enumerate() {
        assert!(!words[..index].contains(one), "{index}");
    }
}
