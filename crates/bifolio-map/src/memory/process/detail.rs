//! How much to ask about a process: what costs more tells more.
//!
//! 1. The kernel answers piece by piece, and the process may change its mappings between two
//!    pieces. So its layout is asked for before and after everything else, and all of it again
//!    where the two differ, a few times.

use super::folder::{Folder, read_all};
use super::layout;
use super::maps::Region;
use super::smaps;
use super::states::Pagemap;
use super::usage::Usage;
use crate::error::Result;
use bifolio_sys::Errno;
use std::fs::File;
use std::vec::Vec;

/// How much to ask about a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Detail {
    /// What is mapped where, and what for: nothing of [`Usage`].
    Layout,
    /// That, and what the page tables tell: resident, anonymous, huge, in swap, guard pages.
    Pages,
    /// That, and what is whose: everything. The kernel looks at every page of the process for it,
    /// and at who else has it.
    Shares,
}

/// How often to ask again (1).
const ATTEMPTS_MAX: usize = 4;

/// How often the program of the process may be replaced (exec) while it is being asked. One that
/// does nothing else can do so faster than it is asked, many times in a row.
const PROGRAMS_MAX: usize = 4096;

/// The mappings of a process, and whether all were so at one moment.
pub(super) fn look(folder: &Folder, detail: Detail) -> Result<(Vec<Region>, bool)> {
    for _ in 0..PROGRAMS_MAX {
        let answer = Sources::open(folder, detail).and_then(|sources| sources.settle());
        match answer {
            Ok(answer) => return Ok(answer),
            // Its memory is gone, which it may have exchanged for another.
            Err(Errno::SRCH) if folder.may_have_memory() => {}
            Err(Errno::SRCH) => return Err(folder.without_memory()),
            Err(errno) => return Err(folder.refused(errno)),
        }
    }
    Err(folder.refused(Errno::AGAIN))
}

/// The open files of one address space.
struct Sources {
    maps: File,
    smaps: Option<File>,
    pagemap: Option<Pagemap>,
}

impl Sources {
    /// Opens what is asked for and there.
    fn open(folder: &Folder, detail: Detail) -> Result<Sources, Errno> {
        // Kernels may be built without either.
        let optional = |answer: Result<File, Errno>| match answer {
            Ok(file) => Ok(Some(file)),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(errno),
        };
        let mut sources = Sources { maps: folder.file(c"maps")?, smaps: None, pagemap: None };
        if detail >= Detail::Pages {
            let pagemap = optional(folder.file(c"pagemap"))?.map(Pagemap::new).transpose()?;
            sources.pagemap = pagemap.filter(Pagemap::can_scan);
        }
        if detail == Detail::Shares || detail == Detail::Pages && sources.pagemap.is_none() {
            sources.smaps = optional(folder.file(c"smaps"))?;
        }
        Ok(sources)
    }

    /// Asks until nothing changed meanwhile (1).
    fn settle(&self) -> Result<(Vec<Region>, bool), Errno> {
        let mut regions = layout::read(&self.maps)?;
        for _ in 0..ATTEMPTS_MAX {
            let is_of_these = self.measure(&mut regions)?;
            if layout::is_still(&self.maps, &regions)? && is_of_these {
                return Ok((regions, true));
            }
            regions = layout::read(&self.maps)?;
        }
        self.measure(&mut regions)?;
        Ok((regions, false))
    }

    /// Finds out what memory the mappings have, and returns whether they were still these. Where
    /// they were not, those that have a number have the right one.
    fn measure(&self, regions: &mut [Region]) -> Result<bool, Errno> {
        let mut is_of_these = true;
        if let Some(smaps) = &self.smaps {
            let told = smaps::parse(&read_all(smaps)?)?;
            is_of_these = told.len() == regions.len();
            let mut told = told.into_iter().peekable();
            for region in regions.iter_mut() {
                while told.next_if(|other| other.range.start < region.range.start).is_some() {}
                match told.next_if(|other| other.range == region.range) {
                    Some(other) => {
                        region.usage = other.usage;
                        region.page_size_bytes = other.page_size_bytes;
                    }
                    None => is_of_these = false,
                }
            }
        }
        if let Some(pagemap) = &self.pagemap {
            scan(pagemap, regions, self.smaps.is_some())?;
        }
        Ok(is_of_these)
    }
}

/// Counts what the page tables tell: all, or of what `smaps` told already only what it did not.
fn scan(pagemap: &Pagemap, regions: &mut [Region], has_more: bool) -> Result<(), Errno> {
    let knows_guards = pagemap.knows_guards();
    let mut counted: Vec<Usage> = regions
        .iter()
        .map(|region| {
            let is_plain = region.inode == 0 && !region.is_shared;
            let guard_bytes = knows_guards.then_some(0);
            Usage { guard_bytes, ..Usage::of_page_tables(is_plain) }
        })
        .collect();
    let end = regions.last().map_or(0, |last| last.range.end);
    let mut at = 0;
    pagemap.scan(0..end, |run| {
        let mut start = run.pages.start;
        while start < run.pages.end {
            while regions.get(at).is_some_and(|region| region.range.end <= start) {
                at += 1;
            }
            // What was mapped since the layout was asked for belongs to none.
            let Some(region) = regions.get(at) else { return };
            let stop = run.pages.end.min(region.range.end);
            start = start.max(region.range.start);
            if start < stop {
                counted[at].count(run.is, run.is_swapped(), (stop - start) as u64);
            }
            start = stop;
        }
    })?;
    for (region, counted) in regions.iter_mut().zip(counted) {
        if has_more {
            region.usage.guard_bytes = counted.guard_bytes;
            // Of the pool of huge pages only the page tables tell.
            let anonymous = &mut region.usage.anonymous_bytes;
            *anonymous = anonymous.or(counted.anonymous_bytes);
        } else {
            region.usage = counted;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::process::still::Still;

    #[test]
    fn without_the_scan_the_numbers_come_from_the_text() {
        let still = Still::new();
        let folder = still.folder();
        let mut sources = Sources::open(&folder, Detail::Pages).unwrap();
        let (scanned, _) = sources.settle().unwrap();
        if sources.pagemap.take().is_none() {
            return std::println!("skipped: no PAGEMAP_SCAN");
        }
        assert!(sources.smaps.is_none(), "the text costs more");
        sources.smaps = Some(folder.file(c"smaps").unwrap());
        let (read, is_consistent) = sources.settle().unwrap();
        assert!(is_consistent);
        let numbers = |regions: &[Region]| -> Vec<_> {
            let usages = regions.iter().map(|region| region.usage);
            usages.map(|usage| (usage.resident_bytes, usage.anonymous_bytes)).collect()
        };
        assert_eq!(numbers(&read), numbers(&scanned));
    }
}
