//! How matches are shown: as lines, as numbers, or as lines of JSON.

use crate::console::Console;
use crate::failure::Failure;
use crate::hex;
use crate::json;
use anstyle::{AnsiColor, Style};
use serde::Serialize;
use std::io::Write;
use std::ops::Range;
use std::path::Path;

/// How many bytes of a match a line shows.
const SHOWN_BYTES_MAX: usize = 64;

const PATH: Style = AnsiColor::Magenta.on_default();
const OFFSET: Style = AnsiColor::Green.on_default();
const MATCH: Style = AnsiColor::Red.on_default().bold();

/// A match with what is around it.
pub(super) struct Shown<'a> {
    pub(super) place: Range<u64>,
    pub(super) before: &'a [u8],
    pub(super) bytes: &'a [u8],
    pub(super) after: &'a [u8],
}

/// What the user wants to see.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) is_json: bool,
    pub(super) is_decimal: bool,
    /// How many bytes to show on both sides of a match; nothing is shown of it without a number.
    pub(super) context: Option<usize>,
}

impl Look {
    /// Whether the bytes of a match are shown.
    pub(super) fn needs_bytes(self) -> bool {
        self.is_json || self.context.is_some()
    }

    /// One match: `FILE:OFFSET`, and what is around it where that is wanted.
    pub(super) fn place(
        self,
        console: &mut Console,
        path: &Path,
        shown: &Shown<'_>,
    ) -> Result<(), Failure> {
        if self.is_json {
            return place_as_json(console, path, shown, self.context.is_some());
        }
        let start = shown.place.start;
        write_path(console, path)?;
        let offset = if self.is_decimal { start.to_string() } else { format!("{start:#x}") };
        let offset = console.paint(OFFSET, offset).to_string();
        console.write_all(offset.as_bytes())?;
        if self.context.is_some() {
            let around = around(console, shown);
            console.write_all(around.as_bytes())?;
        }
        Ok(console.write_all(b"\n")?)
    }

    /// The number of matches in a file, with its name where there are several.
    pub(super) fn count(
        self,
        console: &mut Console,
        path: &Path,
        is_one_of_several: bool,
        count: u64,
    ) -> Result<(), Failure> {
        #[derive(Serialize)]
        struct Count<'a> {
            path: json::Path<'a>,
            count: u64,
        }
        if self.is_json {
            return console.json_line("count", &Count { path: json::Path(path), count });
        }
        if is_one_of_several {
            write_path(console, path)?;
        }
        Ok(writeln!(console, "{count}")?)
    }
}

/// Writes `PATH:`, with the bytes that the path has.
fn write_path(console: &mut Console, path: &Path) -> Result<(), Failure> {
    let style = if console.has_color() { PATH } else { Style::new() };
    write!(console, "{style}")?;
    console.write_all(path.as_os_str().as_encoded_bytes())?;
    Ok(write!(console, "{style:#}:")?)
}

fn place_as_json(
    console: &mut Console,
    path: &Path,
    shown: &Shown<'_>,
    has_context: bool,
) -> Result<(), Failure> {
    #[derive(Serialize)]
    struct Match<'a> {
        path: json::Path<'a>,
        offset: u64,
        length: u64,
        bytes: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        before: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        after: Option<String>,
    }
    console.json_line(
        "match",
        &Match {
            path: json::Path(path),
            offset: shown.place.start,
            length: shown.place.end - shown.place.start,
            bytes: hex::string(shown.bytes),
            before: has_context.then(|| hex::string(shown.before)),
            after: has_context.then(|| hex::string(shown.after)),
        },
    )
}

/// The bytes around a match, in hexadecimal and as text, with brackets around the match.
fn around(console: &Console, shown: &Shown<'_>) -> String {
    let cut = shown.bytes.len().min(SHOWN_BYTES_MAX);
    let (bytes, rest) = shown.bytes.split_at(cut);
    let more = if rest.is_empty() { "" } else { "..." };
    let text = |bytes: &[u8]| -> String {
        let shown = |byte: &u8| if matches!(byte, b' '..=b'~') { char::from(*byte) } else { '.' };
        bytes.iter().map(shown).collect()
    };
    let bracketed = |inside: String| console.paint(MATCH, format!("[{inside}{more}]")).to_string();
    let (before, after) = (text(shown.before), text(shown.after));
    let (hex_before, hex_after) = (hex::string(shown.before), hex::string(shown.after));
    let (hex, text) = (bracketed(hex::string(bytes)), bracketed(text(bytes)));
    format!("  {hex_before}{hex}{hex_after}  {before}{text}{after}")
}
