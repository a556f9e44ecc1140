//! How a command ends: its exit code, and the failure that it reports.

use crate::name::{harmless, shown};
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// How a command ends, in the order in which one hides another: the last that holds is the exit
/// code. So an error is never taken for an answer, nor half an answer for a whole one.
///
/// 130 is the shell's number for a program that SIGINT ended: the signal keeps its default action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// Done, or the answer is yes.
    Success,
    /// The answer is no.
    False,
    /// Part of the answer is unknown, since the system does not tell.
    Partial,
    /// Wrong usage, or something could not be done.
    Error,
}

impl From<Exit> for ExitCode {
    /// As the help lists them.
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Success => 0,
            Exit::False => 1,
            Exit::Error => 2,
            Exit::Partial => 3,
        })
    }
}

/// Why a command stopped.
///
/// A bare `io::Error` becomes [`Failure::Output`], since only the output has no path to name; for a
/// file use [`Failure::file`].
#[derive(Debug)]
pub(crate) enum Failure {
    /// The output could not be written.
    Output(io::Error),
    /// A mapping or its file.
    Map(bifolio::Error),
    /// A file that is not mapped.
    File { path: PathBuf, error: io::Error },
    /// Anything else, in words, with what one can do about it.
    Message { text: String, help: Option<&'static str> },
}

impl Failure {
    pub(crate) fn file(path: &Path, error: io::Error) -> Failure {
        Failure::File { path: path.to_path_buf(), error }
    }

    pub(crate) fn message(text: impl Into<String>) -> Failure {
        Failure::Message { text: text.into(), help: None }
    }

    /// Adds what one can do about it, to words.
    pub(crate) fn with_help(self, advice: &'static str) -> Failure {
        match self {
            Failure::Message { text, .. } => Failure::Message { text, help: Some(advice) },
            other => other,
        }
    }

    /// Whether whoever read the output has gone, which is no failure.
    pub(crate) fn is_closed_pipe(&self) -> bool {
        matches!(self, Failure::Output(error) if error.kind() == io::ErrorKind::BrokenPipe)
    }

    fn help(&self) -> Option<&'static str> {
        match self {
            Failure::Map(error) => error.help(),
            Failure::Message { help, .. } => *help,
            Failure::Output(_) | Failure::File { .. } => None,
        }
    }

    /// Writes it to standard error as `bifolio: COMMAND ...`, with a line of help where there is
    /// one. An error of standard error itself has nowhere to go.
    pub(crate) fn print(&self, command: &str) {
        let mut stderr = anstream::stderr().lock();
        let (bold, reset) = (anstyle::Style::new().bold(), anstyle::Reset);
        let text = harmless(&self.to_string());
        let _ = writeln!(stderr, "{bold}bifolio:{reset} {command} {text}");
        if let Some(help) = self.help() {
            let _ = writeln!(stderr, "{bold}help:{reset} {help}");
        }
    }
}

impl fmt::Display for Failure {
    /// What comes after the name of the command, which stands for the library's operation.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Output(error) => write!(f, "(standard output): {error}"),
            Failure::Map(error) => {
                let text = error.to_string();
                let operation = format!("{} ", error.operation());
                f.write_str(text.strip_prefix(&operation).unwrap_or(&text))
            }
            Failure::File { path, error } => write!(f, "{}: {error}", shown(path)),
            Failure::Message { text, .. } => f.write_str(text),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Output(error)
    }
}

impl From<bifolio::Error> for Failure {
    fn from(error: bifolio::Error) -> Failure {
        Failure::Map(error)
    }
}
