//! Kills processes at every instruction of what they do to shared memory, and sees that the others
//! go on and that nothing is lost: `cargo xtask sweep`.
//!
//! This file reads the command line and prints. `trial` is one kill, `proof` all those of a scene;
//! each scene stands in a file of its own.

mod crew;
mod place;
mod process;
mod proof;
mod random;
mod sample;
mod scene;
mod scenes;
mod symbol;
mod trace;
mod trial;

use std::process::ExitCode;
use std::time::Instant;

use proof::Share;
use sample::Random;
use scene::Act;
use scenes::{SCENES, WRONG};

/// Of one scene, this many faults are told.
const TOLD_MAX: usize = 10;

/// Kills at random, in all.
const RANDOM_KILLS: usize = 10_000;
/// Of these, what a merge waits for.
const RANDOM_KILLS_SAMPLE: usize = 300;

const USAGE: &str = "\
usage: sweep [--full] [SCENE]...

Without --full a sample is tried, by a seed that BIFOLIO_SEED repeats.";

fn main() -> ExitCode {
    let mut full = false;
    let mut names = Vec::new();
    for word in std::env::args().skip(1) {
        match word.as_str() {
            "--full" => full = true,
            name if known(name) => names.push(word),
            _ => {
                eprintln!("{USAGE}\n\nscenes:");
                SCENES.iter().chain(WRONG).for_each(|act| eprintln!("  {}", act.name));
                return ExitCode::from(2);
            }
        }
    }
    process::start_ticks();
    let seed = sample::seed();
    println!("{}, BIFOLIO_SEED={seed}", if full { "everything" } else { "a sample" });
    let start = Instant::now();
    let is_chosen = |act: &&Act| names.is_empty() || names.iter().any(|name| name == act.name);
    let chosen: Vec<&Act> = SCENES.iter().filter(is_chosen).collect();
    let wrong: Vec<&Act> = WRONG.iter().filter(is_chosen).collect();
    let mut failed = sweep(&chosen, &wrong, if full { Share::FULL } else { Share::SAMPLE }, seed);
    let kills = if full { RANDOM_KILLS } else { RANDOM_KILLS_SAMPLE };
    failed.extend(kill_at_random(&chosen, kills, seed));
    println!("{:.0} s", start.elapsed().as_secs_f64());
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("failed: {}; repeat: BIFOLIO_SEED={seed}", failed.join(" "));
    ExitCode::FAILURE
}

fn known(name: &str) -> bool {
    SCENES.iter().chain(WRONG).any(|act| act.name == name)
}

/// Every instruction of every scene; gives the names of those that fail.
fn sweep(chosen: &[&Act], wrong: &[&Act], share: Share, seed: u64) -> Vec<&'static str> {
    if let Some(why) = trace::refused() {
        println!("skipped: no kills at every instruction: {why}");
        return Vec::new();
    }
    let bad = chosen.iter().filter(|act| !holds(act, share, seed));
    let mut failed: Vec<&'static str> = bad.map(|act| act.name).collect();
    failed.extend(wrong.iter().filter(|act| !is_caught(act, share, seed)).map(|act| act.name));
    failed
}

/// Shares the kills among the scenes that several can play; gives the names of those that fail.
fn kill_at_random(chosen: &[&Act], kills: usize, seed: u64) -> Vec<&'static str> {
    let many: Vec<&&Act> = chosen.iter().filter(|act| act.by_many).collect();
    let mut random = Random::new(seed);
    let mut failed = Vec::new();
    for act in &many {
        println!("{}, killed at random", act.name);
        match random::kill(act, kills.div_ceil(many.len()), &mut random) {
            Ok(toll) => println!(
                "    {} kills, {} of them inside of an operation, of which {} took effect; \
                 {} operations ended; 0 hangs, 0 torn, 0 lost",
                toll.kills, toll.inside, toll.effects, toll.finished
            ),
            Err(why) => {
                println!("    WRONG: {why}");
                failed.push(act.name);
            }
        }
    }
    failed
}

/// Proves a scene, and prints how.
fn holds(act: &Act, share: Share, seed: u64) -> bool {
    println!("{}", act.name);
    let report = proof::prove(act, share, seed);
    report.lines.iter().for_each(|line| println!("    {line}"));
    report.faults.iter().take(TOLD_MAX).for_each(|fault| println!("    WRONG: {fault}"));
    if report.faults.len() > TOLD_MAX {
        println!("    WRONG: {} more", report.faults.len() - TOLD_MAX);
    }
    report.faults.is_empty()
}

/// What is wrong on purpose is found to be so.
fn is_caught(act: &Act, share: Share, seed: u64) -> bool {
    println!("{}, wrong on purpose", act.name);
    let report = proof::prove(act, share, seed);
    match report.faults.first() {
        Some(fault) => println!("    caught, {} times, first: {fault}", report.faults.len()),
        None => println!("    NOT caught"),
    }
    !report.faults.is_empty()
}
