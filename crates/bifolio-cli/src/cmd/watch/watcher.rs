//! A source and the model that shows it: what is looked at when, and what is recorded of it.

use super::grid::Window;
use super::model::Model;
use super::pace::{Effort, Pace};
use super::record::{CELLS_MAX, Recorded, Recorder};
use super::source::{Item, Source};
use crate::bytes::counted;
use crate::cell::Cell;
use crate::failure::Failure;
use crate::name::{harmless, shown};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How often the grid is looked at.
const GRID_PERIOD: Duration = Duration::from_millis(100);

/// How often the list, its bars and the counters are.
const LIST_PERIOD: Duration = Duration::from_secs(1);

/// How many cells the bar of an item has.
pub(super) const BAR_CELLS: usize = 64;

/// How many names are tried for a new file.
const NAMES_MAX: u32 = 1000;

/// What is watched, and what is shown of it.
pub(super) struct Watcher {
    pub(super) source: Box<dyn Source>,
    pub(super) model: Model,
    recorder: Option<Recorder>,
    began: Instant,
    grid: Pace,
    list: Pace,
    /// When a recording that is shown goes on.
    next_frame: Option<Instant>,
}

impl Watcher {
    pub(super) fn new(source: Box<dyn Source>, model: Model) -> Watcher {
        let now = Instant::now();
        Watcher {
            source,
            model,
            recorder: None,
            began: now,
            grid: Pace::new(GRID_PERIOD, now),
            list: Pace::new(LIST_PERIOD, now),
            next_frame: None,
        }
    }

    /// Looks at all of it for the first time.
    pub(super) fn first_look(&mut self) -> Result<(), Failure> {
        self.model.replay = self.source.position();
        self.source.refresh()?;
        if let Some(counters) = self.source.counters() {
            self.model.set_counters(0, counters);
        }
        self.look(0..self.source.items().len());
        Ok(())
    }

    /// Does what is due; `rows` of the list show.
    pub(super) fn step(&mut self, now: Instant, rows: Range<usize>) {
        if self.source.position().is_some() {
            return self.play(now, rows);
        }
        if self.model.is_paused || self.model.is_over {
            return;
        }
        if self.list.is_due(now) {
            let effort = Effort::start();
            self.look_at_list(rows);
            self.list.done(now, effort.spent());
        }
        let now = Instant::now();
        if self.grid.is_due(now) {
            let effort = Effort::start();
            self.look_at_grid();
            self.grid.done(now, effort.spent());
            let looks_per_s = 1.0 / self.grid.current().as_secs_f64();
            self.model.set_looks(looks_per_s);
        }
    }

    /// When there is something to do again, if nobody presses a key.
    pub(super) fn next(&self, now: Instant) -> Instant {
        match self.next_frame {
            _ if self.model.is_paused || self.model.is_over => now + LIST_PERIOD,
            Some(next) => next,
            None if self.source.position().is_some() => now + LIST_PERIOD,
            None => self.grid.next().min(self.list.next()),
        }
    }

    /// Looks at once, whatever is due: something else shows now.
    pub(super) fn look(&mut self, rows: Range<usize>) {
        self.model.set_items(self.source.items());
        self.look_at_bars(rows);
        self.look_at_grid();
    }

    /// Shows another moment of a recording.
    pub(super) fn wind(&mut self, frames: i64, rows: Range<usize>) {
        self.source.wind(frames);
        self.show_moment(rows);
    }

    /// Goes on in a recording as fast as it was made.
    fn play(&mut self, now: Instant, rows: Range<usize>) {
        if self.model.replay.is_none() {
            self.show_moment(rows.clone());
        }
        if self.model.is_paused {
            self.next_frame = None;
            return;
        }
        match self.next_frame.filter(|&next| now >= next) {
            Some(next) => {
                self.wind(1, rows);
                self.next_frame = self.source.frame_lasts().map(|lasts| next + lasts);
            }
            None if self.next_frame.is_none() => {
                self.next_frame = self.source.frame_lasts().map(|lasts| now + lasts);
            }
            None => {}
        }
    }

    fn show_moment(&mut self, rows: Range<usize>) {
        self.model.set_moment(self.source.position());
        if let (Some(counters), Some(at)) = (self.source.counters(), self.source.position()) {
            self.model.set_counters(at.at_ms, counters);
        }
        self.look(rows);
    }

