//! Reading a file into fresh memory as fast as it goes: by several threads, into huge pages where
//! those come quickly.
//!
//! Mostly they do. But a virtual machine that gives free memory back to its host gets huge pages
//! back slowly, being made of what was given away, while small ones are at hand. So the work on
//! each piece is measured, and after a slow one some are done with small pages.
//!
//! It does not look whether the file changes meanwhile.
//!
//! # Safety
//!
//! Advice on the size of pages is given for memory that a thread holds exclusively.
#![allow(unsafe_code, reason = "madvise takes a pointer")]

use crate::anon::AnonMap;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::pages::{Advice, Pages};
use crate::stable::{Source, snapshot};
use bifolio_sys::Errno;
use bifolio_sys::fs;
use bifolio_sys::mm;
use bifolio_sys::time::thread_cpu_time;
use core::num::NonZero;
use core::time::Duration;
use std::sync::{Mutex, MutexGuard};
use std::thread;
use std::vec::Vec;

/// How much one read copies: a huge page on most machines.
const CHUNK: usize = 2 << 20;

/// A further thread is started for each so many bytes.
const WORTH_A_THREAD: usize = 16 << 20;

/// More threads than this do not make memory faster.
const THREADS_MAX: usize = 8;

/// A huge page is slow to get where its chunk takes more work than this. On one machine a chunk
/// took 0.2 ms, 5 ms where the page had to come from the host, and 0.9 ms of small pages.
const SLOW: Duration = Duration::from_millis(2);

/// For how many chunks small pages are taken after the first slow huge one; doubled each time.
const SMALL_FIRST: usize = 8;

/// What is left to be read, and into which pages.
struct Plan<Chunks> {
    chunks: Chunks,
    /// As many chunks are to have small pages.
    small: usize,
    /// As many are, when a huge page is slow again.
    small_next: usize,
}

/// Reads the file into `copy`, which is fresh, and says whether it was as long.
pub(super) fn fill(source: &Source<'_>, copy: &mut AnonMap) -> Result<bool> {
    let threads = match source.len / WORTH_A_THREAD {
        0 | 1 => 1,
        most => most.min(THREADS_MAX).min(thread::available_parallelism().map_or(1, NonZero::get)),
    };
    let offsets = (source.offset..).step_by(CHUNK);
    let chunks = copy.chunks_mut(CHUNK).zip(offsets);
    let plan = Mutex::new(Plan { chunks, small: 0, small_next: SMALL_FIRST });
    let skips_holes = snapshot::is_mostly_holes(source);
    let work = || read_chunks(source, &plan, skips_holes);
    let is_whole = thread::scope(|scope| {
        let start = |_| thread::Builder::new().spawn_scoped(scope, work).ok();
        let helpers: Vec<_> = (1..threads).map_while(start).collect();
        let mut is_whole = work();
        for helper in helpers {
            let other = helper.join().expect("a helper that reads does not panic");
            is_whole = is_whole.and_then(|whole| Ok(whole && other?));
        }
        is_whole
    });
    let had_small_pages = lock(&plan).small_next != SMALL_FIRST;
    if had_small_pages {
        // A hint, and one area again where the other advice has made many.
        let _ = copy.advise(0..source.len, Advice::HugePage);
    }
    is_whole
}

fn lock<T>(plan: &Mutex<T>) -> MutexGuard<'_, T> {
    plan.lock().expect("nobody panics while holding it")
}

/// Reads chunk after chunk, and says whether all of them are there.
fn read_chunks<'a>(
    source: &Source<'_>,
    plan: &Mutex<Plan<impl Iterator<Item = (&'a mut [u8], u64)>>>,
    skips_holes: bool,
) -> Result<bool> {
    loop {
        let (chunk, offset, is_small) = {
            let mut plan = lock(plan);
            let Some((chunk, offset)) = plan.chunks.next() else { return Ok(true) };
            let is_small = plan.small > 0;
            plan.small = plan.small.saturating_sub(1);
            (chunk, offset, is_small)
        };
        if skips_holes && is_hole(source, chunk.len(), offset) {
            continue;
        }
        if is_small {
            // SAFETY: the chunk is pages that this thread holds, of which no byte changes. It is a
            // hint: where it is refused, the pages are what they are.
            let _ = unsafe {
                mm::madvise(chunk.as_mut_ptr().cast(), chunk.len(), mm::Advice::NoHugePage)
            };
        }
        let begun = thread_cpu_time().unwrap_or_default();
        if !read_chunk(source, chunk, offset)? {
            return Ok(false);
        }
        let work = thread_cpu_time().unwrap_or_default().saturating_sub(begun);
        if !is_small && work > SLOW {
            let mut plan = lock(plan);
            plan.small = plan.small_next;
            plan.small_next *= 2;
        }
    }
}

/// Whether there is no data in a piece of the file: the fresh memory for it holds zeros already.
fn is_hole(source: &Source<'_>, len: usize, offset: u64) -> bool {
    match fs::seek_data(source.file, offset) {
        Ok(Some(data)) => data >= offset + len as u64,
        Ok(None) => true,
        Err(_) => false,
    }
}

/// Reads a piece of the file, and says whether all of it is there.
fn read_chunk(source: &Source<'_>, chunk: &mut [u8], offset: u64) -> Result<bool> {
    let mut done = 0;
    while done < chunk.len() {
        let at = offset + done as u64;
        match fs::pread(source.file, &mut chunk[done..], at) {
            Ok(0) => return Ok(false),
            Ok(count) => done += count,
            Err(Errno::INTR) => {}
            Err(errno) => {
                let kind = ErrorKind::from_errno(errno);
                let end = offset + chunk.len() as u64;
                let error = Error::new(Operation::Read, source.object, kind).with_errno(errno);
                return Err(error.with_range(at..end));
            }
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Object;
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileExt;
    use std::{env, format, process};

    #[test]
    fn chunks_are_the_same_in_small_pages() {
        let path = env::temp_dir().join(format!("bifolio-fill-{}", process::id()));
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        let content: Vec<u8> = (0..3 * CHUNK + 777).map(|at| (at / 251) as u8).collect();
        file.write_all_at(&content, 0).unwrap();
        let (offset, object) = (100, &Object::OpenFile);
        let source = Source { file: file.as_fd(), offset, len: content.len() - 100, object };
        let mut copy = AnonMap::new(source.len).unwrap();
        let chunks = copy.chunks_mut(CHUNK).zip((offset..).step_by(CHUNK));
        let plan = Mutex::new(Plan { chunks, small: 2, small_next: SMALL_FIRST });
        assert!(read_chunks(&source, &plan, false).unwrap());
        assert!(*copy == content[100..]);
        // Beyond the end there is nothing to read.
        let longer = Source { len: content.len(), ..source };
        assert!(!fill(&longer, &mut AnonMap::new(longer.len).unwrap()).unwrap());
    }
}
