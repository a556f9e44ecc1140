//! Real programs that map files by memmap2, built by cargo from crates.io twice: with the crate of
//! crates.io and with the drop-in.
//!
//! Building them takes minutes, so a check does not: their own tests are run over both by
//! `cargo xtask dropin`.

use super::BAR;
use crate::cases::{Scale, next};
use crate::pair::{Outcome, compare};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The name of a package, its version, and the program that it installs.
type Program = (&'static str, &'static str, &'static str);

const RIPGREP: Program = ("ripgrep", "15.2.0", "rg");
const B3SUM: Program = ("b3sum", "1.8.7", "b3sum");
const SD: Program = ("sd", "1.0.0", "sd");

/// Installs a program with the drop-in or without, and returns its path.
fn built((name, version, program): Program, with_ours: bool) -> PathBuf {
    let bench = Path::new(env!("CARGO_MANIFEST_DIR"));
    let which = if with_ours { "ours" } else { "peer" };
    let root = bench.join("target/programs").join(which);
    let ours = bench.join("../crates/memmap2").canonicalize().unwrap();
    let patch = format!("patch.crates-io.memmap2.path=\"{}\"", ours.display());
    let config: &[&str] = if with_ours { &["--config", &patch] } else { &[] };
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let status = Command::new(cargo)
        .args(["install", "--quiet", name, "--version", version, "--force", "--root"])
        .arg(&root)
        .arg("--target-dir")
        .arg(bench.join("target/programs/build").join(which))
        .args(config)
        // Elsewhere than here, whose manifest is no business of theirs.
        .current_dir(std::env::temp_dir())
        .status()
        .unwrap();
    assert!(status.success(), "cargo could not install {name}");
    let path = root.join("bin").join(program);
    // The drop-in carries the name of its variable.
    let bytes = std::fs::read(&path).unwrap();
    let variable = bifolio_memmap2::bifolio::VARIABLE.as_bytes();
    let has_ours = bytes.windows(variable.len()).any(|window| window == variable);
    assert_eq!(has_ours, with_ours, "{name} was built of another memmap2");
    path
}

fn pair(program: Program) -> [PathBuf; 2] {
    [built(program, true), built(program, false)]
}

/// Lines of words, with the line breaks of a text.
fn text(len: usize) -> Vec<u8> {
    let words = ["memory", "mapping", "of", "a", "page", "and", "its", "fault", "kernel", "folio"];
    let (mut state, mut text) = (7_u64, Vec::with_capacity(len + 16));
    while text.len() < len {
        state = next(state);
        text.extend_from_slice(words[(state >> 33) as usize % words.len()].as_bytes());
        text.push(if (state >> 20) % 11 == 0 { b'\n' } else { b' ' });
    }
    text
}

/// What a program printed, as a number to compare.
fn printed(command: &mut Command) -> u64 {
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", output.status);
    output.stdout.iter().fold(7, |sum, &byte| next(sum ^ u64::from(byte)))
}

/// Whole processes, with their start and end.
pub fn programs(dir: &Path, scale: Scale) -> Vec<Outcome> {
    if scale.hurry > 1 {
        eprintln!("skipped: `cargo xtask dropin` checks the programs");
        return vec![];
    }
    let (big, small) = (dir.join("big"), dir.join("small"));
    let mut content = text(128 << 20);
    content.extend_from_slice(b"a quire\n");
    std::fs::write(&big, &content).unwrap();
    std::fs::create_dir(&small).unwrap();
    for file in 0..2000 {
        std::fs::write(small.join(file.to_string()), &content[file * 5000..][..5000]).unwrap();
    }
    let rounds = scale.rounds;
    let mut all = vec![];
    let [ours, peer] = pair(RIPGREP);
    for (what, place, pattern) in [
        ("a literal in 128 MiB", &big, "quire"),
        ("a word in 2000 files of 5 kB", &small, "folio kernel"),
    ] {
        let count = |rg: &Path| {
            let mut command = Command::new(rg);
            command.args(["--no-config", "--mmap", "-j1", "--sort", "path", "--count-matches"]);
            printed(command.args(["--include-zero", pattern]).arg(place))
        };
        let (mut mine, mut theirs) = (|_| count(&ours), |_| count(&peer));
        let work = format!("ripgrep --mmap, {what} / the same with memmap2");
        all.push(compare(&work, BAR, rounds, 1, &mut mine, &mut theirs));
    }
    let [ours, peer] = pair(B3SUM);
    let sum = |b3sum: &Path| printed(Command::new(b3sum).args(["--num-threads", "1"]).arg(&big));
    let (mut mine, mut theirs) = (|_| sum(&ours), |_| sum(&peer));
    let work = "b3sum of 128 MiB / the same with memmap2";
    all.push(compare(work, BAR, rounds, 1, &mut mine, &mut theirs));
    let [ours, peer] = pair(SD);
    let place = dir.join("sd");
    let mut out = std::fs::File::create(&place).unwrap();
    out.write_all(&content[..16 << 20]).unwrap();
    let replace = |sd: &Path| {
        printed(Command::new(sd).args(["-s", "page", "leaf"]).arg(&place));
        printed(Command::new(sd).args(["-s", "leaf", "page"]).arg(&place));
        u64::from(std::fs::read(&place).unwrap() == content[..16 << 20])
    };
    let (mut mine, mut theirs) = (|_| replace(&ours), |_| replace(&peer));
    let work = "sd, a word in 16 MiB and back, in place / the same with memmap2";
    all.push(compare(work, BAR, rounds, 1, &mut mine, &mut theirs));
    all
}
