//! What is done with dirty pages: each handed on, or flushed; whatever fails leaves them dirty.

use super::{DirtyRanges, Track};
use crate::body::Body;
use crate::error::{Error, Result};
use crate::shared::SharedMap;
use core::mem;
use core::ops::Range;

/// A range that was taken: dirty again when dropped.
struct Taken<'a> {
    body: &'a Body,
    range: Range<usize>,
}

impl Taken<'_> {
    /// It was dealt with.
    fn settle(self) {
        mem::forget(self);
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.body.changed(&self.range);
    }
}

/// Hands each range to `put`, and returns how many bytes they had.
pub(super) fn each<E: From<Error>>(
    mut ranges: DirtyRanges<'_>,
    mut put: impl FnMut(Range<usize>) -> Result<(), E>,
) -> Result<usize, E> {
    let mut bytes = 0;
    while let Some(range) = ranges.next() {
        let taken = Taken { body: ranges.body, range: range? };
        let range = taken.range.clone();
        bytes += range.len();
        put(range)?;
        taken.settle();
    }
    Ok(bytes)
}

impl SharedMap {
    /// Writes the pages of `range` that are dirty (see [`Track`]) to the medium, and waits for it;
    /// returns how many bytes they have. What a [`flush`](Self::flush) would find by looking at
    /// every page, this knows.
    ///
    /// It promises what [`flush`](Self::flush) promises, for what this process wrote through this
    /// mapping since it was last taken; what was written before tracking began needs one
    /// [`flush`](Self::flush). The medium is told once, for all: pages between the first and the
    /// last that others have changed are written too.
    ///
    /// # Errors
    ///
    /// As [`take_dirty`](Track::take_dirty) and [`flush`](Self::flush): the pages are dirty again
    /// then, as all between the first and the last of them, and the next call writes them again.
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::{AccessMut, SharedMap, Track};
    ///
    /// # let name = format!("bifolio-doc-flush-dirty-{}", std::process::id());
    /// # let path = std::env::temp_dir().join(name);
    /// let mut map = SharedMap::create(&path, 1 << 20)?;
    /// map.track()?;
    /// map.write_all_at(b"folio", 1 << 19)?;
    /// assert_eq!(map.flush_dirty(0..1 << 20)?, bifolio_map::page::page_size().bytes());
    /// assert_eq!(map.flush_dirty(0..1 << 20)?, 0);
    /// # std::fs::remove_file(&path)?;
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # References
    ///
    /// sync_file_range(2), to start all of them; msync(2), to wait for them.
    pub fn flush_dirty(&self, range: Range<usize>) -> Result<usize> {
        let mut bytes = 0;
        let mut all: Option<Taken<'_>> = None;
        for range in self.take_dirty(range) {
            let range = range?;
            bytes += range.len();
            match &mut all {
                Some(all) => all.range.end = range.end,
                None => all = Some(Taken { body: &self.body, range: range.clone() }),
            }
            self.flush_async(range)?;
        }
        if let Some(all) = all {
            self.flush(all.range.clone())?;
            all.settle();
        }
        Ok(bytes)
    }
}
