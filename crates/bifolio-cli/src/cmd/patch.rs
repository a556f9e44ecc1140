//! `bifolio patch`: bytes written through a mapping, shared with all who have the file open.

use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::hex;
use crate::json;
use bifolio::{Access, AccessMut, FileMap, SharedMap};
use serde::Serialize;
use std::io::Write;
use std::path::PathBuf;

/// How many bytes of what was and what is are shown to people.
const SHOWN_BYTES_MAX: usize = 16;

/// Write bytes into a file, at once visible to all who have it mapped
///
/// The file keeps its length. The bytes are on the medium when the command ends.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
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
    written: bool,
}

pub(crate) fn run(args: &Args, console: &mut Console) -> Result<Exit, Failure> {
    let Bytes(new) = &args.bytes;
    let mut old = vec![0; new.len()];
    let offset = usize::try_from(args.offset).unwrap_or(usize::MAX);
    if args.dry_run {
        FileMap::open(&args.file)?.read_exact_at(&mut old, offset)?;
    } else {
        let map = SharedMap::open(&args.file)?;
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
        written: !args.dry_run,
    };
    if args.json {
        console.json(&answer)?;
    } else {
        answer.print(args, console)?;
    }
    Ok(Exit::Success)
}

impl Answer<'_> {
    fn print(&self, args: &Args, console: &mut Console) -> Result<(), Failure> {
        let end = self.offset + self.len_bytes;
        let (old, new) = (shown(self.old), shown(self.new));
        let note = if self.written { "" } else { " (not written)" };
        let path = args.file.display();
        Ok(writeln!(console, "{path} [{}..{end}): {old} -> {new}{note}", self.offset)?)
    }
}

fn shown(bytes: &[u8]) -> String {
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
