//! Pages that are mapped, by mincore(2): those of a mapping of one's own, or of a file that is
//! mapped for as long as it takes to ask.
//!
//! Of a file that the caller neither owns nor may write mincore(2) says, since Linux 5.2, that
//! every page is there. Who is told so is the kernel's own affair, and depends on layers,
//! capabilities and security modules. So nobody guesses: the kernel is asked about a page where the
//! file has none, and who hears that this one is there too is not told the truth.

use super::{Cut, Residency, Resident};
use crate::object::Object;
use crate::origin::file_len;
use crate::span::{Placement, Request, Span};
use bifolio_sys::Errno;
use bifolio_sys::fs::fd::BorrowedFd;
use bifolio_sys::fs::{self, FileSystem};
use bifolio_sys::mm::{self, MapFlags, ProtFlags};
use bifolio_sys::page::page_size;
use core::ops::Range;

/// How much of a file is mapped at once to be asked about.
const WINDOW: u64 = 1 << 30;

/// No page of the cache is larger: where it is asked whether the truth is told, none that holds the
/// file's end can reach.
const BEYOND: u64 = 4 << 20;

/// Counts the buckets of mapped addresses, whose file this is.
///
/// `PERM` where the answer would be a lie.
pub(super) fn count(
    cut: &Cut,
    file: Option<BorrowedFd<'_>>,
    answers: &mut [Residency],
) -> Result<(), Errno> {
    if let Some(file) = file
        && !tells_the_truth(file)?
    {
        return Err(Errno::PERM);
    }
    let load = |page: u64, answers: &mut [u8]| {
        mm::mincore((page << page_size().log2()) as usize, answers)?;
        Ok(answers.len())
    };
    Core::new(cut.pages(0..answers.len())?.end, load).count_all(cut, answers)
}

/// Counts the buckets of a file that is mapped for this only.
///
/// `PERM` where the answer would be a lie, and `OPNOTSUPP` where the file cannot be mapped.
pub(super) fn count_file(
    cut: &Cut,
    file: BorrowedFd<'_>,
    answers: &mut [Residency],
) -> Result<(), Errno> {
    if !tells_the_truth(file)? {
        return Err(Errno::PERM);
    }
    let file_len = file_len(file)?.unwrap_or(0);
    let end = page_size().outward(0..file_len).map_or(u64::MAX, |pages| pages.bytes().end);
    let mut window: Option<(u64, Span)> = None;
    let load = |page: u64, answers: &mut [u8]| {
        let at = page << page_size().log2();
        if at >= end {
            answers.fill(0);
            return Ok(answers.len());
        }
        let start = at - at % WINDOW;
        let span = match &window {
            Some((mapped, span)) if *mapped == start => span,
            _ => {
                // The one before goes away first, so that only one takes up addresses.
                window = None;
                let span = map(file, start, WINDOW.min(end - start) as usize)?;
                &window.insert((start, span)).1
            }
        };
        let into = (at - start) as usize;
        let count = answers.len().min((span.len() - into) >> page_size().log2());
        mm::mincore(span.base().addr().get() + into, &mut answers[..count])?;
        Ok(count)
    };
    Core::new(cut.pages(0..answers.len())?.end, load).count_all(cut, answers)
}

/// Counts pages one after the other, a block of answers at a time.
struct Core<F> {
    /// Loads answers from this page on, and tells how many.
    load: F,
    answers: [u8; 4096],
    /// The pages that they are about.
    loaded: Range<u64>,
    /// There is no need to ask about this page.
    end: u64,
}

impl<F: FnMut(u64, &mut [u8]) -> Result<usize, Errno>> Core<F> {
    /// Loads pages up to the byte at `end`.
    fn new(end: u64, load: F) -> Self {
        Core { load, answers: [0; 4096], loaded: 0..0, end: end >> page_size().log2() }
    }

    fn count_all(&mut self, cut: &Cut, answers: &mut [Residency]) -> Result<(), Errno> {
        for (index, answer) in answers.iter_mut().enumerate() {
            let bytes = cut.pages(index..index + 1)?;
            let pages = bytes.start >> page_size().log2()..bytes.end >> page_size().log2();
            let total_pages = pages.end - pages.start;
            *answer = Residency::Known(Resident::count(self.count(pages)?, total_pages));
        }
        Ok(())
    }

    fn count(&mut self, mut pages: Range<u64>) -> Result<u64, Errno> {
        let mut resident_pages = 0;
        while pages.start < pages.end {
            if !self.loaded.contains(&pages.start) {
                let len = self.answers.len().min((self.end - pages.start) as usize);
                let count = (self.load)(pages.start, &mut self.answers[..len])?;
                self.loaded = pages.start..pages.start + count as u64;
            }
            let until = self.loaded.end.min(pages.end);
            let known =
                (pages.start - self.loaded.start) as usize..(until - self.loaded.start) as usize;
            resident_pages +=
                self.answers[known].iter().map(|answer| u64::from(answer & 1)).sum::<u64>();
            pages.start = until;
        }
        Ok(resident_pages)
    }
}

/// Whether mincore(2) tells the truth about a file. In doubt it does not.
fn tells_the_truth(file: BorrowedFd<'_>) -> Result<bool, Errno> {
    // Of a file of huge pages it tells which are mapped, not which are there.
    if fs::file_system(file) == Ok(FileSystem::Hugetlbfs) {
        return Err(Errno::OPNOTSUPP);
    }
    let Some(len) = file_len(file)? else { return Err(Errno::OPNOTSUPP) };
    let Some(beyond) = len.checked_next_multiple_of(BEYOND).and_then(|at| at.checked_add(BEYOND))
    else {
        return Ok(false);
    };
    let span = match map(file, beyond, page_size().bytes()) {
        Err(Errno::OVERFLOW | Errno::INVAL) => return Ok(false),
        span => span?,
    };
    let mut answer = [0];
    mm::mincore(span.base().addr().get(), &mut answer)?;
    Ok(answer[0] & 1 == 0)
}

/// Maps the first page of a file, which nobody will touch.
#[cfg(feature = "std")]
pub(crate) fn map_untouched(file: BorrowedFd<'_>) -> Result<Span, Errno> {
    map(file, 0, page_size().bytes())
}

/// Maps a part of a file that nobody will touch; `OPNOTSUPP` where that is not possible.
///
/// It is private, since a shared mapping stands in the way of those who seal the file.
fn map(file: BorrowedFd<'_>, offset: u64, len: usize) -> Result<Span, Errno> {
    let request = Request {
        len,
        protection: ProtFlags::empty(),
        flags: MapFlags::PRIVATE,
        placement: Placement::Anywhere,
    };
    Span::map(&request, Some((file, offset)), &Object::OpenFile).map_err(|error| {
        match error.errno() {
            // Not open for reading, or of a kind that is not mapped.
            Some(Errno::ACCESS | Errno::NODEV | Errno::PERM) => Errno::OPNOTSUPP,
            errno => errno.unwrap_or(Errno::OVERFLOW),
        }
    })
}
