//! The model, drawn: everything that the screen shows and `--once` prints.

use super::history::curve;
use super::keys;
use super::model::Model;
use super::places::Places;
use super::source::{Item, Subject};
use crate::bytes::{grouped, human, percent};
use crate::cell::{self, Cell};
use crate::wrap::wrap;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

/// The columns of a curve at most, and of all that stands beside three of them.
const CURVE_COLUMNS: usize = 16;
const WORDS_COLUMNS: usize = 60;

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const DIM: Style = Style::new().add_modifier(Modifier::DIM);

impl Model {
    /// Where everything stands on a screen.
    pub(super) fn places(&self, area: Rect) -> Places {
        Places::on(area, self.items.len(), self.numbers_rows(), self.foot_rows(area.width))
    }

    /// How many cells the grid has in this place.
    pub(super) fn cells_in(&self, grid: Rect) -> usize {
        grid.area() as usize * if self.glyphs_only { 1 } else { 2 }
    }

    /// Which rows of the list show in a place: the selected one is among them.
    pub(super) fn rows_in(&self, list: Rect) -> std::ops::Range<usize> {
        let rows = usize::from(list.height);
        let first = (self.selected() + 1).saturating_sub(rows).max(
            // As few screens as there can be, so that the list does not move with each key.
            self.selected().checked_div(rows).unwrap_or(0) * rows,
        );
        let first = first.min(self.items.len().saturating_sub(rows));
        first..(first + rows).min(self.items.len())
    }

    /// Draws all of it.
    pub(super) fn draw(&self, places: &Places, buf: &mut Buffer) {
        self.draw_title(places.title, buf);
        self.draw_list(places.list, buf);
        self.draw_header(places.header, buf);
        self.draw_grid(places.grid, buf);
        self.draw_numbers(places.numbers, buf);
        self.draw_foot(places.foot, buf);
    }

    pub(super) fn draw_title(&self, area: Rect, buf: &mut Buffer) {
        let what = match self.subject {
            Subject::Files => match self.items.len() {
                1 => "1 file".to_owned(),
                count => format!("{} files", grouped(count as u64)),
            },
            Subject::Process(id) => {
                format!("process {id}, {} mappings", grouped(self.items.len() as u64))
            }
        };
        let left =
            Line::from(vec![Span::styled("bifolio watch", BOLD), format!("  {what}").into()]);
        let mut flags = vec![];
        if let Some(at) = self.replay {
            let seconds = at.at_ms as f64 / 1000.0;
            flags.push(format!("replay {seconds:.1} s, frame {} of {}", at.frame + 1, at.frames));
        } else if self.is_over {
            flags.push("ENDED".to_owned());
        } else if self.looks_per_s > 0.0 {
            flags.push(format!("{:.0} looks/s", self.looks_per_s));
        }
        if let Some(name) = &self.recording {
            flags.push(format!("REC {name}"));
        }
        if self.is_paused {
            flags.push("PAUSED".to_owned());
        }
        draw_lines(&[left], area, buf);
        let right = Line::styled(flags.join("  "), DIM).right_aligned();
        let used = 16 + what.len() as u16;
        if area.width > used + right.width() as u16 {
            draw_lines(&[right], area, buf);
        } else if area.width > used {
            let rest = Rect { x: area.x + used, width: area.width - used, ..area };
            draw_lines(&[right.left_aligned()], rest, buf);
        }
    }

    fn draw_list(&self, area: Rect, buf: &mut Buffer) {
        for (row, index) in self.rows_in(area).enumerate() {
            let area = Rect { y: area.y + row as u16, height: 1, ..area };
            self.draw_row(index, area, buf);
        }
    }

    /// Draws one row of the list.
    pub(super) fn draw_row(&self, index: usize, area: Rect, buf: &mut Buffer) {
        if let Some(item) = self.items.get(index) {
            let line = self.row(item, index == self.selected(), usize::from(area.width));
            draw_lines(&[line], area, buf);
        }
    }

