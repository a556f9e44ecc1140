//! Bringing pages in while the program goes on.
//!
//! A prefetch borrows nothing: it has a descriptor of its own and reads the file, so the mapping
//! may be dropped meanwhile.

use crate::body::Body;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::origin::Origin;
use crate::pages;
use crate::reading::{Failure, Reading};
use bifolio_sys::Errno;
use bifolio_sys::mm::Advice;
use bifolio_sys::page::page_size;
use bifolio_sys::signal::AllBlocked;
use core::fmt;
use core::ops::Range;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::vec::Vec;

/// Pages that are being brought in: from [`Pages::prefetch`](crate::Pages::prefetch).
///
/// Dropping it stops the reading, without waiting for that.
#[must_use = "dropping it stops the reading"]
pub struct Prefetch {
    reading: Arc<Reading>,
    /// `None` where there was nothing to read.
    reader: Option<JoinHandle<Result<()>>>,
}

/// How far a prefetch has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Bytes that are in memory now, or are holes.
    pub done_bytes: u64,
    /// All bytes that were asked for.
    pub total_bytes: u64,
}

/// As [`Pages::prefetch`](crate::Pages::prefetch).
pub(crate) fn prefetch(
    body: &Body,
    ranges: impl IntoIterator<Item = Range<usize>>,
) -> Result<Prefetch> {
    let mut bytes = Vec::new();
    for range in ranges {
        body.pages(Operation::Prefetch, &range)?;
        if range.is_empty() {
            continue;
        }
        if body.origin.file_len().is_none() {
            // No file, or a device, which is not read unasked: only swap is slow, and the kernel
            // reads that by itself.
            pages::advise(body, &range, Advice::WillNeed)
                .map_err(|error| error.with_operation(Operation::Prefetch))?;
            continue;
        }
        let at = |offset: usize| body.origin.file_offset.saturating_add(offset as u64);
        bytes.push(at(range.start)..at(range.end));
    }
    let reading = Arc::new(Reading::new(bytes));
    let mut reader = None;
    if reading.total_bytes() > 0 {
        let refused = |errno| body.refused(Operation::Prefetch, &(0..body.len()), errno);
        let origin = body.origin.duplicate(0).map_err(refused)?;
        let reading = Arc::clone(&reading);
        let builder = Builder::new().name("bifolio-prefetch".into());
        // Signals are for the threads of the program.
        let _inherited = AllBlocked::new();
        let spawned = builder.spawn(move || run(&reading, &origin));
        reader = Some(
            spawned
                .map_err(|error| refused(Errno::from_io_error(&error).unwrap_or(Errno::AGAIN)))?,
        );
    }
    Ok(Prefetch { reading, reader })
}

fn run(reading: &Reading, origin: &Origin) -> Result<()> {
    let Some(file) = origin.fd() else { return Ok(()) };
    reading.run(file).map_err(|Failure { at, errno }| {
        let kind = match errno {
            Some(errno) => ErrorKind::from_errno(errno),
            None => ErrorKind::Truncated { len_bytes: origin.file_len().unwrap_or(at) },
        };
        let page = page_size().bytes() as u64;
        let error = Error::new(Operation::Prefetch, &origin.object, kind)
            .with_range(at..(at - at % page).saturating_add(page));
        match errno {
            Some(errno) => error.with_errno(errno),
            None => error,
        }
    })
}

impl Prefetch {
    /// How far it has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let (done_bytes, total_bytes) = (self.reading.done_bytes(), self.reading.total_bytes());
        Progress { done_bytes, total_bytes }
    }

    /// Whether [`wait`](Self::wait) would return at once: all is done, or something failed.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.reader.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until everything was brought in.
    ///
    /// # Errors
    ///
    /// For the first page that cannot be had, an error with its range in the file and the kind that
    /// reading it has: [`Truncated`](ErrorKind::Truncated), [`Media`](ErrorKind::Media) and so on.
    /// What lies before it may not have been brought in.
    pub fn wait(mut self) -> Result<()> {
        let answer = self.reader.take().map_or(Ok(Ok(())), JoinHandle::join);
        answer.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Stops the reading, waits until nobody reads any more, and tells how far it had come.
    pub fn cancel(mut self) -> Progress {
        self.reading.stop();
        if let Some(reader) = self.reader.take() {
            // What failed before matters no more.
            let _ = reader.join();
        }
        self.progress()
    }

    /// Lets it go on by itself until it is done.
    pub fn detach(mut self) {
        self.reader = None;
    }
}

impl Drop for Prefetch {
    fn drop(&mut self) {
        // Without a reader it was waited for, or may go on.
        if self.reader.is_some() {
            self.reading.stop();
        }
    }
}

impl fmt::Debug for Prefetch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prefetch")
            .field("progress", &self.progress())
            .field("is_finished", &self.is_finished())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use crate::access::Access;
    use crate::file::FileMap;
    use crate::pages::Pages;
    use std::sync::Arc;

    #[test]
    fn a_dropped_one_stops_and_a_detached_one_does_not() {
        let map = FileMap::open(std::env::current_exe().unwrap()).unwrap();
        let start = || map.prefetch(Some(0..map.len())).unwrap();
        let (dropped, detached, waited) = (start(), start(), start());
        let readings = [&dropped, &detached, &waited].map(|one| Arc::clone(&one.reading));
        drop(dropped);
        detached.detach();
        waited.wait().unwrap();
        assert_eq!(readings.map(|reading| reading.is_stopped()), [true, false, false]);
    }
}
