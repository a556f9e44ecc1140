//! `bifolio watch`: which pages of files, or of a process, are in memory, while it happens.
//!
//! A [`Source`] answers for files, a process or a recording; the
//! [`Model`] is what of it shows, which `screen` draws on a terminal and `once` on
//! paper. Nobody here asks the system but the sources and the actions.

mod actions;
mod cached;
mod counters;
mod files;
mod grid;
mod history;
mod keys;
mod live;
mod model;
mod once;
mod pace;
mod places;
mod process;
mod record;
mod replay;
mod screen;
mod source;
mod terminal;
#[cfg(test)]
mod tests;
mod watcher;

use crate::console::Console;
use crate::failure::{Exit, Failure};
use bifolio::page::page_size;
use model::{Model, Order};
use source::Source;
use std::io::{IsTerminal, stdout};
use std::path::PathBuf;
use watcher::Watcher;

/// Watch which pages of files, or of a process, are in memory
///
/// Left the files, or the mappings of a process, each with a bar; right the pages of the selected
/// one, two cells in a character, the first above the second; below what the machine or the process
/// does: faults, faults that waited for a disk, pages that came back after they were evicted. What
/// the kernel does not tell is shown as `?`. Press `?` for the keys.
///
/// Looking changes nothing and takes at most a thirtieth of a core: what takes longer is looked at
/// less often. Without a terminal one picture is printed, as with --once.
#[derive(clap::Args, Debug)]
#[command(after_long_help = crate::cli::EXIT_CODES)]
pub(crate) struct Args {
    /// The files
    #[arg(value_name = "FILE", required_unless_present_any = ["pid", "replay"])]
    files: Vec<PathBuf>,

    /// Watch the mappings of this process: the pages that it has
    #[arg(long, value_name = "PID", conflicts_with_all = ["files", "replay"])]
    pid: Option<u32>,

    /// Print one picture, and end
    #[arg(long)]
    once: bool,

    /// Print one picture as JSON, and end
    #[arg(long)]
    json: bool,

    /// The order of the list: by default files as given, and mappings by their bytes in memory
    #[arg(long, value_name = "ORDER")]
    sort: Option<Order>,

    /// Write all that is seen to a file, one JSON document a line
    #[arg(long, value_name = "FILE", conflicts_with_all = ["once", "json", "replay"])]
    record: Option<PathBuf>,

    /// Show a recording
    #[arg(long, value_name = "FILE", conflicts_with = "files")]
    replay: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<Exit, Failure> {
    let mut page_bytes = page_size().bytes() as u64;
    let mut order = args.sort.unwrap_or(Order::Given);
    let source: Box<dyn Source> = match (&args.replay, args.pid) {
        (Some(path), _) => {
            let replay = replay::Replay::open(path)?;
            page_bytes = replay.page_bytes();
            Box::new(replay)
        }
        (None, Some(pid)) => {
            order = args.sort.unwrap_or(Order::Resident);
            Box::new(process::Watched::open(pid)?)
        }
        (None, None) => {
            let files = files::Files::open(&args.files, console)?;
            if files.items().is_empty() {
                return Ok(Exit::Error);
            }
            Box::new(files)
        }
    };
    let model = Model::new(source.subject(), order, console.has_color(), page_bytes);
    let mut watcher = Watcher::new(source, model);
    let can_draw =
        stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
    if !args.once && !args.json && can_draw {
        if let Some(path) = &args.record {
            watcher.record(Some(path))?;
        }
        live::run(&mut watcher)?;
        return Ok(Exit::Success);
    }
    if args.record.is_some() {
        return Err(Failure::message("--record needs a terminal to watch on")
            .with_help("script -qc 'bifolio watch ...' /dev/null makes one"));
    }
    if args.json {
        once::json(&mut watcher, console)?;
    } else {
        once::text(&mut watcher, console)?;
    }
    let is_known = watcher.source.items().iter().all(|item| item.totals.is_ok());
    Ok(if is_known { Exit::Success } else { Exit::Partial })
}
