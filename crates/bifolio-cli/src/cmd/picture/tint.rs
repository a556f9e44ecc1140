//! The colours of a picture: one for each state that a cell can have, in a light and a dark theme.

use crate::cell::Cell;

/// The colour of a cell, by what it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Tint {
    /// What its pages are.
    Is(Cell),
    /// More of it is in memory than before.
    Gained,
    /// Less of it is in memory than before.
    Lost,
}

impl Tint {
    /// Every colour, in the order of the legend.
    pub(super) const ALL: [Tint; 13] = [
        Tint::Is(Cell::Huge),
        Tint::Is(Cell::Resident),
        Tint::Is(Cell::Most),
        Tint::Is(Cell::Half),
        Tint::Is(Cell::Few),
        Tint::Is(Cell::Dirty),
        Tint::Is(Cell::Writeback),
        Tint::Is(Cell::PushedOut),
        Tint::Is(Cell::Absent),
        Tint::Is(Cell::Hole),
        Tint::Is(Cell::Unknown),
        Tint::Gained,
        Tint::Lost,
    ];

    /// Its class in the style sheet.
    pub(super) fn class(self) -> &'static str {
        match self {
            Tint::Is(cell) => cell.name(),
            Tint::Gained => "gained",
            Tint::Lost => "lost",
        }
    }

    /// What it says.
    pub(super) fn meaning(self) -> &'static str {
        match self {
            Tint::Is(cell) => cell.meaning(),
            Tint::Gained => "gained",
            Tint::Lost => "lost",
        }
    }

    /// Red, green and blue.
    pub(super) fn rgb(self, theme: Theme) -> [u8; 3] {
        let (light, dark) = match self {
            Tint::Is(Cell::Huge) => (0x4c3a99, 0xa896f5),
            Tint::Is(Cell::Resident) => (0x0f6cab, 0x3ba3e0),
            Tint::Is(Cell::Most) => (0x4a9ad0, 0x2b7cb0),
            Tint::Is(Cell::Half) => (0x86bfe4, 0x1f5a82),
            Tint::Is(Cell::Few) => (0xbcdcf1, 0x173f5c),
            Tint::Is(Cell::Dirty) => (0xd97706, 0xf0a93b),
            Tint::Is(Cell::Writeback) => (0xb4409e, 0xe07bcd),
            Tint::Is(Cell::PushedOut) => (0xcdb7c9, 0x54405a),
            Tint::Is(Cell::Absent) => (0xd8dee4, 0x2a313c),
            Tint::Is(Cell::Hole) => (0xffffff, 0x161b22),
            Tint::Is(Cell::Unknown) => (0xf4e9a6, 0x5c5420),
            Tint::Gained => (0xd1242f, 0xff7b72),
            Tint::Lost => (0x2f54eb, 0x6c8cff),
        };
        let rgb: u32 = match theme {
            Theme::Light => light,
            Theme::Dark => dark,
        };
        let [_, red, green, blue] = rgb.to_be_bytes();
        [red, green, blue]
    }
}

/// Dark on light, or light on dark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Theme {
    #[default]
    Light,
    Dark,
}

impl Theme {
    /// What lies behind everything.
    pub(super) fn background(self) -> [u8; 3] {
        match self {
            Theme::Light => [0xf6, 0xf8, 0xfa],
            Theme::Dark => [0x0d, 0x11, 0x17],
        }
    }

    /// Text, and the lines around areas.
    pub(super) fn ink(self) -> [u8; 3] {
        match self {
            Theme::Light => [0x1f, 0x23, 0x28],
            Theme::Dark => [0xe6, 0xed, 0xf3],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn no_two_states_look_alike() {
        for theme in [Theme::Light, Theme::Dark] {
            let colours: HashSet<_> = Tint::ALL.iter().map(|tint| tint.rgb(theme)).collect();
            assert_eq!(colours.len(), Tint::ALL.len());
        }
        let classes: HashSet<_> = Tint::ALL.iter().map(|tint| tint.class()).collect();
        assert_eq!(classes.len(), Tint::ALL.len());
    }
}
