//! Taking pages out of memory, looking whether they are gone, and saying why not.
//!
//! 1. No byte is lost: what has no place but memory goes to swap or stays, and what is newer than
//!    the disk stays or is written back.
//!
//! posix_fadvise(2) does not say what it left: it leaves pages that somebody has mapped, pages that
//! are newer than the disk, and large folios that reach out of the range. So the cache is counted
//! again, and what is still there is looked for in the page tables of every process.
//!
//! # Safety
//!
//! Own page table entries are dropped by madvise(2), of the body's pages and only where the page
//! stays behind them.
#![allow(unsafe_code, reason = "madvise takes pointers")]

use crate::body::Body;
use crate::error::{Operation, Result};
use crate::memory::holders::{self, Holder, Holders};
use crate::memory::{Process, maps};
use crate::object::Object;
use crate::residency::{self, Residency, Resident};
use bifolio_sys::Errno;
use bifolio_sys::fs::fd::BorrowedFd;
use bifolio_sys::fs::{self, Advice as FileAdvice, FileSystem, SyncRange};
use bifolio_sys::mm::{self, Advice};
use bifolio_sys::page::{page_size, thp_size};
use core::num::NonZeroU64;
use core::ops::Range;
use core::ptr::without_provenance_mut;
use std::collections::BTreeSet;
use std::vec;
use std::vec::Vec;

/// The largest folio of the cache on a kernel that does not tell.
const FOLIO_BYTES: u64 = 2 << 20;

/// What is done about pages that are newer than the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dirty {
    /// They stay.
    #[default]
    Leave,
    /// They are written back first, so that they can go. This makes nothing durable: see
    /// [`flush`](crate::SharedMap::flush).
    WriteBack,
}

/// What came of evicting.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Evicted {
    /// What was in memory before.
    pub before: Residency,
    /// What is in memory now.
    pub after: Residency,
    /// Why pages are still there, as far as anybody tells. One page may have several reasons. Empty
    /// where nothing stayed, and where it is unknown whether anything did.
    pub stayed: Vec<Stayed>,
}

/// Why pages stayed in memory.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Stayed {
    /// So many are newer than the disk.
    Dirty {
        /// How many.
        pages: u64,
    },
    /// So many are being written back at this moment.
    WritingBack {
        /// How many.
        pages: u64,
    },
    /// A process has them mapped.
    Mapped(Holder),
    /// A process has them locked in memory.
    Locked(Holder),
    /// So many have no place but memory, and did not go to swap.
    OnlyInMemory {
        /// How many.
        pages: u64,
    },
    /// So many may belong to a large folio of which another part lies outside of the range, or is
    /// mapped: the kernel evicts a folio as a whole or not at all.
    InLargeFolio {
        /// How many.
        pages: u64,
    },
    /// So many processes of others could not be asked what they have mapped.
    Unasked {
        /// How many.
        processes: u32,
    },
    /// For at least so many none of the reasons above was found.
    Unexplained {
        /// How many.
        pages: u64,
    },
}

/// Evicts pages of a mapping, whose addresses these are.
pub(crate) fn evict(body: &Body, range: &Range<usize>, dirty: Dirty) -> Result<Evicted> {
    let (start, len) = body.pages(Operation::Evict, range)?;
    let before = residency::residency(body, range)?;
    if range.is_empty() {
        return Ok(Evicted { before, after: before, stayed: vec![] });
    }
    let addresses = start.addr()..start.addr() + len;
    // What the kernel may drop it would drop now.
    let is_droppable = body.origin.object == Object::DroppableMemory;
    let is_of_a_disk = body.origin.mirror().is_some_and(|file| !is_in_memory(file));
    // Of a shared file mapping the page stays behind the entry; elsewhere the entry may be all
    // there is (1), and paging out keeps what it refers to. Where writes are tracked the entries
    // tell of them, and a page table that is dropped as a whole may tell nothing.
    if !is_droppable {
        let is_dropped = is_of_a_disk && body.tracker.is_none();
        drop_entries(&addresses, if is_dropped { Advice::DontNeed } else { Advice::PageOut });
    }
    let at = |offset: usize| body.origin.file_offset.saturating_add(offset as u64);
    let (bytes, file) = (at(range.start)..at(range.end), body.origin.fd());
    let refused = |errno| body.refused(Operation::Evict, range, errno);
    if let Some(file) = file {
        drop_cache(file, &bytes, dirty).map_err(refused)?;
    }
    let after = residency::residency(body, range)?;
    let stayed = match (after, file) {
        (Residency::Known(pages), _) if pages.resident_pages == 0 => vec![],
        (Residency::Unknown(_), _) => vec![],
        (Residency::Known(pages), None) => without_file(&addresses, range, &pages),
        (Residency::Known(_), Some(file)) => {
            // Of a private mapping this tells what is in the cache, and copies come besides.
            let mut stayed = why(file, &bytes).map_err(refused)?;
            if !body.origin.is_file_s
                && let Some(pages @ 1..) = holders::own_copies(&addresses)
            {
                stayed.push(Stayed::OnlyInMemory { pages });
            }
            stayed
        }
    };
    Ok(Evicted { before, after, stayed })
}

