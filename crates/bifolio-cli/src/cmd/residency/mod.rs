//! `bifolio residency`: how much of files is in memory, as far as the kernel tells.

mod restore;
mod snapshot;
mod totals;

use crate::bytes::{counted, grouped, human, percent};
use crate::cell::{self, Cell, bar};
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::json;
use crate::name::shown;
use crate::select::look::{Passed, Subject};
use crate::select::survey::{Effort, Seen, survey};
use crate::select::walk::{Found, Identity, Walk};
use crate::select::{Once, Selection, needed};
use bifolio::memory::{self, CachedFacts};
use bifolio::page::page_size;
use bifolio::{Residency, Untold};
use serde::Serialize;
use snapshot::{Record, Snapshot};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use totals::Totals;

/// Show how much of files is in memory
///
/// For each file a bar, and the sums of all. Nothing is read or brought in. What the kernel
/// does not tell is unknown, shown as `?`, and the exit code is 3: of a file that you neither own
/// nor may write it does not tell which pages are in memory.
///
/// Of vmtouch's options -p -m -i -I -b -0 -f -F -v -q have their meaning here, -t -e -l are the
/// commands touch, evict and lock, and -h is --count-links.
#[derive(clap::Args, Debug)]
#[command(group(needed(&["restore"])))]
pub(crate) struct Args {
    #[command(flatten)]
    selection: Selection,

    /// Show the sums only
    #[arg(long, short = 's')]
    summary: bool,

    /// Show of each file the pages in each state too; with --json also its cells
    #[arg(long, short = 'v', conflicts_with = "summary")]
    verbose: bool,

    /// Say nothing but what went wrong: the exit code tells whether all is known
    #[arg(long, short = 'q', conflicts_with_all = ["json", "summary", "verbose"])]
    quiet: bool,

    /// Write the answer as JSON
    #[arg(long)]
    json: bool,

    /// Write down which pages are in memory, so that --restore brings them back
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,

    /// Bring back into memory what was there when FILE was saved, and say which files changed since
    #[arg(long, value_name = "FILE")]
    #[arg(conflicts_with_all = ["save", "paths", "batch", "summary", "verbose", "range"])]
    #[arg(conflicts_with_all = ["max_size", "ignore", "only", "follow", "one_file_system"])]
    restore: Option<PathBuf>,
}

