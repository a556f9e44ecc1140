//! Which parts of a file are searched, in pieces that threads can take.
//!
//! A piece is a range of places where a match may begin; matches reach beyond its end. A hole is
//! not read: only the places around it from which a match reaches into data are.

use super::pattern::Pattern;
use bifolio::{Access, DataRanges, Error, FileMap};
use std::ops::Range;

/// The most places that a piece has: enough that handing it to a thread costs nothing.
pub(super) const PIECE_BYTES_MAX: usize = 1 << 20;

/// Places where a match may begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Places in data, or near to it: the bytes are to be read.
    Data(Range<usize>),
    /// Places in a hole, so far from data that all that a match can see is zeros.
    Zeros(Range<usize>),
}

impl Piece {
    pub(super) fn range(&self) -> Range<usize> {
        match self {
            Piece::Data(range) | Piece::Zeros(range) => range.clone(),
        }
    }
}

/// The pieces of a file in order, from the front to the back.
pub(super) struct Plan<'a> {
    runs: DataRanges<'a>,
    look_behind: usize,
    look_ahead: usize,
    keeps_zeros: bool,
    len: usize,
    /// All places before this one are planned.
    at: usize,
    /// Up to here lie places among zeros.
    zeros_end: usize,
    /// And from there up to here places in data.
    data_end: usize,
}

impl<'a> Plan<'a> {
    pub(super) fn new(map: &'a FileMap, pattern: &Pattern) -> Result<Self, Error> {
        let len = map.len();
        Ok(Plan {
            runs: map.data_ranges(0..len)?,
            look_behind: pattern.look_behind_bytes(),
            look_ahead: pattern.look_ahead_bytes(),
            keeps_zeros: pattern.matches_zeros(),
            len,
            at: 0,
            zeros_end: 0,
            // What sees the start of the file sees it from there.
            data_end: pattern.look_behind_bytes().min(len),
        })
    }

    /// Goes on to the next run of data, or to the end of the file. At the end it says so.
    fn next_run(&mut self) -> Result<bool, Error> {
        if self.at == self.len {
            return Ok(false);
        }
        let run = match self.runs.next() {
            Some(run) => run?,
            None => self.len..self.len,
        };
        // The end of the file is among zeros as anything else there (see `matches_zeros`).
        let is_data = !run.is_empty();
        let start = if is_data { run.start.saturating_sub(self.look_ahead) } else { self.len };
        self.zeros_end = start.max(self.at);
        self.data_end = run.end.saturating_add(self.look_behind).clamp(self.zeros_end, self.len);
        Ok(true)
    }

    fn cut(&mut self, end: usize) -> Range<usize> {
        let start = self.at;
        self.at = end.min(start + PIECE_BYTES_MAX);
        start..self.at
    }
}

impl Iterator for Plan<'_> {
    type Item = Result<Piece, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if self.at < self.zeros_end {
                if self.keeps_zeros {
                    return Some(Ok(Piece::Zeros(self.cut(self.zeros_end))));
                }
                self.at = self.zeros_end;
            }
            if self.at < self.data_end {
                return Some(Ok(Piece::Data(self.cut(self.data_end))));
            }
            match self.next_run() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) => {
                    // Nothing behind it is known.
                    (self.at, self.zeros_end, self.data_end) = (self.len, 0, 0);
                    return Some(Err(error));
                }
            }
        }
    }
}
