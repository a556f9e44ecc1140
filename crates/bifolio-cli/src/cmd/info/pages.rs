//! Which pages of a file are in memory, part by part, for a bar of cells.

use crate::failure::Failure;
use bifolio::page::page_size;
use bifolio::{Access, FileMap, Pages, Residency, Resident, Untold};
use serde::Serialize;
use std::ops::Range;

/// How many cells the bar of a file has.
const CELLS_MAX: usize = 60;

/// What is known of the pages of a file.
pub(super) enum Known {
    /// All, and each part of it.
    Told { all: Resident, cells: Vec<Cell> },
    /// Nothing, for this reason.
    Untold(&'static str),
}

/// A part of the file: whole pages.
pub(super) struct Cell {
    pub(super) range: Range<usize>,
    pub(super) resident: Resident,
}

impl Cell {
    fn dirty_pages(&self) -> u64 {
        self.resident.cache.map_or(0, |cache| cache.dirty_pages + cache.writeback_pages)
    }

    /// What stands for it in the bar: the glyph says all, also without its colour.
    pub(super) fn glyph(&self) -> char {
        let Resident { resident_pages: resident, total_pages: total, .. } = self.resident;
        match resident {
            _ if self.dirty_pages() > 0 => '!',
            0 => '\u{b7}',
            _ if resident * 3 < total => '\u{2591}',
            _ if resident * 3 < total * 2 => '\u{2592}',
            _ if resident < total => '\u{2593}',
            _ => '\u{2588}',
        }
    }
}

/// What the glyphs mean.
pub(super) const LEGEND: &str = "\u{2588} in memory  \u{2593}\u{2592}\u{2591} in part  \
                                 ! newer than the disk  \u{b7} not in memory";

/// Asks about every part of the file.
pub(super) fn look(map: &FileMap) -> Result<Known, Failure> {
    let all = match map.residency(0..map.len())? {
        Residency::Known(all) => all,
        Residency::Unknown(reason) => return Ok(Known::Untold(why(reason))),
        _ => return Ok(Known::Untold("the kernel does not tell")),
    };
    let page = page_size();
    let pages = page.count(map.len()).get();
    let count = pages.min(CELLS_MAX);
    let mut cells = Vec::with_capacity(count);
    for index in 0..count {
        let start = (index * pages / count) * page.bytes();
        let end = ((index + 1) * pages / count * page.bytes()).min(map.len());
        // Between two questions the owner may have changed, who alone is told.
        match map.residency(start..end)? {
            Residency::Known(resident) => cells.push(Cell { range: start..end, resident }),
            _ => return Ok(Known::Untold("the kernel does not tell any more")),
        }
    }
    Ok(Known::Told { all, cells })
}

fn why(reason: Untold) -> &'static str {
    match reason {
        Untold::NotOwner => {
            "the kernel tells only the owner of the file and those who may write it"
        }
        Untold::NotOffered => "the kernel does not tell for this kind of file",
        _ => "the kernel does not tell",
    }
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
    dirty_pages: u64,
}

impl From<&Known> for Document {
    fn from(known: &Known) -> Document {
        let (all, cells) = match known {
            Known::Untold(unknown) => return Document::Unknown { unknown },
            Known::Told { all, cells } => (all, cells),
        };
        let cells = cells.iter().map(|cell| CellDocument {
            offset: cell.range.start as u64,
            len_bytes: cell.range.len() as u64,
            total_pages: cell.resident.total_pages,
            resident_pages: cell.resident.resident_pages,
            dirty_pages: cell.dirty_pages(),
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
