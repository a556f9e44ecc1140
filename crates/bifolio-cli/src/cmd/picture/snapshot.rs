//! The state of a file or a process at one moment: what is drawn, what is kept as JSON, and what
//! two moments are compared by.
//!
//! # The document
//!
//! `{"schema": 1, "picture": {"subject", "title", "page_bytes", "cell_bytes", "areas", "notes"}}`,
//! and the subject is `file` or `process`. An area has `label`, `title`, `start` (a string in
//! hexadecimal), `len_bytes` and `runs`: so many `cells` in one state, which is `pages` by state,
//! or `null` where the kernel did not tell, and `hole`.

use super::scene::{Area, Scene};
use super::tint::Tint;
use crate::cell::{Cell, Counts};
use crate::failure::Failure;
use crate::json;
use crate::name::shown;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// So many cells a document may have: four times as many as the finest picture.
const CELLS_MAX: u64 = 4 << 18;

/// A file or a process at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Snapshot {
    pub(super) subject: Subject,
    pub(super) title: String,
    pub(super) page_bytes: u64,
    pub(super) cell_bytes: u64,
    pub(super) areas: Vec<Place>,
    pub(super) notes: Vec<String>,
}

/// What has the pages: places are offsets of the one, and addresses of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Subject {
    File,
    Process,
}

/// A file, or a region of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Place {
    pub(super) label: String,
    pub(super) title: String,
    #[serde(with = "json::address")]
    pub(super) start: u64,
    pub(super) len_bytes: u64,
    #[serde(rename = "runs", with = "runs")]
    pub(super) cells: Vec<State>,
}

/// What is known of the pages of a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// `None` where the kernel does not tell.
    pub(super) pages: Option<Counts>,
    /// Whether there is no data in it.
    pub(super) hole: bool,
}

#[derive(Serialize, Deserialize)]
struct Document<T> {
    schema: u32,
    picture: T,
}

impl Place {
    /// Where it ends.
    pub(super) fn end(&self) -> u64 {
        self.start + self.len_bytes
    }
}

impl State {
    /// What stands for it.
    pub(super) fn cell(&self) -> Cell {
        self.pages.map_or(Cell::Unknown, |pages| Cell::of_counts(&pages, self.hole))
    }
}

impl Snapshot {
    /// Whether the state of all its pages is known.
    pub(super) fn is_told(&self) -> bool {
        self.areas.iter().flat_map(|place| &place.cells).all(|state| state.pages.is_some())
    }

    /// The place that holds this address or offset.
    pub(super) fn place_at(&self, address: u64) -> Option<&Place> {
        let after = self.areas.partition_point(|place| place.start <= address);
        self.areas[..after].last().filter(|place| address < place.end())
    }

    /// Everything in the colours of its state.
    pub(super) fn scene(&self) -> Scene {
        let area = |place: &Place| Area {
            label: place.label.clone(),
            title: place.title.clone(),
            start: place.start,
            len: place.len_bytes,
            cells: place.cells.iter().map(|state| Tint::Is(state.cell())).collect(),
        };
        Scene {
            title: self.title.clone(),
            cell_bytes: self.cell_bytes,
            areas: self.areas.iter().map(area).collect(),
            notes: self.notes.clone(),
        }
    }

    /// The document.
    pub(super) fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        let mut json = serde_json::to_vec(&Document { schema: 1, picture: self })?;
        json.push(b'\n');
        Ok(json)
    }

    /// Reads a document, and believes nothing of it that does not fit together.
    pub(super) fn load(path: &Path) -> Result<Snapshot, Failure> {
        let wrong = |what: &str| {
            Failure::message(format!("{}: {what}", shown(path)))
                .with_help("pictures are compared by what `bifolio picture -o NAME.json` wrote")
        };
        let json = std::fs::read(path).map_err(|error| Failure::file(path, error))?;
        let schema = |text: &serde_json::Value| text.get("schema").and_then(|is| is.as_u64());
        let value: serde_json::Value =
            serde_json::from_slice(&json).map_err(|error| wrong(&error.to_string()))?;
        match schema(&value) {
            Some(1) => {}
            Some(other) => {
                return Err(wrong(&format!("schema {other} is newer than this program")));
            }
            None => return Err(wrong("it names no schema")),
        }
        let document: Document<Snapshot> =
            serde_json::from_value(value).map_err(|error| wrong(&error.to_string()))?;
        let snapshot = document.picture;
        snapshot.check().map_err(wrong)?;
        Ok(snapshot)
    }

    /// Whether its parts fit together.
    fn check(&self) -> Result<(), &'static str> {
        if !self.page_bytes.is_power_of_two() {
            return Err("page_bytes is no power of two");
        }
        if !self.cell_bytes.is_power_of_two() {
            return Err("cell_bytes is no power of two");
        }
        let mut end_before = 0;
        for place in &self.areas {
            let Some(end) = place.start.checked_add(place.len_bytes) else {
                return Err("an area ends beyond all addresses");
            };
            if place.start < end_before {
                return Err("its areas are not in order");
            }
            if place.len_bytes.div_ceil(self.cell_bytes) != place.cells.len() as u64 {
                return Err("an area has not as many cells as its length needs");
            }
            end_before = end;
        }
        Ok(())
    }
}

