//! A recording: a stream of JSON documents, one a line, that a later version of the program can
//! tell from its own. docs/watch-recording.md describes it.

use super::grid::Window;
use super::source::{Counters, Item, Subject};
use crate::cell::{Cell, Counts};
use crate::failure::Failure;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

/// The version of the format.
pub(super) const SCHEMA: u32 = 1;

/// How many cells an item is recorded in.
pub(super) const CELLS_MAX: usize = 1024;

/// The first line.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) of: Subject,
    pub(super) page_bytes: u64,
}

/// A moment.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Frame {
    pub(super) at_ms: u64,
    pub(super) counters: Option<Counters>,
    /// The items that changed since the frame before.
    pub(super) items: Vec<Recorded>,
    /// The items that are not there any more.
    #[serde(default)]
    pub(super) lost: Vec<u64>,
}

/// An item in a recording.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Recorded {
    pub(super) id: u64,
    pub(super) name: String,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) note: String,
    pub(super) totals: Result<Counts, String>,
    pub(super) cell_bytes: u64,
    pub(super) cells: String,
}

/// A line with its version and type.
#[derive(Serialize)]
struct Line<'a, T> {
    schema: u32,
    r#type: &'a str,
    #[serde(flatten)]
    body: &'a T,
}

impl Recorded {
    /// What is recorded of an item.
    pub(super) fn new(item: &Item, window: &Window, cells: &[Cell]) -> Recorded {
        Recorded {
            id: item.id,
            name: item.name.clone(),
            start: item.place.start,
            end: item.place.end,
            note: item.note.clone(),
            totals: item.totals.clone(),
            cell_bytes: window.cell_bytes,
            cells: encode(cells),
        }
    }
}

/// The runs of cells as text.
pub(super) fn encode(cells: &[Cell]) -> String {
    let runs = cells.chunk_by(|a, b| a == b);
    runs.map(|run| format!("{}{}", run[0].glyph(), run.len())).collect()
}

/// The cells of a text; `None` where it is none, or has more than [`CELLS_MAX`].
pub(super) fn decode(text: &str) -> Option<Vec<Cell>> {
    let mut cells = vec![];
    let mut rest = text.chars().peekable();
    while let Some(glyph) = rest.next() {
        let cell = Cell::from_glyph(glyph)?;
        let mut count = 0;
        while let Some(digit) = rest.peek().and_then(|digit| digit.to_digit(10)) {
            count = count * 10 + digit as usize;
            rest.next();
            if count > CELLS_MAX {
                return None;
            }
        }
        cells.extend(std::iter::repeat_n(cell, count));
        if count == 0 || cells.len() > CELLS_MAX {
            return None;
        }
    }
    Some(cells)
}

/// A recording that is being written.
pub(super) struct Recorder {
    path: PathBuf,
    out: BufWriter<File>,
    /// What was written last of each item.
    last: HashMap<u64, Recorded>,
    frames: u64,
}

impl Recorder {
    /// Begins a recording in a file that is not there yet, is empty, or is no regular file.
    pub(super) fn begin(path: &Path, of: Subject, page_bytes: u64) -> Result<Recorder, Failure> {
        let opened = File::options().write(true).create(true).truncate(false).open(path);
        let failed = |error| Failure::file(path, error);
        let file = opened.map_err(failed)?;
        let stat = file.metadata().map_err(failed)?;
        if stat.is_file() && stat.len() > 0 {
            return Err(failed(std::io::ErrorKind::AlreadyExists.into()));
        }
        let mut recorder = Recorder {
            path: path.to_path_buf(),
            out: BufWriter::new(file),
            last: HashMap::new(),
            frames: 0,
        };
        recorder.line("watch", &Head { of, page_bytes })?;
        Ok(recorder)
    }

    /// Where it goes.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether an item is not as it was written last, as far as its totals tell.
    pub(super) fn is_news(&self, item: &Item) -> bool {
        self.last.get(&item.id).is_none_or(|last| last.totals != item.totals)
    }

    /// Adds a moment, of which only what is new is written. Items that are not in the list, where
    /// there is one, are lost.
    pub(super) fn add(
        &mut self,
        at_ms: u64,
        counters: Option<Counters>,
        items: Vec<Recorded>,
        list: Option<&[Item]>,
    ) -> Result<(), Failure> {
        let mut lost = vec![];
        if let Some(list) = list {
            let here: HashSet<u64> = list.iter().map(|item| item.id).collect();
            lost.extend(self.last.keys().filter(|id| !here.contains(id)));
            self.last.retain(|id, _| here.contains(id));
        }
        let items: Vec<_> =
            items.into_iter().filter(|item| self.last.get(&item.id) != Some(item)).collect();
        self.last.extend(items.iter().map(|item| (item.id, item.clone())));
        self.frames += 1;
        self.line("frame", &Frame { at_ms, counters, items, lost })
    }

    /// Gives the file what was added, so that it is not lost with the program.
    pub(super) fn flush(&mut self) -> Result<(), Failure> {
        self.out.flush().map_err(|error| Failure::file(&self.path, error))
    }

    /// Writes what is left, and says how many moments there are.
    pub(super) fn end(mut self) -> Result<u64, Failure> {
        self.flush()?;
        Ok(self.frames)
    }

    fn line(&mut self, kind: &str, body: &impl Serialize) -> Result<(), Failure> {
        let line = Line { schema: SCHEMA, r#type: kind, body };
        let written = serde_json::to_writer(&mut self.out, &line)
            .map_err(std::io::Error::from)
            .and_then(|()| self.out.write_all(b"\n"));
        written.map_err(|error| Failure::file(&self.path, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_come_back_as_they_were() {
        let cells = [[Cell::Absent; 3], [Cell::Hole; 3], [Cell::Dirty; 3], [Cell::Absent; 3]];
        let text = encode(cells.as_flattened());
        assert_eq!(text, "\u{b7}3 3!3\u{b7}3");
        assert_eq!(decode(&text).unwrap(), cells.as_flattened());
        assert_eq!(decode(""), Some(vec![]));
        for hostile in ["!", "!0", "3", "Z3", "!1025", "!99999999999999999999", "!1000!1000"] {
            assert_eq!(decode(hostile), None, "{hostile}");
        }
    }
}
