//! What the screen shows, and what the keys do to it. It asks nobody: who runs it looks.

use super::grid::{Grid, Window, Zoom};
use super::history::History;
use super::keys::Key;
use super::source::{Counters, Item, Position, Subject};
use crate::cell::Cell;
use std::collections::HashMap;

/// In which order the list stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Order {
    /// As given, or by address
    Given,
    /// Most bytes in memory first
    Resident,
}

/// What a key asks of the program, beyond another picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    Quit,
    /// As SIGINT does.
    Interrupt,
    /// As SIGTSTP does.
    Suspend,
    Touch,
    Evict,
    Save,
    Record,
    /// So many frames on in a recording, back where negative.
    Scrub(i64),
}

/// All that is shown.
pub(super) struct Model {
    pub(super) subject: Subject,
    pub(super) items: Vec<Item>,
    pub(super) bars: HashMap<u64, Vec<Cell>>,
    pub(super) grid: Grid,
    pub(super) history: History,
    pub(super) order: Order,
    /// Whether each cell takes a character and stands by its glyph.
    pub(super) glyphs_only: bool,
    pub(super) has_color: bool,
    pub(super) page_bytes: u64,
    pub(super) is_paused: bool,
    /// Whether there is nothing left to look at.
    pub(super) is_over: bool,
    pub(super) shows_help: bool,
    /// The name of the file that is recorded to.
    pub(super) recording: Option<String>,
    pub(super) replay: Option<Position>,
    /// Looks in a second.
    pub(super) looks_per_s: f64,
    /// What happened last.
    pub(super) status: String,
    /// Whether the screen is not as all this is.
    pub(super) is_changed: bool,
    selected: usize,
    zoom: Zoom,
    /// How many cells the screen has room for.
    capacity: usize,
}

impl Model {
    pub(super) fn new(subject: Subject, order: Order, has_color: bool, page_bytes: u64) -> Model {
        Model {
            subject,
            items: vec![],
            bars: HashMap::new(),
            grid: Grid::default(),
            history: History::default(),
            order,
            glyphs_only: !has_color,
            has_color,
            page_bytes,
            is_paused: false,
            is_over: false,
            shows_help: false,
            recording: None,
            replay: None,
            looks_per_s: 0.0,
            status: String::new(),
            is_changed: true,
            selected: 0,
            zoom: Zoom::default(),
            capacity: 0,
        }
    }

    /// Takes the list; what was selected stays so where it is still there.
    pub(super) fn set_items(&mut self, items: &[Item]) {
        let id = self.selected_item().map(|item| item.id);
        let mut items = items.to_vec();
        if self.order == Order::Resident {
            // Equal ones stay in their order, so that rows do not jump.
            items.sort_by_key(|item| std::cmp::Reverse(item.resident_pages()));
        }
        self.is_changed |= items != self.items;
        self.items = items;
        let found = id.and_then(|id| self.items.iter().position(|item| item.id == id));
        // At first the first; later the one that took its place in the list.
        self.selected = found.unwrap_or(self.selected).min(self.items.len().saturating_sub(1));
    }

    /// Takes the bar of an item.
    pub(super) fn set_bar(&mut self, id: u64, bar: Vec<Cell>) {
        self.is_changed |= self.bars.get(&id) != Some(&bar);
        self.bars.insert(id, bar);
    }

    /// Takes what a look at the window found.
    pub(super) fn set_cells(&mut self, id: u64, window: &Window, cells: &[Cell]) {
        self.is_changed |= self.grid.update(id, window, cells);
    }

    /// Takes the moment of a recording, which shows even where all is as at the one before.
    pub(super) fn set_moment(&mut self, moment: Option<Position>) {
        self.is_changed |= moment != self.replay;
        self.replay = moment;
    }

    /// Takes the counters of a moment.
    pub(super) fn set_counters(&mut self, at_ms: u64, counters: Counters) {
        self.is_changed = true;
        self.history.add(at_ms, counters);
    }

    /// Takes how often the grid is looked at.
    pub(super) fn set_looks(&mut self, per_s: f64) {
        self.is_changed |= per_s.round() != self.looks_per_s.round();
        self.looks_per_s = per_s;
    }

    /// Says what happened.
    pub(super) fn say(&mut self, text: impl Into<String>) {
        self.status = text.into();
        self.is_changed = true;
    }

    /// Takes the number of cells that the screen has room for.
    pub(super) fn set_capacity(&mut self, cells: usize) {
        self.is_changed |= self.capacity != cells;
        self.capacity = cells;
    }

    pub(super) fn selected(&self) -> usize {
        self.selected
    }

    pub(super) fn selected_item(&self) -> Option<&Item> {
        self.items.get(self.selected)
    }

    pub(super) fn zoom_factor(&self) -> u64 {
        self.zoom.factor()
    }

    /// What the grid shows: a window on the selected item.
    pub(super) fn window(&self) -> Option<Window> {
        let item = self.selected_item()?;
        Some(self.zoom.window(&item.place, self.capacity, self.page_bytes))
    }

