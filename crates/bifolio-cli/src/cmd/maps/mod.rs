//! `bifolio maps`: the memory of a process, by what it is for and whose it is.

mod command;
mod diff;
mod kind;
mod memory;
mod snapshot;
mod table;

use crate::bytes::counted;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::name::shown;
use command::{At, Running};
use diff::Diff;
use kind::Kind;
use memory::Memory;
use snapshot::{Document, Row, Snapshot};
use std::cmp::Reverse;
use std::ffi::OsString;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// Show what the memory of a process is for, and whose it is
///
/// Every mapping under its kind, a summary of the kinds, and what people mistake for one another
/// apart: mapped, resident, proportional, dirty, reclaimable. Only the user of a process and root
/// may look. What the kernel does not tell is `?`, and the exit code is 3.
///
/// A command is run and looked at until it ends, and the last look is shown, which says how long
/// before the end it was. Its standard output goes to standard error.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The process with this number, or a command to run
    #[arg(value_name = "PID|COMMAND", required_unless_present_any = ["command", "diff"])]
    #[arg(conflicts_with_all = ["command", "diff"])]
    what: Vec<OsString>,

    /// A command that has options, or a number for its name
    #[arg(last = true, value_name = "COMMAND", conflicts_with = "diff")]
    command: Vec<OsString>,

    /// When to look at a command: `end`, `peak` (most in memory), or a time after its start (2s)
    ///
    /// Shown at a time, the command goes on, and its end is waited for.
    #[arg(long, value_name = "MOMENT", default_value = "end", conflicts_with = "diff")]
    at: At,

    /// Look at the process twice, so long apart (2s, 500ms), and show what changed
    #[arg(long, value_name = "TIME", value_parser = command::parse_time)]
    #[arg(conflicts_with_all = ["command", "diff"])]
    interval: Option<Duration>,

    /// Show what changed between two moments, each written by --json
    #[arg(long, num_args = 2, value_names = ["BEFORE", "AFTER"])]
    diff: Option<Vec<PathBuf>>,

    /// Leave out the mappings: the summary only
    #[arg(long, short)]
    summary: bool,

    /// Order the mappings of a kind by this
    #[arg(long, value_name = "KEY", default_value = "address")]
    sort: Sort,

    /// Only mappings of these kinds
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    only: Vec<Kind>,

    /// Only mappings whose name contains this
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,

    /// Write the answer as JSON
    #[arg(long)]
    json: bool,
}

/// What mappings are ordered by: sizes begin with the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Sort {
    Address,
    Mapped,
    Resident,
    Proportional,
    Private,
    Dirty,
    Swapped,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<Exit, Failure> {
    if let Some(paths) = &args.diff {
        let before = Snapshot::load(&paths[0])?;
        let after = Snapshot::load(&paths[1])?;
        return args.compare(before, after, console);
    }
    let words = if args.command.is_empty() { &args.what } else { &args.command };
    let process = if args.command.is_empty() { process(words)? } else { None };
    match (process, args.interval) {
        (Some(process), None) => {
            let snapshot = Snapshot::take(process)?;
            args.show(snapshot, console)?;
        }
        (Some(process), Some(interval)) => {
            let before = Snapshot::take(process)?;
            std::thread::sleep(interval);
            return args.compare(before, Snapshot::take(process)?, console);
        }
        (None, Some(_)) => {
            let text = "--interval is for a process that runs: give its number";
            return Err(Failure::message(text));
        }
        (None, None) => args.run_command(words, console)?,
    }
    Ok(Exit::Success)
}

/// The process, where the one word is a number.
fn process(words: &[OsString]) -> Result<Option<u32>, Failure> {
    let [word] = words else { return Ok(None) };
    let Some(digits) = word.to_str().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))
    else {
        return Ok(None);
    };
    match digits.parse() {
        Ok(process) => Ok(Some(process)),
        Err(_) if digits.is_empty() => Ok(None),
        Err(_) => Err(Failure::message(format!("{digits}: no process has so large a number"))),
    }
}

