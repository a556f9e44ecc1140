//! `bifolio patch`: bytes written through a mapping, shared with all who have the file open, or
//! private until they are saved elsewhere.

use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::hex;
use crate::json;
use crate::name::shown;
use anstyle::{AnsiColor, Style};
use bifolio::{Access, AccessMut, FileMap, Options, SharedMap};
use serde::Serialize;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// How many bytes of what was and what is are shown to people.
const SHOWN_BYTES_MAX: usize = 16;

/// What is mapped of a file to be patched privately: a multiple of every page size.
const SURROUNDINGS_BYTES: usize = 64 << 10;

const OLD: Style = AnsiColor::Red.on_default();
const NEW: Style = AnsiColor::Green.on_default();

/// Write bytes into a file, at once visible to all who have it mapped
///
/// The file keeps its length. The bytes are on the medium when the command ends.
///
/// With --private they go to a private mapping, where the kernel copies each page that is written
/// (copy-on-write) and the file stays as it is; the result is saved as another file.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The file to write into
    #[arg(value_name = "FILE")]
    file: PathBuf,

    /// Where the first byte goes: 4096, 0x1000, 4KiB
    #[arg(value_name = "OFFSET", value_parser = crate::bytes::parse)]
    offset: u64,

    /// Hexadecimal digits (`cafe`, `"ca fe"`), or `text:` and the text itself
    #[arg(value_name = "BYTES", value_parser = parse_bytes)]
    bytes: Bytes,

    /// Show what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,

    /// Write to a private copy, show which pages were copied, and save it as OUT
    #[arg(long, requires = "out", conflicts_with = "dry_run")]
    private: bool,

    /// With --private: the file to save, replaced in one step where there is one
    #[arg(long, short = 'o', value_name = "OUT", requires = "private")]
    out: Option<PathBuf>,

    /// Write the answer as JSON
    #[arg(long)]
    json: bool,
}

/// A type of its own, since clap takes a plain vector for many values.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Bytes(Vec<u8>);

#[derive(Serialize)]
struct Answer<'a> {
    path: json::Path<'a>,
    offset: u64,
    len_bytes: u64,
    #[serde(serialize_with = "json::bytes")]
    old: &'a [u8],
    #[serde(serialize_with = "json::bytes")]
    new: &'a [u8],
    /// Whether the file itself was written.
    written: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    private: Option<Private<'a>>,
}

/// What became of a private mapping.
#[derive(Serialize)]
struct Private<'a> {
    saved: json::Path<'a>,
    /// The pages that the kernel copied; `null` where it does not tell.
    copied: Option<Vec<Copied>>,
}

