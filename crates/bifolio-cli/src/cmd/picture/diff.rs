//! Two moments in one picture: what is in memory now and was not, and the other way round.

use super::scene::{Area, Scene};
use super::snapshot::{Place, Snapshot, State, Subject};
use super::tint::Tint;
use crate::bytes::human;
use crate::cell::{Cell, Counts};
use crate::failure::Failure;
use std::collections::BTreeSet;

/// Refuses what has nothing in common to be compared by.
pub(super) fn check(before: &Snapshot, after: &Snapshot) -> Result<(), Failure> {
    let what = |snapshot: &Snapshot| match snapshot.subject {
        Subject::File => "a file",
        Subject::Process => "a process",
    };
    let pages = [before.page_bytes, after.page_bytes].map(human);
    let differ = if before.subject != after.subject {
        format!("BEFORE is of {}, AFTER of {}", what(before), what(after))
    } else if before.page_bytes != after.page_bytes {
        format!("BEFORE has pages of {}, AFTER of {}", pages[0], pages[1])
    } else {
        return Ok(());
    };
    Err(Failure::message(format!("--diff: {differ}"))
        .with_help("compare two moments of one file, or of one process"))
}

/// The later moment, in the colours of what has changed since the earlier one.
///
/// Both are compared in cells of the coarser of the two. What was there at one of the moments only
/// counts as not in memory at the other.
pub(super) fn diff(before: &Snapshot, after: &Snapshot) -> Scene {
    let cell = before.cell_bytes.max(after.cell_bytes);
    let (mut areas, mut gained_pages, mut lost_pages) = (vec![], 0, 0);
    for (start, end) in pieces(before, after) {
        let (was, is) = (before.place_at(start), after.place_at(start));
        let cells = (start..end).step_by(cell as usize).map(|at| {
            let upto = at.saturating_add(cell).min(end);
            let was = was.map_or(NOT_THERE, |place| sum(place, before.cell_bytes, at, upto));
            let is = is.map_or(NOT_THERE, |place| sum(place, after.cell_bytes, at, upto));
            let pages = |state: State| state.pages.map(|pages| pages.resident_pages);
            match (pages(was), pages(is)) {
                (Some(was), Some(is)) if is > was => {
                    gained_pages += is - was;
                    Tint::Gained
                }
                (Some(was), Some(is)) if is < was => {
                    lost_pages += was - is;
                    Tint::Lost
                }
                (Some(_), Some(_)) => Tint::Is(is.cell()),
                _ => Tint::Is(Cell::Unknown),
            }
        });
        let cells = cells.collect();
        let (label, mut title) = (is.or(was))
            .map_or_else(Default::default, |place| (place.label.clone(), place.title.clone()));
        match (was, is) {
            (None, Some(_)) => title.push_str(" (new)"),
            (Some(_), None) => title.push_str(" (gone)"),
            _ => {}
        }
        areas.push(Area { label, title, start, len: end - start, cells });
    }
    let (gained, lost) = (gained_pages * after.page_bytes, lost_pages * after.page_bytes);
    Scene {
        title: format!("{}: changes", after.title),
        cell_bytes: cell,
        areas,
        notes: vec![
            format!("gained {} in memory", human(gained)),
            format!("lost   {}", human(lost)),
        ],
    }
}

/// What is known of a cell that no place covers.
const NOT_THERE: State = State {
    pages: Some(Counts {
        total_pages: 0,
        resident_pages: 0,
        dirty_pages: Some(0),
        writeback_pages: Some(0),
        evicted_pages: Some(0),
        swapped_pages: Some(0),
        huge_pages: Some(0),
    }),
    hole: true,
};

/// The ranges within which neither snapshot goes from one place to another.
fn pieces(before: &Snapshot, after: &Snapshot) -> Vec<(u64, u64)> {
    let places = before.areas.iter().chain(&after.areas);
    let cuts: BTreeSet<u64> = places.flat_map(|place| [place.start, place.end()]).collect();
    let cuts: Vec<u64> = cuts.into_iter().collect();
    let is_there = |at| before.place_at(at).or(after.place_at(at)).is_some();
    cuts.windows(2).map(|cut| (cut[0], cut[1])).filter(|&(start, _)| is_there(start)).collect()
}

