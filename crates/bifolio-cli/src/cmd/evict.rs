//! `bifolio evict`: takes files out of memory, looks whether they are gone, and says why not.
//!
//! No byte is lost: what is newer than the disk stays, or is written first.

use crate::bytes::{counted, grouped, human, share};
use crate::cell::why;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::json;
use crate::name::{harmless, shown};
use crate::select::look::Subject;
use crate::select::walk::Found;
use crate::select::{Selection, each, needed};
use bifolio::memory::{self, Holder};
use bifolio::page::page_size;
use bifolio::{Dirty, Evicted, Residency, Stayed, Untold};
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;

/// So many files in which something stayed are named, and the others counted.
const NAMED_MAX: usize = 20;

/// Take files out of memory
///
/// Pages that somebody has mapped or locked, or that are newer than the disk, stay; this looks
/// whether pages are gone, and says of those that are not why. Exits with 1 where pages stayed, and
/// with 3 where the kernel does not tell whether any did.
#[derive(clap::Args, Debug)]
#[command(group(needed(&[])))]
pub(crate) struct Args {
    #[command(flatten)]
    selection: Selection,

    /// Write what is newer than the disk there first, so that it can go too
    #[arg(long)]
    flush: bool,

    /// Name every file in which pages stayed, not the first 20 only
    #[arg(long, short = 'v', conflicts_with = "quiet")]
    verbose: bool,

    /// Say nothing but what went wrong: the exit code tells
    #[arg(long, short = 'q', conflicts_with = "json")]
    quiet: bool,

    /// Write the answer as JSON
    #[arg(long)]
    json: bool,
}

/// A file from which pages were taken.
struct Done {
    path: PathBuf,
    len_bytes: u64,
    evicted: Evicted,
}

/// What came of all files.
#[derive(Default, Serialize)]
struct Answer {
    files: u64,
    len_bytes: u64,
    /// Of the files of which the kernel tells.
    evicted_pages: u64,
    resident_pages: u64,
    unknown_files: u64,
    failed_files: u64,
    stayed: Vec<FileDocument>,
    #[serde(skip)]
    untold: Option<Untold>,
}

/// A file in which pages stayed.
#[derive(Serialize)]
struct FileDocument {
    #[serde(serialize_with = "json::path")]
    path: PathBuf,
    resident_pages: u64,
    total_pages: u64,
    reasons: Vec<Reason>,
}

#[derive(Serialize)]
struct Reason {
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pages: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    processes: Option<u32>,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<Exit, Failure> {
    let mut answer = Answer::default();
    let work = |found: &Found, subject: Subject| evict(found, &subject, args);
    answer.failed_files = each(&args.selection, console, work, |done| answer.add(done))?;
    if answer.resident_pages > 0 {
        console.decide(Exit::False);
    }
    if answer.unknown_files > 0 {
        console.decide(Exit::Partial);
    }
    if args.json {
        console.json(&answer)?;
    } else if !args.quiet && (answer.files > 0 || answer.failed_files == 0) {
        answer.print(args, console)?;
    }
    Ok(Exit::Success)
}

/// Takes a file out of memory.
fn evict(found: &Found, subject: &Subject, args: &Args) -> Result<Done, Failure> {
    let dirty = if args.flush { Dirty::WriteBack } else { Dirty::Leave };
    let evicted = memory::evict(subject.file.file(), subject.part.clone(), dirty);
    Ok(Done {
        path: found.path(),
        len_bytes: subject.part.end - subject.part.start,
        evicted: evicted.map_err(|error| found.failed(error.into()))?,
    })
}

impl Answer {
    fn add(&mut self, done: Done) {
        self.files += 1;
        self.len_bytes += done.len_bytes;
        let (before, after) = match (done.evicted.before, done.evicted.after) {
            (Residency::Known(before), Residency::Known(after)) => (before, after),
            (_, Residency::Unknown(untold)) | (Residency::Unknown(untold), _) => {
                self.unknown_files += 1;
                self.untold = Some(untold);
                return;
            }
            _ => return self.unknown_files += 1,
        };
        self.evicted_pages += before.resident_pages.saturating_sub(after.resident_pages);
        self.resident_pages += after.resident_pages;
        if after.resident_pages > 0 {
            self.stayed.push(FileDocument {
                path: done.path,
                resident_pages: after.resident_pages,
                total_pages: after.total_pages,
                reasons: done.evicted.stayed.into_iter().map(Reason::from).collect(),
            });
        }
    }

