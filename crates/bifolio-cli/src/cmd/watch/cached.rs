//! The cells of a window on a file, by as few questions as their states need.
//!
//! A range in which every page is in the same state is one question, and what it answers holds for
//! each cell of it. Other ranges are cut in parts until that is so, or until a part is one cell. So
//! a sparse file of any size takes a few questions, and the answer is the same as asking for each.

use super::grid::Window;
use crate::cell::Cell;
use bifolio::Residency;
use std::ops::Range;

/// In how many parts a range is cut whose pages differ.
const PARTS: usize = 16;

/// Fills the cells of `window`; `ask` answers for a range of bytes.
pub(super) fn fill(
    window: &Window,
    cells: &mut [Cell],
    ask: &mut impl FnMut(Range<u64>) -> Answer,
) {
    fill_part(window, 0..window.count.min(cells.len()), cells, ask);
}

/// What is known of some pages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// What one cell for all of them would show.
    cell: Cell,
    /// Whether that is what a cell for any of them would show.
    is_uniform: bool,
}

impl Answer {
    /// Nobody knows.
    pub(super) const UNKNOWN: Answer = Answer { cell: Cell::Unknown, is_uniform: true };
}

impl From<Residency> for Answer {
    fn from(residency: Residency) -> Answer {
        let cell = Cell::of(residency, false);
        let Residency::Known(pages) = residency else { return Answer::UNKNOWN };
        let cache = pages.cache.as_ref();
        let dirty = cache.map_or(0, |cache| cache.dirty_pages);
        let writeback = cache.map_or(0, |cache| cache.writeback_pages);
        let evicted = cache.map_or(0, |cache| cache.evicted_pages);
        let total = pages.total_pages;
        let is_uniform = match cell {
            Cell::Absent => true,
            Cell::PushedOut => evicted == total,
            Cell::Resident => true,
            Cell::Dirty => dirty == total,
            Cell::Writeback => writeback == total,
            _ => false,
        };
        Answer { cell, is_uniform }
    }
}

fn fill_part(
    window: &Window,
    part: Range<usize>,
    cells: &mut [Cell],
    ask: &mut impl FnMut(Range<u64>) -> Answer,
) {
    if part.is_empty() {
        return;
    }
    let answer = ask(window.bytes(part.clone()));
    if answer.is_uniform || part.len() == 1 {
        cells[part].fill(answer.cell);
        return;
    }
    let step = part.len().div_ceil(PARTS);
    for start in part.clone().step_by(step) {
        fill_part(window, start..(start + step).min(part.end), cells, ask);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Cells of one page, in the states of `pages`.
    fn answer(pages: &[Cell], range: Range<u64>) -> Answer {
        let pages = &pages[range.start as usize..range.end as usize];
        let cell = *pages.iter().max().unwrap();
        Answer { cell, is_uniform: pages.iter().all(|&page| page == cell) }
    }

    #[test]
    fn the_cells_are_those_that_one_would_get_by_asking_for_each() {
        let mut state = 7_u64;
        for count in [0, 1, 2, 15, 16, 17, 1000] {
            // Runs of random lengths.
            let mut pages = vec![];
            while pages.len() < count {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let cell = [Cell::Absent, Cell::Resident, Cell::Dirty][(state >> 40) as usize % 3];
                pages.extend(std::iter::repeat_n(cell, 1 + (state >> 50) as usize % 90));
            }
            pages.truncate(count);
            let window = Window { start: 0, end: count as u64, cell_bytes: 1, count };
            let mut cells = vec![Cell::Unknown; count];
            let mut asked = 0;
            fill(&window, &mut cells, &mut |range| {
                asked += 1;
                answer(&pages, range)
            });
            assert_eq!(cells, pages);
            assert!(asked <= count * 5 / 4 + 2, "{asked} questions for {count} cells");
        }
    }

    #[test]
    fn a_file_in_one_state_is_one_question() {
        let window = Window { start: 0, end: 10_000, cell_bytes: 1, count: 10_000 };
        let mut asked = 0;
        fill(&window, &mut vec![Cell::Unknown; 10_000], &mut |_| {
            asked += 1;
            Answer { cell: Cell::Absent, is_uniform: true }
        });
        assert_eq!(asked, 1);
    }
}
