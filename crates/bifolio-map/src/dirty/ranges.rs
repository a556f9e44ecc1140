//! The dirty ranges of a mapping, looked for as they are asked for, in a buffer of fixed size.

use crate::body::Body;
use crate::error::{Error, ErrorKind, Operation, Result};
use bifolio_sys::Errno;
use bifolio_sys::mm::PageRegion;
use core::fmt;
use core::iter::FusedIterator;
use core::ops::Range;

/// How many runs are looked for at once.
const FOUND_MAX: usize = 128;

/// The dirty ranges of a mapping, in bytes from its start: made by [`Track::dirty`] and
/// [`Track::take_dirty`].
///
/// [`Track::dirty`]: crate::Track::dirty
/// [`Track::take_dirty`]: crate::Track::take_dirty
#[must_use = "it looks when it is asked for a range"]
pub struct DirtyRanges<'a> {
    pub(super) body: &'a Body,
    /// The bytes asked about.
    range: Range<usize>,
    take: bool,
    /// The address of the last byte that is shown, and one.
    shown_end: usize,
    /// The addresses that were not looked at yet.
    rest: Range<usize>,
    error: Option<Error>,
    found: [PageRegion; FOUND_MAX],
    /// Which of `found` were found and not told.
    untold: Range<usize>,
}

impl<'a> DirtyRanges<'a> {
    pub(super) fn new(body: &'a Body, shown: usize, range: Range<usize>, take: bool) -> Self {
        let checked = check(body, shown, &range);
        let (rest, error) = match checked {
            Ok(()) => (body.addresses(&range), None),
            Err(error) => (0..0, Some(error)),
        };
        let shown_end = body.ptr().addr().get().saturating_add(shown);
        let found = [PageRegion::default(); FOUND_MAX];
        DirtyRanges { body, range, take, shown_end, rest, error, found, untold: 0..0 }
    }

    /// Looks on; no run is untold.
    fn look(&mut self) -> Result<()> {
        let Some(tracker) = &self.body.tracker else {
            return Err(self.body.not_tracked(&self.range));
        };
        let found = tracker
            .settle(self.shown_end, self.body.page())
            .and_then(|()| tracker.find(self.rest.clone(), self.take, &mut self.found));
        match found {
            Ok((count, looked_to)) => {
                self.untold = 0..count;
                self.rest.start = looked_to.clamp(self.rest.start, self.rest.end);
                Ok(())
            }
            // Pages that are not registered: those of a forked child.
            Err(Errno::PERM | Errno::NOENT) => Err(self.body.not_tracked(&self.range)),
            Err(errno) => Err(self.body.refused(Operation::Track, &self.range, errno)),
        }
    }

    /// The bytes of a run that were asked about.
    fn bytes_of(&self, run: PageRegion) -> Range<usize> {
        let base = self.body.ptr().addr().get();
        let offset = |addr: u64| (addr as usize).saturating_sub(base);
        offset(run.start).max(self.range.start)..offset(run.end).min(self.range.end)
    }
}

/// Whether `range` is tracked, inside the `shown` bytes, and of whole pages.
fn check(body: &Body, shown: usize, range: &Range<usize>) -> Result<()> {
    if body.tracker.is_none() {
        return Err(body.not_tracked(range));
    }
    let is_inside = range.start <= range.end && range.end <= shown;
    let is_boundary = |offset: usize| {
        offset == 0 || offset == shown || body.page().is_aligned(body.delta() + offset)
    };
    let kind = match is_inside {
        false => ErrorKind::OutOfBounds { len_bytes: shown as u64 },
        true if is_boundary(range.start) && is_boundary(range.end) => return Ok(()),
        true => ErrorKind::Misaligned { align_bytes: body.page().bytes() },
    };
    let len = range.end.saturating_sub(range.start);
    Err(body.origin.error(Operation::Track, kind, range.start, len))
}

impl Iterator for DirtyRanges<'_> {
    type Item = Result<Range<usize>>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(next) = self.untold.next() {
                return Some(Ok(self.bytes_of(self.found[next])));
            }
            if let Some(error) = self.error.take() {
                return Some(Err(error));
            }
            if self.rest.is_empty() {
                return None;
            }
            if let Err(error) = self.look() {
                self.rest = 0..0;
                self.error = Some(error);
            }
        }
    }
}

impl FusedIterator for DirtyRanges<'_> {}

impl Drop for DirtyRanges<'_> {
    /// What was taken and not told is dirty again.
    fn drop(&mut self) {
        if let (true, Some(tracker)) = (self.take, &self.body.tracker) {
            for run in &self.found[self.untold.clone()] {
                tracker.mark(run.start as usize..run.end as usize);
            }
        }
    }
}

impl fmt::Debug for DirtyRanges<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DirtyRanges")
            .field("object", &self.body.origin.object)
            .field("range", &self.range)
            .field("take", &self.take)
            .finish_non_exhaustive()
    }
}
