//! Which files a command is about: those that are named, and those that its directories hold.
//!
//! The options are vmtouch's where they mean the same. [`walk`] goes through the directories, and
//! [`survey()`] looks at many files at once.

pub(crate) mod glob;
pub(crate) mod look;
pub(crate) mod survey;
pub(crate) mod walk;

use crate::console::Console;
use crate::failure::Failure;
use clap::ArgGroup;
use glob::Glob;
use look::Subject;
use std::collections::HashSet;
use std::ffi::OsStr;
use std::io::Read;
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use survey::{Effort, Seen, survey};
use walk::{Found, Identity, Walk};

/// The arguments that say which files, and which part of each. A command that takes them has the
/// [`needed`] group.
#[derive(clap::Args, Clone, Debug, Default)]
pub(crate) struct Selection {
    /// Files, and directories for all the files below them
    #[arg(value_name = "PATH")]
    pub(crate) paths: Vec<PathBuf>,

    /// Take paths from a file too, one a line; `-` is standard input
    #[arg(long, short = 'b', value_name = "LIST")]
    pub(crate) batch: Option<PathBuf>,

    /// The paths of --batch end with a zero byte, as `find -print0` writes them
    #[arg(long, short = '0', requires = "batch")]
    pub(crate) null: bool,

    /// Look at this part of each file only: 4k-50k, 100M-, -5M; 5M is the first 5M
    #[arg(long, short = 'p', value_name = "RANGE", value_parser = parse_range)]
    pub(crate) range: Option<Range<u64>>,

    /// Leave files out that are larger than this: 100M, 2GiB
    #[arg(long, short = 'm', value_name = "SIZE", value_parser = crate::bytes::parse)]
    pub(crate) max_size: Option<u64>,

    /// Leave files and directories out whose name matches: '*.bak', .git
    #[arg(long, short = 'i', value_name = "PATTERN", value_parser = Glob::parse)]
    pub(crate) ignore: Vec<Glob>,

    /// Take only files whose name matches: '*.c'
    #[arg(long, short = 'I', value_name = "PATTERN", value_parser = Glob::parse)]
    pub(crate) only: Vec<Glob>,

    /// Follow symbolic links in directories; those that are named are followed anyway
    #[arg(long, short = 'f')]
    pub(crate) follow: bool,

    /// Stay out of directories where another file system is mounted
    #[arg(long, short = 'F')]
    pub(crate) one_file_system: bool,

    /// Count a file as often as it has names, instead of once
    #[arg(long)]
    pub(crate) count_links: bool,
}

/// Paths, or what stands for them, of which at least one has to be there.
pub(crate) fn needed(also: &[&'static str]) -> ArgGroup {
    let named = ["paths", "batch"].into_iter().chain(also.iter().copied());
    ArgGroup::new("what").args(named).required(true).multiple(true)
}

impl Selection {
    /// All paths that are named, those of the batch behind the others.
    pub(crate) fn all_paths(&self) -> Result<Vec<PathBuf>, Failure> {
        let mut paths = self.paths.clone();
        let Some(list) = &self.batch else { return Ok(paths) };
        let bytes = if list == Path::new("-") {
            let mut bytes = vec![];
            std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
        } else {
            std::fs::read(list)
        };
        let bytes = bytes.map_err(|error| Failure::file(list, error))?;
        let end = if self.null { 0 } else { b'\n' };
        let names = bytes.split(|&byte| byte == end).filter(|name| !name.is_empty());
        paths.extend(names.map(|name| PathBuf::from(OsStr::from_bytes(name))));
        Ok(paths)
    }

    /// The part of a file of so many bytes that is meant.
    pub(crate) fn part(&self, len: u64) -> Range<u64> {
        let range = self.range.clone().unwrap_or(0..u64::MAX);
        range.start.min(len)..range.end.min(len)
    }

    /// Whether this name is to be passed over: that of a directory only by `--ignore`.
    fn leaves_out(&self, name: &OsStr, is_directory: bool) -> bool {
        let any = |globs: &[Glob]| globs.iter().any(|glob| glob.matches(name));
        any(&self.ignore) || (!is_directory && !self.only.is_empty() && !any(&self.only))
    }
}

/// Sees to it that a file which is reached more than once is counted once.
pub(crate) struct Once {
    seen: HashSet<Identity>,
    counts_links: bool,
    /// Whether also a file with one name may be reached more than once.
    may_come_again: bool,
}

impl Once {
    pub(crate) fn new(selection: &Selection) -> Once {
        let may_come_again =
            selection.follow || selection.batch.is_some() || selection.paths.len() > 1;
        Once { seen: HashSet::new(), counts_links: selection.count_links, may_come_again }
    }

    /// Whether this is not the second time that a file with so many names is reached.
    pub(crate) fn is_new(&mut self, identity: Identity, links: u64) -> bool {
        self.counts_links || (links <= 1 && !self.may_come_again) || self.seen.insert(identity)
    }
}

/// Does `work` on the files of a selection, and gives what comes of each to `deliver`, once however
/// often it is reached and in their order. What fails is reported; returns how many files did.
pub(crate) fn each<T: Send>(
    selection: &Selection,
    console: &mut Console,
    work: impl Fn(&Found, Subject) -> Result<T, Failure> + Sync,
    mut deliver: impl FnMut(T),
) -> Result<u64, Failure> {
    let (mut once, mut failed_files) = (Once::new(selection), 0);
    let work = |found: Seen<Found>| {
        let found = found?;
        let Ok(subject) = Subject::open(&found, selection)? else { return Ok(None) };
        let (identity, links) = (subject.file.identity(), subject.file.links());
        Ok(Some((identity, links, work(&found, subject)?)))
    };
    survey(&mut Walk::new(selection)?, Effort::Cores, work, |done| {
        match done {
            Ok(Some((identity, links, done))) if once.is_new(identity, links) => deliver(done),
            Ok(_) => {}
            Err(failure) => {
                failed_files += 1;
                console.report(&failure)?;
            }
        }
        Ok(())
    })?;
    Ok(failed_files)
}

/// Reads a range of bytes: `4k-50k`, `-5M`, `100M-`, `-`, and `5M` for the first so many.
fn parse_range(text: &str) -> Result<Range<u64>, String> {
    let Some((start, end)) = text.split_once('-') else {
        return Ok(0..crate::bytes::parse(text)?);
    };
    let size = |text: &str, otherwise| match text.trim() {
        "" => Ok(otherwise),
        text => crate::bytes::parse(text),
    };
    let range = size(start, 0)?..size(end, u64::MAX)?;
    if range.start > range.end {
        return Err(String::from("the range ends before it starts"));
    }
    Ok(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_written_as_for_vmtouch() {
        for (text, range) in [
            ("4k-50k", 4096..51_200),
            ("100M-2G", 100 << 20..2 << 30),
            ("-5M", 0..5 << 20),
            ("5M", 0..5 << 20),
            ("100M-", 100 << 20..u64::MAX),
            ("-", 0..u64::MAX),
            ("0x1000-8192", 4096..8192),
        ] {
            assert_eq!(parse_range(text), Ok(range), "{text}");
        }
        for text in ["", "5-4", "a-b", "1-2-3", "k"] {
            assert!(parse_range(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_part_ends_where_the_file_does() {
        let range = |text| Selection { range: parse_range(text).ok(), ..Selection::default() };
        assert_eq!(range("4k-50k").part(10_000), 4096..10_000);
        assert_eq!(range("4k-50k").part(100), 100..100);
        assert_eq!(Selection::default().part(7), 0..7);
    }
}
