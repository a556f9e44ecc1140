//! The rung that always holds: a copy in private memory, of one moment where that can be told.
//!
//! It copies and checks; what it was copied from goes on changing.

use crate::access::View;
use crate::anon::AnonMap;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::options::{HugePages, Options};
use crate::stable::stamp::Stamp;
use crate::stable::{Policy, Refusal, Source, reflink};
use bifolio_sys::Errno;
use bifolio_sys::fs::{self, fd::AsFd};
use core::num::NonZero;
use std::sync::Mutex;
use std::thread;
use std::vec::Vec;

/// How often a file that changes is copied before the copy is given up.
const ATTEMPTS_MAX: u32 = 5;

/// How much one read copies: a huge page on most machines.
const CHUNK: usize = 2 << 20;

/// A further thread is started for each so many bytes.
const WORTH_A_THREAD: usize = 16 << 20;

/// More threads than this do not make memory faster.
const THREADS_MAX: usize = 8;

/// From this length on, huge pages are worth asking for.
const WORTH_HUGE_PAGES: usize = 4 << 20;

/// Copies a file's bytes, until they did not change meanwhile.
pub(super) fn of_file(source: &Source<'_>, policy: &Policy) -> Result<AnonMap, Refusal> {
    permitted(source.len, policy)?;
    for _ in 0..ATTEMPTS_MAX {
        let before = Stamp::settled(source)?;
        source.check_length(before.len_bytes)?;
        wait_for_writes(source);
        let mut copy = memory_for(source)?;
        let is_whole = fill(source, &mut copy)?;
        if is_whole && Stamp::of(source)? == before {
            return Ok(copy);
        }
    }
    // A file system that clones can hold it still.
    if let Ok(clone) = reflink::clone(source) {
        let clone = Source { file: clone.as_fd(), ..*source };
        let mut copy = memory_for(source)?;
        if fill(&clone, &mut copy)? {
            return Ok(copy);
        }
    }
    Err(Refusal::Changing { attempts: ATTEMPTS_MAX })
}

/// Copies what a mapping without a file shows.
pub(super) fn of_view(view: View<'_>, policy: &Policy) -> Result<AnonMap, Refusal> {
    permitted(view.len(), policy)?;
    let mut copy = memory(view.len())?;
    view.read_exact_at(&mut copy, 0)?;
    Ok(copy)
}

fn permitted(len: usize, policy: &Policy) -> Result<(), Refusal> {
    match policy {
        Policy { copy: false, .. } => Err(Refusal::NotAsked),
        Policy { copied_bytes_max: max, .. } if len > *max => {
            Err(Refusal::TooLarge { len_bytes: len as u64, max_bytes: *max as u64 })
        }
        _ => Ok(()),
    }
}

/// Fresh memory, of huge pages where they are worth it and can be had.
pub(super) fn memory(len: usize) -> Result<AnonMap> {
    if len >= WORTH_HUGE_PAGES
        && let Ok(map) = Options::new().huge_pages(HugePages::Transparent).anon(len)
    {
        return Ok(map);
    }
    AnonMap::new(len)
}

/// Fresh memory for a copy of the file, which needs none for holes.
fn memory_for(source: &Source<'_>) -> Result<AnonMap> {
    match is_mostly_holes(source) {
        // The kernel would not promise memory for all of it.
        true => Options::new().no_reserve().anon(source.len),
        false => memory(source.len),
    }
}

/// Waits until every write that has stamped the file already has written its bytes too: it holds
/// the file's lock meanwhile, and asking for data takes that lock. Whoever reads the file does not
/// everywhere.
fn wait_for_writes(source: &Source<'_>) {
    // Where it cannot be asked, the stamps alone must do.
    let _ = fs::seek_data(source.file, source.offset);
}

/// Reads the file into `copy`, and says whether it was as long.
fn fill(source: &Source<'_>, copy: &mut [u8]) -> Result<bool> {
    let threads = match source.len / WORTH_A_THREAD {
        0 | 1 => 1,
        most => most.min(THREADS_MAX).min(thread::available_parallelism().map_or(1, NonZero::get)),
    };
    let skips_holes = is_mostly_holes(source);
    let offsets = (source.offset..).step_by(CHUNK);
    let chunks = Mutex::new(copy.chunks_mut(CHUNK).zip(offsets));
    let work = || {
        loop {
            // Nobody panics while holding it.
            let next = chunks.lock().expect("a lock that nobody poisons").next();
            let Some((chunk, offset)) = next else { return Ok(true) };
            if skips_holes && is_hole(source, chunk.len(), offset) {
                continue;
            }
            if !read_chunk(source, chunk, offset)? {
                return Ok(false);
            }
        }
    };
    thread::scope(|scope| {
        let start = |_| thread::Builder::new().spawn_scoped(scope, work).ok();
        let helpers: Vec<_> = (1..threads).map_while(start).collect();
        let mut is_whole = work();
        for helper in helpers {
            let other = helper.join().expect("a helper that reads does not panic");
            is_whole = is_whole.and_then(|whole| Ok(whole && other?));
        }
        is_whole
    })
}

/// Whether most of the file takes no space, so that it is worth asking where it does.
fn is_mostly_holes(source: &Source<'_>) -> bool {
    // st_blocks counts in 512 bytes, whatever the blocks are (stat(2)).
    fs::fstat(source.file).is_ok_and(|stat| stat.st_blocks < stat.st_size / 512 / 2)
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
