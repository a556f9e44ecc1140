//! What a picture shows, before anybody draws it: areas of memory cut into cells of one size, laid
//! one after the other along the curve.

use super::hilbert;
use super::tint::Tint;
use std::ops::Range;

/// All that is drawn.
#[derive(Debug)]
pub(super) struct Scene {
    /// What it is a picture of.
    pub(super) title: String,
    /// How many bytes a cell stands for.
    pub(super) cell_bytes: u64,
    /// The areas, in the order of their addresses or offsets.
    pub(super) areas: Vec<Area>,
    /// Lines that stand beside the picture.
    pub(super) notes: Vec<String>,
}

/// A file, or a region of a process.
#[derive(Debug)]
pub(super) struct Area {
    /// The short name that is written on it where there is room.
    pub(super) label: String,
    /// What a pointer that rests on it is told.
    pub(super) title: String,
    /// Its first address or offset.
    pub(super) start: u64,
    /// Its length in bytes; the last cell may be longer than what is left.
    pub(super) len: u64,
    /// The state of each of its cells.
    pub(super) cells: Vec<Tint>,
}

/// Neighbouring cells of one area in one state.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Run {
    /// Their places on the curve.
    pub(super) points: Range<u64>,
    /// Their addresses or offsets.
    pub(super) bytes: Range<u64>,
    pub(super) tint: Tint,
}

impl Scene {
    /// How many cells all areas have.
    pub(super) fn cell_count(&self) -> u64 {
        self.areas.iter().map(|area| area.cells.len() as u64).sum()
    }

    /// The order of the curve on which all cells have room.
    pub(super) fn order(&self) -> u32 {
        hilbert::order_for(self.cell_count())
    }

    /// The areas with the places of their cells on the curve.
    pub(super) fn placed(&self) -> impl Iterator<Item = (&Area, Range<u64>)> {
        self.areas.iter().scan(0, |at, area| {
            let start = *at;
            *at += area.cells.len() as u64;
            Some((area, start..*at))
        })
    }

    /// How many cells are in each state, for the states that there are.
    pub(super) fn census(&self) -> Vec<(Tint, u64)> {
        let count = |tint| {
            let cells = self.areas.iter().flat_map(|area| &area.cells);
            cells.filter(|&&cell| cell == tint).count() as u64
        };
        let counted = Tint::ALL.iter().map(|&tint| (tint, count(tint)));
        counted.filter(|&(_, count)| count > 0).collect()
    }
}

impl Area {
    /// Its cells as runs of one state, the first at `first` on the curve.
    pub(super) fn runs(&self, first: u64, cell_bytes: u64) -> Vec<Run> {
        let end = self.start.saturating_add(self.len);
        let address = |cell: u64| self.start.saturating_add(cell * cell_bytes).min(end);
        let mut at = 0;
        let chunks = self.cells.chunk_by(|one, next| one == next).map(|cells| {
            let (start, stop) = (at, at + cells.len() as u64);
            at = stop;
            Run {
                points: first + start..first + stop,
                bytes: address(start)..address(stop),
                tint: cells[0],
            }
        });
        chunks.collect()
    }
}

/// The size of a cell: the least power of two of pages with which areas of these lengths have
/// `cells_max` cells at most, or one cell each.
pub(super) fn cell_bytes(lens: &[u64], page_bytes: u64, cells_max: u64) -> u64 {
    let count = |cell: u64| lens.iter().map(|len| len.div_ceil(cell)).sum::<u64>();
    let mut cell = page_bytes;
    while count(cell) > cells_max.max(lens.len() as u64) {
        cell *= 2;
    }
    cell
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::cell::Cell;

    const RESIDENT: Tint = Tint::Is(Cell::Resident);
    const ABSENT: Tint = Tint::Is(Cell::Absent);

    /// Two areas: the first of three cells in two states, the second of one.
    pub(in super::super) fn example() -> Scene {
        let area = |label: &str, start, len, cells: &[Tint]| Area {
            label: label.into(),
            title: format!("{label} <{start}>"),
            start,
            len,
            cells: cells.to_vec(),
        };
        Scene {
            title: "an example".into(),
            cell_bytes: 4096,
            areas: vec![
                area("first", 0, 10_000, &[RESIDENT, RESIDENT, ABSENT]),
                area("second", 1 << 20, 4096, &[RESIDENT]),
            ],
            notes: vec!["a note".into()],
        }
    }

    #[test]
    fn runs_end_with_their_area_and_with_its_bytes() {
        let scene = example();
        let runs: Vec<_> = scene
            .placed()
            .flat_map(|(area, points)| area.runs(points.start, scene.cell_bytes))
            .collect();
        let run = |points, bytes, tint| Run { points, bytes, tint };
        assert_eq!(
            runs,
            [
                run(0..2, 0..8192, RESIDENT),
                run(2..3, 8192..10_000, ABSENT),
                run(3..4, 1 << 20..(1 << 20) + 4096, RESIDENT),
            ]
        );
        assert_eq!(scene.census(), [(RESIDENT, 3), (ABSENT, 1)]);
        assert_eq!(scene.order(), 1);
    }

    #[test]
    fn cells_are_as_small_as_there_is_room_for() {
        assert_eq!(cell_bytes(&[1 << 20], 4096, 256), 4096);
        assert_eq!(cell_bytes(&[(1 << 20) + 1], 4096, 256), 8192);
        assert_eq!(cell_bytes(&[1, 1, 1 << 30], 4096, 16_384), 131_072);
        // More areas than cells: one each.
        assert_eq!(cell_bytes(&[1, 4096, 8192], 4096, 2), 8192);
        assert_eq!(cell_bytes(&[1 << 56], 4096, 1), 1 << 56);
    }
}
