//! The proof of one scene, in three parts: killed at every instruction; killed again at every
//! instruction of the recovery; and each store of the recovery undone, which must be noticed.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::crew;
use crate::process::set_patience;
use crate::sample::{Random, sample};
use crate::scene::Act;
use crate::symbol;
use crate::trial::{At, Meddling, Path, Trial};

/// How long a process may take that was lied to, in seconds.
const PATIENCE_WITH_LIES_S: u64 = 3;

/// How much is tried.
#[derive(Clone, Copy)]
pub(crate) struct Share {
    /// Kills of the victim.
    pub(crate) kills: usize,
    /// Kills of the second victim.
    pub(crate) again: usize,
    /// Stores undone.
    pub(crate) undone: usize,
}

impl Share {
    /// What a merge waits for.
    pub(crate) const SAMPLE: Share = Share { kills: 450, again: 200, undone: 30 };
    /// Everything, but for second kills where the ways to recover are many and long.
    pub(crate) const FULL: Share = Share { kills: usize::MAX, again: 20_000, undone: usize::MAX };
}

/// What was found out about a scene.
#[derive(Default)]
pub(crate) struct Report {
    /// What was done, to be printed.
    pub(crate) lines: Vec<String>,
    /// What is wrong.
    pub(crate) faults: Vec<String>,
}

/// All three parts, as far as nothing is wrong.
pub(crate) fn prove(act: &Act, share: Share, seed: u64) -> Report {
    let start = Instant::now();
    let mut report = Report::default();
    match Path::measure(act) {
        Ok(path) => {
            let random = Random::new(seed);
            let mut proof = Proof { act, share, path, random, report: &mut report };
            let ways = proof.kill();
            if proof.report.faults.is_empty() {
                proof.kill_again(&ways);
            }
            if proof.report.faults.is_empty() {
                proof.undo(&ways);
            }
        }
        Err(why) => report.faults.push(format!("without a kill: {why}")),
    }
    report.lines.push(format!("{:.1} s", start.elapsed().as_secs_f64()));
    report
}

/// A proof under way.
struct Proof<'a> {
    act: &'a Act,
    share: Share,
    /// The way of a victim that comes to its end.
    path: Path,
    random: Random,
    report: &'a mut Report,
}

/// A way to recover, and after which kill it was seen first.
struct Way {
    at: At,
    path: Path,
}

impl Path {
    /// The way of a victim that comes to its end.
    fn measure(act: &Act) -> Result<Path, String> {
        let mut trial = Trial::new(act)?;
        let path = trial.living()?;
        trial.survivor()?;
        trial.close()?;
        Ok(path)
    }

    /// Every point of it at which a process can be killed.
    fn points(&self) -> Vec<At> {
        let total = self.addresses.len();
        let asleep =
            |steps: usize| self.sleeps.contains(&steps).then_some(At { steps, asleep: true });
        let points = (0..=total).flat_map(|steps| [Some(At::step(steps)), asleep(steps)]);
        points.flatten().chain([At::END]).collect()
    }

    /// Up to so many of the points: first those asleep and the end, then the first time at each
    /// address, then others by chance.
    fn choose(&self, max: usize, random: &mut Random) -> Vec<At> {
        let mut firsts: BTreeMap<u64, usize> = BTreeMap::new();
        for (index, &address) in self.addresses.iter().enumerate() {
            firsts.entry(address).or_insert(index);
        }
        let rank = |at: &At| match self.addresses.get(at.steps) {
            Some(address) if !at.asleep => usize::from(firsts[address] != at.steps) + 1,
            _ => 0,
        };
        let points = self.points();
        let mut chosen = Vec::new();
        for wanted in 0..3 {
            let ranked = points.iter().copied().filter(|at| rank(at) == wanted).collect();
            chosen.extend(sample(ranked, max.saturating_sub(chosen.len()), random));
        }
        chosen.sort_by_key(|at| (at.steps, at.asleep));
        chosen
    }

    /// A point of it, by its instruction.
    fn place(&self, at: At) -> String {
        let asleep = if at.asleep { " (asleep)" } else { "" };
        match self.addresses.get(at.steps) {
            Some(&address) => format!("{}{asleep}: {}", at.steps, symbol::name(address)),
            None if at == At::END => "its end".into(),
            None => "its last instruction".into(),
        }
    }
}

