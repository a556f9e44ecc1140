//! Snapshots: which pages of which files were in memory, in a file that a later run brings them
//! back from. docs/residency-snapshot.md describes it line by line.
//!
//! A file that lacks its last line, or was changed, is refused as a whole, before anything is done;
//! so is one of a newer version.

use crate::failure::Failure;
use crate::json;
use crate::name::shown;
use serde::{Deserialize, Serialize};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What the first line says.
const FORMAT: &str = "bifolio residency snapshot";

/// The version that is written, and the newest that is read.
const VERSION: u32 = 1;

/// The first line.
#[derive(Serialize, Deserialize)]
struct Head {
    format: String,
    version: u32,
    page_bytes: u64,
}

/// A file that had pages in memory.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    #[serde(serialize_with = "json::path", deserialize_with = "json::to_path")]
    pub(super) path: PathBuf,
    pub(super) size_bytes: u64,
    /// When it was changed last, in nanoseconds since 1970; 0 where nobody knows.
    pub(super) modified_ns: u64,
    /// Offset and length of what was in memory, in bytes: whole pages.
    ranges: Vec<(u64, u64)>,
}

/// The last line.
#[derive(Serialize, Deserialize)]
struct Tail {
    files: u64,
    /// Of all bytes before this line: FNV-1a of 64 bits, in hexadecimal.
    checksum: String,
}

impl Record {
    pub(super) fn new(
        path: PathBuf,
        size_bytes: u64,
        modified: SystemTime,
        ranges: &[Range<u64>],
    ) -> Record {
        let ranges = ranges.iter().map(|range| (range.start, range.end - range.start)).collect();
        Record { path, size_bytes, modified_ns: nanoseconds(modified), ranges }
    }

    /// What was in memory, as far as a file of so many bytes has it.
    pub(super) fn ranges(&self, len_bytes: u64) -> Vec<Range<u64>> {
        let within = |&(start, len): &(u64, u64)| {
            start.min(len_bytes)..start.saturating_add(len).min(len_bytes)
        };
        self.ranges.iter().map(within).filter(|range| !range.is_empty()).collect()
    }
}

/// Nanoseconds since 1970, up to the year 2554.
pub(super) fn nanoseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// FNV-1a (Fowler, Noll, Vo) of 64 bits: finds what disks and editors do, not what an enemy does.
fn checksum(bytes: &[u8]) -> String {
    let sum = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |sum, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{sum:016x}")
}

/// A snapshot that is being made.
pub(super) struct Snapshot {
    text: Vec<u8>,
    files: u64,
}

impl Snapshot {
    pub(super) fn new(page_bytes: u64) -> io::Result<Snapshot> {
        let mut snapshot = Snapshot { text: vec![], files: 0 };
        snapshot.line(&Head { format: FORMAT.to_owned(), version: VERSION, page_bytes })?;
        Ok(snapshot)
    }

    pub(super) fn add(&mut self, record: &Record) -> io::Result<()> {
        self.files += 1;
        self.line(record)
    }

    /// Adds the last line, and writes all to a file; returns the files in it.
    pub(super) fn save(mut self, path: &Path) -> Result<u64, Failure> {
        let checksum = checksum(&self.text);
        self.line(&Tail { files: self.files, checksum })?;
        crate::save::replace(path, &self.text)?;
        Ok(self.files)
    }

    fn line(&mut self, line: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.text, line)?;
        self.text.push(b'\n');
        Ok(())
    }
}

/// Reads a snapshot, all of it or nothing.
pub(super) fn read(path: &Path) -> Result<Vec<Record>, Failure> {
    let bytes = std::fs::read(path).map_err(|error| Failure::file(path, error))?;
    parse(&bytes).map_err(|reason| Failure::message(format!("{}: {reason}", shown(path))))
}

fn parse(bytes: &[u8]) -> Result<Vec<Record>, &'static str> {
    const NONE: &str = "it is no snapshot of residency";
    const CUT: &str = "the snapshot lacks its end";
    const DAMAGED: &str = "the snapshot was changed since it was written";
    let mut lines = bytes.split_inclusive(|&byte| byte == b'\n');
    let head = lines.next().unwrap_or_default();
    let head: Head = serde_json::from_slice(head).map_err(|_| NONE)?;
    match head {
        _ if head.format != FORMAT => return Err(NONE),
        _ if head.version > VERSION => {
            return Err("the snapshot is of a newer version than this program knows");
        }
        _ if head.version < VERSION => return Err(NONE),
        _ => {}
    }
    let last = lines.next_back().filter(|line| line.ends_with(b"\n")).ok_or(CUT)?;
    let tail: Tail = serde_json::from_slice(last).map_err(|_| CUT)?;
    if checksum(&bytes[..bytes.len() - last.len()]) != tail.checksum {
        return Err(DAMAGED);
    }
    let records: Result<Vec<Record>, _> = lines.map(serde_json::from_slice).collect();
    records.ok().filter(|records| records.len() as u64 == tail.files).ok_or(DAMAGED)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    fn written(records: &[Record]) -> Vec<u8> {
        let path = std::env::temp_dir().join(format!("bifolio-snapshot-{}", std::process::id()));
        let mut snapshot = Snapshot::new(4096).unwrap();
        records.iter().for_each(|record| snapshot.add(record).unwrap());
        assert_eq!(snapshot.save(&path).unwrap(), records.len() as u64);
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        bytes
    }

    #[test]
    fn what_is_read_is_what_was_written_and_nothing_less() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_700_000_000_123_456_789);
        let strange = Path::new(OsStr::from_bytes(b"/a\xff\n\"")).to_path_buf();
        let records = [
            Record::new("/a/b".into(), 10_000, time, &[0..4096, 8192..12_288]),
            Record::new(strange, 7, SystemTime::UNIX_EPOCH, &[0..4096, 8192..8193]),
        ];
        let bytes = written(&records);
        assert_eq!(parse(&bytes).unwrap(), records);
        assert_eq!(records[0].modified_ns, 1_700_000_000_123_456_789);
        assert_eq!(records[0].ranges(9000), [0..4096, 8192..9000]);
        assert_eq!(records[0].ranges(8000), std::slice::from_ref(&(0..4096)));
        for len in 0..bytes.len() {
            assert!(parse(&bytes[..len]).is_err(), "cut to {len} of {} bytes", bytes.len());
        }
        for index in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[index] ^= 1;
            assert!(parse(&changed).is_err(), "byte {index} changed");
        }
    }

    #[test]
    fn a_newer_version_is_refused_by_name() {
        let text =
            String::from_utf8(written(&[])).unwrap().replace("\"version\":1", "\"version\":2");
        assert!(parse(text.as_bytes()).unwrap_err().contains("newer version"));
        assert!(parse(b"something else\n").unwrap_err().contains("no snapshot"));
    }
}
