//! The matches that begin in one piece of a file.
//!
//! There are three ways, and the same answers by each:
//!
//! - Bytes of which two are rare together: the guarded search for that pair, in the mapping itself,
//!   and a look at what is around each.
//! - Other bytes: in private copies, small enough to stay in the first cache; the end of each
//!   stands before the next, so no match is cut in two.
//! - A regular expression sees the whole piece at once, with what it may look at before and behind.

use super::pattern::Pattern;
use super::plan::{PIECE_BYTES_MAX, Piece};
use super::rare::Sample;
use bifolio::{Error, View};
use std::ops::Range;

/// How many bytes are copied at once to be searched. Of 1 GiB, blocks of half the size took a sixth
/// longer, since each search has its own start, and larger ones up to a third, since the memory
/// stands idle while they are searched.
const BLOCK_BYTES: usize = 8 << 10;

/// How many matches of a piece are gathered before they are handed on.
const MATCHES_MAX: usize = 32 << 10;

/// How many bytes there must be for each that looked like the start of a match and was none: with
/// fewer, copies are faster.
const BYTES_PER_MISS_MIN: usize = 1 << 8;

/// How many misses are forgiven.
const MISSES_FREE: usize = 32;

/// What is wanted of the matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Want {
    /// Their number.
    Count,
    /// Where they are.
    Places,
}

/// The matches of a piece.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) count: u64,
    /// Where they are, if that is wanted.
    pub(super) places: Vec<Range<usize>>,
    /// Where the first one begins.
    pub(super) first: Option<usize>,
    /// Where the last one ends.
    pub(super) end: usize,
    /// From where on the rest of the piece is still to be searched.
    pub(super) rest: Option<usize>,
    /// Why nothing behind the matches is known.
    pub(super) error: Option<Error>,
}

impl Found {
    fn add(&mut self, place: Range<usize>, want: Want) {
        self.count += 1;
        self.first.get_or_insert(place.start);
        self.end = place.end;
        if want == Want::Places {
            self.places.push(place);
        }
    }

    fn is_full(&self) -> bool {
        self.places.len() >= MATCHES_MAX
    }
}

