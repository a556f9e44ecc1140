//! The page grid: which bytes each cell stands for, at every zoom, and which cells changed lately.

use crate::cell::Cell;
use std::ops::Range;

/// For how many looks a cell that changed is marked.
const FLASH_LOOKS: u8 = 3;

/// Equal cells over a part of an item; the last may be shorter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Window {
    /// The first byte.
    pub(super) start: u64,
    /// The end of the item, where the last cell ends at the latest.
    pub(super) end: u64,
    /// The bytes of a cell: whole pages.
    pub(super) cell_bytes: u64,
    /// The number of cells.
    pub(super) count: usize,
}

impl Window {
    /// The whole of an item, in at most `cells_max` cells.
    pub(super) fn whole(place: &Range<u64>, cells_max: usize, page_bytes: u64) -> Window {
        Zoom::default().window(place, cells_max, page_bytes)
    }

    /// The bytes of the cells with these numbers.
    pub(super) fn bytes(&self, cells: Range<usize>) -> Range<u64> {
        let at = |cell: usize| {
            self.start.saturating_add(self.cell_bytes.saturating_mul(cell as u64)).min(self.end)
        };
        at(cells.start)..at(cells.end)
    }

    /// The cells in two parts, in each of which all have the same size: the last may be shorter.
    pub(super) fn equal_parts(&self) -> [Range<usize>; 2] {
        let last = self.count.saturating_sub(1);
        [0..last, last..self.count]
    }

    /// All its bytes.
    pub(super) fn range(&self) -> Range<u64> {
        self.bytes(0..self.count)
    }
}

/// How close one looks, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Zoom {
    /// How often a cell was halved; 0 shows all.
    power: u32,
    /// The first byte that shows, counted from the start of the item.
    offset: u64,
}

impl Zoom {
    /// The window on an item with room for `capacity` cells.
    pub(super) fn window(&self, place: &Range<u64>, capacity: usize, page_bytes: u64) -> Window {
        let pages = (place.end - place.start).div_ceil(page_bytes);
        let capacity = capacity as u64;
        if capacity == 0 || pages == 0 {
            return Window { start: place.start, end: place.end, cell_bytes: page_bytes, count: 0 };
        }
        let cell_pages = (pages.div_ceil(capacity) >> self.power.min(63)).max(1);
        let cells = pages.div_ceil(cell_pages);
        let first = (self.offset / (cell_pages * page_bytes)).min(cells.saturating_sub(capacity));
        Window {
            start: place.start + first * cell_pages * page_bytes,
            end: place.end,
            cell_bytes: cell_pages * page_bytes,
            count: (cells - first).min(capacity) as usize,
        }
    }

    /// Looks twice as close at the middle of `window`, or from twice as far.
    pub(super) fn change(&mut self, closer: bool, place: &Range<u64>, window: &Window, page: u64) {
        if closer && window.cell_bytes == page || !closer && self.power == 0 {
            return;
        }
        let half = (window.cell_bytes * window.count as u64) / 2;
        let middle = window.start - place.start + half;
        self.power = if closer { self.power + 1 } else { self.power - 1 };
        self.offset = middle.saturating_sub(if closer { half / 2 } else { half * 2 });
    }

    /// Moves by a number of cells, back where it is negative.
    pub(super) fn scroll(&mut self, cells: i64, place: &Range<u64>, window: &Window) {
        let shown = window.start - place.start;
        let distance = window.cell_bytes.saturating_mul(cells.unsigned_abs());
        self.offset = if cells < 0 { shown.saturating_sub(distance) } else { shown + distance };
    }

    /// How many times closer than all.
    pub(super) fn factor(&self) -> u64 {
        1 << self.power.min(63)
    }
}

/// The cells that show, and those that changed lately.
#[derive(Debug, Default)]
pub(super) struct Grid {
    cells: Vec<Cell>,
    flash: Vec<u8>,
    /// What the cells are of: nothing flashes when one looks elsewhere.
    shown: Option<(u64, Window)>,
}