/// Cells as runs of one state.
mod runs {
    use super::{CELLS_MAX, State};
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    #[derive(Serialize, Deserialize)]
    struct Run {
        cells: u64,
        #[serde(flatten)]
        state: State,
    }

    pub(super) fn serialize<S: Serializer>(cells: &[State], to: S) -> Result<S::Ok, S::Error> {
        let runs = cells.chunk_by(|one, next| one == next);
        to.collect_seq(runs.map(|run| Run { cells: run.len() as u64, state: run[0] }))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<State>, D::Error> {
        let mut cells = Vec::new();
        for run in Vec::<Run>::deserialize(from)? {
            if run.cells > CELLS_MAX - cells.len() as u64 {
                return Err(D::Error::custom("more cells than a picture can have"));
            }
            cells.extend(std::iter::repeat_n(run.state, run.cells as usize));
        }
        Ok(cells)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A place of cells of one page: `#` in memory, `.` not, `?` unknown, `o` a hole.
    pub(in super::super) fn place(start: u64, cells: &str) -> Place {
        let counts =
            |resident_pages| Counts { total_pages: 1, resident_pages, ..Counts::default() };
        let state = |c| match c {
            '#' => State { pages: Some(counts(1)), hole: false },
            'o' => State { pages: Some(counts(0)), hole: true },
            '?' => State { pages: None, hole: false },
            _ => State { pages: Some(counts(0)), hole: false },
        };
        Place {
            label: format!("at {start:x}"),
            title: format!("all of {start:x}"),
            start,
            len_bytes: 4096 * cells.len() as u64,
            cells: cells.chars().map(state).collect(),
        }
    }

    pub(in super::super) fn snapshot(areas: Vec<Place>) -> Snapshot {
        Snapshot {
            subject: Subject::File,
            title: "a file".into(),
            page_bytes: 4096,
            cell_bytes: 4096,
            areas,
            notes: vec![],
        }
    }

    #[test]
    fn a_document_comes_back_as_it_went() {
        let snapshot = snapshot(vec![place(0, "##.?o"), place(1 << 40, "#")]);
        let json = snapshot.to_json().unwrap();
        let path = std::env::temp_dir().join(format!("bifolio-picture-{}", std::process::id()));
        std::fs::write(&path, &json).unwrap();
        assert_eq!(Snapshot::load(&path).unwrap(), snapshot);
        let text = String::from_utf8(json).unwrap();
        for (from, to, what) in [
            ("\"schema\":1", "\"schema\":2", "newer"),
            ("\"file\"", "\"folder\"", "folder"),
            ("\"cells\":2", "\"cells\":3", "as many cells"),
            ("\"cells\":2", "\"cells\":99999999", "more cells"),
            ("4096,\"areas\"", "4097,\"areas\"", "power of two"),
            ("\"0x10000000000\"", "\"0x0\"", "order"),
            ("\"0x10000000000\"", "\"0xffffffffffffffff\"", "beyond"),
            ("{\"schema\"", "[\"schema\"", "line 1"),
        ] {
            assert!(text.contains(from), "{text}");
            std::fs::write(&path, text.replacen(from, to, 1)).unwrap();
            let said = Snapshot::load(&path).unwrap_err().to_string();
            assert!(said.contains(what), "{to}: {said}");
        }
        std::fs::remove_file(&path).unwrap();
    }
}
