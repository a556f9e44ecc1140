//! Models of what processes tell each other by: condition variables, semaphores, events, latches.
//!
//! # Safety
//!
//! What is told of lies in a cell, of which the model checker says whether the signal orders it.
#![allow(unsafe_code, reason = "lends what the signals order")]

use super::word::Guarded;
use super::{Crowd, Memory, every_ordering_matters, kill_at_every_step, run};
use crate::condvar::Condvar;
use crate::event::{AutoEvent, Event};
use crate::latch::Latch;
use crate::mutex::{Mutex, MutexGuard};
use crate::refusal::LockError;
use crate::semaphore::Semaphore;
use crate::waitable::{Waitable, wait_any};

/// A count under a mutex, and what is told when it was raised.
struct Queue {
    count: Mutex<u32>,
    raised: Condvar,
}

impl Queue {
    fn new() -> Queue {
        Queue { count: Mutex::new(0), raised: Condvar::new() }
    }

    /// A number is right at every step.
    fn whole<'a>(
        lock: Result<MutexGuard<'a, u32, Crowd>, LockError<MutexGuard<'a, u32, Crowd>>>,
    ) -> MutexGuard<'a, u32, Crowd> {
        match lock {
            Ok(guard) => guard,
            Err(LockError::OwnerDead(mut guard)) => {
                guard.repaired();
                guard
            }
            Err(why) => panic!("{why}"),
        }
    }

    fn raise(&self, crowd: &Crowd) {
        *Self::whole(self.count.lock(crowd)) += 1;
        self.raised.notify_one();
    }

    fn take(&self, crowd: &Crowd) {
        let mut count = Self::whole(self.count.lock(crowd));
        while *count == 0 {
            count = Self::whole(self.raised.wait(count));
        }
        *count -= 1;
    }
}

fn queue(fuse: Option<u32>) {
    let memory = Memory::new(Queue::new());
    let survivor = memory.start(1, None, Queue::take);
    let doomed = memory.start(2, fuse, Queue::take);
    memory.live(0, None, |queue, crowd| {
        queue.raise(crowd);
        queue.raise(crowd);
    });
    survivor.join().unwrap();
    doomed.join().unwrap();
}

#[test]
fn a_notification_is_not_lost_and_not_taken_along_by_the_dead() {
    run(2, || queue(None));
    assert!(kill_at_every_step(1, queue) >= 5);
}

#[test]
fn who_notifies_dies_at_any_step() {
    // What it had not said is not heard of; the other says it again.
    kill_at_every_step(2, |fuse| {
        let memory = Memory::new(Queue::new());
        let waiter = memory.start(1, None, Queue::take);
        memory.live(0, fuse, Queue::raise);
        memory.live(2, None, Queue::raise);
        waiter.join().unwrap();
    });
}

#[test]
fn all_are_notified() {
    run(2, || {
        let memory = Memory::new(Queue::new());
        let waiters = [1, 2].map(|seat| {
            memory.start(seat, None, |queue, crowd| {
                let count = Queue::whole(queue.count.lock(crowd));
                drop(queue.raised.wait_while(count, |count| *count == 0).unwrap());
            })
        });
        memory.live(0, None, |queue, crowd| {
            *queue.count.lock(crowd).unwrap() = 1;
            queue.raised.notify_all();
        });
        waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
    });
}

/// Something that is made before it is told of.
struct Told<S> {
    made: Guarded<u32>,
    signal: S,
}

// SAFETY: the models look whether the signal orders what happens to the rest.
unsafe impl<S: Sync> Sync for Told<S> {}
// SAFETY: as above.
unsafe impl<S: Send> Send for Told<S> {}

impl<S> Told<S> {
    fn new(signal: S) -> Told<S> {
        Told { made: Guarded::new(0), signal }
    }

    fn make(&self) {
        // SAFETY: before it is told of nobody looks.
        *unsafe { self.made.exclusive() } = 7;
    }

    fn look(&self) {
        // SAFETY: after it is told of nobody changes it.
        assert_eq!(*unsafe { self.made.shared() }, 7);
    }
}

