//! The project's checks, one command each: `cargo xtask ci` runs what must pass before a merge.
//!
//! This file reads the command line. What each step runs stands in `steps`, what a program can
//! check of the layout in `tidy`. It never repairs anything: `cargo fmt` and an editor do.
#![forbid(unsafe_code)]

mod aarch64;
mod alone;
mod dropin;
mod picture;
mod steps;
mod tidy;
mod workspace;

use std::process::ExitCode;

use steps::{EXTRAS, STEPS, Step};

/// What the command line asks for.
enum Request {
    Help,
    Run(Vec<&'static Step>),
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match request(&words) {
        Ok(Request::Help) => {
            println!("{}", usage());
            ExitCode::SUCCESS
        }
        Ok(Request::Run(steps)) => steps::run(&steps),
        Err(message) => {
            eprintln!("xtask: {message}\n\n{}", usage());
            ExitCode::from(2)
        }
    }
}

/// Reads `ci [--skip STEP]...` or the name of one step.
fn request(words: &[String]) -> Result<Request, String> {
    let Some((command, rest)) = words.split_first() else { return Ok(Request::Help) };
    match command.as_str() {
        "help" | "-h" | "--help" => Ok(Request::Help),
        "ci" => {
            let skipped = skipped(rest)?;
            let chosen = STEPS.iter().filter(|step| !skipped.contains(&step.name));
            Ok(Request::Run(chosen.collect()))
        }
        name => match (step(name)?, rest) {
            (step, []) => Ok(Request::Run(vec![step])),
            (_, [word, ..]) => Err(format!("`{name}` takes no argument, got `{word}`")),
        },
    }
}

/// The names that follow `--skip`.
fn skipped(words: &[String]) -> Result<Vec<&'static str>, String> {
    let mut names = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        if word != "--skip" {
            return Err(format!("`ci` takes `--skip STEP` only, got `{word}`"));
        }
        names.push(step(words.next().ok_or("`--skip` needs the name of a step")?)?.name);
    }
    Ok(names)
}

fn step(name: &str) -> Result<&'static Step, String> {
    let mut all = STEPS.iter().chain(EXTRAS);
    all.find(|step| step.name == name).ok_or_else(|| format!("there is no step `{name}`"))
}

fn usage() -> String {
    let mut text =
        String::from("usage: cargo xtask ci [--skip STEP]...\n       cargo xtask STEP\n");
    text.push_str("\nsteps, in the order of `ci`:\n");
    for step in STEPS {
        text.push_str(&format!("  {:<12}{}\n", step.name, step.about));
    }
    text.push_str("\nbesides:\n");
    for step in EXTRAS {
        text.push_str(&format!("  {:<12}{}\n", step.name, step.about));
    }
    text.pop();
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(line: &str) -> Result<Vec<&'static str>, String> {
        let words: Vec<String> = line.split_whitespace().map(String::from).collect();
        match request(&words)? {
            Request::Help => Ok(vec!["help"]),
            Request::Run(steps) => Ok(steps.iter().map(|step| step.name).collect()),
        }
    }

    #[test]
    fn ci_is_every_step_but_the_skipped() {
        let all: Vec<_> = STEPS.iter().map(|step| step.name).collect();
        assert_eq!(names("ci").unwrap(), all);
        let rest = names("ci --skip test --skip doc").unwrap();
        assert_eq!(rest.len(), all.len() - 2);
        assert!(!rest.contains(&"test") && !rest.contains(&"doc"));
    }

    #[test]
    fn one_step_is_itself() {
        assert_eq!(names("tidy").unwrap(), ["tidy"]);
        assert_eq!(names("").unwrap(), ["help"]);
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for line in ["cj", "ci --skip", "ci --skip nothing", "ci test", "tidy now"] {
            assert!(names(line).is_err(), "`{line}` was taken");
        }
    }
}
