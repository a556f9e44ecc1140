//! The pages of a file, and what the pages of anything are kept as.

use super::scene::cell_bytes;
use super::snapshot::{Place, Snapshot, State, Subject};
use crate::bytes::{grouped, human};
use crate::cell::Counts;
use crate::failure::Failure;
use crate::holes;
use crate::name::shown;
use bifolio::page::page_size;
use bifolio::{Access, FileMap, Pages, Residency};
use std::ops::Range;
use std::path::Path;

/// The pages of a file, in `cells_max` cells at most, and whether all of them are known.
pub(super) fn of_file(path: &Path, cells_max: u64) -> Result<Snapshot, Failure> {
    let map = FileMap::open(path)?;
    let len = map.len();
    let page_bytes = page_size().bytes() as u64;
    let cell = cell_bytes(&[len as u64], page_bytes, cells_max);
    let (whole, rest) = whole_cells(&(0..len), cell as usize);
    let mut answers = vec![Residency::default(); whole.len() / cell as usize];
    map.residency_by(whole.clone(), &mut answers)?;
    let mut empty = holes::of_parts(&map, whole, answers.len())?;
    if !rest.is_empty() {
        answers.push(map.residency(rest.clone())?);
        empty.extend(holes::of_parts(&map, rest, 1)?);
    }
    let name = shown(path.file_name().unwrap_or(path.as_os_str()));
    let place = Place {
        title: format!("{}, {}", shown(path), human(len as u64)),
        label: name.clone(),
        start: 0,
        len_bytes: len as u64,
        cells: answers.iter().zip(empty).map(|(&answer, hole)| state(answer, hole)).collect(),
    };
    let notes = notes(&place, page_bytes);
    let areas = vec![place];
    Ok(Snapshot { subject: Subject::File, title: name, page_bytes, cell_bytes: cell, areas, notes })
}

/// The whole cells of a range, and the rest: cut into equal parts, as many as there are, whole
/// cells are themselves.
pub(super) fn whole_cells(range: &Range<usize>, cell: usize) -> (Range<usize>, Range<usize>) {
    let end = range.start + range.len() / cell * cell;
    (range.start..end, end..range.end)
}

/// What is kept of an answer.
pub(super) fn state(answer: Residency, hole: bool) -> State {
    let pages = match answer {
        Residency::Known(resident) => Some(Counts::from(resident)),
        _ => None,
    };
    State { pages, hole }
}

/// The pages of a file in figures.
fn notes(place: &Place, page_bytes: u64) -> Vec<String> {
    let sum = |of: fn(&Counts) -> Option<u64>| -> Option<u64> {
        place.cells.iter().map(|state| state.pages.as_ref().and_then(of)).sum()
    };
    let line = |name: &str, pages: Option<u64>| match pages {
        Some(pages) => {
            format!("{name:<10}{:>10} {:>11} pages", human(pages * page_bytes), grouped(pages))
        }
        None => format!("{name:<10}{:>10}", "unknown"),
    };
    vec![
        format!("{:<10}{:>10}", "size", human(place.len_bytes)),
        line("in memory", sum(|pages| Some(pages.resident_pages))),
        line("dirty", sum(Counts::unwritten_pages)),
        line("evicted", sum(|pages| pages.evicted_pages)),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::tests::place;
    use super::*;

    #[test]
    fn figures_of_which_a_part_is_unknown_are_unknown() {
        let mut place = place(0, "##.");
        let dirty = |place: &Place| notes(place, 4096).remove(2);
        assert_eq!(dirty(&place), "dirty        unknown", "nobody tells");
        for state in &mut place.cells {
            let told =
                Counts { dirty_pages: Some(2), writeback_pages: Some(1), ..Counts::default() };
            state.pages = Some(told);
        }
        assert_eq!(dirty(&place), "dirty         36 KiB           9 pages");
        place.cells[1].pages = None;
        assert_eq!(dirty(&place), "dirty        unknown");
    }
}
