//! The work of the program `bifolio`, as whole processes beside xxd and ripgrep, and its memory.
//!
//! A peer that is not installed is named and left out; the program is built by cargo first.

use crate::cases::{Case, Scale, next};
use crate::pair::{Bar, Outcome, compare};
use std::fs::File;
use std::hash::{DefaultHasher, Hasher};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The cases of this file.
pub const CASES: &[Case] = &[
    Case { name: "hex", run: hex },
    Case { name: "sparse", run: sparse },
    Case { name: "find", run: find },
    Case { name: "memory", run: memory },
];

/// Builds the program as this one was built (in release mode for figures) and returns its path.
pub fn bifolio() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or("cargo".into());
    let output = Command::new(cargo)
        .args(["build", "--quiet", "--locked", "-p", "bifolio-cli"])
        .args(if cfg!(debug_assertions) { &[][..] } else { &["--release"] })
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(root)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo could not build bifolio-cli");
    let text = String::from_utf8(output.stdout).unwrap();
    let key = "\"executable\":\"";
    let at = text.rfind(key).expect("cargo names the executable") + key.len();
    let end = at + text[at..].find('"').unwrap();
    PathBuf::from(&text[at..end])
}

pub fn is_installed(program: &str) -> bool {
    let found = Command::new(program)
        .arg("--version")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    if !found {
        eprintln!("skipped: {program} is not installed");
    }
    found
}

/// Runs a command and returns a hash of what it printed; printing goes through a pipe for both.
fn hash_of_output(command: &mut Command) -> u64 {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut hasher = DefaultHasher::new();
    let mut out = child.stdout.take().unwrap();
    let mut buf = vec![0; 1 << 20];
    loop {
        // Filled to the brim, so that the hash does not depend on how a pipe cut the output.
        let mut len = 0;
        while len < buf.len() {
            match out.read(&mut buf[len..]).unwrap() {
                0 => break,
                count => len += count,
            }
        }
        hasher.write(&buf[..len]);
        if len < buf.len() {
            break;
        }
    }
    child.wait().unwrap();
    hasher.finish()
}

/// Runs a command with its output into the void, and returns nothing to compare.
fn run_quietly(command: &mut Command) -> u64 {
    assert!(command.stdout(Stdio::null()).status().unwrap().success());
    0
}

fn random_file(path: &Path, len: usize) {
    let mut out = std::io::BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
    let mut state = 1_u64;
    for _ in 0..len / 8 {
        state = next(state);
        out.write_all(&(state ^ state >> 29).to_le_bytes()).unwrap();
    }
    out.flush().unwrap();
}

fn hex(dir: &Path, scale: Scale) -> Vec<Outcome> {
    let (bifolio, path) = (bifolio(), dir.join("data"));
    if !is_installed("xxd") {
        return vec![];
    }
    random_file(&path, (256 << 20) / scale.shrink);
    let same = |program: &mut Command| hash_of_output(program);
    assert_eq!(
        same(Command::new(&bifolio).args(["hex", "--plain"]).arg(&path)),
        same(Command::new("xxd").arg(&path)),
        "hex --plain differs from xxd"
    );
    let mut ours = |_| run_quietly(Command::new(&bifolio).args(["hex", "--plain"]).arg(&path));
    let mut peer = |_| run_quietly(Command::new("xxd").arg(&path));
    let work = "bifolio hex --plain of 256 MiB / xxd (same bytes)";
    let rounds = scale.rounds.min(5);
    vec![compare(work, Bar::RatioMax(1.0 / 10.0), rounds, 1, &mut ours, &mut peer)]
}

fn sparse(dir: &Path, scale: Scale) -> Vec<Outcome> {
    let (bifolio, path) = (bifolio(), dir.join("sparse"));
    if !is_installed("xxd") {
        return vec![];
    }
    let len = (1_u64 << 30) / scale.shrink as u64;
    random_file(&path, (1 << 20) / scale.shrink.min(4));
    let mut file = File::options().write(true).open(&path).unwrap();
    let data = std::fs::read(&path).unwrap();
    file.set_len(0).unwrap();
    file.set_len(len).unwrap();
    file.seek(SeekFrom::Start(len / 2)).unwrap();
    file.write_all(&data).unwrap();
    file.sync_all().unwrap();
    let plain = || {
        let mut command = Command::new(&bifolio);
        command.args(["hex", "--plain", "-a"]).arg(&path);
        command
    };
    assert_eq!(
        hash_of_output(&mut plain()),
        hash_of_output(Command::new("xxd").arg("-a").arg(&path)),
        "hex --plain -a differs from xxd -a"
    );
    let mut squeezing = |_| run_quietly(Command::new(&bifolio).arg("hex").arg(&path));
    let mut ours = |_| run_quietly(&mut plain());
    let mut peer = |_| run_quietly(Command::new("xxd").arg("-a").arg(&path));
    let (bar, rounds) = (Bar::RatioMax(1.0 / 100.0), scale.rounds.min(3));
    vec![
        compare(
            "bifolio hex --plain -a of 1 GiB with 1 MiB of data / xxd -a (same bytes)",
            bar,
            rounds,
            1,
            &mut ours,
            &mut peer,
        ),
        compare(
            "bifolio hex of 1 GiB with 1 MiB of data / xxd -a",
            bar,
            rounds,
            1,
            &mut squeezing,
            &mut peer,
        ),
    ]
}

