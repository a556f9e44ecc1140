//! How pages are shown: one glyph and one colour for each state, in every command the same.
//!
//! The glyph says all without its colour. Where pages of several states stand behind a cell, what
//! matters most is shown: what the kernel does not tell, then what a power cut would lose, then how
//! much is in memory.

use crate::console::Console;
use anstyle::{AnsiColor, Style};
use bifolio::{Residency, Resident, Untold};
use ratatui::style::Color;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// What the pages behind a cell are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Cell {
    /// All are in memory, and entries for huge pages map at least some of them.
    Huge,
    /// All are in memory.
    Resident,
    /// Two thirds or more are in memory.
    Most,
    /// A third or more are in memory.
    Half,
    /// Less than a third are in memory.
    Few,
    /// Some are newer than the disk.
    Dirty,
    /// Some are being written to the disk, and none is newer.
    Writeback,
    /// None is in memory, and some were: evicted from the cache, or swapped out.
    PushedOut,
    /// None is in memory.
    Absent,
    /// None is in memory, and there is no data that could be.
    Hole,
    /// The kernel does not tell.
    Unknown,
}

/// How a cell looks, and what is said of it.
struct Look {
    cell: Cell,
    glyph: char,
    color: AnsiColor,
    meaning: &'static str,
    name: &'static str,
}

/// Every state, in the order of [`Cell`] and of the legend.
const LOOKS: [Look; 11] = {
    use AnsiColor::{Blue, BrightBlack, BrightCyan, Cyan, Green, Magenta, Red, Yellow};
    const fn look(
        cell: Cell,
        glyph: char,
        color: AnsiColor,
        meaning: &'static str,
        name: &'static str,
    ) -> Look {
        Look { cell, glyph, color, meaning, name }
    }
    [
        look(Cell::Huge, 'H', Green, "in huge pages", "huge"),
        look(Cell::Resident, '\u{2588}', BrightCyan, "in memory", "resident"),
        look(Cell::Most, '\u{2593}', Cyan, "most of it", "most"),
        look(Cell::Half, '\u{2592}', Cyan, "half of it", "half"),
        look(Cell::Few, '\u{2591}', Cyan, "a little", "few"),
        look(Cell::Dirty, '!', Red, "newer than the disk", "dirty"),
        look(Cell::Writeback, 'w', Magenta, "being written", "writeback"),
        look(Cell::PushedOut, 'x', Blue, "pushed out", "pushed_out"),
        look(Cell::Absent, '\u{b7}', BrightBlack, "not in memory", "absent"),
        look(Cell::Hole, ' ', BrightBlack, "a hole", "hole"),
        look(Cell::Unknown, '?', Yellow, "unknown", "unknown"),
    ]
};

const _: () = {
    let mut index = 0;
    while index < LOOKS.len() {
        assert!(LOOKS[index].cell as usize == index);
        index += 1;
    }
};

/// Pages by state; `None` where nobody tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Counts {
    pub(crate) total_pages: u64,
    pub(crate) resident_pages: u64,
    pub(crate) dirty_pages: Option<u64>,
    pub(crate) writeback_pages: Option<u64>,
    pub(crate) evicted_pages: Option<u64>,
    pub(crate) swapped_pages: Option<u64>,
    pub(crate) huge_pages: Option<u64>,
}

impl From<Resident> for Counts {
    fn from(pages: Resident) -> Counts {
        let cache = |of: fn(&bifolio::CacheState) -> u64| pages.cache.as_ref().map(of);
        Counts {
            total_pages: pages.total_pages,
            resident_pages: pages.resident_pages,
            dirty_pages: cache(|cache| cache.dirty_pages),
            writeback_pages: cache(|cache| cache.writeback_pages),
            evicted_pages: cache(|cache| cache.evicted_pages),
            swapped_pages: pages.swapped_pages,
            huge_pages: pages.huge_pages,
        }
    }
}

impl Counts {
    /// Those that a power cut would lose: dirty, or being written.
    pub(crate) fn unwritten_pages(&self) -> Option<u64> {
        Some(self.dirty_pages? + self.writeback_pages?)
    }
}

impl Cell {
    /// What stands for these pages; `is_hole` where none of them has data.
    pub(crate) fn of(residency: Residency, is_hole: bool) -> Cell {
        match residency {
            Residency::Known(pages) => Cell::of_counts(&pages.into(), is_hole),
            _ => Cell::Unknown,
        }
    }

