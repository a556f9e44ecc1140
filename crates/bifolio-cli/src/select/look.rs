//! What there is to know of a file's pages without reading one.

use super::Selection;
use super::walk::Found;
use crate::cell::Cell;
use crate::failure::Failure;
use crate::holes;
use bifolio::memory::CachedFile;
use bifolio::page::page_size;
use bifolio::{Access, Backend, FileMap, Options, Residency, Resident, memory};
use std::ops::Range;

/// How many parts are asked about at once where the exact pages are wanted.
const PARTS: usize = 64;

/// A file that is open to be looked at.
pub(crate) struct Subject {
    pub(crate) file: CachedFile,
    pub(crate) len_bytes: u64,
    /// The part of it that is meant.
    pub(crate) part: Range<u64>,
    is_sparse: bool,
}

/// Why a file is not looked at, though it was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Passed {
    /// It is larger than the selection wants.
    Larger,
    /// It was a file when its directory was read, and is none any more.
    Special,
}

impl Subject {
    /// Opens a file that was found.
    pub(crate) fn open(
        found: &Found,
        selection: &Selection,
    ) -> Result<Result<Subject, Passed>, Failure> {
        let file = found.open()?;
        let len_bytes = match file.is_regular() {
            true => file.len_bytes(),
            false if !found.is_argument() => return Ok(Err(Passed::Special)),
            // A block device has pages too; of everything else it says what it is.
            false => FileMap::open(found.path())?.len() as u64,
        };
        if selection.max_size.is_some_and(|max| len_bytes > max) {
            return Ok(Err(Passed::Larger));
        }
        Ok(Ok(Subject {
            part: selection.part(len_bytes),
            is_sparse: file.is_regular() && file.allocated_bytes() < len_bytes,
            file,
            len_bytes,
        }))
    }

    /// Opens a file again, for this part of it, as far as the file still has it.
    pub(crate) fn reopen(found: &Found, part: Range<u64>) -> Result<Subject, Failure> {
        let selection = Selection { range: Some(part), ..Selection::default() };
        match Subject::open(found, &selection)? {
            Ok(subject) => Ok(subject),
            // It is named, and no size was given.
            Err(_) => Err(found.failed(std::io::ErrorKind::InvalidInput.into())),
        }
    }

    /// Counts all pages of the part.
    pub(crate) fn count(&self) -> bifolio::Result<Residency> {
        let mut whole = [Residency::default()];
        self.file.residency(self.part.clone(), &mut whole)?;
        let [whole] = whole;
        Ok(whole)
    }

    /// The part as cells side by side, as many as asked for where it has so many pages; `whole` is
    /// what [`count`](Self::count) said.
    pub(crate) fn cells(&self, whole: Residency, count_max: usize) -> bifolio::Result<Vec<Cell>> {
        let Residency::Known(all) = whole else { return Ok(vec![Cell::Unknown; count_max]) };
        let count = all.total_pages.min(count_max as u64) as usize;
        if all.resident_pages > 0 && is_alike(&all) {
            return Ok(vec![Cell::Resident; count]);
        }
        let holes = if self.is_sparse { self.holes(count)? } else { vec![false; count] };
        let cell = |is_hole| if is_hole { Cell::Hole } else { Cell::Absent };
        if is_alike(&all) {
            return Ok(holes.into_iter().map(cell).collect());
        }
        let mut parts = vec![Residency::default(); count];
        self.file.residency(self.part.clone(), &mut parts)?;
        Ok(parts.into_iter().zip(holes).map(|(part, is_hole)| Cell::of(part, is_hole)).collect())
    }

    fn holes(&self, count: usize) -> bifolio::Result<Vec<bool>> {
        let Ok(file) = self.file.file().try_clone() else { return Ok(vec![false; count]) };
        let map =
            Options::new().backend(Backend::Read).map_file(file).map_err(|(_, error)| error)?;
        // It may be shorter by now.
        let range = self.part.start as usize..self.part.end as usize;
        holes::of_parts(&map, range, count)
    }

    /// What of these ranges is no hole.
    pub(crate) fn with_data(&self, ranges: &[Range<u64>]) -> bifolio::Result<Vec<Range<u64>>> {
        if !self.is_sparse {
            return Ok(ranges.to_vec());
        }
        let Ok(file) = self.file.file().try_clone() else { return Ok(ranges.to_vec()) };
        let map =
            Options::new().backend(Backend::Read).map_file(file).map_err(|(_, error)| error)?;
        let mut found = vec![];
        for range in ranges {
            let within = range.start as usize..(range.end as usize).min(map.len());
            for data in map.data_ranges(within)? {
                let data = data?;
                found.push(data.start as u64..data.end as u64);
            }
        }
        Ok(found)
    }

    /// The ranges of whole pages in the part that are in memory, or those that are not; `None`
    /// where the kernel does not tell.
    pub(crate) fn ranges(&self, are_present: bool) -> bifolio::Result<Option<Vec<Range<u64>>>> {
        let mut found = vec![];
        let Some(pages) = page_size().outward(self.part.clone()) else { return Ok(Some(found)) };
        let pages = pages.bytes();
        let told = self.add_ranges(pages, are_present, &mut found)?;
        Ok(told.then_some(found))
    }

    fn add_ranges(
        &self,
        range: Range<u64>,
        are_present: bool,
        found: &mut Vec<Range<u64>>,
    ) -> bifolio::Result<bool> {
        let mut parts = [Residency::default(); PARTS];
        self.file.residency(range.clone(), &mut parts)?;
        for (index, part) in parts.iter().enumerate() {
            let Residency::Known(pages) = part else { return Ok(false) };
            let bytes = memory::bucket(range.clone(), index, PARTS);
            let wanted = match are_present {
                true => pages.resident_pages,
                false => pages.total_pages.saturating_sub(pages.resident_pages),
            };
            match found.last_mut() {
                _ if wanted == 0 => {}
                _ if wanted < pages.total_pages => {
                    if !self.add_ranges(bytes, are_present, found)? {
                        return Ok(false);
                    }
                }
                Some(last) if last.end == bytes.start => last.end = bytes.end,
                _ => found.push(bytes),
            }
        }
        Ok(true)
    }
}

/// Whether every page is in the same state as the others, so that nobody needs to ask.
fn is_alike(all: &Resident) -> bool {
    let (evicted, dirty) = all
        .cache
        .map_or((0, 0), |cache| (cache.evicted_pages, cache.dirty_pages + cache.writeback_pages));
    match all.resident_pages {
        0 => evicted == 0,
        pages => pages == all.total_pages && dirty == 0,
    }
}
