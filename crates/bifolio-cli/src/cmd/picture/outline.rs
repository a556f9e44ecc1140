//! The lines between areas: which cell belongs to which, and the edges where that changes.

use super::hilbert;
use super::scene::Scene;
use std::fmt::Write as _;

/// The square with the area of each cell.
pub(super) struct Grid {
    side: usize,
    /// Row by row; 0 where there is no area, else one more than its number.
    owners: Vec<u32>,
}

impl Grid {
    /// The square of a scene.
    pub(super) fn of(scene: &Scene) -> Grid {
        let order = scene.order();
        let side = 1 << order;
        let mut owners = vec![0; side * side];
        for (number, (_, points)) in (1..).zip(scene.placed()) {
            for index in points {
                let (x, y) = hilbert::point(order, index);
                owners[y as usize * side + x as usize] = number;
            }
        }
        Grid { side, owners }
    }

    /// The number of cells along a side.
    pub(super) fn side(&self) -> usize {
        self.side
    }

    /// The owner of a cell; 0 outside of the square.
    fn owner(&self, x: isize, y: isize) -> u32 {
        let inside = |at: isize| usize::try_from(at).ok().filter(|&at| at < self.side);
        match (inside(x), inside(y)) {
            (Some(x), Some(y)) => self.owners[y * self.side + x],
            _ => 0,
        }
    }

    /// Whether there is a line above a cell.
    pub(super) fn is_cut_above(&self, x: usize, y: usize) -> bool {
        self.owner(x as isize, y as isize - 1) != self.owner(x as isize, y as isize)
    }

    /// Whether there is a line left of a cell.
    pub(super) fn is_cut_left(&self, x: usize, y: usize) -> bool {
        self.owner(x as isize - 1, y as isize) != self.owner(x as isize, y as isize)
    }
}

/// All lines as the data of an SVG path, straight ones in one piece.
pub(super) fn outline(grid: &Grid) -> String {
    let mut path = String::new();
    let side = grid.side();
    for line in 0..=side {
        for (from, to) in stretches(side, |x| grid.is_cut_above(x, line)) {
            let _ = write!(path, "M{from} {line}h{}", to - from);
        }
        for (from, to) in stretches(side, |y| grid.is_cut_left(line, y)) {
            let _ = write!(path, "M{line} {from}v{}", to - from);
        }
    }
    path
}

/// The stretches of 0..side for which `holds`.
fn stretches(side: usize, holds: impl Fn(usize) -> bool) -> Vec<(usize, usize)> {
    let mut found: Vec<(usize, usize)> = Vec::new();
    for at in (0..side).filter(|&at| holds(at)) {
        match found.last_mut() {
            Some((_, end)) if *end == at => *end += 1,
            _ => found.push((at, at + 1)),
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::scene::tests::example;
    use super::*;

    #[test]
    fn lines_go_around_each_area_and_in_one_piece() {
        // The first area has three cells of the four, all but the upper right one.
        let path = outline(&Grid::of(&example()));
        let mut pieces: Vec<_> = path.split('M').filter(|piece| !piece.is_empty()).collect();
        pieces.sort_unstable();
        assert_eq!(pieces, ["0 0h2", "0 0v2", "0 2h2", "1 0v1", "1 1h1", "2 0v2"]);
    }
}
