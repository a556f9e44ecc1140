//! The rung that always holds: a copy in private memory, of one moment where that can be told.
//!
//! It checks what `fill.rs` copies; what it was copied from goes on changing.

use crate::access::View;
use crate::anon::AnonMap;
use crate::error::Result;
use crate::options::{HugePages, Options};
use crate::stable::stamp::Stamp;
use crate::stable::{Policy, Refusal, Source, fill, reflink};
use bifolio_sys::fs::{self, fd::AsFd};

/// How often a file that changes is copied before the copy is given up.
const ATTEMPTS_MAX: u32 = 5;

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
        let is_whole = fill::fill(source, &mut copy)?;
        if is_whole && Stamp::of(source)? == before {
            return Ok(copy);
        }
    }
    // A file system that clones can hold it still.
    if let Ok(clone) = reflink::clone(source) {
        let clone = Source { file: clone.as_fd(), ..*source };
        let mut copy = memory_for(source)?;
        if fill::fill(&clone, &mut copy)? {
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

/// Whether most of the file takes no space, so that it is worth asking where it does.
pub(super) fn is_mostly_holes(source: &Source<'_>) -> bool {
    // st_blocks counts in 512 bytes, whatever the blocks are (stat(2)).
    fs::fstat(source.file).is_ok_and(|stat| stat.st_blocks < stat.st_size / 512 / 2)
}