impl Grid {
    /// Takes what a look at the window on item `id` found; whether it is to be drawn again.
    pub(super) fn update(&mut self, id: u64, window: &Window, cells: &[Cell]) -> bool {
        let same = self.shown.as_ref().is_some_and(|shown| shown.0 == id && shown.1 == *window);
        if !same {
            self.shown = Some((id, window.clone()));
            self.cells = cells.to_vec();
            self.flash = vec![0; cells.len()];
            return true;
        }
        let mut changed = false;
        for ((old, new), flash) in self.cells.iter_mut().zip(cells).zip(&mut self.flash) {
            let before = *flash;
            *flash = if old == new { before.saturating_sub(1) } else { FLASH_LOOKS };
            changed |= old != new || (before > 0) != (*flash > 0);
            *old = *new;
        }
        changed
    }

    /// The cells.
    pub(super) fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// Whether a cell changed lately.
    pub(super) fn is_flashing(&self, index: usize) -> bool {
        self.flash.get(index).is_some_and(|&looks| looks > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 4096;

    #[test]
    fn the_cells_of_a_window_are_the_item_without_gap_or_overlap() {
        for (pages, extra, capacity) in [(1, 0, 10), (10, 1, 10), (1000, 5, 7), (7, 0, 1000)] {
            let place = 3 * PAGE..(3 + pages) * PAGE + extra;
            let window = Window::whole(&place, capacity, PAGE);
            assert!(window.count <= capacity);
            assert_eq!(window.range(), place);
            let mut at = place.start;
            for cell in 0..window.count {
                let bytes = window.bytes(cell..cell + 1);
                assert!(bytes.start == at && bytes.end > at, "{window:?} {cell}");
                at = bytes.end;
            }
        }
        assert_eq!(Window::whole(&(0..0), 10, PAGE).count, 0);
        assert_eq!(Window::whole(&(0..PAGE), 0, PAGE).count, 0);
        let all = Window::whole(&(0..u64::MAX), 10, PAGE);
        assert_eq!(all.range(), 0..u64::MAX);
    }

    #[test]
    fn zooming_in_keeps_the_middle_and_zooming_out_ends_at_all() {
        let place = 0..4096 * PAGE;
        let mut zoom = Zoom::default();
        let mut window = zoom.window(&place, 64, PAGE);
        assert_eq!((window.cell_bytes, window.count), (64 * PAGE, 64));
        zoom.scroll(1000, &place, &window);
        assert_eq!(zoom.window(&place, 64, PAGE), window, "all of it cannot be scrolled");
        for power in 1..=6 {
            zoom.change(true, &place, &window, PAGE);
            let closer = zoom.window(&place, 64, PAGE);
            assert_eq!(closer.cell_bytes, (64 >> power) * PAGE);
            let middle = |window: &Window| (window.range().start + window.range().end) / 2;
            assert!(middle(&closer).abs_diff(middle(&window)) <= window.cell_bytes);
            window = closer;
        }
        zoom.change(true, &place, &window, PAGE);
        assert_eq!(zoom.window(&place, 64, PAGE), window, "one page is the closest");
        zoom.scroll(i64::MAX / PAGE as i64, &place, &window);
        assert_eq!(zoom.window(&place, 64, PAGE).range().end, place.end);
        zoom.scroll(-3, &place, &zoom.window(&place, 64, PAGE));
        assert_eq!(zoom.window(&place, 64, PAGE).range().end, place.end - 3 * PAGE);
        for _ in 0..10 {
            let window = zoom.window(&place, 64, PAGE);
            zoom.change(false, &place, &window, PAGE);
        }
        assert_eq!(zoom.window(&place, 64, PAGE).range(), place);
    }

    #[test]
    fn a_cell_flashes_for_a_while_when_it_changes_and_never_when_one_looks_elsewhere() {
        let window = Window::whole(&(0..3 * PAGE), 3, PAGE);
        let mut grid = Grid::default();
        assert!(grid.update(1, &window, &[Cell::Absent; 3]));
        assert!(!grid.update(1, &window, &[Cell::Absent; 3]));
        let one = [Cell::Absent, Cell::Resident, Cell::Absent];
        assert!(grid.update(1, &window, &one));
        assert_eq!([0, 1, 2].map(|cell| grid.is_flashing(cell)), [false, true, false]);
        for _ in 1..FLASH_LOOKS {
            assert!(!grid.update(1, &window, &one) && grid.is_flashing(1));
        }
        assert!(grid.update(1, &window, &one) && !grid.is_flashing(1));
        assert!(grid.update(2, &window, &[Cell::Dirty; 3]) && !grid.is_flashing(1));
    }
}