/// As [`memory::evict`](crate::memory::evict).
pub(crate) fn evict_file(
    file: BorrowedFd<'_>,
    bytes: &Range<u64>,
    dirty: Dirty,
) -> Result<Evicted, Errno> {
    let before = of_file(file, bytes)?;
    drop_cache(file, bytes, dirty)?;
    let after = of_file(file, bytes)?;
    let stayed = match after {
        Residency::Known(pages) if pages.resident_pages > 0 => why(file, bytes)?,
        _ => vec![],
    };
    Ok(Evicted { before, after, stayed })
}

fn of_file(file: BorrowedFd<'_>, bytes: &Range<u64>) -> Result<Residency, Errno> {
    let mut answer = [Residency::default()];
    residency::of_file(file, bytes.clone(), &mut answer)?;
    Ok(answer[0])
}

/// Whether a file has no disk to go to.
fn is_in_memory(file: BorrowedFd<'_>) -> bool {
    matches!(fs::file_system(file), Ok(FileSystem::Tmpfs | FileSystem::Hugetlbfs))
}

/// Gives the kernel back the page table entries for these addresses, which are a body's.
fn drop_entries(addresses: &Range<usize>, advice: Advice) {
    let advise = |range: &Range<usize>| {
        let start = without_provenance_mut(range.start);
        // SAFETY: the pages are the body's. An entry of a shared file mapping is made anew from the
        // page in the cache, which is told first whether it is dirty; what is paged out comes back
        // from swap or from its file (1).
        unsafe { mm::madvise(start, range.len(), advice) }
    };
    if addresses.is_empty() || advise(addresses).is_ok() {
        return;
    }
    // Some are locked, or of a kind that stays: the others still go.
    let Ok(maps) = maps(Process::this()) else { return };
    for region in maps.regions() {
        let part = region.range.start.max(addresses.start)..region.range.end.min(addresses.end);
        if !part.is_empty() {
            // What stays is found when it is counted.
            let _ = advise(&part);
        }
    }
}

/// Has the kernel drop the pages that hold these bytes from its cache.
fn drop_cache(file: BorrowedFd<'_>, bytes: &Range<u64>, dirty: Dirty) -> Result<(), Errno> {
    // A page that is not wholly inside would stay.
    let pages = page_size().outward(bytes.clone()).ok_or(Errno::OVERFLOW)?.bytes();
    let Some(len) = NonZeroU64::new(pages.end - pages.start) else { return Ok(()) };
    if dirty == Dirty::WriteBack && !is_in_memory(file) {
        fs::sync_file_range(file, pages.start, Some(len), SyncRange::StartAllAndWait)?;
    }
    fs::fadvise(file, pages.start, Some(len), FileAdvice::DontNeed)
}

/// Why pages without a file are still there.
fn without_file(addresses: &Range<usize>, range: &Range<usize>, after: &Resident) -> Vec<Stayed> {
    let mut stayed = vec![Stayed::OnlyInMemory { pages: after.resident_pages }];
    if let Some(holder) = holders::locked_here(addresses, range, after) {
        stayed.push(Stayed::Locked(holder));
    }
    stayed
}