fn event() {
    let memory = Memory::new(Told::new(Event::new()));
    let waiters = [1, 2].map(|seat| {
        memory.start(seat, None, |told, crowd| {
            told.signal.wait(crowd).unwrap();
            told.look();
        })
    });
    memory.live(0, None, |told, crowd| {
        told.make();
        told.signal.set(crowd).unwrap();
    });
    waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
}

/// One of two who wait may die, with what it took or without.
fn auto_event(fuse: Option<u32>) {
    let memory = Memory::new(Told::new(AutoEvent::new()));
    let take = |told: &Told<AutoEvent>, crowd: &Crowd| {
        told.signal.wait(crowd).unwrap();
        told.look();
        // For the other.
        told.signal.set(crowd).unwrap();
    };
    let survivor = memory.start(1, None, take);
    let doomed = memory.start(2, fuse, take);
    memory.live(0, None, |told, crowd| {
        told.make();
        told.signal.set(crowd).unwrap();
    });
    doomed.join().unwrap();
    // In the place of the dead.
    memory.live(0, None, |told, crowd| told.signal.set(crowd).unwrap());
    survivor.join().unwrap();
}

#[test]
fn an_event_wakes_all() {
    run(3, event);
}

#[test]
fn an_event_for_one_wakes_one_after_the_other() {
    run(3, || auto_event(None));
    assert!(kill_at_every_step(2, auto_event) >= 3);
}

#[test]
fn each_ordering_of_events_matters() {
    every_ordering_matters("event.rs", 0, &[|| run(2, event), || run(2, || auto_event(None))]);
}

/// One who waits dies at any step; what it did not take is there for the other.
fn semaphore(fuse: Option<u32>) {
    let memory = Memory::new(Told::new(Semaphore::new(0)));
    let take = |told: &Told<Semaphore>, crowd: &Crowd| {
        told.signal.wait(crowd).unwrap();
        told.look();
    };
    let waiters = [memory.start(1, None, take), memory.start(2, fuse, take)];
    memory.live(0, None, |told, crowd| {
        told.make();
        told.signal.post(crowd, 1).unwrap();
        told.signal.post(crowd, 1).unwrap();
    });
    waiters.into_iter().for_each(|waiter| waiter.join().unwrap());
}

#[test]
fn a_semaphore_lets_in_as_many_as_were_posted_and_the_dead_take_no_other_along() {
    run(2, || semaphore(None));
    assert!(kill_at_every_step(1, semaphore) >= 3);
}

#[test]
fn each_ordering_of_the_semaphore_matters() {
    every_ordering_matters("semaphore.rs", 0, &[|| run(2, || semaphore(None))]);
}

fn latch() {
    let memory = Memory::new(Told::new(Latch::new(2)));
    let other = memory.start(1, None, |told, crowd| {
        told.signal.count_down(crowd).unwrap();
        told.signal.wait(crowd).unwrap();
        told.look();
    });
    memory.live(0, None, |told, crowd| {
        told.make();
        told.signal.count_down(crowd).unwrap();
    });
    other.join().unwrap();
}

#[test]
fn a_latch_opens_for_all_who_wait() {
    run(3, latch);
}

#[test]
fn each_ordering_of_the_latch_matters() {
    every_ordering_matters("latch.rs", 0, &[|| run(3, latch)]);
}

#[test]
fn whoever_waits_for_several_takes_one_and_passes_on_the_rest() {
    run(2, || {
        let memory = Memory::new([Semaphore::new(0), Semaphore::new(0)]);
        let any = memory.start(1, None, |[left, right], crowd| {
            let sources = [Waitable::Semaphore(left), Waitable::Semaphore(right)];
            assert!(wait_any(crowd, &sources, None).unwrap().is_some());
            // The other is there for whoever waits for that alone.
            left.post(crowd, 1).unwrap();
        });
        let one = memory.start(2, None, |[_, right], crowd| right.wait(crowd).unwrap());
        memory.live(0, None, |[left, right], crowd| {
            right.post(crowd, 1).unwrap();
            left.post(crowd, 1).unwrap();
            right.post(crowd, 1).unwrap();
        });
        any.join().unwrap();
        one.join().unwrap();
    });
}