/// What one kill came to.
struct Outcome {
    way: u64,
    effects: u64,
    strayed: bool,
}

impl Outcome {
    fn write(&self) -> String {
        format!("{} {} {}", self.way, self.effects, u64::from(self.strayed))
    }

    fn read(line: &str) -> Outcome {
        let numbers: Vec<u64> = line.split(' ').map_while(|field| field.parse().ok()).collect();
        let &[way, effects, strayed] = &*numbers else { panic!("an outcome, not `{line}`") };
        Outcome { way, effects, strayed: strayed != 0 }
    }
}

impl Proof<'_> {
    /// Kills the victim everywhere; gives the ways to recover.
    fn kill(&mut self) -> Vec<Way> {
        let (act, path) = (self.act, &self.path);
        let chosen = path.choose(self.share.kills, &mut self.random);
        let outcomes = crew::run(chosen.len(), |index| {
            let mut trial = Trial::new(act)?;
            let strayed = trial.victim(chosen[index], Some(path))?.strayed;
            let way = trial.watched_survivor(Meddling::default())?.hash();
            Ok(Outcome { way, effects: trial.close()?, strayed }.write())
        });
        let mut good = Vec::new();
        for (&at, outcome) in chosen.iter().zip(outcomes) {
            match outcome {
                Some(Ok(line)) => good.push((at, Outcome::read(&line))),
                Some(Err(why)) => {
                    self.report.faults.push(format!("killed at {}: {why}", path.place(at)));
                }
                None => {}
            }
        }
        let mut firsts = BTreeMap::new();
        for (at, outcome) in &good {
            firsts.entry(outcome.way).or_insert(*at);
        }
        self.tell_cover(&good, firsts.len());
        self.tell_commit(&good);
        let ways = firsts.into_values().map(|at| self.way(at));
        ways.collect::<Result<_, _>>().unwrap_or_else(|why| {
            self.report.faults.push(why);
            Vec::new()
        })
    }

    fn tell_cover(&mut self, good: &[(At, Outcome)], ways: usize) {
        let addresses = &self.path.addresses;
        let met = good.iter().filter(|(at, outcome)| !at.asleep && !outcome.strayed);
        let met: Vec<u64> = met.filter_map(|(at, _)| addresses.get(at.steps).copied()).collect();
        let percent = 100.0 * met.len() as f64 / addresses.len().max(1) as f64;
        let distinct = |list: &[u64]| list.iter().collect::<std::collections::BTreeSet<_>>().len();
        self.report.lines.push(format!(
            "killed at {} of {} instructions ({percent:.0} %), at {} of {} addresses",
            met.len(),
            addresses.len(),
            distinct(&met),
            distinct(addresses)
        ));
        let asleep = good.iter().filter(|(at, _)| at.asleep).count();
        let strayed = good.iter().filter(|(_, outcome)| outcome.strayed).count();
        for (count, what) in [(asleep, "asleep"), (strayed, "on another way")] {
            if count > 0 {
                self.report.lines.push(format!("killed {count} times {what}"));
            }
        }
        self.report.lines.push(format!("survivors went on in {ways} ways"));
    }

    /// The instruction by which the operation takes effect; it is never taken back.
    fn tell_commit(&mut self, good: &[(At, Outcome)]) {
        if self.act.varies {
            self.report.lines.push("the ways of the victims differ".into());
            return;
        }
        let straight = good.iter().filter(|(at, outcome)| *at != At::END && !outcome.strayed);
        let mut effective = None;
        for (at, outcome) in straight {
            match (outcome.effects, effective) {
                (0, Some(earlier)) => self.report.faults.push(format!(
                    "took effect when killed at {}, but not at {}",
                    self.path.place(earlier),
                    self.path.place(*at)
                )),
                (1, None) => effective = Some(*at),
                _ => {}
            }
        }
        if let Some(At { steps, .. }) = effective
            && let Some(before) = steps.checked_sub(1)
        {
            let place = self.path.place(At::step(before));
            self.report.lines.push(format!("takes effect by {place}"));
        }
    }

    /// The way that the recovery takes after this kill, and where it changes the memory.
    fn way(&self, at: At) -> Result<Way, String> {
        let mut trial = Trial::new(self.act)?;
        trial.victim(at, Some(&self.path))?;
        let how = Meddling { watch_changes: true, ..Meddling::default() };
        Ok(Way { at, path: trial.watched_survivor(how)? })
    }

    /// Kills the survivor as well, everywhere on each of its ways.
    fn kill_again(&mut self, ways: &[Way]) {
        let (act, path) = (self.act, &self.path);
        let total: usize = ways.iter().map(|way| way.path.addresses.len()).sum();
        let max = self.share.again.div_ceil(ways.len().max(1));
        let mut chosen = Vec::new();
        for way in ways {
            chosen.extend(way.path.choose(max, &mut self.random).into_iter().map(|at| (way, at)));
        }
        let outcomes = crew::run(chosen.len(), |index| {
            let (way, second) = chosen[index];
            let mut trial = Trial::new(act)?;
            trial.victim(way.at, Some(path))?;
            let how = Meddling { known: Some(&way.path), ..Meddling::default() };
            trial.second_victim(second, how)?;
            trial.survivor()?;
            trial.close().map(|effects| effects.to_string())
        });
        let mut met = 0;
        for (&(way, second), outcome) in chosen.iter().zip(outcomes) {
            match outcome {
                Some(Ok(_)) => met += usize::from(second.steps < way.path.addresses.len()),
                Some(Err(why)) => {
                    let (first, second) = (path.place(way.at), way.path.place(second));
                    let fault = format!("killed at {first}; again at {second}: {why}");
                    self.report.faults.push(fault);
                }
                None => {}
            }
        }
        let line = format!("killed again at {met} of {total} instructions of these ways");
        self.report.lines.push(line);
    }

    /// Undoes the stores of each instruction of the recovery, on one way after the other, until
    /// somebody notices: nobody must be content with that.
    fn undo(&mut self, ways: &[Way]) {
        let mut stores: BTreeMap<u64, Vec<(&Way, usize)>> = BTreeMap::new();
        for way in ways {
            for &store in &way.path.changes {
                stores.entry(way.path.addresses[store]).or_default().push((way, store));
            }
        }
        let excuse = |(address, found): (u64, Vec<_>)| {
            let name = symbol::name(address);
            let excuse = self.act.excused.iter().find(|(part, _)| name.contains(part));
            (name, excuse, found)
        };
        let all: Vec<_> = stores.into_iter().map(excuse).collect();
        let total = all.len();
        let chosen = sample(all, self.share.undone, &mut self.random);
        let outcomes = crew::run(chosen.len(), |index| {
            let (_, excuse, found) = &chosen[index];
            set_patience(PATIENCE_WITH_LIES_S);
            let mut found = found.iter();
            Ok(found.any(|(way, store)| self.is_noticed(way, *store, excuse.is_none())).to_string())
        });
        let line = format!("undone the stores of {} of {total} instructions", chosen.len());
        self.report.lines.push(line);
        for ((name, excuse, _), outcome) in chosen.iter().zip(outcomes) {
            match excuse {
                _ if outcome == Some(Ok("true".into())) => {}
                Some((_, why)) => self.report.lines.push(format!("not missed: {name}: {why}")),
                None => self.report.faults.push(format!("undone, and not missed: {name}")),
            }
        }
    }

    /// Whether anybody notices that a store of the recovery was undone: the survivor that goes on,
    /// a companion, or, where it is searched for, one that comes after a second kill.
    fn is_noticed(&self, way: &Way, store: usize, thorough: bool) -> bool {
        let how = Meddling { known: Some(&way.path), undo: Some(store), watch_changes: false };
        let begun = || {
            let mut trial = Trial::new(self.act)?;
            trial.victim(way.at, Some(&self.path))?;
            Ok::<Trial<'_>, String>(trial)
        };
        let ends = |and_another: bool| {
            let mut trial = begun()?;
            trial.watched_survivor(how)?;
            if and_another {
                trial.survivor()?;
            }
            trial.close()
        };
        let killed = |steps: usize| {
            let mut trial = begun()?;
            trial.second_victim(At::step(steps), how)?;
            trial.survivor()?;
            trial.close()
        };
        let total = way.path.addresses.len();
        [true, false].into_iter().any(|and_another| ends(and_another).is_err())
            || thorough && (store + 1..=total).any(|steps| killed(steps).is_err())
    }
}