/// Why pages of a file are still there.
fn why(file: BorrowedFd<'_>, bytes: &Range<u64>) -> Result<Vec<Stayed>, Errno> {
    let mut stayed = vec![];
    let Residency::Known(after) = of_file(file, bytes)? else { return Ok(stayed) };
    let mut unexplained = after.resident_pages;
    if unexplained == 0 {
        return Ok(stayed);
    }
    let is_in_memory = is_in_memory(file);
    if is_in_memory {
        stayed.push(Stayed::OnlyInMemory { pages: unexplained });
        unexplained = 0;
    }
    if let Some(cache) = after.cache {
        unexplained = unexplained.saturating_sub(cache.dirty_pages + cache.writeback_pages);
        if cache.dirty_pages > 0 {
            stayed.push(Stayed::Dirty { pages: cache.dirty_pages });
        }
        if cache.writeback_pages > 0 {
            stayed.push(Stayed::WritingBack { pages: cache.writeback_pages });
        }
    }
    // To ask every process takes milliseconds: of many files that were written just now, minutes.
    if unexplained == 0 && !is_in_memory {
        return Ok(stayed);
    }
    let Holders { holders, unasked, mut blocks } = holders::of(file, bytes, block_len())?;
    let mut mapped_pages = 0_u64;
    for holder in holders {
        mapped_pages = mapped_pages.saturating_add(holder.mapped_pages.unwrap_or(u64::MAX));
        let is_locked = holder.is_locked == Some(true);
        stayed.push(if is_locked { Stayed::Locked(holder) } else { Stayed::Mapped(holder) });
    }
    unexplained = unexplained.saturating_sub(mapped_pages);
    if unexplained > 0 {
        if unasked > 0 {
            stayed.push(Stayed::Unasked { processes: unasked });
        }
        add_edges(file, bytes, &mut blocks)?;
        let pages = resident_pages(file, bytes, &blocks)?.saturating_sub(mapped_pages);
        let pages = pages.min(unexplained);
        if pages > 0 {
            stayed.push(Stayed::InLargeFolio { pages });
        }
        if pages < unexplained {
            stayed.push(Stayed::Unexplained { pages: unexplained - pages });
        }
    }
    Ok(stayed)
}

/// How much of a file one folio can hold at most: it begins at a multiple of its own size, so that
/// no folio has parts of two blocks of so many bytes.
fn block_len() -> u64 {
    thp_size().map_or(FOLIO_BYTES, |size| (size.bytes() as u64).max(FOLIO_BYTES))
}

/// Adds the blocks that an edge of the range cuts, where the page outside of it is in memory.
fn add_edges(
    file: BorrowedFd<'_>,
    bytes: &Range<u64>,
    blocks: &mut BTreeSet<u64>,
) -> Result<(), Errno> {
    let (page, block) = (page_size().bytes() as u64, block_len());
    let pages = page_size().outward(bytes.clone()).ok_or(Errno::OVERFLOW)?.bytes();
    for (edge, outside) in [(pages.start, pages.start.wrapping_sub(page)), (pages.end, pages.end)] {
        if edge % block != 0 && count(of_file(file, &(outside..outside + page))?) > 0 {
            blocks.insert(edge / block);
        }
    }
    Ok(())
}

/// The pages of the range that are in memory, and in one of these blocks.
fn resident_pages(
    file: BorrowedFd<'_>,
    bytes: &Range<u64>,
    blocks: &BTreeSet<u64>,
) -> Result<u64, Errno> {
    let mut pages = 0;
    for number in blocks {
        let block = number * block_len()..number.saturating_add(1).saturating_mul(block_len());
        let part = block.start.max(bytes.start)..block.end.min(bytes.end);
        if !part.is_empty() {
            pages += count(of_file(file, &part)?);
        }
    }
    Ok(pages)
}

fn count(residency: Residency) -> u64 {
    match residency {
        Residency::Known(pages) => pages.resident_pages,
        Residency::Unknown(_) => 0,
    }
}
