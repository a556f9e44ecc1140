//! `bifolio doctor`: what this machine and this process permit, and what follows for Bifolio.

mod faults;
mod instead;

use crate::bytes::human;
use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::wrap::wrap;
use anstyle::{AnsiColor, Style};
use bifolio::features::{
    Environment, Feature, Features, Overcommit, ShmemThpMode, Support, ThpMode,
};
use bifolio::page::PageSize;
use faults::{Faults, Verdict};
use instead::instead_of;
use serde::Serialize;
use std::io::Write;

const HEADING: Style = Style::new().bold();
const GOOD: Style = AnsiColor::Green.on_default();
const ABSENT: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// The columns before the text of a line.
const INDENT: usize = 24;

/// The longest line, whatever the terminal's width is.
const COLUMNS_MAX: usize = 100;

/// Say what this machine permits, and what Bifolio does about what it lacks
///
/// Each feature of the kernel is tried by the very call. The fault handler is tried by a child
/// process that takes a fault. The exit code is 0 where all promises hold here, 1 where one is
/// weakened, and 3 where that could not be tried. A feature that is absent weakens no promise:
/// another way is taken, or the library says no.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// Write the answer as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<Exit, Failure> {
    let report = Report {
        environment: Environment::read(),
        faults: Faults::look(),
        features: Features::get(),
    };
    let exit = match report.faults.verdict() {
        Verdict::Holds => Exit::Success,
        Verdict::Weakened(_) => Exit::False,
        Verdict::Unknown(_) => Exit::Partial,
    };
    console.decide(exit);
    if args.json {
        console.json(&report.document())?;
    } else {
        report.show(console)?;
    }
    Ok(exit)
}

struct Report {
    environment: Environment,
    faults: Faults,
    features: Features,
}

impl Report {
    fn show(&self, console: &mut Console) -> Result<(), Failure> {
        heading(console, "Faults, which Bifolio turns into errors")?;
        for (name, text) in self.faults.lines() {
            line(console, "", name, &text)?;
        }
        heading(console, "\nThe machine")?;
        for (name, text) in self.settings() {
            line(console, "", name, &text)?;
        }
        heading(console, "\nFeatures of the kernel")?;
        for (feature, support) in self.features.iter() {
            match support {
                Support::Available => {
                    let mark = console.paint(GOOD, "+").to_string();
                    line(console, &mark, feature.name(), feature.purpose())?;
                }
                Support::Absent(reason) => {
                    let mark = console.paint(ABSENT, "-").to_string();
                    line(console, &mark, feature.name(), feature.purpose())?;
                    line(console, "", "", &format!("absent: {reason}"))?;
                    line(console, "", "", &format!("instead: {}", instead_of(feature)))?;
                }
            }
        }
        writeln!(console)?;
        self.show_verdict(console)
    }

    fn show_verdict(&self, console: &mut Console) -> Result<(), Failure> {
        let absent = self.features.iter().filter(|(_, support)| *support != Support::Available);
        let absent = match absent.count() {
            0 => "and no feature is absent".to_owned(),
            1 => "and what the absent feature is for is done otherwise, or refused".to_owned(),
            count => {
                format!(
                    "and what the {count} absent features are for is done otherwise, or refused"
                )
            }
        };
        let (style, word, text) = match self.faults.verdict() {
            Verdict::Holds => {
                (GOOD, "Healthy", format!("every promise of Bifolio holds here, {absent}."))
            }
            Verdict::Weakened(why) => (
                BAD,
                "Weakened",
                format!(
                    "{why}. A file that shrinks under a mapping may end the process; access by \
                     system call (by_syscall) still returns an error.",
                ),
            ),
            Verdict::Unknown(why) => (ABSENT, "Unknown", format!("{why}.")),
        };
        let painted = console.paint(style, word).to_string();
        let columns = console.columns().min(COLUMNS_MAX);
        let text = wrap(&format!("{word}: {text}"), columns, 0);
        let text = text.replacen(word, &painted, 1);
        Ok(writeln!(console, "{text}")?)
    }

    fn settings(&self) -> Vec<(&'static str, String)> {
        let Environment { kernel, page_size, thp, shmem_thp, overcommit, .. } = &self.environment;
        let unknown = || "unknown: the kernel does not show it".to_owned();
        let size = |size: PageSize| human(size.bytes() as u64);
        let sizes = self.environment.huge_page_sizes.map(|sizes| {
            let sizes: Vec<_> = sizes.map(size).collect();
            if sizes.is_empty() { "none".to_owned() } else { sizes.join(", ") }
        });
        vec![
            ("kernel", format!("Linux {kernel}")),
            ("page size", size(*page_size)),
            ("reserved pages of", sizes.unwrap_or_else(unknown)),
            ("transparent pages of", self.environment.thp_size.map_or_else(unknown, size)),
            ("  in anonymous memory", thp.map_or_else(unknown, |mode| thp_text(mode).to_owned())),
            (
                "  in shared memory",
                shmem_thp.map_or_else(unknown, |mode| shmem_thp_text(mode).to_owned()),
            ),
            (
                "overcommit",
                overcommit.map_or_else(unknown, |mode| overcommit_text(mode).to_owned()),
            ),
            (
                "lockable memory",
                match self.environment.lock_limit_bytes {
                    u64::MAX => "without limit".to_owned(),
                    limit => human(limit),
                },
            ),
            (
                "seccomp filter",
                match self.environment.is_filtered {
                    Some(true) => "one decides about system calls".to_owned(),
                    Some(false) => "none".to_owned(),
                    None => unknown(),
                },
            ),
        ]
    }