    /// As [`of`](Self::of), for pages that are counted already.
    pub(crate) fn of_counts(pages: &Counts, is_hole: bool) -> Cell {
        let (resident, total) = (pages.resident_pages, pages.total_pages);
        let some = |pages: Option<u64>| pages.is_some_and(|pages| pages > 0);
        match resident {
            _ if some(pages.dirty_pages) => Cell::Dirty,
            _ if some(pages.writeback_pages) => Cell::Writeback,
            0 if is_hole => Cell::Hole,
            0 if some(pages.evicted_pages) || some(pages.swapped_pages) => Cell::PushedOut,
            0 => Cell::Absent,
            _ if resident * 3 < total => Cell::Few,
            _ if resident * 3 < total * 2 => Cell::Half,
            _ if resident < total => Cell::Most,
            _ if some(pages.huge_pages) => Cell::Huge,
            _ => Cell::Resident,
        }
    }

    /// What stands for several cells, of which only their states are known: the part in memory is
    /// then about right.
    pub(crate) fn together(cells: &[Cell]) -> Cell {
        let any = |state: Cell| cells.contains(&state);
        let all = |state: Cell| cells.iter().all(|&cell| cell == state);
        if let Some(first) = cells.first().copied().filter(|&first| all(first)) {
            return first;
        }
        for state in [Cell::Unknown, Cell::Dirty, Cell::Writeback] {
            if any(state) {
                return state;
            }
        }
        let sixths = |cell: &Cell| match cell {
            Cell::Huge | Cell::Resident => 6,
            Cell::Most => 5,
            Cell::Half => 3,
            Cell::Few => 1,
            _ => 0,
        };
        let pages = Counts {
            total_pages: 6 * cells.len() as u64,
            resident_pages: cells.iter().map(sixths).sum(),
            evicted_pages: Some(any(Cell::PushedOut).into()),
            huge_pages: Some(any(Cell::Huge).into()),
            ..Counts::default()
        };
        Cell::of_counts(&pages, false)
    }

    fn look(self) -> &'static Look {
        &LOOKS[self as usize]
    }

    /// The character that says which state it is, also without its colour.
    pub(crate) fn glyph(self) -> char {
        self.look().glyph
    }

    /// What the glyph means, in a few words.
    pub(crate) fn meaning(self) -> &'static str {
        self.look().meaning
    }

    /// What JSON calls it.
    pub(crate) fn name(self) -> &'static str {
        self.look().name
    }

    /// What stands before its meaning in a legend: the glyph, or a word where that is blank.
    pub(crate) fn key(self) -> String {
        if self == Cell::Hole { "blank:".to_owned() } else { self.glyph().to_string() }
    }

    /// The state that a glyph says.
    pub(crate) fn from_glyph(glyph: char) -> Option<Cell> {
        LOOKS.iter().find(|look| look.glyph == glyph).map(|look| look.cell)
    }

    /// Its colour, for text.
    pub(crate) fn style(self) -> Style {
        self.look().color.on_default()
    }

    /// Its colour, for a screen.
    pub(crate) fn color(self) -> Color {
        self.look().color.into()
    }
}

/// The cells side by side, in colour where standard output takes it.
pub(crate) fn bar(cells: &[Cell], console: &Console) -> String {
    let mut text = String::new();
    for run in cells.chunk_by(|a, b| a == b) {
        let glyphs: String = run.iter().map(|cell| cell.glyph()).collect();
        // Nothing fails that writes to a string.
        let _ = write!(text, "{}", console.paint(run[0].style(), glyphs));
    }
    text
}

/// The states of `cells`, each once, in the order of a legend.
pub(crate) fn states(cells: &[Cell]) -> Vec<Cell> {
    let mut is_there = [false; LOOKS.len()];
    cells.iter().for_each(|&cell| is_there[cell as usize] = true);
    LOOKS.iter().map(|look| look.cell).filter(|&cell| is_there[cell as usize]).collect()
}

/// Every state, in the order of a legend.
pub(crate) fn all() -> [Cell; LOOKS.len()] {
    LOOKS.each_ref().map(|look| look.cell)
}

