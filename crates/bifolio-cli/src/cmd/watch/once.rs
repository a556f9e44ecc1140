//! One picture as text, for pipes and files: the list, the grid of what is selected, the numbers.

use super::grid::Window;
use super::record::CELLS_MAX;
use super::source::{Counters, Subject};
use super::watcher::Watcher;
use crate::cell::Cell;
use crate::console::Console;
use crate::failure::Failure;
use crate::json;
use anstyle::AnsiColor;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use serde::Serialize;
use std::io::Write;

/// The rows of the grid.
const GRID_ROWS: u16 = 12;

/// Looks once, and writes what there is to be seen.
pub(super) fn text(watcher: &mut Watcher, console: &mut Console) -> Result<(), Failure> {
    let width = u16::try_from(console.columns()).unwrap_or(u16::MAX).min(1000);
    let row = Rect { x: 0, y: 0, width, height: 1 };
    let grid = Rect { height: GRID_ROWS, ..row };
    watcher.model.set_capacity(watcher.model.cells_in(grid));
    watcher.first_look()?;
    let model = &watcher.model;
    let mut page = Page { console, row };
    page.draw(1, |area, buf| model.draw_title(area, buf))?;
    for index in 0..model.items.len() {
        page.draw(1, |area, buf| model.draw_row(index, area, buf))?;
    }
    page.draw(1, |_, _| ())?;
    page.draw(2, |area, buf| model.draw_header(area, buf))?;
    let cells = model.grid.cells().len();
    let rows = cells.div_ceil(model.cells_in(row).max(1)) as u16;
    page.draw(rows, |area, buf| model.draw_grid(area, buf))?;
    page.draw(1, |_, _| ())?;
    page.draw(model.numbers_rows(), |area, buf| model.draw_numbers(area, buf))?;
    page.draw(model.foot_rows_now(width), |area, buf| model.draw_foot(area, buf))
}

/// Where the picture goes, part by part.
struct Page<'a> {
    console: &'a mut Console,
    row: Rect,
}

impl Page<'_> {
    /// Writes so many rows.
    fn draw(&mut self, rows: u16, draw: impl FnOnce(Rect, &mut Buffer)) -> Result<(), Failure> {
        let area = Rect { height: rows, ..self.row };
        let mut buf = Buffer::empty(area);
        draw(area, &mut buf);
        for row in buf.content.chunks(usize::from(area.width).max(1)) {
            // Not what is blank anyway at the end.
            let is_blank = |cell: &ratatui::buffer::Cell| {
                cell.symbol() == " " && cell.bg == ratatui::style::Color::Reset
            };
            let len = row.iter().rposition(|cell| !is_blank(cell)).map_or(0, |last| last + 1);
            for run in row[..len].chunk_by(|a, b| a.style() == b.style()) {
                let text: String = run.iter().map(|cell| cell.symbol()).collect();
                let text = self.console.paint(ansi(&run[0]), text).to_string();
                write!(self.console, "{text}")?;
            }
            writeln!(self.console)?;
        }
        Ok(())
    }
}

/// The style of a place on the screen, for text.
fn ansi(cell: &ratatui::buffer::Cell) -> anstyle::Style {
    let color = |color| AnsiColor::try_from(color).ok().map(anstyle::Color::from);
    anstyle::Style::new().fg_color(color(cell.fg)).bg_color(color(cell.bg))
        | anstyle::Effects::from(cell.modifier)
}

/// Looks once, and writes it as a JSON document.
pub(super) fn json(watcher: &mut Watcher, console: &mut Console) -> Result<(), Failure> {
    watcher.first_look()?;
    let items = watcher.source.items().to_vec();
    let items = items.iter().map(|item| {
        let window = Window::whole(&item.place, CELLS_MAX, watcher.model.page_bytes);
        let mut cells = vec![Cell::Unknown; window.count];
        watcher.source.look(item.id, &window, &mut cells);
        let mut at = 0;
        let runs = cells.chunk_by(|a, b| a == b).map(|run| {
            let bytes = window.bytes(at..at + run.len());
            at += run.len();
            RunDocument {
                start: bytes.start,
                len_bytes: bytes.end - bytes.start,
                state: run[0].name(),
            }
        });
        ItemDocument {
            name: &item.name,
            path: item.file.as_ref().map(|file| json::Path(&file.path)),
            start: item.place.start,
            len_bytes: item.len(),
            note: &item.note,
            pages: item.totals.as_ref().ok(),
            unknown: item.totals.as_ref().err(),
            cell_bytes: window.cell_bytes,
            runs: runs.collect(),
        }
    });
    let items = items.collect();
    let (pid, counters) = match watcher.source.subject() {
        Subject::Files => (None, watcher.source.counters()),
        Subject::Process(id) => (Some(id), watcher.source.counters()),
    };
    console.json(&Document { pid, page_bytes: watcher.model.page_bytes, items, counters })
}

#[derive(Serialize)]
struct Document<'a> {
    pid: Option<u32>,
    page_bytes: u64,
    items: Vec<ItemDocument<'a>>,
    counters: Option<Counters>,
}

#[derive(Serialize)]
struct ItemDocument<'a> {
    name: &'a str,
    path: Option<json::Path<'a>>,
    start: u64,
    len_bytes: u64,
    note: &'a str,
    pages: Option<&'a crate::cell::Counts>,
    unknown: Option<&'a String>,
    cell_bytes: u64,
    runs: Vec<RunDocument>,
}

#[derive(Serialize)]
struct RunDocument {
    start: u64,
    len_bytes: u64,
    state: &'static str,
}
