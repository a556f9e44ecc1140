//! The proof of one scene, in three parts: killed at every instruction; killed again at every
//! instruction of the recovery; and each store of the recovery undone, which must be noticed.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::crew;
use crate::sample::{Random, sample};
use crate::scene::Act;
use crate::symbol;
use crate::trial::{At, Meddling, Path, Trial};

/// How much is tried.
#[derive(Clone, Copy)]
pub(crate) struct Share {
    /// Kills of the victim.
    pub(crate) kills: usize,
    /// Kills of the second victim.
    pub(crate) again: usize,
    /// Stores undone.
    pub(crate) undone: usize,
    pub(crate) seed: u64,
}

impl Share {
    /// What a merge waits for.
    pub(crate) fn sampled(seed: u64) -> Share {
        Share { kills: 1_000, again: 500, undone: 60, seed }
    }

    pub(crate) fn full(seed: u64) -> Share {
        Share { kills: usize::MAX, again: usize::MAX, undone: usize::MAX, seed }
    }
}

/// What was found out about a scene.
#[derive(Default)]
pub(crate) struct Report {
    /// What was done, to be printed.
    pub(crate) lines: Vec<String>,
    /// What is wrong.
    pub(crate) faults: Vec<String>,
}

/// A way to recover, and after which kill it was seen first.
struct Way {
    at: At,
    path: Path,
}

impl Way {
    /// The way that the recovery takes after this kill, and where it changes the memory.
    fn find(act: &Act, victim: &Path, at: At) -> Result<Way, String> {
        let mut trial = Trial::new(act)?;
        trial.victim(at, Some(victim))?;
        let how = Meddling { watch_changes: true, ..Meddling::default() };
        Ok(Way { at, path: trial.watched_survivor(how)? })
    }
}

/// All three parts.
pub(crate) fn prove(act: &Act, share: Share) -> Report {
    let mut report = Report::default();
    let start = Instant::now();
    let path = match measure(act) {
        Ok(path) => path,
        Err(why) => {
            report.faults.push(format!("not killed at all: {why}"));
            return report;
        }
    };
    let mut random = Random::new(share.seed);
    let ways = kill(act, &path, share.kills, &mut random, &mut report);
    if report.faults.is_empty() {
        kill_again(act, &path, &ways, share.again, &mut random, &mut report);
    }
    if report.faults.is_empty() {
        undo(act, &path, &ways, share.undone, &mut random, &mut report);
    }
    report.lines.push(format!("{:.1} s", start.elapsed().as_secs_f64()));
    report
}

/// The way of a victim that comes to its end.
fn measure(act: &Act) -> Result<Path, String> {
    let mut trial = Trial::new(act)?;
    let path = trial.victim(At::END, None)?;
    trial.survivor()?;
    trial.close()?;
    Ok(path)
}

/// Every point of a way at which a process can be killed.
fn points(path: &Path) -> Vec<At> {
    let total = path.addresses.len();
    let asleep =
        |index: usize| path.sleeps.contains(&index).then_some(At { steps: index, asleep: true });
    let between = (0..=total).flat_map(|steps| [Some(At::step(steps)), asleep(steps)]);
    between.flatten().chain([At::END]).collect()
}

/// What one kill came to.
struct Outcome {
    way: u64,
    effects: u64,
    strayed: bool,
}

impl Outcome {
    fn line(outcome: Result<Outcome, String>) -> String {
        match outcome {
            Ok(Outcome { way, effects, strayed }) => {
                format!("ok {way} {effects} {}", u64::from(strayed))
            }
            Err(why) => why,
        }
    }

    fn read(line: &str) -> Result<Outcome, String> {
        let mut fields = line.split(' ').skip(1).map_while(|field| field.parse().ok());
        match (line.starts_with("ok "), fields.next(), fields.next(), fields.next()) {
            (true, Some(way), Some(effects), Some(strayed)) => {
                Ok(Outcome { way, effects, strayed: strayed != 0 })
            }
            _ => Err(line.to_owned()),
        }
    }
}

/// Kills the victim everywhere.
fn kill(act: &Act, path: &Path, max: usize, random: &mut Random, report: &mut Report) -> Vec<Way> {
    let all = points(path);
    let total = path.addresses.len();
    let chosen = sample(all, max, random);
    let outcomes = crew::run(chosen.len(), |index| {
        let outcome = || {
            let mut trial = Trial::new(act)?;
            let strayed = trial.victim(chosen[index], Some(path))?.strayed;
            let recovery = trial.watched_survivor(Meddling::default())?;
            let effects = trial.close()?;
            Ok(Outcome { way: recovery.hash(), effects, strayed })
        };
        Outcome::line(outcome())
    });
    let mut firsts = BTreeMap::new();
    let mut commit = None;
    for (&at, line) in chosen.iter().zip(&outcomes) {
        match Outcome::read(line) {
            Ok(outcome) => {
                firsts.entry(outcome.way).or_insert(at);
                match (outcome.effects, commit) {
                    (0, Some(earlier)) if at != At::END => {
                        let earlier = place(path, earlier);
                        report.faults.push(format!(
                            "taken back: took effect at {earlier}, but not \
                            when killed at {}",
                            place(path, at)
                        ));
                    }
                    (1, None) if at != At::END => commit = Some(at),
                    _ => {}
                }
            }
            Err(why) => report.faults.push(format!("killed at {}: {why}", place(path, at))),
        }
    }
    let strayed = |line: &str| Outcome::read(line).is_ok_and(|outcome| outcome.strayed);
    let inside = chosen.iter().zip(&outcomes).filter(|(at, _)| !at.asleep && at.steps < total);
    let covered = inside.filter(|(_, line)| !strayed(line)).count();
    let asleep = chosen.iter().filter(|at| at.asleep).count();
    let percent = 100.0 * covered as f64 / total.max(1) as f64;
    let asleep = if asleep == 0 { String::new() } else { format!(", and {asleep} times asleep") };
    report.lines.push(format!(
        "killed at {covered} of {total} instructions ({percent:.0} %){asleep}; {} ways to recover",
        firsts.len()
    ));
    if let Some(At { steps, .. }) = commit
        && steps > 0
    {
        report.lines.push(format!("takes effect by {}", place(path, At::step(steps - 1))));
    }
    let ways = firsts.into_values().map(|at| Way::find(act, path, at));
    ways.collect::<Result<_, _>>().unwrap_or_else(|why| {
        report.faults.push(why);
        Vec::new()
    })
}

