//! Bringing pages in before they are used, in the faster of two ways.
//!
//! Touching one page in sixteen lets the kernel map its neighbours too, where they are cached
//! ("fault-around"); `MADV_POPULATE_READ` goes page by page, but does so for every page. Which is
//! faster cannot be known beforehand, so the first block is touched and the page tables are asked
//! whether anything is missing; as long as nothing is, touching goes on. A block with missing pages
//! is left to the kernel, and so are the next ones, before touching is tried again. What is not
//! cached is read first ([`Cold`]), where the standard library has threads to do it.
//!
//! It keeps nothing in memory: that is what locks are for.
//!
//! # Safety
//!
//! `MADV_POPULATE_READ` and `MADV_POPULATE_WRITE` change no byte; they get pages of the body.
#![allow(unsafe_code, reason = "madvise takes pointers")]

use crate::anon::AnonMap;
use crate::body::Body;
#[cfg(feature = "std")]
use crate::cold::Cold;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::origin::Verdict;
use crate::pages::{self, sealed::HasBody};
use crate::residency::tables;
use bifolio_sys::Errno;
use bifolio_sys::fs::fd::OwnedFd;
use bifolio_sys::guard::Cause;
use bifolio_sys::mm::{self, Advice, Categories, PageRegion, PagemapScan, Scanned};
use bifolio_sys::page::page_size;
use core::num::NonZeroUsize;
use core::ops::Range;

/// What the kernel maps around a fault (`fault_around_bytes`, 64 KiB unless an administrator
/// changed it), aligned in the address space.
const AROUND: usize = 64 << 10;

/// How much is brought in before it is looked at.
const BLOCK: usize = 8 << 20;

/// How much of huge pages is brought in before it is looked whether they still are.
const HUGE_BLOCK_MAX: usize = 64 << 20;

/// How much read-ahead is asked for at once.
const AHEAD: usize = 32 << 20;

/// How much of one hint is heeded for certain: the kernel cuts it to what it reads ahead on that
/// device (`read_ahead_kb`, 128 KiB unless changed) or what the device takes at once.
const HEEDED: usize = 128 << 10;

/// Below this, opening the page tables costs more than it can save.
const WORTH_LOOKING: usize = 2 << 20;

/// How many runs of missing pages are brought in by themselves.
const REGIONS_MAX: usize = 16;

/// How many blocks at most are left to the kernel before touching is tried again.
const PAUSE_MAX: usize = 64;

/// Brings the pages of `range` in to be read.
pub(crate) fn populate(body: &Body, range: &Range<usize>) -> Result<()> {
    let (_, len) = body.pages(Operation::Populate, range)?;
    if range.is_empty() {
        return Ok(());
    }
    if len == 0 {
        return read_through(body, range);
    }
    let tables = if len >= WORTH_LOOKING { PageTables::open() } else { None };
    let mut ahead = ReadAhead { asked_to: range.start, end: range.end };
    let Some(tables) = tables else {
        ahead.ask(body, range);
        return by_kernel(body, range);
    };
    let (mut way, mut pause_next) = (Way::Touch, 1);
    #[cfg(feature = "std")]
    let mut cold = Cold::of(body);
    let mut at = range.start;
    while at < range.end {
        let size = if let Way::Huge { len } = way { len } else { BLOCK };
        let block = at..at.saturating_add(size).min(range.end);
        at = block.end;
        #[cfg(feature = "std")]
        let trial = cold.as_mut().and_then(|cold| cold.begin(&block, range.end));
        match way {
            // A page before the one that was missed may be the first that cannot be had.
            Way::Touch => {
                touch(body, &block, AROUND).or_else(|_| touch(body, &block, page_size().bytes()))?
            }
            Way::Huge { .. } => by_kernel(body, &block)?,
            Way::Kernel { .. } => {
                ahead.ask(body, &block);
                by_kernel(body, &block)?;
            }
        }
        let left_out = match way {
            Way::Touch => tables.fill(body, &block)?,
            _ => Filled::Little,
        };
        #[cfg(feature = "std")]
        if let (Some(cold), Some(trial)) = (&mut cold, trial) {
            cold.end(trial, &block);
        }
        way = match (way, left_out) {
            (Way::Kernel { pause }, _) if pause > 1 => Way::Kernel { pause: pause - 1 },
            (Way::Kernel { .. }, _) => Way::Touch,
            (_, Filled::Little) if at < range.end && tables.is_huge(body, &block) => {
                Way::Huge { len: HUGE_BLOCK_MAX.min(size * 2) }
            }
            (_, Filled::Little) => Way::Touch,
            (_, Filled::Much) => {
                ahead.ask(body, &block);
                by_kernel(body, &block)?;
                let pause = pause_next;
                pause_next = PAUSE_MAX.min(pause * 2);
                Way::Kernel { pause }
            }
        };
    }
    Ok(())
}

