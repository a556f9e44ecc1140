//! `bifolio find`: where bytes stand in files, by all cores, whatever others do to the files.

mod output;
mod pattern;
mod plan;
mod rare;
mod scan;
mod search;
mod stream;

use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::input::Input;
use crate::progress::Progress;
use bifolio::{Access, FileMap};
use output::{Look, Shown};
use pattern::Pattern;
use plan::PIECE_BYTES_MAX;
use scan::Want;
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::num::NonZeroUsize;
use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};
use std::thread;

/// The most bytes that may be shown on each side of a match.
const CONTEXT_BYTES_MAX: u16 = 4096;

/// How much of a file a thread must have before another one is worth its start.
const THREAD_BYTES_MIN: usize = 4 * PIECE_BYTES_MAX;

/// Find bytes in files
///
/// Prints FILE:OFFSET of every match. Matches do not overlap: each begins behind the one before.
/// Holes are not read.
///
/// A file that another process shortens meanwhile is an error and not a crash: what was found
/// before is printed. The exit code is 0 where something was found, 1 where nothing was, and 2
/// where a file could not be read to its end, whatever was found in the others.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// What to look for: these very bytes
    #[arg(value_name = "PATTERN")]
    pattern: OsString,

    /// The files; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,

    /// PATTERN is bytes in hexadecimal: '7f 45 4c 46'
    #[arg(long, short = 'x', conflicts_with = "regex")]
    hex: bool,

    /// PATTERN is a regular expression over bytes: 'https?://[!-~]+', '\x00{4}', '(?i)readme'
    ///
    /// The syntax is that of the Rust crate regex; Unicode classes need (?u). A match may have up
    /// to 64 KiB: a longer one is cut there, or missed. Empty matches are left out.
    #[arg(long, short = 'e')]
    regex: bool,

    /// Print the number of matches of each file
    #[arg(long, short = 'c', conflicts_with = "context")]
    count: bool,

    /// Stop after the first match of each file
    #[arg(long, short = '1', conflicts_with = "max")]
    first: bool,

    /// Stop after N matches of each file
    #[arg(long, short = 'm', value_name = "N")]
    max: Option<u64>,

    /// Show each match with BYTES on both sides of it
    #[arg(long, short = 'C', value_name = "BYTES")]
    #[arg(value_parser = clap::value_parser!(u16).range(..=i64::from(CONTEXT_BYTES_MAX)))]
    context: Option<u16>,

    /// Print offsets in decimal instead of hexadecimal
    #[arg(long, short = 'd')]
    decimal: bool,

    /// Search by N threads instead of one for each core
    #[arg(long, short = 'j', value_name = "N")]
    threads: Option<NonZeroUsize>,

    /// Print a line of JSON for each match, or with --count for each file
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<Exit, Failure> {
    let finder = Finder::new(args)?;
    let mut has_found = false;
    for path in &args.files {
        match Input::open(path).and_then(|input| finder.search(path, input, console)) {
            Ok(count) => has_found |= count > 0,
            Err(failure @ Failure::Output(_)) => return Err(failure),
            Err(failure) => console.report(&failure)?,
        }
    }
    Ok(if has_found { Exit::Success } else { Exit::False })
}

struct Finder<'a> {
    args: &'a Args,
    pattern: Pattern,
    look: Look,
    want: Want,
    max: u64,
    threads_max: usize,
}

impl<'a> Finder<'a> {
    fn new(args: &'a Args) -> Result<Self, Failure> {
        let text =
            || args.pattern.to_str().ok_or_else(|| Failure::message("the pattern is not UTF-8"));
        let pattern = match (args.hex, args.regex) {
            (true, _) => Pattern::hex(text()?)?,
            (_, true) => Pattern::regex(text()?)?,
            _ => Pattern::bytes(args.pattern.as_encoded_bytes())?,
        };
        let cores = || thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Ok(Finder {
            args,
            pattern,
            look: Look {
                is_json: args.json,
                is_decimal: args.decimal,
                context: args.context.map(usize::from),
            },
            want: if args.count { Want::Count } else { Want::Places },
            max: if args.first { 1 } else { args.max.unwrap_or(u64::MAX) },
            threads_max: args.threads.map_or_else(cores, NonZeroUsize::get),
        })
    }

    /// Searches one file, and returns the number of matches.
    fn search(&self, path: &Path, input: Input, console: &mut Console) -> Result<u64, Failure> {
        let mut count = 0;
        let answer = match input {
            _ if self.max == 0 => Ok(()),
            Input::Map { map, .. } => self.search_map(path, &map, console, &mut count),
            Input::Stream { reader, .. } => self.search_stream(path, reader, console, &mut count),
        };
        if self.want == Want::Count && !matches!(answer, Err(Failure::Output(_))) {
            self.look.count(console, path, self.args.files.len() > 1, count)?;
        }
        answer.map(|()| count)
    }

    fn search_map(
        &self,
        path: &Path,
        map: &FileMap,
        console: &mut Console,
        count: &mut u64,
    ) -> Result<(), Failure> {
        let threads = self.threads_max.min(map.len().div_ceil(THREAD_BYTES_MIN));
        let mut progress = Progress::new(path.display().to_string(), map.len() as u64);
        search::search(map, &self.pattern, self.want, threads, &mut |piece, found| {
            progress.at(piece.range().start as u64);
            for place in &found.places {
                if *count == self.max {
                    break;
                }
                progress.wipe();
                self.show(path, map, place.clone(), console)?;
                *count += 1;
            }
            if self.want == Want::Count {
                *count = count.saturating_add(found.count).min(self.max);
            }
            Ok(if *count == self.max { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })
    }

    /// Shows a match, with the bytes that stand there now.
    fn show(
        &self,
        path: &Path,
        map: &FileMap,
        place: Range<usize>,
        console: &mut Console,
    ) -> Result<(), Failure> {
        let context = self.look.context.unwrap_or(0);
        let start = place.start.saturating_sub(context);
        let end = (place.end + context).min(map.len());
        let all = if self.look.needs_bytes() {
            // What vanished since it was found cannot be shown; the search itself says so.
            let mut all = vec![0; end - start];
            let known = match map.read_at(&mut all, start) {
                Ok(len) => len,
                Err(error) => error.done_bytes(),
            };
            all.truncate(known);
            all
        } else {
            Vec::new()
        };
        let part = |range: Range<usize>| {
            let index = |at: usize| (at - start).min(all.len());
            &all[index(range.start)..index(range.end)]
        };
        let shown = Shown {
            place: place.start as u64..place.end as u64,
            before: part(start..place.start),
            bytes: part(place.clone()),
            after: part(place.end..end),
        };
        self.look.place(console, path, &shown)
    }

    fn search_stream(
        &self,
        path: &Path,
        reader: impl Read,
        console: &mut Console,
        count: &mut u64,
    ) -> Result<(), Failure> {
        let context = self.look.context.unwrap_or(0);
        let failed = |error: io::Error| Failure::file(path, error);
        stream::search(reader, &self.pattern, context, failed, |shown| {
            *count += 1;
            if self.want == Want::Places {
                self.look.place(console, path, &shown)?;
                // The next one may come late.
                console.flush()?;
            }
            Ok(if *count == self.max { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })
    }
}
