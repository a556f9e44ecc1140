//! Where on the screen everything stands, whatever its size.

use ratatui::layout::Rect;

/// From this width on the list stands beside the grid, and above it on narrower screens.
const WIDE_COLUMNS: u16 = 72;

/// From this height on the list stands beside the grid.
const WIDE_ROWS: u16 = 8;

/// The parts of the screen; those that have no room are empty.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    pub(super) title: Rect,
    pub(super) list: Rect,
    /// What is said of the item that the grid shows.
    pub(super) header: Rect,
    pub(super) grid: Rect,
    /// Rates and curves.
    pub(super) numbers: Rect,
    /// The legend, the help, or what happened last.
    pub(super) foot: Rect,
}

/// Takes rows from the top or the bottom of what is left.
fn cut(rest: &mut Rect, rows: u16, from_top: bool) -> Rect {
    let rows = rows.min(rest.height);
    let y = if from_top { rest.y } else { rest.bottom() - rows };
    let taken = Rect { y, height: rows, ..*rest };
    rest.height -= rows;
    rest.y += if from_top { rows } else { 0 };
    taken
}

impl Places {
    /// The parts of a screen for a list of `items`, with so many rows of numbers and at the foot.
    pub(super) fn on(area: Rect, items: usize, numbers_rows: u16, foot_rows: u16) -> Places {
        let mut rest = area;
        let height = area.height;
        let title = cut(&mut rest, u16::from(height >= 4), true);
        let foot =
            cut(&mut rest, if height >= 5 { foot_rows.min(height / 4).max(1) } else { 0 }, false);
        let numbers = cut(&mut rest, (height / 6).min(numbers_rows), false);
        if area.width >= WIDE_COLUMNS && height >= WIDE_ROWS {
            let width = area.width * 9 / 20;
            let list = Rect { width, ..rest };
            let mut right = Rect { x: rest.x + width + 1, width: rest.width - width - 1, ..rest };
            let header = cut(&mut right, 2, true);
            return Places { title, list, header, grid: right, numbers, foot };
        }
        let rows = items.min(usize::from(rest.height / 3)).max(1) as u16;
        let list_rows = if rest.height >= 2 { rows } else { 0 };
        let list = cut(&mut rest, list_rows, true);
        let header_rows = (rest.height / 2).min(2);
        let header = cut(&mut rest, header_rows, true);
        Places { title, list, header, grid: rest, numbers, foot }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(places: &Places) -> [Rect; 6] {
        let Places { title, list, header, grid, numbers, foot } = *places;
        [title, list, header, grid, numbers, foot]
    }

    #[test]
    fn on_every_screen_the_parts_are_within_it_and_none_covers_another() {
        for (width, height) in (0..130).flat_map(|width| (0..60).map(move |height| (width, height)))
        {
            for (items, foot) in [(0, 1), (1, 1), (5000, 3)] {
                let area = Rect { x: 0, y: 0, width, height };
                let places = Places::on(area, items, 2, foot);
                let parts = parts(&places);
                for (index, part) in parts.iter().enumerate().filter(|part| !part.1.is_empty()) {
                    assert_eq!(part.intersection(area), *part, "{area} {places:?}");
                    for other in &parts[index + 1..] {
                        assert!(part.intersection(*other).is_empty(), "{area} {places:?}");
                    }
                }
                assert!(height == 0 || width == 0 || places.grid.height > 0, "{area} {places:?}");
            }
        }
    }

    #[test]
    fn a_small_screen_keeps_what_matters() {
        let places = Places::on(Rect { x: 0, y: 0, width: 20, height: 5 }, 3, 2, 1);
        let rows = parts(&places).map(|part| part.height);
        assert_eq!(rows, [1, 1, 1, 1, 0, 1]);
        let places = Places::on(Rect { x: 0, y: 0, width: 80, height: 24 }, 3, 2, 1);
        assert_eq!((places.list.width, places.grid.width, places.grid.height), (36, 43, 18));
    }
}