    /// Marker, name, size, the part in memory, and a bar.
    fn row(&self, item: &Item, is_selected: bool, width: usize) -> Line<'static> {
        // Marker, size, part, and the blanks between.
        let fixed = 2 + 10 + 6;
        let room = width.saturating_sub(fixed);
        let bar_width = if room >= 12 { room / 2 } else { 0 };
        let name_width = room - bar_width - usize::from(bar_width > 0);
        let name = shortened(&item.name, name_width.max(width.saturating_sub(2).min(8)));
        let style = if is_selected { BOLD } else { Style::new() };
        let part = match &item.totals {
            Ok(totals) => percent(totals.resident_pages, totals.total_pages)
                .map_or_else(|| "-".to_owned(), |percent| format!("{percent}%")),
            Err(_) => "?".to_owned(),
        };
        let text = format!(
            "{} {name:<name_width$} {:>9} {part:>5} ",
            if is_selected { '>' } else { ' ' },
            human(item.len())
        );
        let mut spans = vec![Span::styled(text, style)];
        if let Some(bar) = self.bars.get(&item.id).filter(|bar| !bar.is_empty()) {
            let at = |column| column * bar.len() / bar_width;
            let cells: Vec<Cell> = (0..bar_width)
                .map(|column| {
                    let first = at(column);
                    Cell::together(&bar[first..at(column + 1).max(first + 1)])
                })
                .collect();
            for run in cells.chunk_by(|a, b| a == b) {
                let glyphs: String = run.iter().map(|cell| cell.glyph()).collect();
                spans.push(Span::styled(glyphs, self.color(run[0])));
            }
        }
        Line::from(spans)
    }

    pub(super) fn draw_header(&self, area: Rect, buf: &mut Buffer) {
        let (Some(item), Some(window)) = (self.selected_item(), self.window()) else { return };
        let range = window.range();
        let place = match self.subject {
            _ if window.count == 0 => "empty".to_owned(),
            Subject::Files => format!("{} to {}", human(range.start), human(range.end)),
            Subject::Process(_) => format!("{:x}-{:x}", range.start, range.end),
        };
        let cell = format!("1 cell = {}", human(window.cell_bytes));
        let zoom = match self.zoom_factor() {
            1 => String::new(),
            factor => format!("  x{factor}"),
        };
        let first = Line::from(vec![Span::styled(place, BOLD), format!("  {cell}{zoom}").into()]);
        let said = match &item.totals {
            Err(why) => Line::styled(format!("unknown: {why}"), self.color(Cell::Unknown)),
            Ok(_) => Line::from(self.details(item)),
        };
        draw_lines(&[first, said], area, buf);
    }

    /// What is known of an item's pages, in words.
    fn details(&self, item: &Item) -> String {
        let Ok(totals) = &item.totals else { return String::new() };
        let size = |pages: u64| human(pages.saturating_mul(self.page_bytes));
        let mut said = vec![];
        if !item.note.is_empty() {
            said.push(item.note.clone());
        }
        said.push(format!("{} in memory", size(totals.resident_pages)));
        for (pages, what) in [
            (totals.dirty_pages, "dirty"),
            (totals.writeback_pages, "being written"),
            (totals.evicted_pages, "evicted"),
            (totals.swapped_pages, "swapped"),
            (totals.huge_pages, "huge"),
        ] {
            if let Some(pages @ 1..) = pages {
                said.push(format!("{} {what}", size(pages)));
            }
        }
        said.join(", ")
    }

    pub(super) fn draw_grid(&self, area: Rect, buf: &mut Buffer) {
        let per_character = if self.glyphs_only { 1 } else { 2 };
        let cells = self.grid.cells();
        for (index, pair) in cells.chunks(per_character).enumerate() {
            let (row, column) = (index / usize::from(area.width), index % usize::from(area.width));
            if row >= usize::from(area.height) {
                break;
            }
            let flash = |cell: usize| self.grid.is_flashing(index * per_character + cell);
            let (glyph, style) = match *pair {
                [cell] => self.one(cell, flash(0)),
                [first, second] => self.two((first, flash(0)), (second, flash(1))),
                _ => continue,
            };
            if let Some(at) = buf.cell_mut((area.x + column as u16, area.y + row as u16)) {
                at.set_char(glyph).set_style(style);
            }
        }
    }

    /// A character for one cell, or for two that are alike: the glyph says what it is.
    fn one(&self, cell: Cell, is_flashing: bool) -> (char, Style) {
        let style = self.color(cell);
        let flash = if is_flashing { Modifier::REVERSED } else { Modifier::empty() };
        (cell.glyph(), style.add_modifier(flash))
    }

    /// A character for two cells, the first above the second.
    fn two(&self, first: (Cell, bool), second: (Cell, bool)) -> (char, Style) {
        if first.0 == second.0 {
            return self.one(first.0, first.1 || second.1);
        }
        let color = |(cell, is_flashing): (Cell, bool)| match cell {
            _ if is_flashing => Color::White,
            Cell::Hole => Color::Reset,
            cell => cell.color(),
        };
        match (color(first), color(second)) {
            (Color::Reset, lower) => ('\u{2584}', Style::new().fg(lower)),
            (upper, lower) => ('\u{2580}', Style::new().fg(upper).bg(lower)),
        }
    }

    fn color(&self, cell: Cell) -> Style {
        if self.has_color { Style::new().fg(cell.color()) } else { Style::new() }
    }

    pub(super) fn draw_numbers(&self, area: Rect, buf: &mut Buffer) {
        draw_lines(&self.numbers(usize::from(area.width)), area, buf);
    }

    /// The rows of the numbers, also before there are any.
    pub(super) fn numbers_rows(&self) -> u16 {
        match self.subject {
            Subject::Files => 1,
            Subject::Process(_) => 2,
        }
    }

    pub(super) fn draw_foot(&self, area: Rect, buf: &mut Buffer) {
        draw_lines(&self.foot(area.width), area, buf);
    }

    /// Two lines: faults, and the memory of a process.
    fn numbers(&self, width: usize) -> Vec<Line<'static>> {
        let curve_columns = (width.saturating_sub(WORDS_COLUMNS) / 3).min(CURVE_COLUMNS);
        let Some(counters) = self.history.last() else { return vec![] };
        let rate = |name: &str, of: &dyn Fn(&super::source::Counters) -> u64| {
            let rate = self.history.rate(of);
            match rate.now {
                Some(now) => {
                    format!("{name} {}/s {}", grouped(now), curve(&rate.before, curve_columns))
                }
                None => format!("{name} {}", grouped(of(counters))),
            }
        };
        let whose = match self.subject {
            Subject::Files => "machine: ",
            Subject::Process(_) => "",
        };
        let mut first = vec![
            format!("{whose}{}", rate("faults", &|counters| counters.minor_faults)),
            rate("from disk", &|counters| counters.major_faults),
        ];
        if counters.refaults.is_some() {
            first.push(rate("refaults", &|counters| counters.refaults.unwrap_or(0)));
        }
        let mut lines = vec![Line::from(first.join("  "))];
        if let Some(now) = counters.rss {
            let sizes: [(&str, u64, Vec<u64>); 3] = [
                ("anonymous", now.anon_bytes, self.history.rss(|rss| rss.anon_bytes)),
                ("file", now.file_bytes, self.history.rss(|rss| rss.file_bytes)),
                ("shared", now.shmem_bytes, self.history.rss(|rss| rss.shmem_bytes)),
            ];
            let sizes = sizes.iter().map(|(name, now, before)| {
                format!("{name} {} {}", human(*now), curve(before, curve_columns))
            });
            let swapped = format!("swapped {}", human(now.swap_bytes));
            lines.push(Line::from(sizes.chain([swapped]).collect::<Vec<_>>().join("  ")));
        }
        lines
    }

    /// The last lines: what happened, then the keys where they are asked for, or else what the
    /// glyphs mean.
    fn foot(&self, width: u16) -> Vec<Line<'static>> {
        let width = usize::from(width.max(1));
        let wrapped = |text: &str| -> Vec<Line<'static>> {
            wrap(text, width, 0).lines().map(|line| Line::from(line.to_owned())).collect()
        };
        let mut lines = wrapped(&self.status);
        if self.shows_help {
            lines.extend(wrapped(keys::HELP));
        } else {
            lines.extend(self.legend(width));
        }
        lines
    }

    /// What the glyphs mean that show.
    fn legend(&self, width: usize) -> Vec<Line<'static>> {
        let bars = self.bars.values().flatten();
        let cells: Vec<Cell> = self.grid.cells().iter().chain(bars).copied().collect();
        self.legend_of(&cell::states(&cells), width)
    }

    fn legend_of(&self, states: &[Cell], width: usize) -> Vec<Line<'static>> {
        let mut lines = vec![Line::default()];
        for &state in states {
            let (key, meaning) = (state.key(), format!(" {}  ", state.meaning()));
            let added = key.chars().count() + meaning.len() - 2;
            let is_full = |line: &&mut Line| line.width() > 0 && line.width() + added > width;
            if lines.last_mut().filter(is_full).is_some() {
                lines.push(Line::default());
            }
            let Some(line) = lines.last_mut() else { continue };
            line.push_span(Span::styled(key, self.color(state)));
            line.push_span(meaning);
        }
        lines
    }

    /// The rows of the foot: enough for a word and every state that there can be, so that nothing
    /// moves when one is added.
    fn foot_rows(&self, width: u16) -> u16 {
        let mut states = cell::all().to_vec();
        states.retain(|state| match self.subject {
            Subject::Files => !matches!(state, Cell::Huge),
            Subject::Process(_) => !matches!(state, Cell::Dirty | Cell::Writeback | Cell::Hole),
        });
        1 + self.legend_of(&states, usize::from(width)).len() as u16
    }

    /// The rows of the foot where it is as high as what it says.
    pub(super) fn foot_rows_now(&self, width: u16) -> u16 {
        self.foot(width).len() as u16
    }
}

/// Draws lines one below the other, as many as there is room for.
fn draw_lines(lines: &[Line], area: Rect, buf: &mut Buffer) {
    for (y, line) in (area.y..area.bottom()).zip(lines) {
        let x = match line.alignment {
            Some(ratatui::layout::HorizontalAlignment::Right) => {
                area.right() - (line.width() as u16).min(area.width)
            }
            _ => area.x,
        };
        buf.set_line(x, y, line, area.right() - x);
    }
}

/// The end of a name that is too long: there names differ.
fn shortened(name: &str, width: usize) -> String {
    let len = name.chars().count();
    if len <= width || width == 0 {
        return name.chars().take(width).collect();
    }
    std::iter::once('\u{2026}').chain(name.chars().skip(len + 1 - width)).collect()
}