impl Args {
    fn run_command(&self, words: &[OsString], console: &mut Console) -> Result<(), Failure> {
        let mut running = Running::start(words)?;
        let status = if let At::Time(time) = self.at {
            let snapshot = running.at(time);
            let shown = snapshot.and_then(|snapshot| self.show(snapshot, console));
            let flushed = console.flush();
            let status = running.wait()?;
            shown?;
            flushed?;
            status
        } else {
            let seen = running.watch(self.at)?;
            self.show(seen.shown, console)?;
            if !self.json && self.at == At::End {
                let (most, moment) = seen.peak;
                let looks = counted(seen.looks, "look");
                let after = moment.after_start_seconds;
                writeln!(
                    console,
                    "Most in memory in {looks}: {}, {after:.3} s after its start (--at peak)",
                    table::short(most),
                )?;
            }
            seen.status
        };
        note(words, status, console)
    }

    /// Whether a mapping is asked for.
    fn wants(&self, row: &Row) -> bool {
        let is_kind = self.only.is_empty() || self.only.contains(&row.kind);
        let is_name = self.name.as_ref().is_none_or(|text| row.label().contains(text));
        is_kind && is_name
    }

    /// What is asked for; the exit code remembers what is unknown in it.
    fn filter(&self, mut snapshot: Snapshot, console: &mut Console) -> Snapshot {
        snapshot.regions.retain(|row| self.wants(row));
        if !snapshot.consistent || !snapshot.total().is_told() {
            console.decide(Exit::Partial);
        }
        snapshot
    }

    fn show(&self, snapshot: Snapshot, console: &mut Console) -> Result<(), Failure> {
        let snapshot = self.filter(snapshot, console);
        if self.json {
            return console.json(&Document::of(&snapshot, !self.summary));
        }
        table::title(&snapshot, console)?;
        if !snapshot.consistent {
            writeln!(
                console,
                "It changed its mappings all the while: these were not all at once."
            )?;
        }
        writeln!(console)?;
        let mut kinds = Kind::ALL;
        if self.sort != Sort::Address {
            let sum = |kind| snapshot.rows(kind).map(|row| row.memory).sum::<Memory>();
            kinds.sort_by_key(|&kind| Reverse(self.sort.key(&sum(kind))));
        }
        if !self.summary {
            table::regions(&snapshot, &kinds, |rows| self.sort.order(rows), console)?;
        }
        table::summary(&snapshot, &kinds, console)?;
        table::sums(&snapshot, console)
    }

    fn compare(
        &self,
        before: Snapshot,
        after: Snapshot,
        console: &mut Console,
    ) -> Result<Exit, Failure> {
        let before = self.filter(before, console);
        let after = self.filter(after, console);
        let diff = Diff::of(&before, &after);
        let answer = if diff.is_empty() { Exit::Success } else { Exit::False };
        console.decide(answer);
        if self.json {
            console.json(&diff)?;
        } else {
            diff.show(self.summary, console)?;
        }
        Ok(answer)
    }
}

impl Sort {
    fn key(self, memory: &Memory) -> Option<u64> {
        match self {
            Sort::Address => None,
            Sort::Mapped => Some(memory.mapped_bytes),
            Sort::Resident => memory.resident_bytes,
            Sort::Proportional => memory.proportional_bytes,
            Sort::Private => memory.private_bytes,
            Sort::Dirty => memory.dirty_bytes,
            Sort::Swapped => memory.swapped_bytes,
        }
    }

    fn order(self, rows: &mut Vec<&Row>) {
        // Stable: what is equal stays in the order of addresses.
        rows.sort_by_key(|row| Reverse(self.key(&row.memory)));
    }
}

/// Says how a command ended, where that was not well: the exit code is that of the look at it.
fn note(words: &[OsString], status: ExitStatus, console: &mut Console) -> Result<(), Failure> {
    if !status.success() {
        console.flush()?;
        // An error of standard error itself has nowhere to go.
        let _ =
            writeln!(std::io::stderr(), "bifolio: maps {} ended with {status}", shown(&words[0]));
    }
    Ok(())
}