/// What was seen of a file.
struct Look {
    identity: Identity,
    links: u64,
    size_bytes: u64,
    offset: u64,
    len_bytes: u64,
    residency: Residency,
    cells: Vec<Cell>,
    modified: SystemTime,
    /// What is in memory, where that is to be saved.
    present: Vec<Range<u64>>,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<Exit, Failure> {
    if let Some(path) = &args.restore {
        return restore::run(path, args, console);
    }
    let has_rows = !args.summary && !args.quiet;
    let cells_max = match (has_rows, args.json) {
        (true, false) => (console.columns() / 4).clamp(10, 60),
        (true, true) if args.verbose => 60,
        _ => 0,
    };
    let mut walk = Walk::new(&args.selection)?;
    let is_sum_only = !has_rows && args.save.is_none();
    let look = |found: Seen<Found>| {
        let found = found?;
        let look = look(&found, args, cells_max)?;
        // Who shows sums only needs no name.
        Ok(((!is_sum_only).then_some(found), look))
    };
    walk.is_sorted = !is_sum_only;
    let page_bytes = page_size().bytes() as u64;
    let mut report = Report {
        args,
        once: Once::new(&args.selection),
        snapshot: args.save.as_ref().map(|_| Snapshot::new(page_bytes)).transpose()?,
        totals: Totals::default(),
        has_rows,
        files: vec![],
        states: BTreeSet::new(),
        columns: cells_max,
    };
    let mut add = |seen: Seen<(Option<Found>, Result<Look, Passed>)>| match seen {
        Ok((found, Ok(look))) => report.add(found.as_ref(), look, console),
        Ok((_, Err(passed))) => {
            report.pass(passed);
            Ok(())
        }
        Err(failure) => {
            report.totals.failed_files += 1;
            console.report(&failure)
        }
    };
    if cells_max == 0 && args.save.is_none() {
        let range = args.selection.range.clone().unwrap_or(0..u64::MAX);
        memory::cached_files(&mut walk, name, range, |found, facts| {
            let Some(facts) = facts else { return add(look(found)) };
            add(found.and_then(|found| match facts {
                Ok(facts) => {
                    let look = Look::of(&facts, &args.selection);
                    Ok(((!is_sum_only).then_some(found), look))
                }
                Err(error) => Err(found.failed(error.into())),
            }))
        })?;
    } else {
        survey(&mut walk, Effort::Cores, look, add)?;
    }
    report.totals.directories = walk.directories;
    report.totals.add_left_out(walk.left_out);
    report.finish(console)
}

/// Writes down which pages of these files are in memory, for `--restore`; returns how many files
/// have any. A file of which nobody tells is passed over.
pub(crate) fn save(paths: &[PathBuf], to: &Path) -> Result<u64, Failure> {
    let mut snapshot = Snapshot::new(page_size().bytes() as u64)?;
    for path in paths {
        let path = std::path::absolute(path).map_err(|error| Failure::file(path, error))?;
        let Ok(Ok(subject)) = Subject::open(&Found::named(path.clone()), &Selection::default())
        else {
            continue;
        };
        let present = subject.ranges(true)?.unwrap_or_default();
        if !present.is_empty() {
            let modified = subject.file.modified();
            snapshot.add(&Record::new(path, subject.len_bytes, modified, &present))?;
        }
    }
    snapshot.save(to)
}

fn look(found: &Found, args: &Args, cells_max: usize) -> Result<Result<Look, Passed>, Failure> {
    let subject = match Subject::open(found, &args.selection)? {
        Ok(subject) => subject,
        Err(passed) => return Ok(Err(passed)),
    };
    let failed = |error: bifolio::Error| found.failed(error.into());
    let residency = subject.count().map_err(failed)?;
    let cells = match cells_max {
        0 => vec![],
        _ => subject.cells(residency, cells_max).map_err(failed)?,
    };
    let has_pages = matches!(residency, Residency::Known(pages) if pages.resident_pages > 0);
    let present = match args.save.is_some() && has_pages {
        true => subject.ranges(true).map_err(failed)?.unwrap_or_default(),
        false => vec![],
    };
    Ok(Ok(Look {
        identity: subject.file.identity(),
        links: subject.file.links(),
        size_bytes: subject.len_bytes,
        offset: subject.part.start,
        len_bytes: subject.part.end - subject.part.start,
        residency,
        cells,
        modified: subject.file.modified(),
        present,
    }))
}

/// What a file is called that was found in a directory.
fn name(found: &Seen<Found>) -> Option<(&Path, &OsStr)> {
    found.as_ref().ok()?.in_directory()
}

impl Look {
    /// What can be said by the facts of a file that was found in a directory.
    fn of(facts: &CachedFacts, selection: &Selection) -> Result<Look, Passed> {
        if !facts.is_regular {
            return Err(Passed::Special);
        }
        if selection.max_size.is_some_and(|max| facts.len_bytes > max) {
            return Err(Passed::Larger);
        }
        let part = selection.part(facts.len_bytes);
        Ok(Look {
            identity: facts.identity,
            links: facts.links,
            size_bytes: facts.len_bytes,
            offset: part.start,
            len_bytes: part.end - part.start,
            residency: facts.residency,
            cells: vec![],
            modified: facts.modified,
            present: vec![],
        })
    }
}

/// What is written, and the sums.
struct Report<'a> {
    args: &'a Args,
    once: Once,
    snapshot: Option<Snapshot>,
    totals: Totals,
    /// Whether each file is told of.
    has_rows: bool,
    files: Vec<Document>,
    states: BTreeSet<Cell>,
    columns: usize,
}