/// Kills the survivor as well, everywhere on each of its ways.
fn kill_again(
    act: &Act,
    path: &Path,
    ways: &[Way],
    max: usize,
    random: &mut Random,
    report: &mut Report,
) {
    let points = |way: &Way| 0..=way.path.addresses.len();
    let all = ways.iter().flat_map(|way| points(way).map(move |steps| (way, At::step(steps))));
    let all: Vec<(&Way, At)> = all.collect();
    let total = all.len();
    let chosen = sample(all, max, random);
    let outcomes = crew::run(chosen.len(), |index| {
        let (way, second) = chosen[index];
        let outcome = || {
            let mut trial = Trial::new(act)?;
            trial.victim(way.at, Some(path))?;
            let how = Meddling { known: Some(&way.path), ..Meddling::default() };
            trial.second_victim(second, how)?;
            trial.survivor()?;
            trial.close()
        };
        outcome().err().unwrap_or_default()
    });
    for (&(way, second), why) in chosen.iter().zip(&outcomes).filter(|(_, why)| !why.is_empty()) {
        let (first, second) = (place(path, way.at), place(&way.path, second));
        report.faults.push(format!("killed at {first}; again at {second}: {why}"));
    }
    report.lines.push(format!("killed again at {} of {total} of the recovery", chosen.len()));
}

/// Undoes each store of the recovery, on each of its ways: nobody must be content with that.
fn undo(
    act: &Act,
    path: &Path,
    ways: &[Way],
    max: usize,
    random: &mut Random,
    report: &mut Report,
) {
    let stores = |way: &Way| way.path.changes.clone();
    let all = ways.iter().flat_map(|way| stores(way).into_iter().map(move |store| (way, store)));
    let all: Vec<(&Way, usize)> = all.collect();
    let total = all.len();
    let chosen = sample(all, max, random);
    let lines = crew::run(chosen.len(), |index| {
        let (way, store) = chosen[index];
        noticed(act, path, way, store).to_string()
    });
    let mut stores: BTreeMap<u64, (usize, usize)> = BTreeMap::new();
    for (&(way, store), noticed) in chosen.iter().zip(&lines) {
        let (times, caught) = stores.entry(way.path.addresses[store]).or_default();
        *times += 1;
        *caught += usize::from(noticed == "true");
    }
    report.lines.push(format!(
        "{} of {total} stores undone, by {} instructions",
        chosen.len(),
        stores.len()
    ));
    for (address, (times, _)) in stores.iter().filter(|(_, (_, caught))| *caught == 0) {
        let name = symbol::name(*address);
        let excuse = act.excused.iter().find(|(part, _)| name.contains(part));
        match excuse {
            Some((_, why)) => report.lines.push(format!("not missed: {name}: {why}")),
            None => report.faults.push(format!("undone {times} times, and not missed: {name}")),
        }
    }
}

/// Whether anybody notices that a store of the recovery was undone: the survivor that goes on, or
/// one that comes after a second kill.
fn noticed(act: &Act, path: &Path, way: &Way, store: usize) -> bool {
    let how = Meddling { known: Some(&way.path), undo: Some(store), watch_changes: false };
    let ends = || {
        let mut trial = Trial::new(act)?;
        trial.victim(way.at, Some(path))?;
        trial.watched_survivor(how)?;
        trial.survivor()?;
        trial.close()
    };
    let killed = |steps: usize| {
        let mut trial = Trial::new(act)?;
        trial.victim(way.at, Some(path))?;
        trial.second_victim(At::step(steps), how)?;
        trial.survivor()?;
        trial.close()
    };
    ends().is_err() || (store + 1..=way.path.addresses.len()).any(|steps| killed(steps).is_err())
}

/// A point of the victim's way, by its instruction.
fn place(path: &Path, at: At) -> String {
    match path.addresses.get(at.steps) {
        Some(&address) if at.asleep => format!("{} (asleep): {}", at.steps, symbol::name(address)),
        Some(&address) => format!("{}: {}", at.steps, symbol::name(address)),
        None if at == At::END => "its end".into(),
        None => "its last instruction".into(),
    }
}
