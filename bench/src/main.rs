//! Bifolio beside its peers, as ratios in one run.
//!
//! `cargo run --release --manifest-path bench/Cargo.toml` measures everything and prints the tables
//! that stand in `bench/results`; `--check` runs everything small and compares answers only.

mod cases;
mod dirty;
mod dropin;
mod lease;
mod maps;
mod pages;
mod pair;
mod programs;
mod residency;
mod stable;
mod watch;

use cases::{Case, Scale};
use pair::Outcome;
use std::path::PathBuf;
use std::process::ExitCode;

/// Every case, in the order of the report.
const GROUPS: &[&[Case]] = &[
    cases::CASES,
    programs::CASES,
    stable::CASES,
    lease::CASES,
    dirty::CASES,
    dropin::CASES,
    maps::CASES,
    residency::CASES,
    watch::CASES,
    pages::CASES,
];

const USAGE: &str = "usage: bifolio-bench [--check] [--rounds N] [--dir DIR] [CASE]...";

/// What the command line asks for.
struct Request {
    check: bool,
    rounds: u32,
    dir: Option<PathBuf>,
    names: Vec<String>,
}

fn main() -> ExitCode {
    if maps::play() {
        return ExitCode::SUCCESS;
    }
    let request = match request() {
        Ok(request) => request,
        Err(message) => {
            eprintln!("{message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let scale = if request.check {
        Scale { shrink: 64, rounds: 1, hurry: 100 }
    } else {
        Scale { shrink: 1, rounds: request.rounds, hurry: 1 }
    };
    println!("| work / peer | ours | peer | ratio (range) | bar | verdict |");
    println!("|---|---|---|---|---|---|");
    let mut missed = 0;
    for case in GROUPS.iter().copied().flatten() {
        if !request.names.is_empty() && !request.names.iter().any(|name| name == case.name) {
            continue;
        }
        let dir = cases::scratch(request.dir.as_deref());
        for outcome in (case.run)(dir.path(), scale) {
            println!("{outcome}");
            missed += usize::from(!Outcome::is_kept(&outcome));
        }
    }
    if request.check {
        println!("\nanswers agree; times of a check mean nothing");
        return ExitCode::SUCCESS;
    }
    println!("\n{missed} bars missed");
    ExitCode::from(u8::from(missed > 0))
}

fn request() -> Result<Request, String> {
    let mut request = Request { check: false, rounds: 9, dir: None, names: vec![] };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} wants a value"));
        match word.as_str() {
            "--check" => request.check = true,
            "--rounds" => {
                request.rounds = value()?.parse().map_err(|error| format!("--rounds: {error}"))?;
            }
            "--dir" => request.dir = Some(value()?.into()),
            name if GROUPS.iter().copied().flatten().any(|case| case.name == name) => {
                request.names.push(word);
            }
            _ => return Err(format!("unknown: {word}")),
        }
    }
    if request.rounds == 0 {
        return Err("--rounds wants at least 1".to_owned());
    }
    Ok(request)
}