/// How the next block is brought in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// By touching one page in sixteen: the kernel maps their neighbours.
    Touch,
    /// So many bytes by the kernel, since the page before was a huge one: those it maps as fast as
    /// can be.
    Huge { len: usize },
    /// By the kernel, since touching left much out; tried again after so many blocks.
    Kernel { pause: usize },
}

/// Read-ahead that runs before the pages that are brought in.
struct ReadAhead {
    asked_to: usize,
    end: usize,
}

impl ReadAhead {
    /// Sees to it that what comes after `block` is being read.
    fn ask(&mut self, body: &Body, block: &Range<usize>) {
        if body.origin.fd().is_none() || self.asked_to >= self.end.min(block.end + AHEAD / 2) {
            return;
        }
        let from = block.start.max(self.asked_to);
        self.asked_to = from.saturating_add(AHEAD).min(self.end);
        for start in (from..self.asked_to).step_by(HEEDED) {
            let piece = start..start.saturating_add(HEEDED).min(self.asked_to);
            // A hint: what cannot be read shows when it is brought in.
            let _ = pages::advise(body, &piece, Advice::WillNeed);
        }
    }
}

/// Leaves a block to the kernel, or touches every page where it refuses: that finds the page that
/// cannot be had.
fn by_kernel(body: &Body, block: &Range<usize>) -> Result<()> {
    let (start, len) = body.pages(Operation::Populate, block)?;
    // SAFETY: the pages are the body's, and as of a read, no byte changes.
    match unsafe { mm::madvise(start.cast(), len, Advice::PopulateRead) } {
        Ok(()) => Ok(()),
        Err(_) => touch(body, block, page_size().bytes()),
    }
}

/// Reads the first byte of `block`, and of every piece of `stride` bytes that begins in it.
fn touch(body: &Body, block: &Range<usize>, stride: usize) -> Result<()> {
    let (view, base) = (body.view(), body.ptr().addr().get());
    let mut at = block.start;
    while at < block.end {
        view.touch(at).map_err(|error| cannot(body, block, at, &error))?;
        at += stride - (base + at) % stride;
    }
    Ok(())
}

/// Reads a file that is not mapped, so that it is cached.
fn read_through(body: &Body, range: &Range<usize>) -> Result<()> {
    let (view, mut buffer) = (body.view(), [0; 16384]);
    let mut at = range.start;
    while at < range.end {
        let len = buffer.len().min(range.end - at);
        view.read_exact_at(&mut buffer[..len], at)
            .map_err(|error| cannot(body, range, at + error.done_bytes(), &error))?;
        at += len;
    }
    Ok(())
}

/// The error of the page with the byte at `at`, for the reason that reading it gave.
#[cold]
fn cannot(body: &Body, range: &Range<usize>, at: usize, reason: &Error) -> Error {
    let page = page_of(body, range, at);
    let error = body.origin.error(Operation::Populate, reason.kind(), page.start, page.len());
    match reason.errno() {
        Some(errno) => error.with_errno(errno),
        None => error,
    }
}

/// The bytes of `range` that lie in the same page of the file as the one at `at`.
fn page_of(body: &Body, range: &Range<usize>, at: usize) -> Range<usize> {
    let page = page_size().bytes();
    let into_page = ((body.origin.file_offset + at as u64) % page as u64) as usize;
    let start = at.saturating_sub(into_page).max(range.start);
    start..at.saturating_add(page - into_page).min(range.end)
}

/// Brings the pages of `range` in to be written.
pub(crate) fn populate_write(body: &Body, range: &Range<usize>) -> Result<()> {
    let (_, len) = body.pages(Operation::Populate, range)?;
    if len == 0 && !range.is_empty() {
        let (kind, len) = (ErrorKind::ReadOnly, range.len());
        return Err(body.origin.error(Operation::Populate, kind, range.start, len));
    }
    let mut at = range.start;
    while at < range.end {
        let block = at..at.saturating_add(BLOCK).min(range.end);
        at = block.end;
        if write_by_kernel(body, &block).is_err() {
            find_unwritable(body, &block)?;
        }
    }
    Ok(())
}