impl Report<'_> {
    fn add(
        &mut self,
        found: Option<&Found>,
        look: Look,
        console: &mut Console,
    ) -> Result<(), Failure> {
        if !self.once.is_new(look.identity, look.links) {
            self.totals.left_out.more_names += 1;
            return Ok(());
        }
        self.totals.add(look.len_bytes, look.residency);
        let Some(found) = found else { return Ok(()) };
        if let Some(snapshot) = &mut self.snapshot
            && !look.present.is_empty()
        {
            let path = found.path();
            let path = std::path::absolute(&path).map_err(|error| Failure::file(&path, error))?;
            snapshot.add(&Record::new(path, look.size_bytes, look.modified, &look.present))?;
        }
        if !self.has_rows {
            return Ok(());
        }
        if self.args.json {
            self.files.push(Document::of(found, &look, self.args.verbose));
            return Ok(());
        }
        self.row(&found.path(), &look, console)
    }

    fn pass(&mut self, passed: Passed) {
        match passed {
            Passed::Larger => self.totals.left_out.larger_files += 1,
            Passed::Special => self.totals.left_out.special_files += 1,
        }
    }

    fn row(&mut self, path: &Path, look: &Look, console: &mut Console) -> Result<(), Failure> {
        let share = match look.residency {
            Residency::Known(pages) => match percent(pages.resident_pages, pages.total_pages) {
                Some(percent) => format!("{percent:3} %"),
                // What has no pages is neither in memory nor out of it.
                None => "  - %".to_owned(),
            },
            _ => "  ? %".to_owned(),
        };
        let cells = bar(&look.cells, console);
        let blank = " ".repeat(self.columns - look.cells.len());
        let (size, path) = (human(look.len_bytes), shown(path));
        writeln!(console, "[{cells}]{blank} {share} of {size:>9}  {path}")?;
        self.states.extend(&look.cells);
        if !self.args.verbose {
            return Ok(());
        }
        let detail = match look.residency {
            Residency::Known(pages) => {
                let (resident, all) = (grouped(pages.resident_pages), pages.total_pages);
                let mut text = format!("{resident} of {}", counted(all, "page"));
                if let Some(cache) = pages.cache {
                    text += &format!(
                        ": {} newer than the disk, {} being written; {} pushed out",
                        grouped(cache.dirty_pages),
                        grouped(cache.writeback_pages),
                        grouped(cache.evicted_pages),
                    );
                }
                text
            }
            other => reason(other).to_owned(),
        };
        Ok(writeln!(console, "    {detail}")?)
    }

    fn finish(self, console: &mut Console) -> Result<Exit, Failure> {
        if self.totals.unknown_files > 0 {
            console.decide(Exit::Partial);
        }
        let saved = match (self.snapshot, &self.args.save) {
            (Some(snapshot), Some(path)) => Some((snapshot.save(path)?, path)),
            _ => None,
        };
        if self.args.quiet {
            return Ok(Exit::Success);
        }
        if self.args.json {
            #[derive(Serialize)]
            struct All<'a> {
                page_bytes: u64,
                #[serde(skip_serializing_if = "Option::is_none")]
                files: Option<&'a [Document]>,
                totals: &'a Totals,
            }
            let files = self.has_rows.then_some(&*self.files);
            let page_bytes = page_size().bytes() as u64;
            console.json(&All { page_bytes, files, totals: &self.totals })?;
            return Ok(Exit::Success);
        }
        if self.totals.files == 0 && self.totals.failed_files > 0 {
            // What went wrong was said, and there is nothing else.
            return Ok(Exit::Error);
        }
        self.totals.print(console)?;
        let states: Vec<_> = self.states.iter().copied().collect();
        for line in cell::legend(&states, console, console.columns()) {
            writeln!(console, "{line}")?;
        }
        if let Some((files, path)) = saved {
            let files = counted(files, "file");
            writeln!(console, "saved what is in memory of {files} to {}", shown(path))?;
        }
        Ok(Exit::Success)
    }
}

fn reason(residency: Residency) -> &'static str {
    match residency {
        Residency::Unknown(untold) => cell::why(untold),
        _ => cell::why(Untold::NotAsked),
    }
}

/// A file in JSON.
#[derive(Serialize)]
struct Document {
    #[serde(serialize_with = "json::path")]
    path: PathBuf,
    size_bytes: u64,
    offset: u64,
    len_bytes: u64,
    pages: Pages,
    #[serde(skip_serializing_if = "Option::is_none")]
    cells: Option<Vec<&'static str>>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Pages {
    Unknown {
        unknown: &'static str,
    },
    Known {
        total_pages: u64,
        resident_pages: u64,
        dirty_pages: Option<u64>,
        writeback_pages: Option<u64>,
        evicted_pages: Option<u64>,
    },
}

impl Document {
    fn of(found: &Found, look: &Look, has_cells: bool) -> Document {
        let pages = match look.residency {
            Residency::Known(pages) => Pages::Known {
                total_pages: pages.total_pages,
                resident_pages: pages.resident_pages,
                dirty_pages: pages.cache.map(|cache| cache.dirty_pages),
                writeback_pages: pages.cache.map(|cache| cache.writeback_pages),
                evicted_pages: pages.cache.map(|cache| cache.evicted_pages),
            },
            other => Pages::Unknown { unknown: reason(other) },
        };
        Document {
            path: found.path(),
            size_bytes: look.size_bytes,
            offset: look.offset,
            len_bytes: look.len_bytes,
            pages,
            cells: has_cells.then(|| look.cells.iter().map(|cell| cell.name()).collect()),
        }
    }
}
