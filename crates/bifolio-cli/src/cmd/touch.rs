//! `bifolio touch`: brings files into memory, and says what that took.
//!
//! It reads what is absent and has data; holes are zeros that no disk holds, and are read when they
//! are asked for. It cannot keep anything in memory: that is what locks are for.

use crate::bytes::{counted, human, share};
use crate::cell::why;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::load::load;
use crate::progress::Progress;
use crate::select::look::Subject;
use crate::select::survey::{Effort, survey};
use crate::select::walk::Found;
use crate::select::{Selection, each, needed};
use bifolio::page::page_size;
use bifolio::{Residency, Untold};
use serde::Serialize;
use std::io::Write;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Instant;

/// How many files are read at once: disks have queues.
const THREADS: usize = 8;

/// Bring files into memory
///
/// Reads what is not in memory, and says how much that was and how long it took. Nothing keeps it
/// there: see `bifolio lock`. Holes are left out, which take memory but no disk, unless --holes is
/// given. Exits with 1 where pages have left again meanwhile.
#[derive(clap::Args, Debug)]
#[command(group(needed(&[])))]
pub(crate) struct Args {
    #[command(flatten)]
    selection: Selection,

    /// Bring the zeros of holes into memory too
    #[arg(long)]
    holes: bool,

    /// Say nothing but what went wrong
    #[arg(long, short = 'q', conflicts_with = "json")]
    quiet: bool,

    /// Write the answer as JSON
    #[arg(long)]
    json: bool,
}

/// A file, and what of it is to be read.
struct Plan {
    path: PathBuf,
    part: Range<u64>,
    /// What is absent and wanted, or all that is wanted where nobody knows.
    ranges: Vec<Range<u64>>,
    untold: Option<Untold>,
    hole_bytes: u64,
}