/// What the glyphs of `cells` mean, each state once, in lines of at most `columns`.
pub(crate) fn legend(cells: &[Cell], console: &Console, columns: usize) -> Vec<String> {
    let (mut lines, mut used) = (vec![], columns);
    for state in states(cells) {
        let width = state.key().chars().count() + 1 + state.meaning().chars().count();
        if used + 2 + width > columns {
            lines.push(String::new());
            used = 0;
        }
        let Some(line) = lines.last_mut() else { continue };
        let gap = if used == 0 { "" } else { "  " };
        let key = console.paint(state.style(), state.key());
        // Nothing fails that writes to a string.
        let _ = write!(line, "{gap}{key} {}", state.meaning());
        used += gap.len() + width;
    }
    lines
}

/// Why the state of pages is unknown, in words.
pub(crate) fn why(reason: Untold) -> &'static str {
    match reason {
        Untold::NotOwner => {
            "the kernel tells only the owner of the file and those who may write it"
        }
        Untold::NotOffered => "the kernel does not tell for this kind of file",
        Untold::NotPermitted => "the kernel tells nothing of this process to you",
        Untold::NotAsked => "nobody asked yet",
        _ => "the kernel does not tell",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(total: u64, resident: u64) -> Counts {
        Counts { total_pages: total, resident_pages: resident, ..Counts::default() }
    }

    #[test]
    fn cells_together_are_what_their_pages_would_be() {
        for (cells, together) in [
            (&[Cell::Hole, Cell::Hole][..], Cell::Hole),
            (&[Cell::Hole, Cell::Absent], Cell::Absent),
            (&[Cell::Absent, Cell::PushedOut], Cell::PushedOut),
            (&[Cell::Resident, Cell::Absent], Cell::Half),
            (&[Cell::Resident, Cell::Huge], Cell::Huge),
            (&[Cell::Few; 3], Cell::Few),
            (&[Cell::Few, Cell::Absent], Cell::Few),
            (&[Cell::Resident, Cell::Dirty, Cell::Writeback], Cell::Dirty),
            (&[Cell::Dirty, Cell::Unknown], Cell::Unknown),
        ] {
            assert_eq!(Cell::together(cells), together, "{cells:?}");
        }
    }

    #[test]
    fn no_two_states_look_alike() {
        for (index, look) in LOOKS.iter().enumerate() {
            for other in &LOOKS[index + 1..] {
                assert!(look.glyph != other.glyph && look.name != other.name, "{}", look.name);
                assert_ne!(look.meaning, other.meaning);
            }
        }
    }

    #[test]
    fn the_shade_is_the_part_that_is_in_memory() {
        for (resident, cell) in [
            (0, Cell::Absent),
            (1, Cell::Few),
            (332, Cell::Few),
            (334, Cell::Half),
            (666, Cell::Half),
            (667, Cell::Most),
            (999, Cell::Most),
            (1000, Cell::Resident),
        ] {
            assert_eq!(Cell::of_counts(&pages(1000, resident), false), cell, "{resident}");
        }
    }

    #[test]
    fn what_matters_most_is_shown() {
        let part = pages(10, 5);
        let full = pages(10, 10);
        let gone = pages(10, 0);
        for (counts, is_hole, cell) in [
            (Counts { dirty_pages: Some(1), writeback_pages: Some(1), ..part }, false, Cell::Dirty),
            (Counts { dirty_pages: Some(1), ..part }, true, Cell::Dirty),
            (Counts { writeback_pages: Some(1), ..full }, false, Cell::Writeback),
            (Counts { evicted_pages: Some(5), ..part }, false, Cell::Half),
            (Counts { evicted_pages: Some(1), ..gone }, false, Cell::PushedOut),
            (Counts { swapped_pages: Some(1), ..gone }, false, Cell::PushedOut),
            (Counts { evicted_pages: Some(1), ..gone }, true, Cell::Hole),
            (gone, true, Cell::Hole),
            (full, true, Cell::Resident),
            (Counts { huge_pages: Some(10), ..full }, false, Cell::Huge),
            (Counts { huge_pages: Some(5), ..part }, false, Cell::Half),
        ] {
            assert_eq!(Cell::of_counts(&counts, is_hole), cell, "{counts:?} {is_hole}");
        }
        let unknown = Residency::Unknown(Untold::NotOwner);
        assert_eq!(Cell::of(unknown, true), Cell::Unknown);
    }
}
