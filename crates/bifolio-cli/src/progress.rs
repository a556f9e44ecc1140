//! How far long work is: one line on standard error, on a terminal, and only after a while.

use crate::bytes::percent;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// Work that ends before this is not worth a line.
const FIRST_AFTER: Duration = Duration::from_millis(500);

/// How often the line changes.
const EVERY: Duration = Duration::from_millis(100);

/// The line; it is wiped when the value goes.
pub(crate) struct Progress {
    what: String,
    total: u64,
    next: Instant,
    is_wanted: bool,
    is_shown: bool,
}

impl Progress {
    /// For work on `total` bytes.
    pub(crate) fn new(what: impl Into<String>, total: u64) -> Progress {
        Progress {
            what: what.into(),
            total,
            next: Instant::now() + FIRST_AFTER,
            is_wanted: total != 0 && io::stderr().is_terminal(),
            is_shown: false,
        }
    }

    /// Says that `done` bytes are done.
    pub(crate) fn at(&mut self, done: u64) {
        if !self.is_wanted || Instant::now() < self.next {
            return;
        }
        self.next = Instant::now() + EVERY;
        self.is_shown = true;
        let percent = percent(done, self.total).unwrap_or(100);
        // Nobody is hurt where it cannot be shown.
        let _ = write!(io::stderr(), "\r{percent:3} % of {}\x1b[K", self.what);
    }

    /// Wipes the line, so that something else can be written there.
    pub(crate) fn wipe(&mut self) {
        if self.is_shown {
            self.is_shown = false;
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.wipe();
    }
}