fn write_by_kernel(body: &Body, block: &Range<usize>) -> Result<(), Errno> {
    let Ok((start, len)) = body.pages(Operation::Populate, block) else { return Ok(()) };
    // SAFETY: the pages are the body's, and the kernel writes no byte: it makes them writable.
    unsafe { mm::madvise(start.cast(), len, Advice::PopulateWrite) }
}

/// Goes page by page to the one that the kernel refuses.
#[cold]
fn find_unwritable(body: &Body, block: &Range<usize>) -> Result<()> {
    let mut at = block.start;
    while at < block.end {
        let page = page_of(body, block, at);
        if let Err(errno) = write_by_kernel(body, &page)
            && let Some((kind, errno)) = why_unwritable(body, &page, errno)
        {
            let error = body.origin.error(Operation::Populate, kind, page.start, page.len());
            return Err(match errno {
                Some(errno) => error.with_errno(errno),
                None => error,
            });
        }
        at = page.end;
    }
    Ok(())
}

/// Why the kernel refuses to make a page writable; `None` where it does so no more.
fn why_unwritable(
    body: &Body,
    page: &Range<usize>,
    errno: Errno,
) -> Option<(ErrorKind, Option<Errno>)> {
    Some(match errno {
        Errno::FAULT if body.origin.fd().is_some() => {
            match body.origin.explain(Operation::Write, page.start, Cause::Unbacked) {
                Verdict::Fail(kind, errno) => (kind, errno),
                Verdict::Retry if write_by_kernel(body, page).is_ok() => return None,
                Verdict::Retry => (ErrorKind::NotAccessible, None),
            }
        }
        Errno::FAULT => (ErrorKind::NotAccessible, Some(errno)),
        Errno::HWPOISON => (ErrorKind::Poisoned, Some(errno)),
        Errno::INVAL => (ErrorKind::Unsupported, Some(errno)),
        errno => (ErrorKind::from_errno(errno), Some(errno)),
    })
}

/// This process's page tables, where they can be asked.
struct PageTables {
    pagemap: OwnedFd,
}

impl PageTables {
    fn open() -> Option<Self> {
        Some(PageTables { pagemap: tables::open()? })
    }

    /// Whether `block`, or the end of a long one, is all of huge pages; `false` also where that
    /// cannot be told.
    fn is_huge(&self, body: &Body, block: &Range<usize>) -> bool {
        let end = block.start.max(block.end.saturating_sub(BLOCK))..block.end;
        let mut small = [PageRegion::default()];
        self.without(body, &end, Categories::HUGE, NonZeroUsize::new(1), &mut small)
            .is_some_and(|scanned| scanned.regions.is_empty())
    }

    /// Brings in what `block` lacks, if that is little.
    fn fill(&self, body: &Body, block: &Range<usize>) -> Result<Filled> {
        let mut missing = [PageRegion::default(); REGIONS_MAX];
        let present = Categories::PRESENT;
        let Some(scanned) = self.without(body, block, present, None, &mut missing) else {
            return Ok(Filled::Much);
        };
        let bytes: u64 = scanned.regions.iter().map(|region| region.end - region.start).sum();
        if scanned.regions.len() == REGIONS_MAX || bytes > block.len() as u64 / 8 {
            return Ok(Filled::Much);
        }
        let base = body.ptr().addr().get();
        for region in scanned.regions {
            let start = (region.start as usize).saturating_sub(base);
            by_kernel(body, &(start..(region.end as usize - base).min(block.end)))?;
        }
        Ok(Filled::Little)
    }

    /// The pages of `block` that lack `category`, or so many of them.
    fn without<'out>(
        &self,
        body: &Body,
        block: &Range<usize>,
        category: Categories,
        pages_max: Option<NonZeroUsize>,
        out: &'out mut [PageRegion],
    ) -> Option<Scanned<'out>> {
        let (start, len) = body.pages(Operation::Populate, block).ok()?;
        let scan = PagemapScan {
            range: start.addr()..start.addr() + len,
            inverted: category,
            all_of: category,
            report: category,
            pages_max,
            ..PagemapScan::default()
        };
        mm::pagemap_scan(&self.pagemap, &scan, out).ok()
    }
}

/// What was done about pages that touching left out.
enum Filled {
    /// They were few, and are there now.
    Little,
    /// They are many, or nobody knows how many: the kernel has to go over all of the block.
    Much,
}

impl AnonMap {
    /// As [`Pages::populate_write`](crate::Pages::populate_write).
    ///
    /// # Errors
    ///
    /// As [`Pages::populate_write`](crate::Pages::populate_write).
    pub fn populate_write(&self, range: Range<usize>) -> Result<()> {
        populate_write(self.body(), &range)
    }
}
