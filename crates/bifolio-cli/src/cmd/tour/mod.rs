//! `bifolio tour`: the idea of memory mapping on the user's own file, each step done and measured.

mod measure;
mod memory;
mod reading;
mod subject;
mod surviving;
mod witness;
mod writing;

use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::json;
use crate::wrap::wrap;
use anstyle::{AnsiColor, Style};
use serde::Serialize;
use serde_json::Value;
use std::io::{self, Write};
use std::path::PathBuf;
use subject::Subject;

const TITLE: Style = Style::new().bold();
const NUMBER: Style = AnsiColor::Cyan.on_default().bold();

/// The longest line, whatever the terminal's width is.
const COLUMNS_MAX: usize = 80;

/// Show what memory mapping is, on a file of yours, in two minutes
///
/// Every step is done on this machine while you look, and its numbers are measured. Your file is
/// only read; what writes, writes to a copy without a name. The exit code is 3 where a step could
/// not be done here.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// A file with content; without one the tour makes one for itself
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,

    /// Write the numbers as JSON
    #[arg(long)]
    json: bool,

    /// Be the second process of a tour on this file: answer questions on standard input
    #[arg(long, hide = true, value_name = "PATH", conflicts_with_all = ["file", "json"])]
    witness: Option<PathBuf>,
}

/// What a step did and found.
struct Step {
    /// What happened, in paragraphs.
    text: Vec<String>,
    /// The numbers, by name.
    facts: Value,
}

/// A step: a name for machines, one for people, and what it does.
type Plan = (&'static str, &'static str, fn(&Subject) -> Result<Step, Failure>);

const STEPS: [Plan; 9] = [
    ("map", "A mapping is made at once, whatever the size", reading::map),
    ("demand", "Pages come when they are touched", reading::demand),
    ("random", "After that, reading is a load, not a system call", reading::random),
    ("offset", "The kernel maps whole pages; you see the bytes you asked for", reading::offset),
    ("private", "A private write copies the page, and nobody else sees it", writing::private),
    ("shared", "A shared write is seen by everybody at once", writing::shared),
    ("refused", "What is mapped to be read cannot be written", writing::refused),
    ("truncated", "A file that shrinks is an error, not a crash", surviving::truncated),
    ("anonymous", "Memory without a file: addresses first, pages later", memory::anonymous),
];

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<Exit, Failure> {
    if let Some(path) = &args.witness {
        // Whoever asked has gone if it cannot be answered.
        let _: io::Result<()> = witness::testify(path);
        return Ok(Exit::Success);
    }
    let subject = Subject::new(args.file.as_deref())?;
    let mut steps = Vec::new();
    for (index, (name, title, run)) in STEPS.into_iter().enumerate() {
        let done = run(&subject);
        if done.is_err() {
            console.decide(Exit::Partial);
        }
        let (text, facts, failure) = match done {
            Ok(step) => (step.text, step.facts, None),
            Err(failure) => {
                let failure = failure.to_string();
                (vec![format!("It could not be done here: {failure}.")], Value::Null, Some(failure))
            }
        };
        if !args.json {
            let number = console.paint(NUMBER, index + 1).to_string();
            let title = console.paint(TITLE, title).to_string();
            writeln!(console, "{number} {title}")?;
            for paragraph in text {
                paragraph_to(console, &paragraph)?;
            }
            writeln!(console)?;
            // The next one may take a moment.
            console.flush()?;
        }
        steps.push(StepDocument { name, title, facts, failure });
    }
    let is_unchanged = subject.is_unchanged()?;
    if args.json {
        console.json(&Document {
            path: subject.name.as_deref().map(json::Path),
            is_unchanged,
            steps,
        })?;
    } else {
        let end = match (&subject.name, is_unchanged) {
            (None, _) => "The file of this tour had no name, and is gone.".to_owned(),
            (Some(name), true) => format!("{} is what it was before.", name.display()),
            (Some(name), false) => {
                format!("{} was changed meanwhile, though not by this tour.", name.display())
            }
        };
        writeln!(console, "{end}")?;
    }
    Ok(Exit::Success)
}

fn paragraph_to(console: &mut Console, text: &str) -> Result<(), Failure> {
    let columns = console.columns().min(COLUMNS_MAX);
    let text = wrap(text, columns.saturating_sub(2), 2);
    Ok(writeln!(console, "  {text}")?)
}

#[derive(Serialize)]
struct Document<'a> {
    path: Option<json::Path<'a>>,
    is_unchanged: bool,
    steps: Vec<StepDocument>,
}

#[derive(Serialize)]
struct StepDocument {
    name: &'static str,
    title: &'static str,
    facts: Value,
    /// Why the step could not be done.
    failure: Option<String>,
}
