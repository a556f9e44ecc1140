//! Where a command writes: one buffered standard output, failures on standard error, colours where
//! they are wanted.

use crate::failure::{Exit, Failure};
use anstream::{AutoStream, ColorChoice};
use anstyle::Style;
use serde::Serialize;
use std::ffi::OsString;
use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;

/// Smaller writes are gathered up to this size, larger ones pass through.
const BUFFER_BYTES: usize = 64 << 10;

/// The columns of a page whose width nobody tells.
const COLUMNS_DEFAULT: usize = 80;

/// When to use colours.
///
/// The flag decides; left to `auto`, NO_COLOR (not empty) forbids them, then CLICOLOR_FORCE (not
/// empty) demands them, then TERM=dumb forbids them, then each stream is asked whether it is a
/// terminal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ColorWhen {
    #[default]
    Auto,
    Always,
    Never,
}

impl ColorWhen {
    /// What the arguments ask for, before they are understood: clap's own messages have colours
    /// too.
    pub(crate) fn from_raw(args: &[OsString]) -> ColorWhen {
        let texts = args.iter().map(|arg| arg.to_str().unwrap_or_default());
        let own = texts.take_while(|&text| text != "--");
        let mut found = ColorWhen::Auto;
        let mut previous = "";
        for text in own {
            let value = if previous == "--color" { Some(text) } else { None };
            if let Some(value) = value.or_else(|| text.strip_prefix("--color=")) {
                found = clap::ValueEnum::from_str(value, false).unwrap_or_default();
            }
            previous = text;
        }
        found
    }

    /// Makes it the choice of the whole process.
    pub(crate) fn apply(self) {
        let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        match self {
            // anstream would let CI overrule a terminal that says it is dumb.
            ColorWhen::Auto
                if std::env::var_os("TERM").is_some_and(|term| term == "dumb")
                    && !is_set("CLICOLOR_FORCE") =>
            {
                ColorChoice::Never
            }
            ColorWhen::Auto => ColorChoice::Auto,
            ColorWhen::Always => ColorChoice::Always,
            ColorWhen::Never => ColorChoice::Never,
        }
        .write_global();
    }
}

/// Where a command writes. It implements [`Write`] for standard output; an error of that is a
/// [`Failure::Output`], and a closed pipe ends the program quietly.
pub(crate) struct Console {
    command: &'static str,
    stdout: BufWriter<File>,
    has_color: bool,
    worst: Exit,
}

impl Console {
    /// The console of the command with this name.
    pub(crate) fn new(command: &'static str) -> Result<Console, Failure> {
        let stdout = io::stdout();
        // Not std's own handle, which breaks what it is given at line ends.
        let file = File::from(stdout.as_fd().try_clone_to_owned()?);
        Ok(Console {
            command,
            has_color: AutoStream::choice(&stdout) != ColorChoice::Never,
            stdout: BufWriter::with_capacity(BUFFER_BYTES, file),
            worst: Exit::Success,
        })
    }

    /// Whether standard output takes colours.
    pub(crate) fn has_color(&self) -> bool {
        self.has_color
    }

    /// The columns of a line: what COLUMNS says, else the terminal, else 80.
    pub(crate) fn columns(&self) -> usize {
        let asked = std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
        let measured = || {
            let (width, _) = terminal_size::terminal_size_of(io::stdout())?;
            Some(usize::from(width.0))
        };
        asked.or_else(measured).filter(|&columns| columns > 0).unwrap_or(COLUMNS_DEFAULT)
    }

    /// `text` in a style, where standard output takes colours.
    pub(crate) fn paint<T: fmt::Display>(&self, style: Style, text: T) -> impl fmt::Display {
        Painted { style: if self.has_color { style } else { Style::new() }, text }
    }

    /// Writes one document: `{"schema": 1, ...}`. Sizes and bytes are integers, addresses are
    /// strings in hexadecimal, paths are [`json::Path`](crate::json::Path).
    pub(crate) fn json(&mut self, body: &impl Serialize) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Document<'a, T> {
            schema: u32,
            #[serde(flatten)]
            body: &'a T,
        }
        serde_json::to_writer_pretty(&mut self.stdout, &Document { schema: 1, body })
            .map_err(io::Error::from)?;
        Ok(self.stdout.write_all(b"\n")?)
    }

    /// Writes one line of a stream of documents: `{"schema":1,"type":...}`; else as
    /// [`json`](Self::json).
    pub(crate) fn json_line(&mut self, kind: &str, body: &impl Serialize) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Line<'a, T> {
            schema: u32,
            r#type: &'a str,
            #[serde(flatten)]
            body: &'a T,
        }
        serde_json::to_writer(&mut self.stdout, &Line { schema: 1, r#type: kind, body })
            .map_err(io::Error::from)?;
        Ok(self.stdout.write_all(b"\n")?)
    }

    /// Reports a failure that does not end the command; the exit code remembers it.
    pub(crate) fn report(&mut self, failure: &Failure) -> Result<(), Failure> {
        self.say(failure)?;
        self.decide(Exit::Error);
        Ok(())
    }

    /// Reports why a part of the answer is unknown; the exit code remembers that.
    pub(crate) fn report_unknown(&mut self, why: &Failure) -> Result<(), Failure> {
        self.say(why)?;
        self.decide(Exit::Partial);
        Ok(())
    }

    fn say(&mut self, failure: &Failure) -> Result<(), Failure> {
        // What was written before it stands before it.
        self.stdout.flush()?;
        failure.print(self.command);
        Ok(())
    }

    /// Notes how the command will end, where that is known before all is written: it stays so when
    /// nobody reads the rest.
    pub(crate) fn decide(&mut self, answer: Exit) {
        self.worst = self.worst.max(answer);
    }

    /// Writes what is left, reports the failure if there is one, and says how the program ends.
    pub(crate) fn finish(mut self, answer: Result<Exit, Failure>) -> Exit {
        let flushed = self.stdout.flush().map_err(Failure::Output);
        if let Ok(exit) = answer {
            self.decide(exit);
        }
        match answer.and(flushed) {
            Ok(()) => self.worst,
            Err(failure) if failure.is_closed_pipe() => self.worst,
            Err(failure) => {
                failure.print(self.command);
                Exit::Error
            }
        }
    }
}

impl Write for Console {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.stdout.write(buf)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stdout.flush()
    }
}

struct Painted<T> {
    style: Style,
    text: T,
}

impl<T: fmt::Display> fmt::Display for Painted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}{:#}", self.style, self.text, self.style)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn raw(args: &[&str]) -> ColorWhen {
        ColorWhen::from_raw(&args.iter().map(OsString::from).collect::<Vec<_>>())
    }

    #[test]
    fn the_last_colour_flag_before_the_files_counts() {
        assert_eq!(raw(&["bifolio", "--color", "never"]), ColorWhen::Never);
        assert_eq!(raw(&["bifolio", "cat", "--color=never", "--color=always"]), ColorWhen::Always);
        assert_eq!(raw(&["bifolio", "cat", "--", "--color=never"]), ColorWhen::Auto);
        assert_eq!(raw(&["bifolio", "--color=purple"]), ColorWhen::Auto);
    }
}
