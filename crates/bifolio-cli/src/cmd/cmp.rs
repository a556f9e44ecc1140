//! `bifolio cmp`: where two files differ. What is a hole in both is not read.

use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::hex;
use crate::input::file_path;
use crate::json;
use crate::name::shown;
use crate::progress::Progress;
use bifolio::{Access, DataRanges, FileMap};
use serde::Serialize;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// How many bytes are looked at between two looks at the clock.
const STEP_BYTES: usize = 16 << 20;

/// How many bytes are compared one by one where something differs.
const BLOCK_BYTES: usize = 64 << 10;

/// How many bytes of a difference are shown.
const SHOWN_BYTES_MAX: usize = 8;

/// Compare two files
///
/// Exits with 0 where they are equal and with 1 where they differ. Offsets count from 0.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// One file; `-` is the file that standard input comes from
    #[arg(value_name = "FILE_A")]
    a: PathBuf,

    /// The other
    #[arg(value_name = "FILE_B")]
    b: PathBuf,

    /// List all runs of bytes that differ, not the first byte only
    #[arg(long)]
    all: bool,

    /// With --all: stop after this many runs
    #[arg(long, value_name = "COUNT", default_value = "1000", requires = "all")]
    max: usize,

    /// Write nothing: the exit code tells
    #[arg(long, short = 's', visible_alias = "silent", conflicts_with_all = ["all", "json"])]
    quiet: bool,

    /// Write the answer as JSON
    #[arg(long)]
    json: bool,
}

/// What was found out.
#[derive(Serialize)]
struct Answer<'a> {
    equal: bool,
    a: File<'a>,
    b: File<'a>,
    /// In the order of the offsets; without `--all` the first differing byte alone.
    differences: Vec<Difference>,
    /// Whether there may be differences behind the last one listed.
    more: bool,
}

#[derive(Serialize)]
struct File<'a> {
    path: json::Path<'a>,
    len_bytes: u64,
}

/// A run of bytes that differ, and the first of them on both sides.
#[derive(Serialize)]
struct Difference {
    offset: u64,
    len_bytes: u64,
    #[serde(serialize_with = "json::bytes")]
    a: Vec<u8>,
    #[serde(serialize_with = "json::bytes")]
    b: Vec<u8>,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<Exit, Failure> {
    let (a, b) = (FileMap::open(file_path(&args.a))?, FileMap::open(file_path(&args.b))?);
    let mut found = Found { differences: Vec::new(), more: false, args };
    compare(&a, &b, &mut found)?;
    let answer = Answer {
        equal: found.differences.is_empty() && a.len() == b.len(),
        a: File { path: json::Path(&args.a), len_bytes: a.len() as u64 },
        b: File { path: json::Path(&args.b), len_bytes: b.len() as u64 },
        differences: found.differences,
        more: found.more,
    };
    let exit = if answer.equal { Exit::Success } else { Exit::False };
    console.decide(exit);
    if args.json {
        console.json(&answer)?;
    } else if !args.quiet {
        answer.print(args, console)?;
    }
    Ok(exit)
}

/// Compares the bytes that both have.
fn compare(a: &FileMap, b: &FileMap, found: &mut Found<'_>) -> Result<(), Failure> {
    let len = a.len().min(b.len());
    let mut progress = Progress::new("what both have", len as u64);
    let (mut a, mut b) = (Side::new(a, len)?, Side::new(b, len)?);
    let mut at = 0;
    while at < len && !found.more {
        progress.at(at as u64);
        let (a_end, a_is_data) = a.run(at)?;
        let (b_end, b_is_data) = b.run(at)?;
        let end = a_end.min(b_end);
        let step = at..end.min(at.saturating_add(STEP_BYTES));
        at = match (a_is_data, b_is_data) {
            // Zeros on both sides.
            (false, false) => end,
            (true, true) => {
                let (view, other) = (a.map.slice(step.clone())?, b.map.slice(step.clone())?);
                match view.compare(&other)? {
                    None => step.end,
                    Some(index) => compare_bytes(&a, &b, step.start + index..step.end, found)?,
                }
            }
            _ => compare_bytes(&a, &b, step, found)?,
        };
    }
    a.map.check_reaches(0..len)?;
    Ok(b.map.check_reaches(0..len)?)
}

/// Compares one block, byte by byte where it differs, and returns where to go on.
fn compare_bytes(
    a: &Side<'_>,
    b: &Side<'_>,
    range: Range<usize>,
    found: &mut Found<'_>,
) -> Result<usize, Failure> {
    let range = range.start..range.end.min(range.start + BLOCK_BYTES);
    let (mine, theirs) = (a.read(range.clone())?, b.read(range.clone())?);
    if mine != theirs {
        let pairs = mine.iter().zip(&theirs).enumerate();
        for (index, (a, b)) in pairs.filter(|(_, (a, b))| a != b) {
            found.push((range.start + index) as u64, *a, *b);
            if found.more {
                break;
            }
        }
    }
    Ok(range.end)
}

/// A file, and where its next data is.
struct Side<'a> {
    map: &'a FileMap,
    ranges: DataRanges<'a>,
    /// The run of data that ends behind what was looked at; empty at the end where there is none.
    data: Range<usize>,
    len: usize,
}