    fn document(&self) -> impl Serialize {
        #[derive(Serialize)]
        struct Document {
            holds: Option<bool>,
            why: Option<String>,
            faults: faults::Document,
            environment: EnvironmentDocument,
            features: Vec<FeatureDocument>,
        }
        let (holds, why) = match self.faults.verdict() {
            Verdict::Holds => (Some(true), None),
            Verdict::Weakened(why) => (Some(false), Some(why)),
            Verdict::Unknown(why) => (None, Some(why)),
        };
        Document {
            holds,
            why,
            faults: self.faults.document(),
            environment: EnvironmentDocument::from(&self.environment),
            features: self.features.iter().map(FeatureDocument::from).collect(),
        }
    }
}

#[derive(Serialize)]
struct EnvironmentDocument {
    kernel: String,
    page_bytes: usize,
    huge_page_bytes: Option<Vec<usize>>,
    thp_bytes: Option<usize>,
    thp: Option<&'static str>,
    shmem_thp: Option<&'static str>,
    overcommit: Option<&'static str>,
    /// Nothing where there is no limit.
    lock_limit_bytes: Option<u64>,
    is_filtered: Option<bool>,
}

impl From<&Environment> for EnvironmentDocument {
    fn from(environment: &Environment) -> Self {
        let limit = environment.lock_limit_bytes;
        EnvironmentDocument {
            kernel: environment.kernel.to_string(),
            page_bytes: environment.page_size.bytes(),
            huge_page_bytes: environment
                .huge_page_sizes
                .map(|sizes| sizes.map(PageSize::bytes).collect()),
            thp_bytes: environment.thp_size.map(PageSize::bytes),
            thp: environment.thp.map(thp_text),
            shmem_thp: environment.shmem_thp.map(shmem_thp_text),
            overcommit: environment.overcommit.map(overcommit_text),
            lock_limit_bytes: (limit != u64::MAX).then_some(limit),
            is_filtered: environment.is_filtered,
        }
    }
}

#[derive(Serialize)]
struct FeatureDocument {
    name: &'static str,
    since: String,
    purpose: &'static str,
    available: bool,
    reason: Option<String>,
    instead: Option<&'static str>,
}

impl From<(Feature, Support)> for FeatureDocument {
    fn from((feature, support): (Feature, Support)) -> Self {
        let reason = match support {
            Support::Available => None,
            Support::Absent(reason) => Some(reason.to_string()),
        };
        FeatureDocument {
            name: feature.name(),
            since: feature.since().to_string(),
            purpose: feature.purpose(),
            available: reason.is_none(),
            instead: reason.is_some().then(|| instead_of(feature)),
            reason,
        }
    }
}

fn thp_text(mode: ThpMode) -> &'static str {
    match mode {
        ThpMode::Always => "wherever they fit",
        ThpMode::Madvise => "where they are asked for",
        ThpMode::Never => "never",
    }
}

fn shmem_thp_text(mode: ShmemThpMode) -> &'static str {
    match mode {
        ShmemThpMode::Always => "wherever they fit",
        ShmemThpMode::WithinSize => "where they fit into the size",
        ShmemThpMode::Advise => "where they are asked for",
        ShmemThpMode::Never => "never",
        ShmemThpMode::Deny => "never, on no tmpfs",
        ShmemThpMode::Force => "always, on every tmpfs",
    }
}

fn overcommit_text(mode: Overcommit) -> &'static str {
    match mode {
        Overcommit::Heuristic => "more memory is promised than there is, within reason",
        Overcommit::Always => "any amount of memory is promised",
        Overcommit::Never => "no more memory is promised than there is",
    }
}

fn heading(console: &mut Console, text: &str) -> Result<(), Failure> {
    let text = console.paint(HEADING, text).to_string();
    Ok(writeln!(console, "{text}")?)
}

/// One line, with `mark` in front of the name, wrapped under the beginning of the text.
fn line(console: &mut Console, mark: &str, name: &str, text: &str) -> Result<(), Failure> {
    let mark = if mark.is_empty() { " " } else { mark };
    let columns = console.columns().min(COLUMNS_MAX);
    let text = wrap(text, columns.saturating_sub(INDENT), INDENT);
    Ok(writeln!(console, "{mark} {name:<0$}{text}", INDENT - 2)?)
}
