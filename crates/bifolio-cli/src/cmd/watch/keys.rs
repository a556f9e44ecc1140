//! The keys, and what they are called in the line of help.

use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What a key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Quit,
    Interrupt,
    Suspend,
    Up,
    Down,
    First,
    Last,
    Closer,
    Farther,
    ScrollBack,
    ScrollOn,
    Touch,
    Evict,
    Save,
    Pause,
    Record,
    /// So many frames back in a recording.
    Back(i64),
    /// So many frames on in a recording.
    On(i64),
    Order,
    Glyphs,
    Help,
}

/// The keys in words, for the line of help.
pub(super) const HELP: &str = "q quit  jk or arrows select  +- zoom  PgUp PgDn scroll  \
     t touch  e evict  s save  p pause  r record  <> wind a recording  o order  g glyphs  ? help";

impl Key {
    /// What a key that was pressed means, if anything.
    pub(super) fn of(event: KeyEvent) -> Option<Key> {
        if event.kind == KeyEventKind::Release {
            return None;
        }
        if event.modifiers.contains(KeyModifiers::CONTROL) {
            return match event.code {
                KeyCode::Char('c') => Some(Key::Interrupt),
                KeyCode::Char('z') => Some(Key::Suspend),
                _ => None,
            };
        }
        Some(match event.code {
            KeyCode::Char('q') | KeyCode::Esc => Key::Quit,
            KeyCode::Up | KeyCode::Char('k') => Key::Up,
            KeyCode::Down | KeyCode::Char('j') => Key::Down,
            KeyCode::Home => Key::First,
            KeyCode::End => Key::Last,
            KeyCode::Char('+' | '=') => Key::Closer,
            KeyCode::Char('-') => Key::Farther,
            KeyCode::PageUp | KeyCode::Left | KeyCode::Char('h') => Key::ScrollBack,
            KeyCode::PageDown | KeyCode::Right | KeyCode::Char('l') => Key::ScrollOn,
            KeyCode::Char('t') => Key::Touch,
            KeyCode::Char('e') => Key::Evict,
            KeyCode::Char('s') => Key::Save,
            KeyCode::Char('p' | ' ') => Key::Pause,
            KeyCode::Char('r') => Key::Record,
            KeyCode::Char('<') => Key::Back(1),
            KeyCode::Char('>') => Key::On(1),
            KeyCode::Char('{') => Key::Back(10),
            KeyCode::Char('}') => Key::On(10),
            KeyCode::Char('o') => Key::Order,
            KeyCode::Char('g') => Key::Glyphs,
            KeyCode::Char('?') => Key::Help,
            _ => return None,
        })
    }
}