impl<'a> Side<'a> {
    fn new(map: &'a FileMap, len: usize) -> Result<Self, Failure> {
        Ok(Side { map, ranges: map.data_ranges(0..len)?, data: 0..0, len })
    }

    /// Where the run of data or the hole that holds the byte ends, and whether it is data. Bytes
    /// are asked for in order.
    fn run(&mut self, at: usize) -> Result<(usize, bool), Failure> {
        while self.data.end <= at {
            self.data = self.ranges.next().transpose()?.unwrap_or(self.len..usize::MAX);
        }
        let is_data = self.data.start <= at;
        Ok((if is_data { self.data.end } else { self.data.start }, is_data))
    }

    /// Copies bytes out: those of a hole without touching it.
    fn read(&self, range: Range<usize>) -> Result<Vec<u8>, Failure> {
        let mut bytes = vec![0; range.len()];
        if self.data.start <= range.start {
            self.map.read_exact_at(&mut bytes, range.start)?;
        }
        Ok(bytes)
    }
}

/// The differences so far.
struct Found<'a> {
    differences: Vec<Difference>,
    more: bool,
    args: &'a Args,
}

impl Found<'_> {
    /// Adds a byte that differs; bytes come in order.
    fn push(&mut self, offset: u64, a: u8, b: u8) {
        if !self.args.all {
            self.more = true;
        } else if let Some(last) = self.differences.last_mut()
            && last.offset + last.len_bytes == offset
        {
            last.len_bytes += 1;
            if last.a.len() < SHOWN_BYTES_MAX {
                last.a.push(a);
                last.b.push(b);
            }
            return;
        } else if self.differences.len() >= self.args.max {
            self.more = true;
            return;
        }
        self.differences.push(Difference { offset, len_bytes: 1, a: vec![a], b: vec![b] });
    }
}

impl Answer<'_> {
    fn print(&self, args: &Args, console: &mut Console) -> Result<(), Failure> {
        let (a, b) = (shown(&args.a), shown(&args.b));
        for Difference { offset, len_bytes, a: mine, b: theirs } in &self.differences {
            let (mine, theirs) = (hex::spaced(mine), hex::spaced(theirs));
            if args.all {
                let plural = if *len_bytes == 1 { "" } else { "s" };
                let dots = if *len_bytes > SHOWN_BYTES_MAX as u64 { " .." } else { "" };
                writeln!(
                    console,
                    "{offset:#010x}  {len_bytes} byte{plural}: {mine}{dots} against {theirs}{dots}"
                )?;
            } else {
                let text = format!("at offset {offset} ({offset:#x}): {mine} against {theirs}");
                writeln!(console, "{a} and {b} differ {text}")?;
            }
        }
        if args.all && self.more {
            writeln!(console, "there is more: --max {} was reached", args.max)?;
        }
        let rest = self.a.len_bytes.abs_diff(self.b.len_bytes);
        let is_a_shorter = self.a.len_bytes < self.b.len_bytes;
        if rest > 0 && (args.all || self.differences.is_empty()) {
            let (short, long) = if is_a_shorter { (&args.a, &args.b) } else { (&args.b, &args.a) };
            print_end(short, long, self.a.len_bytes.min(self.b.len_bytes), rest, console)?;
        }
        Ok(())
    }
}

fn print_end(
    short: &Path,
    long: &Path,
    end: u64,
    rest: u64,
    console: &mut Console,
) -> Result<(), Failure> {
    let (short, long) = (shown(short), shown(long));
    Ok(writeln!(console, "{short} ends at offset {end}: {long} has {rest} bytes more")?)
}
