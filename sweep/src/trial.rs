//! One trial: new memory, a victim killed at an instruction, perhaps a second one killed while it
//! recovers, and a survivor that must go on and find everything in order.

use crate::place::{LIVING, Place};
use crate::process::{Child, Ending};
use crate::scene::{Act, Part};
use crate::trace::{Step, Tracee};

/// Where a process is killed: after so many instructions, or asleep inside of the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct At {
    pub(crate) steps: usize,
    pub(crate) asleep: bool,
}

impl At {
    /// After the last instruction, when whoever called for the operation was told of its end.
    pub(crate) const END: At = At { steps: usize::MAX, asleep: false };

    pub(crate) fn step(steps: usize) -> At {
        At { steps, asleep: false }
    }
}

/// The way that one process took between its marks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Path {
    /// The address of each instruction.
    pub(crate) addresses: Vec<u64>,
    /// Which of them changed the memory; known where it was asked for.
    pub(crate) changes: Vec<usize>,
    /// In which of them it slept.
    pub(crate) sleeps: Vec<usize>,
    /// At its last point it was not where the known way leads.
    pub(crate) strayed: bool,
}

impl Path {
    /// The last point up to that one which is known by its address, since it was not met before.
    fn anchor(&self, steps: usize) -> usize {
        let steps = steps.min(self.addresses.len().saturating_sub(1));
        let met = |index: &usize| !self.addresses[..*index].contains(&self.addresses[*index]);
        (0..=steps).rev().find(met).unwrap_or(0)
    }

    /// What tells this way from others: FNV-1a over its addresses.
    pub(crate) fn hash(&self) -> u64 {
        let mix = |hash: u64, address: &u64| {
            (hash ^ address).wrapping_mul(0x100_0000_01b3).rotate_left(9)
        };
        self.addresses.iter().fold(0xcbf2_9ce4_8422_2325, mix)
    }
}

/// What the director does to a walk besides watching it.
#[derive(Clone, Copy, Default)]
pub(crate) struct Meddling<'p> {
    /// The way is known: it is run to the point, and stepped from where that is not certain.
    pub(crate) known: Option<&'p Path>,
    /// After this instruction the memory is as it was before it.
    pub(crate) undo: Option<usize>,
    /// Find out which instructions change the memory.
    pub(crate) watch_changes: bool,
}

/// A trial under way.
pub(crate) struct Trial<'a> {
    act: &'a Act,
    place: Place,
    companion: Option<Child>,
    /// One that came to its end, and lives.
    living: Option<Tracee>,
    /// How many operations were told to have ended, and how many were cut.
    finished: u64,
    cut: u64,
}