/// A text of lines without the literal, but for a few.
fn text_file(path: &Path, len: usize) {
    let mut out = std::io::BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
    let words = ["memory", "mapping", "of", "a", "page", "and", "its", "fault", "kernel", "folio"];
    let (mut state, mut written, mut line) = (7_u64, 0, String::new());
    while written < len {
        line.clear();
        for _ in 0..10 {
            state = next(state);
            line.push_str(words[(state >> 33) as usize % words.len()]);
            line.push(' ');
        }
        if (state >> 20) % 100_003 == 0 {
            line.push_str("quire-and-bifolium");
        }
        if (state >> 20) % 90_001 == 0 {
            line.push_str("and andlast");
        }
        line.push('\n');
        out.write_all(line.as_bytes()).unwrap();
        written += line.len();
    }
    out.flush().unwrap();
}

fn count_in_output(command: &mut Command) -> u64 {
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let count = text.trim().rsplit(':').next().unwrap_or("0").trim();
    count.parse().unwrap_or_else(|_| panic!("no count in {text:?}"))
}

/// Searches for one literal on one thread and on two, beside ripgrep on one.
fn find_literal(
    (bifolio, path): (&Path, &Path),
    literal: &str,
    what: &str,
    rounds: u32,
) -> Vec<Outcome> {
    let ours_with = |threads: &str| {
        let mut command = Command::new(bifolio);
        command.args(["find", "--count", "--threads", threads, literal]).arg(path);
        command
    };
    let mut one = |_| count_in_output(&mut ours_with("1"));
    let mut two = |_| count_in_output(&mut ours_with("2"));
    let mut peer = |_| {
        let options = ["--no-config", "-j1", "-c", "-a", "--mmap", "-F", literal];
        count_in_output(Command::new("rg").args(options).arg(path))
    };
    let beside = format!("bifolio find of {what} in 1 GiB, one thread / rg -c -a --mmap -j1");
    let scaling = format!("bifolio find of {what}, two threads / itself with one");
    vec![
        compare(&beside, Bar::RatioMax(1.0), rounds, 1, &mut one, &mut peer),
        compare(&scaling, Bar::RatioMax(0.8), rounds, 1, &mut two, &mut one),
    ]
}

fn find(dir: &Path, scale: Scale) -> Vec<Outcome> {
    let (bifolio, path) = (bifolio(), dir.join("text"));
    if !is_installed("rg") {
        return vec![];
    }
    text_file(&path, (1 << 30) / scale.shrink);
    let (files, rounds) = ((&*bifolio, &*path), scale.rounds.min(9));
    let mut outcomes = find_literal(files, "quire-and-bifolium", "a literal", rounds);
    outcomes.extend(find_literal(files, "andlast", "a literal of common letters", rounds));
    outcomes
}

/// The largest private memory (`RssAnon`) that a command was seen with, in bytes.
fn private_bytes(command: &mut Command) -> u64 {
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut most = 0;
    while child.try_wait().unwrap().is_none() {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with("RssAnon:"));
        let kib = line.and_then(|line| line.split_whitespace().nth(1)?.parse::<u64>().ok());
        most = most.max(kib.unwrap_or(0) << 10);
        std::thread::sleep(std::time::Duration::from_micros(200));
    }
    most
}

/// Not a time: the private memory of commands on a 10 GiB sparse file, against the bar of 16 MiB.
fn memory(dir: &Path, scale: Scale) -> Vec<Outcome> {
    let (bifolio, path, other) = (bifolio(), dir.join("sparse"), dir.join("other"));
    for path in [&path, &other] {
        File::create(path).unwrap().set_len((10 << 30) / scale.shrink as u64).unwrap();
    }
    let (path, other) = (path.to_str().unwrap(), other.to_str().unwrap());
    let commands: &[&[&str]] = &[
        &["cat", path],
        &["hex", path],
        &["hex", "--plain", "-a", path],
        &["find", "--count", "folio", path],
        &["cmp", path, other],
        &["info", path],
        &["patch", path, "0x1000", "00"],
        &["tour", path],
    ];
    for words in commands {
        let mut command = Command::new(&bifolio);
        command.args(*words).arg0("bifolio");
        let bytes = private_bytes(&mut command);
        let mib = bytes as f64 / f64::from(1 << 20);
        let verdict = if bytes < 16 << 20 { "kept" } else { "MISSED" };
        println!(
            "| private memory of bifolio {} on 10 GiB sparse | {mib:.1} MiB | - | - | < 16 MiB \
             | {verdict} |",
            words[0]
        );
        assert!(scale.shrink > 1 || bytes < 16 << 20, "{words:?} used {bytes} bytes");
    }
    vec![]
}