/// What came of all files.
#[derive(Default, Serialize)]
struct Touched {
    files: u64,
    len_bytes: u64,
    read_bytes: u64,
    seconds: f64,
    /// Of the files of which the kernel tells, afterwards.
    total_pages: u64,
    resident_pages: u64,
    /// Pages that were brought in and have left again.
    lost_pages: u64,
    /// Holes that are not in memory, and were left out.
    hole_bytes: u64,
    unknown_files: u64,
    failed_files: u64,
    #[serde(skip)]
    untold: Option<Untold>,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<Exit, Failure> {
    let (mut plans, mut touched) = (vec![], Touched::default());
    let look = |found: &Found, subject| plan(found, subject, args);
    touched.failed_files = each(&args.selection, console, look, |plan| plans.push(plan))?;
    let start = Instant::now();
    read(plans, &mut touched, console)?;
    touched.seconds = start.elapsed().as_secs_f64();
    if touched.lost_pages > 0 {
        console.decide(Exit::False);
    }
    if args.json {
        console.json(&touched)?;
    } else if !args.quiet && (touched.files > 0 || touched.failed_files == 0) {
        touched.print(console)?;
    }
    Ok(Exit::Success)
}

/// Finds out what of a file is to be read.
fn plan(found: &Found, subject: Subject, args: &Args) -> Result<Plan, Failure> {
    let failed = |error: bifolio::Error| found.failed(error.into());
    let (mut ranges, untold) = match subject.count().map_err(failed)? {
        Residency::Known(pages) if pages.resident_pages >= pages.total_pages => (vec![], None),
        Residency::Known(_) => (subject.ranges(false).map_err(failed)?.unwrap_or_default(), None),
        Residency::Unknown(untold) => (vec![subject.part.clone()], Some(untold)),
        _ => (vec![subject.part.clone()], Some(Untold::NotAsked)),
    };
    for range in &mut ranges {
        range.end = range.end.min(subject.len_bytes);
    }
    let wanted = bytes_of(&ranges);
    if !args.holes && !ranges.is_empty() {
        ranges = subject.with_data(&ranges).map_err(failed)?;
    }
    Ok(Plan {
        path: found.path(),
        hole_bytes: wanted - bytes_of(&ranges),
        part: subject.part,
        ranges,
        untold,
    })
}

/// Reads what the plans say, several files at a time.
fn read(plans: Vec<Plan>, touched: &mut Touched, console: &mut Console) -> Result<(), Failure> {
    let total = plans.iter().map(|plan| bytes_of(&plan.ranges)).sum();
    let what = counted(plans.len() as u64, "file");
    // How much is done, and where that is shown.
    let progress = Mutex::new((0, Progress::new(what, total)));
    let advance = |bytes| {
        let mut progress = progress.lock().expect("nothing panics that holds it");
        progress.0 += bytes;
        let done = progress.0;
        progress.1.at(done);
    };
    let effort = Effort::Disk(THREADS.min(plans.len()));
    let bring_in = |plan: Plan| bring_in(plan, advance);
    survey(&mut plans.into_iter(), effort, bring_in, |(plan, read_bytes, after)| {
        touched.files += 1;
        touched.len_bytes += plan.part.end - plan.part.start;
        touched.read_bytes += read_bytes;
        touched.hole_bytes += plan.hole_bytes;
        if plan.untold.is_some() {
            touched.unknown_files += 1;
            touched.untold = plan.untold;
        }
        match after {
            Ok(Residency::Known(pages)) => {
                touched.total_pages += pages.total_pages;
                touched.resident_pages += pages.resident_pages;
                let holes = plan.hole_bytes.div_ceil(page_size().bytes() as u64);
                let missing = pages.total_pages.saturating_sub(pages.resident_pages);
                touched.lost_pages += missing.saturating_sub(holes);
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(failure) => {
                touched.failed_files += 1;
                progress.lock().expect("nothing panics that holds it").1.wipe();
                console.report(&failure)
            }
        }
    })
}

/// Reads what is absent of one file; returns how much that was, and how much is in memory then.
fn bring_in(plan: Plan, advance: impl Fn(u64)) -> (Plan, u64, Result<Residency, Failure>) {
    let mut read_bytes = 0;
    let mut work = || {
        let found = Found::named(plan.path.clone());
        let failed = |error: bifolio::Error| found.failed(error.into());
        if !plan.ranges.is_empty() {
            load(found.open()?.into_file(), &plan.ranges, |bytes| {
                read_bytes += bytes;
                advance(bytes);
            })
            .map_err(failed)?;
        }
        Subject::reopen(&found, plan.part.clone())?.count().map_err(failed)
    };
    let after = work();
    (plan, read_bytes, after)
}

fn bytes_of(ranges: &[Range<u64>]) -> u64 {
    ranges.iter().map(|range| range.end - range.start).sum()
}

impl Touched {
    fn print(&self, console: &mut Console) -> Result<(), Failure> {
        let (files, all) = (counted(self.files, "file"), human(self.len_bytes));
        let (read, seconds) = (human(self.read_bytes), self.seconds);
        writeln!(console, "{files}, {all}: {read} read in {seconds:.3} s")?;
        if self.total_pages > 0 || self.unknown_files == 0 {
            let (resident, total) = (self.resident_pages, self.total_pages);
            let bytes = human(resident.saturating_mul(page_size().bytes() as u64));
            let (pages, share) = (counted(resident, "page"), share(resident, total));
            writeln!(console, "  in memory now   {bytes} in {pages}{share}")?;
        }
        if self.hole_bytes > 0 {
            let holes = human(self.hole_bytes);
            writeln!(console, "  left out        {holes} of holes (--holes brings them in)")?;
        }
        if self.lost_pages > 0 {
            let pages = counted(self.lost_pages, "page");
            writeln!(console, "  lost again      {pages}: memory is short, or they were evicted")?;
        }
        if let Some(untold) = self.untold {
            let files = counted(self.unknown_files, "file");
            writeln!(
                console,
                "  unknown         what of {files} was in memory before, and is now:"
            )?;
            writeln!(console, "    {}", why(untold))?;
        }
        Ok(())
    }
}
