//! Random kills: several processes do one operation over and over on the same memory, at full speed
//! and at the same time, and one after another is killed whenever it happens.
//!
//! After each kill all others must go on, and a new process joins them. In the end nothing may be
//! torn, no operation that ended may be lost, and none that was cut may have been done twice.

use std::time::{Duration, Instant};

use crate::place::{Place, WORKERS};
use crate::process::{Change, Child, Ending, Patience};
use crate::sample::Random;
use crate::scene::{Act, Part};

/// The longest pause before a kill: some operations long.
const PAUSE_US_MAX: usize = 400;

/// What came of the kills.
#[derive(Clone, Copy, Default)]
pub(crate) struct Toll {
    pub(crate) kills: usize,
    /// Kills that landed inside of an operation.
    pub(crate) inside: u64,
    /// Operations that ended.
    pub(crate) finished: u64,
    /// Of those that were cut, the ones that took effect.
    pub(crate) effects: u64,
}

/// Kills so many processes at an operation.
pub(crate) fn kill(act: &Act, kills: usize, random: &mut Random) -> Result<Toll, String> {
    let place = Place::new();
    end_well(&place, act.start(Part::Prepare, &place))?;
    let start = |slot| act.start(Part::Worker { slot }, &place);
    let mut workers: Vec<Child> = (0..WORKERS).map(start).collect();
    let mut toll = Toll::default();
    for (slot, worker) in workers.iter_mut().enumerate() {
        progress(&place, worker, slot)?;
    }
    for _ in 0..kills {
        pause(random.below(PAUSE_US_MAX));
        let victim = random.below(WORKERS);
        let fresh = std::mem::replace(&mut workers[victim], Child::none());
        fresh.kill();
        toll.kills += 1;
        toll.inside += u64::from(place.board().leave(victim));
        for slot in (0..WORKERS).filter(|slot| *slot != victim) {
            progress(&place, &mut workers[slot], slot)?;
        }
        workers[victim] = start(victim);
        progress(&place, &mut workers[victim], victim)?;
    }
    place.board().stop();
    for worker in workers {
        end_well(&place, worker)?;
    }
    toll.finished = (0..WORKERS).map(|slot| place.board().done(slot)).sum();
    let checker = act.start(Part::Survivor { traced: false }, &place);
    end_well(&place, checker)?;
    // The last survivor has done one, too.
    let counted = place.board().counted();
    match counted.checked_sub(toll.finished + 1) {
        Some(effects) if effects <= toll.inside => Ok(Toll { effects, ..toll }),
        Some(more) => Err(format!("{more} more took effect than ended, of {} cut", toll.inside)),
        None => Err(format!("lost: {} operations ended, {counted} took effect", toll.finished + 1)),
    }
}

/// Waits until a worker has ended one more operation.
fn progress(place: &Place, worker: &mut Child, slot: usize) -> Result<(), String> {
    let before = place.board().done(slot);
    let patience = Patience::new();
    while place.board().done(slot) == before {
        if let Change::Ended(ending) = worker.look() {
            return Err(format!("a survivor ends by {ending:?}: {}", place.board().said()));
        }
        if patience.is_over() {
            return Err(format!("a survivor {}", worker.hang()));
        }
        std::thread::yield_now();
    }
    Ok(())
}

fn end_well(place: &Place, child: Child) -> Result<(), String> {
    match child.end()? {
        Ending::Exit(0) => Ok(()),
        ending => Err(format!("a survivor ends by {ending:?}: {}", place.board().said())),
    }
}

/// Lets so many microseconds pass: an amount, by which chance enters, and no event.
fn pause(us: usize) {
    let end = Instant::now() + Duration::from_micros(us as u64);
    while Instant::now() < end {
        std::thread::yield_now();
    }
}
