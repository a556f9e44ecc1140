//! The loop: keys, signals, looking, drawing.

use super::actions::{Action, Actions};
use super::keys::Key;
use super::model::Wish;
use super::terminal::{Screen, unusable};
use super::watcher::{Watcher, free_name};
use crate::failure::Failure;
use crate::name::harmless;
use ratatui::crossterm::event::{self, Event};
use ratatui::layout::Rect;
use std::time::{Duration, Instant};

/// How long a signal may wait to be seen.
const WAIT_MAX: Duration = Duration::from_millis(100);

/// Shows the screen until it is left.
pub(super) fn run(watcher: &mut Watcher) -> Result<(), Failure> {
    let mut screen = Screen::take()?;
    let actions = Actions::new();
    loop {
        if let Some(signal) = screen.signal() {
            watcher.end_recording()?;
            screen.obey(signal)?;
            watcher.model.is_changed = true;
        }
        if let Some(said) = actions.said() {
            watcher.model.say(said);
        }
        let size = screen.terminal.size().map_err(unusable)?;
        let area = Rect { x: 0, y: 0, width: size.width, height: size.height };
        let places = watcher.model.places(area);
        watcher.model.set_capacity(watcher.model.cells_in(places.grid));
        let rows = watcher.model.rows_in(places.list);
        watcher.step(Instant::now(), rows);
        if watcher.model.is_changed {
            watcher.model.is_changed = false;
            let model = &watcher.model;
            let drawn = screen.terminal.draw(|frame| {
                let places = model.places(frame.area());
                model.draw(&places, frame.buffer_mut());
            });
            drawn.map_err(unusable)?;
        }
        let now = Instant::now();
        let wait = watcher.next(now).saturating_duration_since(now).min(WAIT_MAX);
        if !event::poll(wait).map_err(unusable)? {
            continue;
        }
        match event::read().map_err(unusable)? {
            Event::Resize(..) => watcher.model.is_changed = true,
            Event::Key(key) => {
                let wish = Key::of(key).and_then(|key| watcher.model.press(key));
                if let Some(wish) = wish
                    && !grant(wish, watcher, &mut screen, &actions)?
                {
                    return Ok(());
                }
                let places = watcher.model.places(area);
                watcher.model.set_capacity(watcher.model.cells_in(places.grid));
                watcher.look(watcher.model.rows_in(places.list));
            }
            _ => {}
        }
    }
}

/// Does what a key asked for; whether to go on.
fn grant(
    wish: Wish,
    watcher: &mut Watcher,
    screen: &mut Screen,
    actions: &Actions,
) -> Result<bool, Failure> {
    match wish {
        Wish::Quit => {
            watcher.end_recording()?;
            return Ok(false);
        }
        Wish::Interrupt => {
            watcher.end_recording()?;
            screen.interrupt()?;
        }
        Wish::Suspend => screen.suspend()?,
        Wish::Touch => begin(Action::Touch, watcher, actions),
        Wish::Evict => begin(Action::Evict, watcher, actions),
        Wish::Save => save(watcher, actions),
        Wish::Record => {
            let done = match watcher.is_recording() {
                true => watcher.end_recording(),
                false => watcher.record(None),
            };
            if let Err(failure) = done {
                watcher.model.say(harmless(&failure.to_string()));
            }
        }
        Wish::Scrub(frames) => {
            let rows = 0..watcher.model.items.len();
            watcher.wind(frames, rows);
        }
    }
    Ok(true)
}

fn begin(action: Action, watcher: &mut Watcher, actions: &Actions) {
    let (Some(item), Some(window)) = (watcher.model.selected_item(), watcher.model.window()) else {
        return;
    };
    let said = actions.begin(action, item, &window.range());
    watcher.model.say(said);
}

/// Saves which pages are in memory, of all files in the list.
fn save(watcher: &mut Watcher, actions: &Actions) {
    let files = watcher.source.items().iter().filter_map(|item| item.file.as_ref());
    let mut paths: Vec<_> = files.map(|file| file.path.clone()).collect();
    paths.sort();
    paths.dedup();
    let said = match paths.is_empty() {
        true => "there is no file of which anything could be saved".to_owned(),
        false => actions.save(paths, free_name("residency", "snapshot")),
    };
    watcher.model.say(said);
}