/// Searches pieces one after the other; each thread has its own.
pub(super) struct Scanner<'a> {
    view: View<'a>,
    pattern: &'a Pattern,
    want: Want,
    block: Vec<u8>,
    sample: Sample,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(view: View<'a>, pattern: &'a Pattern, want: Want) -> Self {
        Scanner { view, pattern, want, block: Vec::new(), sample: Sample::new() }
    }

    /// The matches that begin in `piece`, at or after `from`.
    pub(super) fn scan(&mut self, piece: &Piece, from: usize) -> Found {
        let places = piece.range();
        let places = from.max(places.start)..places.end;
        let mut found = Found::default();
        match (piece, self.pattern) {
            _ if places.is_empty() => {}
            (Piece::Data(_), Pattern::Bytes(finder)) => {
                let rest = self.skim(places, finder.needle(), &mut found);
                if !rest.is_empty() {
                    self.scan_blocks(rest, &mut found);
                }
            }
            (Piece::Data(_), Pattern::Regex(_)) => self.scan_whole(places, false, &mut found),
            (Piece::Zeros(_), Pattern::Bytes(finder)) => {
                self.scan_zeros(places, finder.needle().len(), &mut found);
            }
            (Piece::Zeros(_), Pattern::Regex(_)) => self.scan_whole(places, true, &mut found),
        }
        found
    }

    /// Searches for the two bytes of the needle that are rarest here, and compares what is around
    /// each.
    ///
    /// Returns the places that are left: where no two of the bytes are rare together, and from a
    /// page on that cannot be had.
    fn skim(&mut self, places: Range<usize>, needle: &[u8], found: &mut Found) -> Range<usize> {
        self.sample.add(&self.view, places.start);
        let Some((index, pair)) = self.sample.rarest(needle) else { return places };
        let end = (places.end + index + pair.distance).min(self.view.len());
        let Ok(part) = self.view.slice(0..end) else { return places };
        self.block.resize(needle.len(), 0);
        let (mut from, mut misses) = (places.start, 0);
        while from < places.end && from + index < end {
            match part.find_pair(pair, from + index) {
                Ok(Some(at)) => from = at - index,
                Ok(None) => return places.end..places.end,
                Err(_) => break,
            }
            if self.view.read_exact_at(&mut self.block, from).is_err() {
                break;
            }
            if self.block == needle {
                found.add(from..from + needle.len(), self.want);
                from += needle.len();
                if found.is_full() {
                    found.rest = Some(from);
                    return places.end..places.end;
                }
            } else {
                from += 1;
                misses += 1;
                if misses > MISSES_FREE + (from - places.start) / BYTES_PER_MISS_MIN {
                    break;
                }
            }
        }
        from.min(places.end)..places.end
    }

    /// Searches copies, block by block. The bytes kept of the block before stand in front of
    /// the next one, which begins at `margin`, a multiple of a cache line.
    fn scan_blocks(&mut self, places: Range<usize>, found: &mut Found) {
        let look_ahead = self.pattern.look_ahead_bytes();
        let margin = look_ahead.next_multiple_of(64);
        let block_len = BLOCK_BYTES.max(4 * margin);
        self.block.resize(margin + block_len, 0);
        let end = places.end.saturating_add(look_ahead).min(self.view.len());
        let (mut at, mut kept, mut from) = (places.start, 0, places.start);
        while at < end {
            let want = (end - at).min(block_len);
            let got = match read(&self.view, at, &mut self.block[margin..margin + want]) {
                Ok(()) => want,
                Err(error) => {
                    let done = error.done_bytes();
                    found.error = Some(error);
                    done
                }
            };
            let hay = &self.block[margin - kept..margin + got];
            let base = at - kept;
            while let Some(place) = self.pattern.find(hay, from.max(base) - base) {
                let place = base + place.start..base + place.end;
                if place.start >= places.end {
                    break;
                }
                from = place.end;
                found.add(place, self.want);
                if found.is_full() {
                    found.rest = Some(from);
                    found.error = None;
                    return;
                }
            }
            if found.error.is_some() {
                return;
            }
            let filled = kept + got;
            kept = filled.min(look_ahead);
            self.block.copy_within(margin + got - kept..margin + got, margin - kept);
            at += got;
        }
    }

    /// Searches all places at once, for a pattern that looks at what is around; `zeros` stand for
    /// themselves and are not read.
    fn scan_whole(&mut self, places: Range<usize>, is_zeros: bool, found: &mut Found) {
        let start = places.start.saturating_sub(self.pattern.look_behind_bytes());
        let end = places.end + self.pattern.look_ahead_bytes();
        let len = end.min(self.view.len()) - start;
        debug_assert!(places.len() <= PIECE_BYTES_MAX, "{places:?}");
        self.block.resize(len, 0);
        if is_zeros {
            self.block.fill(0);
        } else if let Err(error) = self.view.read_exact_at(&mut self.block, start) {
            self.block.truncate(error.done_bytes());
            found.error = Some(error);
        }
        let mut from = places.start - start;
        while let Some(place) = self.pattern.find(&self.block, from) {
            if start + place.start >= places.end {
                break;
            }
            from = place.end;
            found.add(start + place.start..start + place.end, self.want);
            if found.is_full() {
                found.rest = Some(start + from);
                found.error = None;
                return;
            }
        }
    }

    /// Matches zeros in a hole without looking: each begins where the one before ends.
    fn scan_zeros(&mut self, places: Range<usize>, len: usize, found: &mut Found) {
        let end = places.end.min((self.view.len() + 1).saturating_sub(len));
        if self.want == Want::Count && places.start < end {
            let count = (end - places.start).div_ceil(len);
            found.count = count as u64;
            found.first = Some(places.start);
            found.end = places.start + count * len;
            return;
        }
        for start in (places.start..end).step_by(len) {
            found.add(start..start + len, self.want);
            if found.is_full() {
                found.rest = Some(start + len);
                return;
            }
        }
    }
}

/// Fills `block` from `at` on, in the way that suits a reader who goes on behind it.
#[inline]
fn read(view: &View<'_>, at: usize, block: &mut [u8]) -> Result<(), Error> {
    let len = block.len();
    let mut chunks = view.slice(at..at + len)?.chunks(&mut *block);
    let is_whole = matches!(chunks.next_chunk(), Ok(Some(chunk)) if chunk.bytes.len() == len);
    // Where something is in the way, the answer of a whole read says what, and how far it is.
    if is_whole { Ok(()) } else { view.read_exact_at(block, at) }
}
