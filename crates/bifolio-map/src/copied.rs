//! Which pages of a private mapping were copied: asked from the page tables.
//!
//! A page that was copied is anonymous memory, present or in swap; one that was not is the file's,
//! or not there. Nothing is concluded from what was written by whom, so it is right for whatever
//! wrote: guarded access, system calls, other code with the pointer.

use crate::access::Access;
use crate::error::{Error, Operation, Result};
use crate::mapping::Mapping;
use crate::pages::sealed::HasBody;
use crate::private::PrivateMap;
use bifolio_sys::Errno;
use bifolio_sys::fs::{CWD, Mode, OFlags, fd::OwnedFd, openat};
use bifolio_sys::mm::{
    Categories, PageRegion, PagemapEntry, PagemapScan, pagemap_read, pagemap_scan,
};
use bifolio_sys::page::page_size;
use core::ops::Range;
use std::vec::Vec;

impl PrivateMap {
    /// The ranges of bytes, in order, that lie in pages of the mapping's own: those that were
    /// written since they were mapped or [discarded](PrivateMap::discard), even if with the same
    /// bytes.
    ///
    /// Pages that another thread writes meanwhile may be in or not.
    ///
    /// # Errors
    ///
    /// What open(2) and ioctl(2) report for `/proc/self/pagemap`, where a container hides it; it is
    /// never guessed.
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::{AccessMut, PrivateMap};
    ///
    /// let map = PrivateMap::open("Cargo.toml")?;
    /// assert_eq!(map.copied_ranges()?, []);
    /// map.write_all_at(b"#", 0)?;
    /// assert_eq!(map.copied_ranges()?.len(), 1);
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    ///
    /// # References
    ///
    /// PAGEMAP_SCAN(2const), Linux 6.7; before that proc_pid_pagemap(5), bit 61, Linux 3.5.
    pub fn copied_ranges(&self) -> Result<Vec<Range<usize>>> {
        let (start, len) = self.body().pages(Operation::Inspect, &(0..self.len()))?;
        if len == 0 {
            return Ok(Vec::new());
        }
        let pages = start.addr()..start.addr() + len;
        let found = open_pagemap().and_then(|pagemap| match scan(&pagemap, pages.clone()) {
            Err(Errno::NOTTY | Errno::NOSYS) => read(&pagemap, pages),
            answer => answer,
        });
        let origin = &self.body().origin;
        let found =
            found.map_err(|errno| Error::from_errno(Operation::Inspect, &origin.object, errno))?;
        let base = self.as_ptr().addr();
        let in_bytes = |page: &Range<usize>| {
            page.start.saturating_sub(base)..(page.end - base).min(self.len())
        };
        Ok(found.iter().map(in_bytes).collect())
    }
}

fn open_pagemap() -> Result<OwnedFd, Errno> {
    openat(CWD, c"/proc/self/pagemap", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
}

/// Adds a range of addresses to those found, to the last one where they touch.
fn add(found: &mut Vec<Range<usize>>, range: Range<usize>) {
    match found.last_mut() {
        Some(last) if last.end == range.start => last.end = range.end,
        _ => found.push(range),
    }
}

/// The copied pages in a range of addresses, by `PAGEMAP_SCAN`.
fn scan(pagemap: &OwnedFd, pages: Range<usize>) -> Result<Vec<Range<usize>>, Errno> {
    let mut found = Vec::new();
    let mut regions = [PageRegion::default(); 64];
    let mut at = pages.start;
    while at < pages.end {
        let query = PagemapScan {
            range: at..pages.end,
            inverted: Categories::FILE,
            all_of: Categories::FILE,
            any_of: Categories::PRESENT | Categories::SWAPPED,
            report: Categories::FILE,
            ..PagemapScan::default()
        };
        let scanned = pagemap_scan(pagemap, &query, &mut regions)?;
        for region in scanned.regions {
            add(&mut found, region.start as usize..region.end as usize);
        }
        if scanned.walk_end <= at {
            return Err(Errno::NOTTY);
        }
        at = scanned.walk_end;
    }
    Ok(found)
}

/// The copied pages in a range of addresses, by the entries of the file.
fn read(pagemap: &OwnedFd, pages: Range<usize>) -> Result<Vec<Range<usize>>, Errno> {
    let page = page_size().bytes();
    let mut found = Vec::new();
    let mut entries = [PagemapEntry::default(); 512];
    let mut at = pages.start;
    while at < pages.end {
        let want = entries.len().min((pages.end - at) / page);
        let count = pagemap_read(pagemap, at, &mut entries[..want])?;
        if count == 0 {
            return Err(Errno::NXIO);
        }
        for entry in &entries[..count] {
            if (entry.is_present() || entry.is_swapped()) && !entry.is_file() {
                add(&mut found, at..at + page);
            }
            at += page;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::AccessMut;

    #[test]
    fn both_ways_of_asking_agree() {
        let name = std::format!("bifolio-copied-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let page = page_size().bytes();
        std::fs::write(&path, std::vec![1; 2000 * page]).unwrap();
        let map = PrivateMap::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let mut expected = Vec::new();
        for at in 0..2000 {
            map.load::<u8>(at * page).unwrap();
            // Runs of different lengths, and more of them than one call returns.
            if at % 7 < 3 && at % 11 != 0 {
                map.store(&2_u8, at * page + 9).unwrap();
                add(&mut expected, at * page..(at + 1) * page);
            }
        }
        let base = map.as_ptr().addr();
        let pages = base..base + 2000 * page;
        let shifted = |found: Vec<Range<usize>>| -> Vec<Range<usize>> {
            found.iter().map(|range| range.start - base..range.end - base).collect()
        };
        let pagemap = open_pagemap().unwrap();
        assert_eq!(shifted(read(&pagemap, pages.clone()).unwrap()), expected);
        match scan(&pagemap, pages) {
            Ok(found) => assert_eq!(shifted(found), expected),
            Err(errno) => std::println!("skipped: no PAGEMAP_SCAN ({errno})"),
        }
        assert_eq!(map.copied_ranges().unwrap(), expected);
    }
}
