//! The memory of a process at one moment: what is shown, written as JSON, and compared.
//!
//! # The document
//!
//! `{"schema": 1, "process", "command", "moment", "consistent", "total", "kinds", "regions"}`.
//! Sizes are integers in bytes, or `null` where the kernel does not tell; `start` and `end` are
//! strings in hexadecimal. What is read back is `process`, `command`, `moment`, `consistent` and
//! `regions`: sums are made anew.

use super::kind::Kind;
use super::memory::Memory;
use crate::failure::Failure;
use crate::hex;
use crate::json;
use crate::name::{harmless, shown};
use bifolio::memory::{self, Maps, Region};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

/// The memory of a process at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Snapshot {
    pub(super) process: u32,
    /// Its arguments, as far as it tells them.
    pub(super) command: Vec<Name>,
    /// When it was looked at, of a command that was run.
    pub(super) moment: Option<Moment>,
    /// Whether all of it was so at once.
    pub(super) consistent: bool,
    pub(super) regions: Vec<Row>,
}

/// A moment in the life of a command, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Moment {
    pub(super) after_start_seconds: f64,
    /// How long before its end, where that has come.
    pub(super) before_end_seconds: Option<f64>,
}

impl Eq for Moment {}

/// A mapping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Row {
    #[serde(with = "json::address")]
    pub(super) start: u64,
    #[serde(with = "json::address")]
    pub(super) end: u64,
    pub(super) permissions: String,
    pub(super) shared: bool,
    pub(super) kind: Kind,
    pub(super) purpose: String,
    pub(super) name: Option<Name>,
    pub(super) deleted: Option<bool>,
    pub(super) offset: u64,
    pub(super) inode: u64,
    /// `MAJOR:MINOR`.
    pub(super) device: String,
    pub(super) page_bytes: Option<u64>,
    #[serde(flatten)]
    pub(super) memory: Memory,
}

/// A name: text where it is UTF-8, and else its bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Name {
    Text(String),
    Raw { hex: String },
}

impl Name {
    pub(super) fn of(bytes: &[u8]) -> Name {
        match str::from_utf8(bytes) {
            Ok(text) => Name::Text(text.to_owned()),
            Err(_) => Name::Raw { hex: hex::string(bytes) },
        }
    }

    /// As a terminal may get it: what it would obey is escaped.
    pub(super) fn shown(&self) -> String {
        match self {
            Name::Text(text) => harmless(text),
            Name::Raw { hex } => {
                let digits = hex.as_bytes().chunks(2);
                let bytes =
                    digits.filter_map(|two| u8::from_str_radix(str::from_utf8(two).ok()?, 16).ok());
                shown(OsString::from_vec(bytes.collect()))
            }
        }
    }
}

impl Row {
    fn of(region: &Region) -> Row {
        Row {
            start: region.range.start as u64,
            end: region.range.end as u64,
            permissions: region.permissions.to_string(),
            shared: region.is_shared,
            kind: Kind::of(region.purpose),
            purpose: region.purpose.to_string(),
            name: (!region.name.is_empty()).then(|| Name::of(&region.name)),
            deleted: region.is_deleted,
            offset: region.offset_bytes,
            inode: region.inode,
            device: format!("{:02x}:{:02x}", region.device.0, region.device.1),
            page_bytes: region.page_size_bytes,
            memory: Memory::of(region),
        }
    }

    /// Its name, or what it is for where it has none that tells anything.
    pub(super) fn label(&self) -> String {
        match &self.name {
            Some(name) if *name != Name::of(b"/dev/zero (deleted)") => name.shown(),
            _ => format!("({})", self.purpose),
        }
    }
}

impl Snapshot {
    /// Looks at a process.
    pub(super) fn take(process: u32) -> Result<Snapshot, bifolio::Error> {
        Ok(Snapshot::of(&memory::maps(process)?))
    }

    fn of(maps: &Maps) -> Snapshot {
        let process = maps.process().id();
        let command = std::fs::read(format!("/proc/{process}/cmdline")).unwrap_or_default();
        let words = command.strip_suffix(b"\0").unwrap_or(&command).split(|&byte| byte == 0);
        Snapshot {
            process,
            command: words.filter(|_| !command.is_empty()).map(Name::of).collect(),
            moment: None,
            consistent: maps.is_consistent(),
            regions: maps.regions().iter().map(Row::of).collect(),
        }
    }

    /// All of it together.
    pub(super) fn total(&self) -> Memory {
        self.regions.iter().map(|row| row.memory).sum()
    }

    /// The mappings of a kind.
    pub(super) fn rows(&self, kind: Kind) -> impl Iterator<Item = &Row> {
        self.regions.iter().filter(move |row| row.kind == kind)
    }

    /// Reads what `--json` wrote.
    pub(super) fn load(path: &Path) -> Result<Snapshot, Failure> {
        let wrong = |what: &str| {
            Failure::message(format!("{}: {what}", shown(path)))
                .with_help("two moments are compared by what `bifolio maps --json PID` wrote")
        };
        let json = std::fs::read(path).map_err(|error| Failure::file(path, error))?;
        let value: serde_json::Value =
            serde_json::from_slice(&json).map_err(|error| wrong(&error.to_string()))?;
        match value.get("schema").and_then(serde_json::Value::as_u64) {
            Some(1) => {}
            Some(other) => {
                return Err(wrong(&format!("schema {other} is newer than this program")));
            }
            None => return Err(wrong("it names no schema")),
        }
        let snapshot: Snapshot =
            serde_json::from_value(value).map_err(|error| wrong(&error.to_string()))?;
        let is_wrong =
            |row: &Row| row.start >= row.end || row.memory.mapped_bytes != row.end - row.start;
        match snapshot.regions.iter().find(|row| is_wrong(row)) {
            Some(row) => Err(wrong(&format!("the mapping at {:#x} has another length", row.start))),
            None => Ok(snapshot),
        }
    }
}

/// The document, with its sums.
#[derive(Serialize)]
pub(super) struct Document<'a> {
    process: u32,
    command: &'a [Name],
    moment: Option<Moment>,
    consistent: bool,
    total: Memory,
    kinds: Vec<KindDocument>,
    /// None where only the sums were asked for.
    regions: Option<&'a [Row]>,
}

#[derive(Serialize)]
struct KindDocument {
    kind: Kind,
    regions: usize,
    #[serde(flatten)]
    memory: Memory,
}

impl<'a> Document<'a> {
    pub(super) fn of(snapshot: &'a Snapshot, has_regions: bool) -> Document<'a> {
        let kinds = Kind::ALL.into_iter().filter_map(|kind| {
            let regions = snapshot.rows(kind).count();
            let memory = snapshot.rows(kind).map(|row| row.memory).sum();
            (regions > 0).then_some(KindDocument { kind, regions, memory })
        });
        Document {
            process: snapshot.process,
            command: &snapshot.command,
            moment: snapshot.moment,
            consistent: snapshot.consistent,
            total: snapshot.total(),
            kinds: kinds.collect(),
            regions: has_regions.then_some(&snapshot.regions),
        }
    }
}