    fn look_at_list(&mut self, rows: Range<usize>) {
        if let Err(failure) = self.source.refresh() {
            self.model.is_over = true;
            self.model.say(harmless(&failure.to_string()));
            // What was there is no more.
            self.look(rows);
            return;
        }
        self.model.set_items(self.source.items());
        self.look_at_bars(rows);
        let counters = self.source.counters();
        let at_ms = self.began.elapsed().as_millis() as u64;
        if let Some(counters) = counters {
            self.model.set_counters(at_ms, counters);
        }
        if let Some(mut recorder) = self.recorder.take() {
            let items = self.source.items().to_vec();
            let news: Vec<_> = items.iter().filter(|item| recorder.is_news(item)).collect();
            let news = news.into_iter().map(|item| self.record_of(item)).collect();
            let added = recorder.add(at_ms, counters, news, Some(&items));
            let flushed = added.and_then(|()| recorder.flush());
            self.go_on_recording(recorder, flushed);
        }
    }

    fn look_at_bars(&mut self, rows: Range<usize>) {
        let items = self.model.items.get(rows).unwrap_or_default();
        let places: Vec<_> = items.iter().map(|item| (item.id, item.place.clone())).collect();
        for (id, place) in places {
            let window = Window::whole(&place, BAR_CELLS, self.model.page_bytes);
            let cells = self.cells(id, &window);
            self.model.set_bar(id, cells);
        }
    }

    fn look_at_grid(&mut self) {
        let (Some(item), Some(window)) = (self.model.selected_item(), self.model.window()) else {
            return;
        };
        let item = item.clone();
        let cells = self.cells(item.id, &window);
        self.model.set_cells(item.id, &window, &cells);
        if let Some(mut recorder) = self.recorder.take() {
            let at_ms = self.began.elapsed().as_millis() as u64;
            let record = self.record_of(&item);
            let added = recorder.add(at_ms, None, vec![record], None);
            self.go_on_recording(recorder, added);
        }
    }

    fn cells(&mut self, id: u64, window: &Window) -> Vec<Cell> {
        let mut cells = vec![Cell::Unknown; window.count];
        self.source.look(id, window, &mut cells);
        cells
    }

    fn record_of(&mut self, item: &Item) -> Recorded {
        let window = Window::whole(&item.place, CELLS_MAX, self.model.page_bytes);
        let cells = self.cells(item.id, &window);
        Recorded::new(item, &window, &cells)
    }

    /// Begins a recording, in the first file of a series that is free where none is named.
    pub(super) fn record(&mut self, path: Option<&Path>) -> Result<(), Failure> {
        let (of, page_bytes) = (self.source.subject(), self.model.page_bytes);
        let path = path.map_or_else(|| free_name("watch", "jsonl"), Path::to_path_buf);
        let recorder = Recorder::begin(&path, of, page_bytes)?;
        self.model.say(format!("recording to {}", shown(&path)));
        self.model.recording = Some(shown(&path));
        self.recorder = Some(recorder);
        self.list.hurry(Instant::now());
        Ok(())
    }

    /// Whether a recording is being made.
    pub(super) fn is_recording(&self) -> bool {
        self.recorder.is_some()
    }

    /// Ends a recording, and says where it is.
    pub(super) fn end_recording(&mut self) -> Result<(), Failure> {
        let Some(recorder) = self.recorder.take() else { return Ok(()) };
        self.model.recording = None;
        let name = shown(recorder.path());
        let frames = recorder.end()?;
        self.model.say(format!("recorded {} to {name}", counted(frames, "frame")));
        Ok(())
    }

    fn go_on_recording(&mut self, recorder: Recorder, last: Result<(), Failure>) {
        match last {
            Ok(()) => self.recorder = Some(recorder),
            Err(failure) => {
                self.model.recording = None;
                self.model.say(format!("recorded no more: {}", harmless(&failure.to_string())));
            }
        }
    }
}

/// A name that no file has yet: `watch-1.jsonl`, `watch-2.jsonl`.
pub(super) fn free_name(stem: &str, extension: &str) -> PathBuf {
    let name = |number| PathBuf::from(format!("{stem}-{number}.{extension}"));
    (1..NAMES_MAX).map(name).find(|name| !name.exists()).unwrap_or_else(|| name(NAMES_MAX))
}
