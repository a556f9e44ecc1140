//! `bifolio hex -r`: from a plain dump back to bytes, as `xxd -r` reads it.
//!
//! A line is an offset in hexadecimal, a colon, and digits in groups with one space between them;
//! two spaces, or anything that is no digit, end them. Lines may be missing, which leaves a gap,
//! and come in any order where the output is a file. Lines without an offset are skipped: `*` for
//! those left out, and whatever people wrote between.

use crate::console::Console;
use crate::failure::{Exit, Failure};
use crate::hex;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// A line has no more bytes than this; what follows is skipped.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// Bytes that follow each other are written together, up to this many.
const BLOCK_BYTES: usize = 256 << 10;

pub(super) fn run(dump: &Path, out: Option<&Path>, console: &mut Console) -> Result<Exit, Failure> {
    let mut reader: Box<dyn BufRead> = if dump == Path::new("-") {
        Box::new(io::stdin().lock())
    } else {
        let file = File::open(dump).map_err(|error| Failure::file(dump, error))?;
        Box::new(BufReader::with_capacity(BLOCK_BYTES, file))
    };
    let lines = || next_line(&mut reader).map_err(|error| Failure::file(dump, error));
    match out {
        None => to_stdout(lines, dump, console),
        Some(path) => to_file(lines, path),
    }?;
    Ok(Exit::Success)
}

/// A source of lines, until there are none.
trait Lines: FnMut() -> Result<Option<Vec<u8>>, Failure> {}

impl<F: FnMut() -> Result<Option<Vec<u8>>, Failure>> Lines for F {}

fn to_stdout(mut lines: impl Lines, dump: &Path, console: &mut Console) -> Result<(), Failure> {
    let mut at = 0;
    while let Some(line) = lines()? {
        let Some((offset, bytes)) = parse(&line) else { continue };
        let gap = offset.checked_sub(at).ok_or_else(|| {
            let path = dump.display();
            Failure::message(format!("{path}: offset {offset:#x} lies behind {at:#x}"))
                .with_help("name a file to write into: only there can one go back")
        })?;
        io::copy(&mut io::repeat(0).take(gap), console)?;
        console.write_all(&bytes)?;
        at = offset + bytes.len() as u64;
    }
    Ok(())
}

fn to_file(mut lines: impl Lines, path: &Path) -> Result<(), Failure> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path);
    let file = file.map_err(|error| Failure::file(path, error))?;
    let mut target = Target { path, file, at: 0, block: Vec::new() };
    let read = loop {
        match lines() {
            Ok(Some(line)) => {
                if let Some((offset, bytes)) = parse(&line) {
                    target.write(offset, &bytes)?;
                }
            }
            Ok(None) => break Ok(()),
            Err(failure) => break Err(failure),
        }
    };
    // What was read before a failure is written before it is reported.
    target.flush()?;
    read
}

/// The file that is written into, and the bytes that wait to be.
struct Target<'a> {
    path: &'a Path,
    file: File,
    /// Where the waiting bytes begin.
    at: u64,
    block: Vec<u8>,
}

impl Target<'_> {
    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
        if offset != self.at + self.block.len() as u64 || self.block.len() >= BLOCK_BYTES {
            self.flush()?;
            self.at = offset;
        }
        self.block.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failure> {
        let written = self.file.write_all_at(&self.block, self.at);
        self.block.clear();
        written.map_err(|error| Failure::file(self.path, error))
    }
}

/// The next line, without its end, or `None` after the last.
fn next_line(reader: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    let count = reader.take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
    } else if count as u64 == LINE_BYTES_MAX {
        reader.skip_until(b'\n')?;
    }
    Ok((count > 0).then_some(line))
}

/// The offset of a line and its bytes; `None` for a line without an offset.
fn parse(line: &[u8]) -> Option<(u64, Vec<u8>)> {
    let line = line.trim_ascii_start();
    let colon = line.iter().position(|&byte| byte == b':')?;
    let digits = std::str::from_utf8(&line[..colon]).ok()?;
    // The standard library would take a sign too.
    let digits = digits.bytes().all(|byte| hex::value(byte).is_some()).then_some(digits)?;
    let offset = u64::from_str_radix(digits, 16).ok()?;
    let mut bytes = Vec::with_capacity(line.len() / 3);
    let mut half = None;
    let mut is_gap = false;
    for &byte in line[colon + 1..].trim_ascii_start() {
        match (byte, hex::value(byte)) {
            (b' ', _) if is_gap => break,
            (b' ', _) => is_gap = true,
            (_, Some(value)) => {
                is_gap = false;
                match half.take() {
                    None => half = Some(value),
                    Some(high) => bytes.push(high << 4 | value),
                }
            }
            _ => break,
        }
    }
    // No file reaches so far.
    offset.checked_add(bytes.len() as u64).filter(|&end| end <= i64::MAX as u64)?;
    Some((offset, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_every_grouping_are_read() {
        for (line, expected) in [
            ("00000000: 6162                                     ab", Some((0, "6162"))),
            ("00000010: 61 62 63  abc", Some((16, "616263"))),
            ("  1f:6162", Some((31, "6162"))),
            ("0: 6162 zz 63", Some((0, "6162"))),
            ("0: 616", Some((0, "61"))),
            ("123456789: FFfe", Some((0x1_2345_6789, "fffe"))),
            ("0:", Some((0, ""))),
            ("*", None),
            ("no offset: 61", None),
            (": 61", None),
            ("-1: 61", None),
            ("+1: 61", None),
            ("ffffffffffffffff: 61", None),
        ] {
            let found = parse(line.as_bytes()).map(|(offset, bytes)| (offset, hex::string(&bytes)));
            assert_eq!(found, expected.map(|(offset, text)| (offset, text.into())), "{line}");
        }
    }

    #[test]
    fn a_line_without_end_takes_no_memory_without_end() {
        let mut text = b"0: 61".to_vec();
        text.resize(LINE_BYTES_MAX as usize * 3, b' ');
        text.extend_from_slice(b"\n1: 62");
        let mut reader = text.as_slice();
        let line = next_line(&mut reader).unwrap().unwrap();
        assert_eq!(line.len() as u64, LINE_BYTES_MAX);
        assert_eq!(next_line(&mut reader).unwrap().unwrap(), b"1: 62");
        assert_eq!(next_line(&mut reader).unwrap(), None);
    }
}
