//! `bifolio residency`, as whole processes beside vmtouch and fincore: how many pages of files are
//! in memory.
//!
//! All print sums only, and each must find as many pages. A peer that is not installed is named and
//! left out.

use crate::cases::{Case, Scale};
use crate::pair::{Bar, Outcome, compare};
use crate::programs::{bifolio, is_installed};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

/// The cases of this file.
pub const CASES: &[Case] =
    &[Case { name: "residency-file", run: file }, Case { name: "residency-tree", run: tree }];

/// The names that one process gets at most: the kernel bounds their bytes.
const NAMES_MAX: usize = 20_000;

/// What a command prints.
fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The number behind a word in a text.
fn number_after(text: &str, word: &str) -> u64 {
    let (_, rest) = text.split_once(word).unwrap_or_else(|| panic!("no {word:?} in {text:?}"));
    let rest = rest.trim_start().replace(',', "");
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().unwrap()
}

/// The resident pages and all pages, by Bifolio.
fn by_bifolio(bifolio: &Path, dir: &Path, names: &[&str]) -> (u64, u64) {
    let mut command = Command::new(bifolio);
    let text = output(command.args(["residency", "--summary"]).args(names).current_dir(dir));
    let (all, line) = text.split_once("in memory").unwrap();
    let (_, all) = all.rsplit_once(": ").unwrap();
    (number_after(line, " in "), number_after(all, " in "))
}

/// The same by vmtouch, which leaves large files out unless it is told not to.
fn by_vmtouch(dir: &Path, names: &[&str]) -> (u64, u64) {
    let mut command = Command::new("vmtouch");
    let text = output(command.args(["-m", "100G"]).args(names).current_dir(dir));
    let (_, line) = text.split_once("Resident Pages:").unwrap();
    (number_after(line, ""), number_after(line, "/"))
}

/// The resident pages, by as many processes of fincore as the names need.
fn by_fincore(dir: &Path, names: &[&str]) -> u64 {
    let of_some = |names: &[&str]| {
        let mut command = Command::new("fincore");
        let options = ["--noheadings", "--raw", "--bytes", "--output", "PAGES"];
        let text = output(command.args(options).args(names).current_dir(dir));
        text.lines().map(|line| line.trim().parse::<u64>().unwrap()).sum::<u64>()
    };
    names.chunks(NAMES_MAX).map(of_some).sum()
}

/// Beside those of both peers that are installed. Who goes through a directory gets `root`; fincore
/// gets `names`, which somebody else had to find.
fn beside_peers(
    what: &str,
    dir: &Path,
    (root, names): (&[&str], &[&str]),
    rounds: u32,
) -> Vec<Outcome> {
    let bifolio = bifolio();
    // One number of both: there are fewer pages than 2^32.
    let both = |(resident, all): (u64, u64)| resident << 32 | all;
    let mut outcomes = vec![];
    if is_installed("vmtouch") {
        let mut ours = |_| both(by_bifolio(&bifolio, dir, root));
        let mut peer = |_| both(by_vmtouch(dir, root));
        let (work, bar) = (format!("bifolio residency of {what} / vmtouch"), 1.0 / 5.0);
        outcomes.push(compare(&work, Bar::RatioMax(bar), rounds, 1, &mut ours, &mut peer));
    }
    if is_installed("fincore") {
        let mut ours = |_| by_bifolio(&bifolio, dir, root).0;
        let mut peer = |_| by_fincore(dir, names);
        let work = format!("bifolio residency of {what} / fincore");
        outcomes.push(compare(&work, Bar::RatioMax(1.0), rounds, 1, &mut ours, &mut peer));
    }
    outcomes
}

/// 10 GiB, of which 64 MiB in four places have data, and are in memory.
fn file(dir: &Path, scale: Scale) -> Vec<Outcome> {
    let (len, part) = ((10 << 30) / scale.shrink as u64, (16 << 20) / scale.shrink);
    let file = File::create(dir.join("large")).unwrap();
    file.set_len(len).unwrap();
    for place in 0..4 {
        file.write_all_at(&vec![7; part], len / 4 * place).unwrap();
    }
    file.sync_all().unwrap();
    let names = ["large"];
    beside_peers("10 GiB, mostly not in memory", dir, (&names, &names), scale.rounds)
}

/// 100,000 files of two pages in 100 directories.
fn tree(dir: &Path, scale: Scale) -> Vec<Outcome> {
    let mut names = vec![];
    for directory in 0..100 {
        let parent = format!("tree/{}/{}", directory / 10, directory % 10);
        std::fs::create_dir_all(dir.join(&parent)).unwrap();
        for file in 0..1000 / scale.shrink {
            let name = format!("{parent}/file-{file:04}");
            std::fs::write(dir.join(&name), [7; 5000]).unwrap();
            names.push(name);
        }
    }
    // None is in memory, so that none can leave it between two answers.
    let mut evict = Command::new(bifolio());
    evict.args(["evict", "--flush", "--quiet", "tree"]).current_dir(dir);
    // A page that the file system is at work on stays.
    assert!((0..20).any(|_| evict.status().unwrap().success()), "pages stay");
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    beside_peers("100,000 files in a tree", dir, (&["tree"], &names), scale.rounds)
}
