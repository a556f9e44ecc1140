//! What is swept: an operation on shared memory, told as a scene with parts that processes play.
//!
//! The victim is killed between its marks. Whoever comes next, the survivor, does what a process
//! does that finds the memory as the victim left it, and says how many operations took effect.

use std::panic::{self, AssertUnwindSafe};

use crate::place::{Board, Place};
use crate::process::Child;
use crate::trace;

/// A part of the name of a store, and why nobody must miss it.
pub(crate) type Excuse = (&'static str, &'static str);

/// An operation on shared memory, by any process that is attached to it.
pub(crate) trait Scene: Sized {
    /// Its name on the command line.
    const NAME: &'static str;
    /// Somebody who takes part beside the victim, and must come to an end by himself.
    const COMPANION: bool = false;
    /// The victim falls asleep in the operation, until [`wake`](Self::wake).
    const SLEEPS: bool = false;
    /// The victims take different ways, by numbers of processes and such: a kill lands where a step
    /// of the first victim's way is met first.
    const VARIES: bool = false;
    /// Several may do the survivor's operation at once.
    const BY_MANY: bool = false;
    /// Stores of the recovery that may get lost.
    const EXCUSED: &'static [Excuse] = &[];

    /// Makes what is shared.
    fn prepare(_place: &Place) {}

    /// Becomes a participant: all that comes before the operation.
    fn attach(place: &Place) -> Self;

    /// The victim's part before its first mark.
    fn settle(&mut self, _board: &Board) {}

    /// The operation, of the victim.
    fn operate(&mut self);

    /// The survivor's part before its first mark.
    fn arrive(&mut self, _board: &Board) {}

    /// The operation, of the survivor.
    fn recover(&mut self) {
        self.operate();
    }

    /// The operation, where several do it at once.
    fn work(&mut self, _slot: usize) {
        self.recover();
    }

    /// Whether all is well, by the survivor after its operation; how many operations took effect.
    fn check(&mut self) -> Result<u64, String>;

    /// The part of the companion; the survivor is there when the victim is dead.
    fn accompany(&mut self, _board: &Board) -> Result<(), String> {
        Ok(())
    }

    /// Has the victim woken, by somebody who has no seat: the end of one wakes all who sleep.
    fn wake(_board: &Board) {}
}

/// A part in a scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Prepare,
    Victim,
    /// Recovers and checks; between marks where it is traced.
    Survivor {
        traced: bool,
    },
    Companion,
    Waker,
    /// Works with others, until it is killed or told to stop.
    Worker {
        slot: usize,
    },
}

/// A scene without its type.
#[derive(Clone, Copy)]
pub(crate) struct Act {
    pub(crate) name: &'static str,
    pub(crate) has_companion: bool,
    pub(crate) sleeps: bool,
    pub(crate) varies: bool,
    pub(crate) by_many: bool,
    pub(crate) excused: &'static [Excuse],
    play: fn(Part, &Place) -> Result<(), String>,
}

impl Act {
    pub(crate) const fn of<S: Scene>() -> Act {
        Act {
            name: S::NAME,
            has_companion: S::COMPANION,
            sleeps: S::SLEEPS,
            varies: S::VARIES,
            by_many: S::BY_MANY,
            excused: S::EXCUSED,
            play: play::<S>,
        }
    }

    /// A process that plays a part. It ends with 0 if all is well; else the board says why not.
    pub(crate) fn start(&self, part: Part, place: &Place) -> Child {
        Child::fork(|| {
            // What went wrong is told by the board.
            panic::set_hook(Box::new(|_| {}));
            let played = panic::catch_unwind(AssertUnwindSafe(|| (self.play)(part, place)));
            match played {
                Ok(Ok(())) => 0,
                Ok(Err(why)) => {
                    place.board().say(&why);
                    1
                }
                Err(panic) => {
                    let text = panic.downcast_ref::<String>().map(String::as_str);
                    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
                    place.board().say(&format!("panics: {}", text.unwrap_or("without a word")));
                    2
                }
            }
        })
    }
}

fn play<S: Scene>(part: Part, place: &Place) -> Result<(), String> {
    let board = place.board();
    match part {
        Part::Prepare => S::prepare(place),
        Part::Victim => {
            trace::follow_me();
            let mut scene = S::attach(place);
            scene.settle(board);
            trace::begin();
            scene.operate();
            trace::end();
        }
        Part::Survivor { traced } => {
            if traced {
                trace::follow_me();
            }
            let mut scene = S::attach(place);
            scene.arrive(board);
            if traced {
                trace::begin();
                scene.recover();
                trace::end();
            } else {
                scene.recover();
            }
            board.count(scene.check()?);
        }
        Part::Companion => S::attach(place).accompany(board)?,
        Part::Worker { slot } => {
            let mut scene = S::attach(place);
            board.work(slot, || scene.work(slot));
        }
        Part::Waker => S::wake(board),
    }
    Ok(())
}
