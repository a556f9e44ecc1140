//! The steps of `cargo xtask ci`: what each one runs, its time, and what to repeat when it fails.
//!
//! All steps run even when one has failed, so that one run tells everything that is wrong.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::workspace::Workspace;
use crate::{aarch64, alone, dropin, picture, tidy};

/// One check: its name on the command line, a line of help, and what it runs.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    run: fn(&Workspace) -> Result<(), String>,
}

/// Every step, the quick ones first.
pub(crate) const STEPS: &[Step] = &[
    Step { name: "tidy", about: "the rules of layout that a program can check", run: tidy::run },
    Step { name: "fmt", about: "rustfmt, nothing is rewritten", run: fmt },
    Step {
        name: "clippy",
        about: "clippy on all targets and features, warnings denied",
        run: clippy,
    },
    Step { name: "test", about: "all tests and the examples in the documentation", run: test },
    Step {
        name: "features",
        about: "the tests of what only optional features bring",
        run: features,
    },
    Step {
        name: "loom",
        about: "the lock-free tables under the model checker, every interleaving",
        run: loom,
    },
    Step {
        name: "sweep",
        about: "processes killed at every instruction of what they share, a sample",
        run: sweep,
    },
    Step { name: "doc", about: "rustdoc, warnings denied", run: doc },
    Step {
        name: "alone",
        about: "each crate built by itself, no_std where promised",
        run: alone::run,
    },
    Step {
        name: "aarch64",
        about: "compiled for aarch64, the guarded access run under an emulator",
        run: aarch64::run,
    },
    Step {
        name: "bench-check",
        about: "bench/: fmt, clippy, the answers of all peers",
        run: bench_check,
    },
];

/// What is made when it is asked for, and not by `ci`: it takes minutes, or changes files.
pub(crate) const EXTRAS: &[Step] = &[
    Step {
        name: "dropin",
        about: "tests of three programs of crates.io over the drop-in memmap2, and its own",
        run: dropin::run,
    },
    Step {
        name: "picture",
        about: "draws the pictures in docs from what the program shows",
        run: picture::run,
    },
];

/// Runs the steps in order and sums them up.
pub(crate) fn run(steps: &[&Step]) -> ExitCode {
    let workspace = Workspace::find();
    let mut summary = Vec::new();
    for step in steps {
        eprintln!("==> {}", step.name);
        let start = Instant::now();
        let outcome = (step.run)(&workspace);
        let line = closing_line(step.name, start.elapsed(), &outcome);
        eprintln!("{line}");
        summary.push((line, outcome.is_ok()));
    }
    if summary.len() > 1 {
        eprintln!("==> summary");
        summary.iter().for_each(|(line, _)| eprintln!("{line}"));
    }
    if summary.iter().all(|(_, passed)| *passed) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// How a step ended, how long it took, and how to repeat it.
fn closing_line(name: &str, took: Duration, outcome: &Result<(), String>) -> String {
    let seconds = took.as_secs_f64();
    match outcome {
        Ok(()) => format!("    {name}: ok, {seconds:.1} s"),
        Err(why) => {
            format!("    {name}: FAILED, {seconds:.1} s: {why}\n    repeat: cargo xtask {name}")
        }
    }
}

fn fmt(workspace: &Workspace) -> Result<(), String> {
    workspace.cargo("fmt --all --check")
}

fn clippy(workspace: &Workspace) -> Result<(), String> {
    workspace.cargo("clippy --locked --workspace --all-targets --all-features -- -D warnings")
}

/// The README's command, and the examples in the documentation come with it.
fn test(workspace: &Workspace) -> Result<(), String> {
    workspace.cargo("test --workspace --locked")
}

/// What the README's command leaves out; these tests stand in modules of the names `types` and
/// `shape`.
fn features(workspace: &Workspace) -> Result<(), String> {
    let map = "--features bifolio-map/bytes,bifolio-map/stable_deref_trait";
    workspace.cargo(&format!("test --locked -p bifolio-map {map} --test stable types::"))?;
    let memmap2 = "--features memmap2/stable_deref_trait";
    workspace.cargo(&format!("test --locked -p memmap2 {memmap2} --test api shape::"))
}

/// The models run the shipped source, built with the checker's atomics into a directory of its own.
/// They stand in modules of the name `model`.
fn loom(workspace: &Workspace) -> Result<(), String> {
    let target = std::env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".into());
    let variables = [
        ("RUSTFLAGS", "--cfg loom"),
        ("CARGO_TARGET_DIR", &*format!("{target}/loom")),
        // There are many interleavings.
        ("CARGO_PROFILE_DEV_OPT_LEVEL", "2"),
    ];
    for package in ["bifolio-sys", "bifolio-sync --no-default-features"] {
        let tests = format!("test --locked -p {package} --lib");
        workspace.cargo_with(&format!("{tests} model::"), &variables)?;
        let listing = workspace.cargo_output_with(&format!("{tests} -- --list"), &variables)?;
        if !listing.contains("model::") {
            return Err(format!("there is no model left to run in {package}"));
        }
    }
    Ok(())
}

/// The shipped code, optimised as it ships; with `-- --full` it tries everything.
fn sweep(workspace: &Workspace) -> Result<(), String> {
    workspace.cargo("run --locked --quiet --profile sweep -p sweep")
}

/// The program shares its name with the library, so their pages are built one after the other and
/// the library's stay.
fn doc(workspace: &Workspace) -> Result<(), String> {
    let denied = [("RUSTDOCFLAGS", "-D warnings")];
    let shared = "doc --locked --workspace --no-deps --all-features";
    workspace.cargo_with(&format!("{shared} --bins --document-private-items"), &denied)?;
    workspace.cargo_with(&format!("{shared} --lib"), &denied)
}

/// `bench/` is a workspace of its own, so that nobody builds the peers to run the tests. Its
/// program compares the answers of all peers under `--check`, and measures nothing.
fn bench_check(workspace: &Workspace) -> Result<(), String> {
    if !workspace.root().join("bench/Cargo.toml").exists() {
        eprintln!("    skipped: bench/ has no manifest");
        return Ok(());
    }
    let bench = "--manifest-path bench/Cargo.toml";
    workspace.cargo(&format!("fmt {bench} --all --check"))?;
    workspace.cargo(&format!("clippy {bench} --locked --all-targets -- -D warnings"))?;
    workspace.cargo(&format!("run {bench} --locked --quiet -- --check"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_step_and_the_command_to_repeat() {
        let failed = Err(String::from("2 findings"));
        let line = closing_line("tidy", Duration::from_millis(1_234), &failed);
        assert!(line.contains("tidy: FAILED, 1.2 s: 2 findings"), "{line}");
        assert!(line.contains("cargo xtask tidy"), "{line}");
        let line = closing_line("fmt", Duration::from_millis(60), &Ok(()));
        assert_eq!(line, "    fmt: ok, 0.1 s");
    }
}