/// What is known of the cells of `place` that hold the bytes from `start` to `end`.
fn sum(place: &Place, cell_bytes: u64, start: u64, end: u64) -> State {
    let first = (start - place.start) / cell_bytes;
    let last = (end - place.start).div_ceil(cell_bytes);
    let both = |one: Option<u64>, other: Option<u64>| Some(one? + other?);
    let mut all = NOT_THERE;
    for state in &place.cells[first as usize..last as usize] {
        all.hole &= state.hole;
        all.pages = all.pages.zip(state.pages).map(|(one, other)| Counts {
            total_pages: one.total_pages + other.total_pages,
            resident_pages: one.resident_pages + other.resident_pages,
            dirty_pages: both(one.dirty_pages, other.dirty_pages),
            writeback_pages: both(one.writeback_pages, other.writeback_pages),
            evicted_pages: both(one.evicted_pages, other.evicted_pages),
            swapped_pages: both(one.swapped_pages, other.swapped_pages),
            huge_pages: both(one.huge_pages, other.huge_pages),
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::tests::{place, snapshot};
    use super::*;

    /// The cells of all areas: `+` gained, `-` lost, else as [`place`] takes them.
    fn shown(scene: &Scene) -> Vec<String> {
        let glyph = |tint: &Tint| match tint {
            Tint::Gained => '+',
            Tint::Lost => '-',
            Tint::Is(Cell::Resident) => '#',
            Tint::Is(Cell::Absent) => '.',
            Tint::Is(Cell::Hole) => 'o',
            Tint::Is(Cell::Unknown) => '?',
            Tint::Is(_) => '!',
        };
        scene.areas.iter().map(|area| area.cells.iter().map(glyph).collect()).collect()
    }

    #[test]
    fn what_has_nothing_in_common_is_not_compared() {
        let before = snapshot(vec![place(0, "#")]);
        assert!(check(&before, &before).is_ok());
        let process = Snapshot { subject: Subject::Process, ..before.clone() };
        let larger = Snapshot { page_bytes: 16384, ..before.clone() };
        for (before, after, said) in [
            (&before, &process, "BEFORE is of a file, AFTER of a process"),
            (&process, &before, "BEFORE is of a process, AFTER of a file"),
            (&before, &larger, "BEFORE has pages of 4 KiB, AFTER of 16 KiB"),
        ] {
            let refused = check(before, after).unwrap_err().to_string();
            assert_eq!(refused, format!("--diff: {said}"));
        }
    }

    #[test]
    fn what_came_and_what_went_is_told_apart() {
        let before = snapshot(vec![place(0, "##..?o")]);
        let after = snapshot(vec![place(0, "#.#.#o")]);
        let scene = diff(&before, &after);
        assert_eq!(shown(&scene), ["#-+.?o"]);
        assert_eq!(scene.notes, ["gained 4 KiB in memory", "lost   4 KiB"]);
    }

    #[test]
    fn places_that_came_went_or_grew_are_compared_where_they_overlap() {
        let before = snapshot(vec![place(0, "##"), place(0x10000, "#")]);
        let after = snapshot(vec![place(0, "##.#"), place(0x20000, "#.")]);
        let scene = diff(&before, &after);
        assert_eq!(shown(&scene), ["##", ".+", "-", "+."]);
        let titles: Vec<_> = scene.areas.iter().map(|area| &*area.title).collect();
        assert_eq!(
            titles,
            ["all of 0", "all of 0 (new)", "all of 10000 (gone)", "all of 20000 (new)"]
        );
    }

    #[test]
    fn the_coarser_cells_are_compared() {
        let before = snapshot(vec![place(0, "##..#")]);
        let mut after = snapshot(vec![place(0, "###")]);
        after.cell_bytes = 8192;
        after.areas[0].len_bytes = 5 * 4096;
        for (state, total) in after.areas[0].cells.iter_mut().zip([2, 2, 1]) {
            let pages = state.pages.as_mut().unwrap();
            (pages.total_pages, pages.resident_pages) = (total, 1);
        }
        assert_eq!(shown(&diff(&before, &after)), ["-+#"]);
    }
}
