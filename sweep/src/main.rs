//! Kills processes at every instruction of what they do to shared memory, and sees that the others
//! go on and that nothing is lost: `cargo xtask sweep`.
//!
//! This file reads the command line and prints. `trial` is one kill, `proof` all those of a scene;
//! each scene stands in a file of its own.

mod crew;
mod place;
mod process;
mod proof;
mod sample;
mod scene;
mod symbol;
mod toy;
mod trace;
mod trial;

use std::process::ExitCode;
use std::time::Instant;

use proof::Share;
use scene::Act;
use toy::Toy;

/// What is proved.
const SCENES: &[Act] = &[Act::of::<Toy<{ toy::RIGHT }>>()];
/// What must be caught, or the machine proves nothing.
const WRONG: &[Act] = &[
    Act::of::<Toy<{ toy::FULL_TOO_EARLY }>>(),
    Act::of::<Toy<{ toy::EMPTY_TOO_EARLY }>>(),
    Act::of::<Toy<{ toy::RECOVERY_IN_HASTE }>>(),
    Act::of::<Toy<{ toy::FOR_NOTHING }>>(),
];
/// Of one scene, this many faults are told.
const TOLD_MAX: usize = 10;

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
    std::panic::set_hook(Box::new(|_| {}));
    process::start_ticks();
    if let Some(why) = trace::refused() {
        println!("skipped: {why}");
        return ExitCode::SUCCESS;
    }
    let seed = sample::seed();
    let share = if full { Share::full(seed) } else { Share::sampled(seed) };
    let which = if full { "everything" } else { "a sample" };
    println!("{which}, BIFOLIO_SEED={seed}");
    let start = Instant::now();
    let chosen = |act: &&Act| names.is_empty() || names.iter().any(|name| name == act.name);
    let mut failed = Vec::new();
    for act in SCENES.iter().filter(chosen) {
        if !holds(act, share) {
            failed.push(act.name);
        }
    }
    for act in WRONG.iter().filter(chosen) {
        if !is_caught(act, share) {
            failed.push(act.name);
        }
    }
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

/// Proves a scene, and prints how.
fn holds(act: &Act, share: Share) -> bool {
    println!("{}", act.name);
    let report = proof::prove(act, share);
    report.lines.iter().for_each(|line| println!("    {line}"));
    report.faults.iter().take(TOLD_MAX).for_each(|fault| println!("    WRONG: {fault}"));
    if report.faults.len() > TOLD_MAX {
        println!("    WRONG: {} more", report.faults.len() - TOLD_MAX);
    }
    report.faults.is_empty()
}

/// What is wrong on purpose is found to be so.
fn is_caught(act: &Act, share: Share) -> bool {
    println!("{}, wrong on purpose", act.name);
    let report = proof::prove(act, share);
    match report.faults.first() {
        Some(fault) => println!("    caught, {} times, first: {fault}", report.faults.len()),
        None => println!("    NOT caught"),
    }
    !report.faults.is_empty()
}