impl<'a> Trial<'a> {
    /// New memory, prepared, and the companion on his way.
    pub(crate) fn new(act: &'a Act) -> Result<Trial<'a>, String> {
        let place = Place::new();
        let mut trial = Trial { act, place, companion: None, living: None, finished: 0, cut: 0 };
        let preparing = act.start(Part::Prepare, &trial.place);
        trial.await_end("preparing", preparing)?;
        trial.companion = act.has_companion.then(|| act.start(Part::Companion, &trial.place));
        Ok(trial)
    }

    /// A victim, killed there; says how it got there.
    pub(crate) fn victim(&mut self, at: At, known: Option<&Path>) -> Result<Path, String> {
        self.kill_at("victim", Part::Victim, at, Meddling { known, ..Meddling::default() })
    }

    /// One that is no victim: it comes to its end, and lives on while others do their part.
    pub(crate) fn living(&mut self) -> Result<Path, String> {
        let who = "the one that is not killed";
        let child = self.act.start(Part::Victim, &self.place);
        let mut tracee = Tracee::begin(child).map_err(|why| self.told(who, &why))?;
        let walked = self.walk(&mut tracee, At::END, Meddling::default(), true);
        let (path, _) = walked.map_err(|why| self.told(who, &why))?;
        self.living = Some(tracee);
        self.place.board().raise(LIVING);
        self.finished += 1;
        Ok(path)
    }

    /// A survivor, killed there while it recovers.
    pub(crate) fn second_victim(&mut self, at: At, meddling: Meddling<'_>) -> Result<(), String> {
        self.kill_at("second victim", Part::Survivor { traced: true }, at, meddling).map(drop)
    }

    fn kill_at(
        &mut self,
        who: &str,
        part: Part,
        at: At,
        how: Meddling<'_>,
    ) -> Result<Path, String> {
        let child = self.act.start(part, &self.place);
        let mut tracee = Tracee::begin(child).map_err(|why| self.told(who, &why))?;
        let (mut path, ended) = self
            .walk(&mut tracee, at, how, part == Part::Victim)
            .map_err(|why| self.told(who, &why))?;
        let expected = how.known.and_then(|known| known.addresses.get(at.steps));
        path.strayed =
            expected.is_some_and(|&address| ended || !at.asleep && tracee.counter() != address);
        tracee.kill();
        if ended {
            self.finished += 1;
        } else {
            self.cut += 1;
        }
        Ok(path)
    }

    /// The survivor, watched while it recovers, then left to check what it found.
    pub(crate) fn watched_survivor(&mut self, how: Meddling<'_>) -> Result<Path, String> {
        let child = self.act.start(Part::Survivor { traced: true }, &self.place);
        let mut tracee = Tracee::begin(child).map_err(|why| self.told("survivor", &why))?;
        let walked = self.walk(&mut tracee, At::END, how, false);
        let (path, _) = walked.map_err(|why| self.told("survivor", &why))?;
        let child = tracee.release(true)?;
        self.await_end("survivor", child)?;
        self.finished += 1;
        Ok(path)
    }

    /// The survivor, left alone.
    pub(crate) fn survivor(&mut self) -> Result<(), String> {
        let child = self.act.start(Part::Survivor { traced: false }, &self.place);
        self.await_end("survivor", child)?;
        self.finished += 1;
        Ok(())
    }

    /// Everybody comes to an end, and no operation was lost or done twice: says how many of those
    /// that were cut took effect.
    pub(crate) fn close(mut self) -> Result<u64, String> {
        if let Some(companion) = self.companion.take() {
            self.await_end("companion", companion)?;
        }
        let counted = self.place.board().counted();
        let (finished, cut) = (self.finished, self.cut);
        match counted.checked_sub(finished) {
            Some(effects) if effects <= cut => Ok(effects),
            Some(_) => {
                Err(format!("{counted} took effect, but {finished} ended and {cut} were cut"))
            }
            None => Err(format!("lost: {finished} operations ended, {counted} took effect")),
        }
    }

    /// Takes it forward to the point; whether it reached its end.
    fn walk(
        &mut self,
        tracee: &mut Tracee,
        at: At,
        how: Meddling<'_>,
        may_wake: bool,
    ) -> Result<(Path, bool), String> {
        let mut path = Path::default();
        if let Some(known) = how.known
            && !known.addresses.is_empty()
        {
            let goal = known.anchor(how.undo.unwrap_or(usize::MAX).min(at.steps));
            let step = self.run_to(tracee, known.addresses[goal], may_wake.then_some(&mut path))?;
            if step == Step::Ended {
                return Ok((path, true));
            }
            path.addresses.extend(&known.addresses[..goal]);
        }
        while at.asleep || path.addresses.len() < at.steps {
            let index = path.addresses.len();
            let undo = how.undo == Some(index);
            let before = (how.watch_changes || undo).then(|| self.place.words());
            if at == At::END && how.known.is_some() && how.undo.is_none_or(|undo| undo < index) {
                let step = tracee.run();
                self.awake(tracee, step, may_wake.then_some(&mut path))?;
                return Ok((path, true));
            }
            let address = tracee.counter();
            let step = tracee.step();
            if step == Step::Asleep && at.asleep && at.steps == index {
                return Ok((path, false));
            }
            let step = self.awake(tracee, step, may_wake.then_some(&mut path))?;
            if step == Step::Ended {
                return Ok((path, true));
            }
            path.addresses.push(address);
            if let Some(before) = before {
                if undo {
                    self.place.restore(&before);
                } else if self.place.words() != before {
                    path.changes.push(index);
                }
            }
        }
        Ok((path, false))
    }

    /// Runs it up to the instruction at this address, the first time that it comes there.
    fn run_to(
        &self,
        tracee: &mut Tracee,
        address: u64,
        path: Option<&mut Path>,
    ) -> Result<Step, String> {
        if tracee.counter() == address {
            return Ok(Step::Done);
        }
        tracee.plant(address)?;
        let step = tracee.run();
        let step = self.awake(tracee, step, path)?;
        tracee.pull()?;
        if step == Step::Done && tracee.counter() != address {
            return Err("stopped by a signal".into());
        }
        Ok(step)
    }

    /// The end of a step, if need be after somebody has woken it, which is noted in its path.
    fn awake(
        &self,
        tracee: &mut Tracee,
        mut step: Step,
        path: Option<&mut Path>,
    ) -> Result<Step, String> {
        if step == Step::Asleep
            && self.act.sleeps
            && let Some(path) = path
        {
            path.sleeps.push(path.addresses.len());
            let waker = self.act.start(Part::Waker, &self.place);
            self.await_end("waker", waker)?;
        }
        while step == Step::Asleep {
            step = tracee.wait();
        }
        match step {
            Step::Gone(ending) => Err(format!("ends by {ending:?}")),
            Step::Hangs | Step::Asleep => Err(tracee.hang()),
            Step::Done | Step::Ended => Ok(step),
        }
    }

    fn await_end(&self, who: &str, child: Child) -> Result<(), String> {
        match child.end() {
            Ok(Ending::Exit(0)) => Ok(()),
            Ok(Ending::Exit(_)) => Err(self.told(who, "fails")),
            Ok(Ending::Signal(signal)) => Err(self.told(who, &format!("dies of signal {signal}"))),
            Err(why) => Err(self.told(who, &why)),
        }
    }

    /// What is wrong with whom, and what was said about it.
    fn told(&self, who: &str, why: &str) -> String {
        let said = self.place.board().said();
        let colon = if said.is_empty() { "" } else { ": " };
        format!("{who} {why}{colon}{said}")
    }
}