#[derive(Serialize)]
struct Copied {
    offset: u64,
    len_bytes: u64,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<Exit, Failure> {
    let Bytes(new) = &args.bytes;
    let mut old = vec![0; new.len()];
    let offset = usize::try_from(args.offset).unwrap_or(usize::MAX);
    let mut private = None;
    if args.dry_run {
        let map = FileMap::open(&args.file)?;
        check_end(args, map.len())?;
        map.read_exact_at(&mut old, offset)?;
    } else if let Some(out) = &args.out {
        let file = FileMap::open(&args.file)?;
        check_end(args, file.len())?;
        file.read_exact_at(&mut old, offset)?;
        private = Some((out.as_path(), write_private(args, offset, file.len(), out)?));
    } else {
        let map = SharedMap::open(&args.file)?;
        check_end(args, map.len())?;
        map.read_exact_at(&mut old, offset)?;
        map.write_all_at(new, offset)?;
        map.flush(offset..offset + new.len())?;
    }
    let answer = Answer {
        path: json::Path(&args.file),
        offset: args.offset,
        len_bytes: new.len() as u64,
        old: &old,
        new,
        written: !args.dry_run && private.is_none(),
        private: private.as_ref().map(|(out, copied)| Private::of(out, copied.as_deref().ok())),
    };
    if args.json {
        console.json(&answer)?;
    } else {
        answer.print(console)?;
    }
    if let Some((_, Err(error))) = private {
        // All is saved, and nobody knows which pages were copied for it.
        console.report_unknown(&error.into())?;
    }
    Ok(Exit::Success)
}

/// Refuses bytes that would not lie in the file, before any is written.
fn check_end(args: &Args, file_len: usize) -> Result<(), Failure> {
    let (start, Bytes(new)) = (args.offset, &args.bytes);
    let end = u128::from(start) + new.len() as u128;
    if end <= file_len as u128 {
        return Ok(());
    }
    let path = shown(&args.file);
    let text = format!("{path} [{start}..{end}): the file ends at byte {file_len}");
    Err(Failure::message(text).with_help("patch keeps the length of a file; lengthen it before"))
}

/// Writes to a private mapping, saves the file as it shows it, and returns which bytes lie in pages
/// that were copied.
///
/// Only the surroundings are mapped: what can be written privately counts as memory, whether it is
/// or not.
fn write_private(
    args: &Args,
    offset: usize,
    file_len: usize,
    out: &Path,
) -> Result<bifolio::Result<Vec<Range<usize>>>, Failure> {
    let Bytes(new) = &args.bytes;
    let start = offset / SURROUNDINGS_BYTES * SURROUNDINGS_BYTES;
    let end = (offset + new.len()).next_multiple_of(SURROUNDINGS_BYTES).min(file_len);
    let options = Options::new().offset(start as u64).len(end - start);
    let map = options.open_private(&args.file)?;
    map.write_all_at(new, offset - start)?;
    let copied = map.copied_ranges();
    map.commit_to(out)?;
    let in_file = |range: Range<usize>| start + range.start..start + range.end;
    Ok(copied.map(|ranges| ranges.into_iter().map(in_file).collect()))
}

impl<'a> Private<'a> {
    fn of(out: &'a Path, copied: Option<&[Range<usize>]>) -> Private<'a> {
        let run = |range: &Range<usize>| Copied {
            offset: range.start as u64,
            len_bytes: range.len() as u64,
        };
        let copied = copied.map(|ranges| ranges.iter().map(run).collect());
        Private { saved: json::Path(out), copied }
    }
}

impl Answer<'_> {
    fn print(&self, console: &mut Console) -> Result<(), Failure> {
        let path = shown(self.path.0);
        let end = self.offset + self.len_bytes;
        let old = console.paint(OLD, cut_short(self.old)).to_string();
        let new = console.paint(NEW, cut_short(self.new)).to_string();
        let note = match (self.written, &self.private) {
            (true, _) => "",
            (false, None) => " (not written)",
            (false, Some(_)) => " (in a private copy)",
        };
        writeln!(console, "{path} [{}..{end}): {old} -> {new}{note}", self.offset)?;
        let Some(Private { saved, copied }) = &self.private else { return Ok(()) };
        for Copied { offset, len_bytes } in copied.iter().flatten() {
            let end = offset + len_bytes;
            writeln!(console, "copied on write: [{offset}..{end}), {len_bytes} bytes")?;
        }
        Ok(writeln!(console, "saved as {}", shown(saved.0))?)
    }
}

fn cut_short(bytes: &[u8]) -> String {
    let dots = if bytes.len() > SHOWN_BYTES_MAX { " .." } else { "" };
    hex::spaced(&bytes[..bytes.len().min(SHOWN_BYTES_MAX)]) + dots
}

fn parse_bytes(text: &str) -> Result<Bytes, String> {
    let bytes = match text.strip_prefix("text:") {
        Some(text) => text.as_bytes().to_vec(),
        None => {
            let digits: Option<Vec<u8>> =
                text.bytes().filter(|byte| !byte.is_ascii_whitespace()).map(hex::value).collect();
            let digits = digits.ok_or("use hexadecimal digits, or `text:` and the text")?;
            if digits.len() % 2 != 0 {
                return Err("a byte has two digits".into());
            }
            digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
        }
    };
    if bytes.is_empty() { Err("there are no bytes to write".into()) } else { Ok(Bytes(bytes)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_digits_or_text() {
        let parsed = |text| parse_bytes(text).map(|Bytes(bytes)| bytes);
        assert_eq!(parsed("cafe"), Ok(vec![0xca, 0xfe]));
        assert_eq!(parsed("CA fe"), Ok(vec![0xca, 0xfe]));
        assert_eq!(parsed("text:ab c"), Ok(b"ab c".to_vec()));
        for text in ["", "c", "xy", "text:", "caf"] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }
}