    fn print(&self, args: &Args, console: &mut Console) -> Result<(), Failure> {
        let (files, all) = (counted(self.files, "file"), human(self.len_bytes));
        let bytes = |pages: u64| human(pages.saturating_mul(page_size().bytes() as u64));
        let gone = counted(self.evicted_pages, "page");
        let mut text = format!("{} in {gone} evicted", bytes(self.evicted_pages));
        if self.resident_pages > 0 {
            let pages = counted(self.resident_pages, "page");
            text += &format!(", {} in {pages} stayed", bytes(self.resident_pages));
        }
        writeln!(console, "{files}, {all}: {text}")?;
        let named = if args.verbose { usize::MAX } else { NAMED_MAX };
        for file in self.stayed.iter().take(named) {
            let (pages, all) = (counted(file.resident_pages, "page"), grouped(file.total_pages));
            let share = share(file.resident_pages, file.total_pages);
            let path = shown(&file.path);
            writeln!(console, "{path}: {pages} of {all} stayed{share}")?;
            for reason in &file.reasons {
                writeln!(console, "  {}", reason.text(args.flush))?;
            }
        }
        if self.stayed.len() > named {
            let more = counted((self.stayed.len() - named) as u64, "file");
            writeln!(console, "and pages of {more} more (-v names them)")?;
        }
        if self.unknown_files > 0 {
            let files = counted(self.unknown_files, "file");
            let reason = why(self.untold.unwrap_or(Untold::NotAsked));
            writeln!(console, "unknown whether pages of {files} stayed: {reason}")?;
        }
        Ok(())
    }
}

impl From<Stayed> for Reason {
    fn from(stayed: Stayed) -> Reason {
        let counted = |reason, pages| Reason {
            reason,
            pages: Some(pages),
            pid: None,
            name: None,
            processes: None,
        };
        let held = |reason, holder: Holder| Reason {
            reason,
            pages: holder.mapped_pages,
            pid: Some(holder.process.id()),
            name: Some(holder.name),
            processes: None,
        };
        match stayed {
            Stayed::Dirty { pages } => counted("dirty", pages),
            Stayed::WritingBack { pages } => counted("writing_back", pages),
            Stayed::OnlyInMemory { pages } => counted("only_in_memory", pages),
            Stayed::InLargeFolio { pages } => counted("in_large_folio", pages),
            Stayed::Unexplained { pages } => counted("unexplained", pages),
            Stayed::Mapped(holder) => held("mapped", holder),
            Stayed::Locked(holder) => held("locked", holder),
            Stayed::Unasked { processes } => Reason {
                reason: "unasked",
                pages: None,
                pid: None,
                name: None,
                processes: Some(processes),
            },
            _ => Reason {
                reason: "unexplained",
                pages: None,
                pid: None,
                name: None,
                processes: None,
            },
        }
    }
}

impl Reason {
    /// In words, with what one can do about it.
    fn text(&self, was_flushed: bool) -> String {
        let pages = self.pages.map_or_else(|| "pages".to_owned(), |pages| counted(pages, "page"));
        let holder = match (&self.name, self.pid) {
            (Some(name), Some(pid)) => format!("{pid} ({})", harmless(name)),
            _ => "nobody known".to_owned(),
        };
        match self.reason {
            "dirty" if was_flushed => format!("{pages} newer than the disk, again"),
            "dirty" => format!("{pages} newer than the disk: --flush writes them first"),
            "writing_back" => format!("{pages} being written to the disk"),
            "only_in_memory" => format!("{pages} with no disk to go to"),
            "in_large_folio" => {
                format!("{pages} perhaps in large folios, of which other parts have to stay")
            }
            "mapped" => format!("{pages} mapped by {holder}"),
            "locked" => format!("{pages} locked by {holder}"),
            "unasked" => match self.processes.unwrap_or(0) {
                1 => "1 process of others could not be asked what it has mapped".to_owned(),
                processes => format!("{processes} processes of others could not be asked"),
            },
            _ => format!("{pages} for a reason that was not found"),
        }
    }
}
