//! A recording that is shown again: a source like any other, that can be wound.

use super::grid::Window;
use super::record::{Frame, Head, Recorded, SCHEMA, decode};
use super::source::{Counters, Item, Position, Source, Subject};
use crate::cell::Cell;
use crate::failure::Failure;
use crate::name::{harmless, shown};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::time::Duration;

/// The longest line that is read, in bytes.
const LINE_BYTES_MAX: u64 = 256 << 20;

/// A recording.
pub(super) struct Replay {
    head: Head,
    frames: Vec<Frame>,
    /// The frame that shows.
    at: usize,
    /// What is there at that moment, by id.
    recorded: BTreeMap<u64, (Recorded, Vec<Cell>)>,
    items: Vec<Item>,
}

/// What every line says first.
#[derive(serde::Deserialize)]
struct Kind {
    schema: u32,
    r#type: String,
}

impl Replay {
    /// Reads a recording.
    pub(super) fn open(path: &Path) -> Result<Replay, Failure> {
        let file = File::open(path).map_err(|error| Failure::file(path, error))?;
        let mut reader = BufReader::new(file);
        let mut number = 0;
        let mut next = || -> Result<Option<(u64, String)>, Failure> {
            let mut line = String::new();
            let read = (&mut reader).take(LINE_BYTES_MAX).read_line(&mut line);
            number += 1;
            match read.map_err(|error| Failure::file(path, error))? {
                0 => Ok(None),
                _ => Ok(Some((number, line))),
            }
        };
        let wrong = |number: u64, what: &str| {
            Failure::message(format!("{}: line {number}: {what}", shown(path)))
        };
        let Some((_, line)) = next()? else { return Err(wrong(1, "not a recording: empty")) };
        let head: Head = parse(&line, "watch").map_err(|what| wrong(1, &what))?;
        if !head.page_bytes.is_power_of_two() {
            return Err(wrong(1, "not a recording: no size of a page"));
        }
        let mut frames: Vec<Frame> = vec![];
        while let Some((number, line)) = next()? {
            // The program was ended while it wrote: what stands before is whole.
            if !line.ends_with('\n') {
                break;
            }
            let frame: Frame = parse(&line, "frame").map_err(|what| wrong(number, &what))?;
            frame.check().map_err(|what| wrong(number, what))?;
            if frames.last().is_some_and(|last| last.at_ms > frame.at_ms) {
                return Err(wrong(number, "a moment before the one that it follows"));
            }
            frames.push(frame);
        }
        if frames.is_empty() {
            return Err(wrong(2, "the recording has no moment"));
        }
        let mut replay = Replay { head, frames, at: 0, recorded: BTreeMap::new(), items: vec![] };
        replay.apply(0);
        replay.list();
        Ok(replay)
    }

    /// The size of a page where it was recorded.
    pub(super) fn page_bytes(&self) -> u64 {
        self.head.page_bytes
    }

    fn apply(&mut self, frame: usize) {
        let frame = &self.frames[frame];
        frame.lost.iter().for_each(|id| drop(self.recorded.remove(id)));
        for item in &frame.items {
            let cells = decode(&item.cells).unwrap_or_default();
            self.recorded.insert(item.id, (item.clone(), cells));
        }
    }

    fn list(&mut self) {
        let items = self.recorded.values().map(|(item, _)| Item {
            id: item.id,
            name: harmless(&item.name),
            place: item.start..item.end,
            totals: item.totals.clone().map_err(|why| harmless(&why)),
            note: harmless(&item.note),
            file: None,
        });
        self.items = items.collect();
    }
}

impl Frame {
    /// Whether it means something: it may come from anywhere.
    fn check(&self) -> Result<(), &'static str> {
        for item in &self.items {
            if item.start > item.end || item.cell_bytes == 0 {
                return Err("an item without a place");
            }
            if decode(&item.cells).is_none() {
                return Err("cells that are none");
            }
        }
        Ok(())
    }
}

/// Reads a line of this type.
fn parse<'a, T: serde::Deserialize<'a>>(line: &'a str, kind: &str) -> Result<T, String> {
    let not_one = |error: serde_json::Error| format!("not a recording: {error}");
    let found: Kind = serde_json::from_str(line).map_err(not_one)?;
    if found.schema != SCHEMA {
        return Err(format!("schema {}, and this program reads {SCHEMA}", found.schema));
    }
    if found.r#type != kind {
        return Err(format!("not a recording: `{}` where `{kind}` stands", found.r#type));
    }
    serde_json::from_str(line).map_err(not_one)
}

impl Source for Replay {
    fn subject(&self) -> Subject {
        self.head.of.clone()
    }

    fn refresh(&mut self) -> Result<(), Failure> {
        Ok(())
    }

    fn items(&self) -> &[Item] {
        &self.items
    }

    fn look(&mut self, id: u64, window: &Window, cells: &mut [Cell]) {
        let Some((item, known)) = self.recorded.get(&id).filter(|(_, known)| !known.is_empty())
        else {
            return cells.fill(Cell::Unknown);
        };
        for (index, cell) in cells.iter_mut().enumerate() {
            let bytes = window.bytes(index..index + 1);
            let at = |byte: u64| (byte.saturating_sub(item.start) / item.cell_bytes) as usize;
            let first = at(bytes.start).min(known.len() - 1);
            let last = at(bytes.end.saturating_sub(1)).clamp(first, known.len() - 1);
            *cell = Cell::together(&known[first..=last]);
        }
    }

    fn position(&self) -> Option<Position> {
        let at_ms = self.frames[self.at].at_ms - self.frames[0].at_ms;
        Some(Position { frame: self.at, frames: self.frames.len(), at_ms })
    }

    fn wind(&mut self, frames: i64) {
        let target = self.at.saturating_add_signed(frames as isize).min(self.frames.len() - 1);
        if target < self.at {
            self.recorded.clear();
            (0..=target).for_each(|frame| self.apply(frame));
        } else {
            (self.at + 1..=target).for_each(|frame| self.apply(frame));
        }
        self.at = target;
        self.list();
    }

    fn frame_lasts(&self) -> Option<Duration> {
        let next = self.frames.get(self.at + 1)?;
        Some(Duration::from_millis(next.at_ms - self.frames[self.at].at_ms))
    }

    fn counters(&mut self) -> Option<Counters> {
        self.frames[self.at].counters
    }
}