    /// Does what a key says, and returns what is left to be done by others.
    pub(super) fn press(&mut self, key: Key) -> Option<Wish> {
        self.is_changed = true;
        self.status.clear();
        match key {
            Key::Quit => return Some(Wish::Quit),
            Key::Interrupt => return Some(Wish::Interrupt),
            Key::Suspend => return Some(Wish::Suspend),
            Key::Touch => return Some(Wish::Touch),
            Key::Evict => return Some(Wish::Evict),
            Key::Save => return Some(Wish::Save),
            Key::Record => return Some(Wish::Record),
            Key::Back(frames) => return self.scrub(-frames),
            Key::On(frames) => return self.scrub(frames),
            Key::Up => self.select(self.selected.saturating_sub(1)),
            Key::Down => self.select(self.selected + 1),
            Key::First => self.select(0),
            Key::Last => self.select(usize::MAX),
            Key::Closer => self.change_zoom(true),
            Key::Farther => self.change_zoom(false),
            Key::ScrollBack => self.scroll(-1),
            Key::ScrollOn => self.scroll(1),
            Key::Pause => self.is_paused ^= true,
            Key::Help => self.shows_help ^= true,
            Key::Glyphs => self.glyphs_only ^= true,
            Key::Order => {
                self.order = match self.order {
                    Order::Given => Order::Resident,
                    Order::Resident => Order::Given,
                };
                self.say(match self.order {
                    Order::Given => "in the order given",
                    Order::Resident => "most bytes in memory first",
                });
            }
        }
        None
    }

    fn scrub(&mut self, frames: i64) -> Option<Wish> {
        if self.replay.is_some() {
            self.is_paused = true;
            return Some(Wish::Scrub(frames));
        }
        self.say("only a recording can be wound: watch --replay FILE");
        None
    }

    fn select(&mut self, index: usize) {
        let index = index.min(self.items.len().saturating_sub(1));
        if index != self.selected {
            self.selected = index;
            self.zoom = Zoom::default();
        }
    }

    fn change_zoom(&mut self, closer: bool) {
        let (Some(window), Some(item)) = (self.window(), self.items.get(self.selected)) else {
            return;
        };
        self.zoom.change(closer, &item.place, &window, self.page_bytes);
    }

    /// Half a screen.
    fn scroll(&mut self, direction: i64) {
        let (Some(window), Some(item)) = (self.window(), self.items.get(self.selected)) else {
            return;
        };
        let cells = (window.count / 2).max(1) as i64;
        self.zoom.scroll(direction * cells, &item.place, &window);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cell::Counts;

    fn item(id: u64, resident_pages: u64) -> Item {
        Item {
            id,
            name: format!("file{id}"),
            place: 0..1 << 20,
            totals: Ok(Counts { total_pages: 256, resident_pages, ..Counts::default() }),
            note: String::new(),
            file: None,
        }
    }

    fn model(order: Order) -> Model {
        let mut model = Model::new(Subject::Files, order, true, 4096);
        model.set_capacity(64);
        model.set_items(&[item(0, 1), item(1, 3), item(2, 2)]);
        model
    }

    fn ids(model: &Model) -> Vec<u64> {
        model.items.iter().map(|item| item.id).collect()
    }

    #[test]
    fn the_selection_stays_on_its_item_when_the_order_changes() {
        let mut model = model(Order::Given);
        model.press(Key::Down);
        assert_eq!(model.selected_item().unwrap().id, 1);
        model.press(Key::Order);
        model.set_items(&[item(0, 1), item(1, 3), item(2, 2)]);
        assert_eq!((ids(&model), model.selected()), (vec![1, 2, 0], 0));
        model.set_items(&[item(0, 9), item(1, 3), item(2, 2)]);
        assert_eq!((ids(&model), model.selected()), (vec![0, 1, 2], 1));
        // What is gone leaves its place to the next.
        model.set_items(&[item(0, 9), item(2, 2)]);
        assert_eq!(model.selected_item().unwrap().id, 2);
        model.set_items(&[]);
        assert_eq!(model.window(), None);
        for key in [Key::Down, Key::Closer, Key::ScrollOn, Key::Last, Key::Up] {
            assert_eq!(model.press(key), None);
        }
    }

    #[test]
    fn the_keys_zoom_and_scroll_the_selected_item_alone() {
        let mut model = model(Order::Given);
        assert_eq!(model.window().unwrap().range(), 0..1 << 20);
        model.press(Key::Closer);
        assert_eq!(model.window().unwrap().range(), 1 << 18..3 << 18);
        model.press(Key::ScrollOn);
        assert_eq!(model.window().unwrap().range(), 1 << 19..1 << 20);
        model.press(Key::ScrollBack);
        model.press(Key::Farther);
        assert_eq!((model.window().unwrap().range(), model.zoom_factor()), (0..1 << 20, 1));
        model.press(Key::Closer);
        model.press(Key::Down);
        assert_eq!(model.zoom_factor(), 1);
    }

    #[test]
    fn only_a_recording_is_wound_and_it_stands_still_then() {
        let mut model = model(Order::Given);
        assert_eq!(model.press(Key::Back(1)), None);
        assert!(model.status.contains("--replay"));
        model.replay = Some(Position { frame: 0, frames: 10, at_ms: 0 });
        assert_eq!(model.press(Key::Back(10)), Some(Wish::Scrub(-10)));
        assert!(model.is_paused && model.status.is_empty());
    }

    #[test]
    fn what_is_as_before_is_not_drawn_again() {
        let mut model = model(Order::Given);
        let window = model.window().unwrap();
        model.set_cells(0, &window, &[Cell::Absent; 64]);
        model.set_bar(0, vec![Cell::Absent]);
        model.is_changed = false;
        model.set_items(&[item(0, 1), item(1, 3), item(2, 2)]);
        model.set_cells(0, &window, &[Cell::Absent; 64]);
        model.set_bar(0, vec![Cell::Absent]);
        model.set_capacity(64);
        assert!(!model.is_changed);
        model.set_bar(0, vec![Cell::Few]);
        assert!(model.is_changed);
    }
}
