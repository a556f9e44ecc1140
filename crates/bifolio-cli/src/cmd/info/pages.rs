//! Which pages of a file are in memory, part by part, for a bar of cells.

use crate::cell::{self, Cell, Counts};
use crate::failure::Failure;
use crate::holes;
use bifolio::memory::bucket;
use bifolio::page::page_size;
use bifolio::{Access, FileMap, Pages, Residency, Resident};
use serde::Serialize;
use std::ops::Range;

/// How many cells the bar of a file has.
const CELLS_MAX: usize = 60;

/// What is known of the pages of a file.
pub(super) enum Known {
    /// All, and each part of it.
    Told { all: Resident, parts: Vec<Part> },
    /// Nothing, for this reason.
    Untold(&'static str),
}

/// A part of the file: whole pages.
pub(super) struct Part {
    range: Range<u64>,
    counts: Counts,
    pub(super) cell: Cell,
}

/// Asks about every part of the file.
pub(super) fn look(map: &FileMap) -> Result<Known, Failure> {
    let all = match map.residency(0..map.len())? {
        Residency::Known(all) => all,
        Residency::Unknown(reason) => return Ok(Known::Untold(cell::why(reason))),
        _ => return Ok(Known::Untold("the kernel does not tell")),
    };
    let count = page_size().count(map.len()).get().min(CELLS_MAX);
    let mut answers = [Residency::default(); CELLS_MAX];
    let answers = &mut answers[..count];
    map.residency_by(0..map.len(), answers)?;
    let holes = holes::of_parts(map, 0..map.len(), count)?;
    let mut parts = Vec::with_capacity(count);
    for (index, (answer, is_hole)) in answers.iter().zip(holes).enumerate() {
        // Between two questions the owner may have changed, who alone is told.
        let Residency::Known(pages) = *answer else {
            return Ok(Known::Untold("the kernel does not tell any more"));
        };
        let counts = Counts::from(pages);
        let cell = Cell::of(*answer, is_hole);
        parts.push(Part { range: bucket(0..map.len() as u64, index, count), counts, cell });
    }
    Ok(Known::Told { all, parts })
}

/// The pages as JSON shows them: `{"unknown": REASON}`, or numbers.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum Document {
    Unknown {
        unknown: &'static str,
    },
    Known {
        total_pages: u64,
        resident_pages: u64,
        dirty_pages: Option<u64>,
        writeback_pages: Option<u64>,
        evicted_pages: Option<u64>,
        cells: Vec<CellDocument>,
    },
}

#[derive(Serialize)]
pub(super) struct CellDocument {
    offset: u64,
    len_bytes: u64,
    total_pages: u64,
    resident_pages: u64,
    dirty_pages: Option<u64>,
    state: &'static str,
}

impl From<&Known> for Document {
    fn from(known: &Known) -> Document {
        let (all, parts) = match known {
            Known::Untold(unknown) => return Document::Unknown { unknown },
            Known::Told { all, parts } => (all, parts),
        };
        let cells = parts.iter().map(|part| CellDocument {
            offset: part.range.start,
            len_bytes: part.range.end - part.range.start,
            total_pages: part.counts.total_pages,
            resident_pages: part.counts.resident_pages,
            dirty_pages: part.counts.unwritten_pages(),
            state: part.cell.name(),
        });
        Document::Known {
            total_pages: all.total_pages,
            resident_pages: all.resident_pages,
            dirty_pages: all.cache.map(|cache| cache.dirty_pages),
            writeback_pages: all.cache.map(|cache| cache.writeback_pages),
            evicted_pages: all.cache.map(|cache| cache.evicted_pages),
            cells: cells.collect(),
        }
    }
}
