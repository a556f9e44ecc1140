//! Models of what is done once, and of the barrier.
//!
//! # Safety
//!
//! What is done between two rounds lies in a cell, of which the model checker says whether the
//! barrier orders it.
#![allow(unsafe_code, reason = "lends what the barrier orders")]

use super::word::Guarded;
use super::{Crowd, Memory, every_ordering_matters, kill_at_every_step, light, run};
use crate::barrier::{Barrier, BarrierError};
use crate::once::{Once, OnceLock};

fn once_lock(fuse: Option<u32>) {
    let memory = Memory::new(OnceLock::new(0_u32));
    let get = |value: &OnceLock<u32>, crowd: &Crowd| {
        assert!(matches!(value.get(), None | Some(7)));
        assert_eq!(value.get_or_init(crowd, || 7), Ok(&7));
    };
    let other = memory.start(1, None, get);
    memory.live(0, fuse, get);
    other.join().unwrap();
}

#[test]
fn a_value_is_made_once_and_by_another_if_its_maker_dies() {
    assert!(kill_at_every_step(3, once_lock) >= 3);
}

#[test]
fn a_deed_is_told_of_whoever_died_doing_it() {
    let steps = kill_at_every_step(3, |fuse| {
        let memory = Memory::new(Once::new());
        let other = memory.start(1, None, |once, crowd| once.call(crowd, |_| {}).unwrap());
        memory.live(0, fuse, |once, crowd| once.call(crowd, |_| {}).unwrap());
        other.join().unwrap();
        assert!(memory.data.is_done());
    });
    assert!(steps >= 3);
}

/// A barrier for two, and what each of them did before it.
struct Steps {
    barrier: Barrier<2>,
    done: [Guarded<u32>; 2],
}

// SAFETY: the models look whether the barrier orders what happens to the rest.
unsafe impl Sync for Steps {}

impl Steps {
    fn new() -> Steps {
        Steps { barrier: Barrier::new(), done: [Guarded::new(0), Guarded::new(0)] }
    }

    fn go(&self, crowd: &Crowd, mine: usize, rounds: u32) -> Result<(), BarrierError> {
        let mut participant = self.barrier.join(crowd)?;
        for round in 1..=rounds {
            // SAFETY: the other looks at it between the barriers only.
            *unsafe { self.done[mine].exclusive() } = round;
            participant.wait()?;
            // SAFETY: the other changes it after the next barrier only.
            assert_eq!(*unsafe { self.done[1 - mine].shared() }, round);
            participant.wait()?;
        }
        Ok(())
    }
}

fn two_rounds() {
    let memory = Memory::new(Steps::new());
    let other = memory.start(1, None, |steps, crowd| steps.go(crowd, 1, 1).unwrap());
    memory.live(0, None, |steps, crowd| steps.go(crowd, 0, 1).unwrap());
    other.join().unwrap();
}

#[test]
fn nobody_goes_on_before_the_other_came() {
    run(3, two_rounds);
}

/// One of two who take part dies; the other goes on, or is told, and can begin anew.
fn one_breaks_it(fuse: Option<u32>) {
    let memory = Memory::new(Barrier::<2>::new());
    let other = memory.start(1, None, |barrier, crowd| {
        let mut participant = barrier.join(crowd).unwrap();
        match participant.wait() {
            Ok(_) => {}
            Err(BarrierError::Broken) => assert!(barrier.reset(crowd)),
            Err(why) => panic!("{why}"),
        }
        assert!(!barrier.is_broken());
    });
    memory.live(0, None, |barrier, crowd| {
        let mut participant = barrier.join(crowd).unwrap();
        light(fuse);
        participant.wait().unwrap();
    });
    other.join().unwrap();
}

#[test]
fn a_participant_dies_at_any_step() {
    assert!(kill_at_every_step(3, one_breaks_it) >= 3);
}

#[test]
fn each_ordering_of_the_barrier_matters() {
    // Joining and leaving order nothing. The change of the round stands behind a look at all
    // places, which is a fence in the model, stronger than the load that it stands for.
    every_ordering_matters("barrier.rs", 3, &[|| run(3, two_rounds)]);
}
