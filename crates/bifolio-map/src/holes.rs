//! Where a file has data and where it has holes, so that a sparse file costs what its data costs.
//!
//! It tells what was so when it was asked: others may fill a hole, or punch one, at any time.

use crate::access::Access;
use crate::backend::Route;
use crate::error::{ErrorKind, Operation, Result};
use crate::file::FileMap;
use crate::pages::sealed::HasBody;
use bifolio_sys::{Errno, fs};
use core::ops::Range;

/// The runs of bytes of a [`FileMap`] that hold data, in order: from [`FileMap::data_ranges`].
///
/// Each step asks the kernel anew. After an error it ends.
#[derive(Debug)]
pub struct DataRanges<'a> {
    map: &'a FileMap,
    at: usize,
    end: usize,
}

impl FileMap {
    /// The runs of bytes in `range` that hold data; all others are holes and read as zeros.
    ///
    /// Reading a hole through a mapping costs a page of the page cache for each of its pages; not
    /// to read it costs nothing. Where the file system knows no holes all is data. It moves the
    /// offset of the open file, which matters where the file was handed over open.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::OutOfBounds`] at once. The iterator itself reports [`ErrorKind::Truncated`]
    /// where the file ends within `range`, and what lseek(2) reports.
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::{Access, FileMap};
    ///
    /// let map = FileMap::open("Cargo.toml")?;
    /// for data in map.data_ranges(0..map.len())? {
    ///     assert!(!data?.is_empty());
    /// }
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    ///
    /// # References
    ///
    /// lseek(2), `SEEK_DATA` and `SEEK_HOLE`: Linux 3.1.
    pub fn data_ranges(&self, range: Range<usize>) -> Result<DataRanges<'_>> {
        self.slice(range.clone())?;
        Ok(DataRanges { map: self, at: range.start, end: range.end })
    }

    /// Checks that the file still reaches to the end of `range`.
    ///
    /// A file that was cut within a page reads as zeros from there to the end of the page, without
    /// a fault: who wants to know asks after reading.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Truncated`], with as many [`done_bytes`](crate::Error::done_bytes) as the file
    /// still has at the front of `range`.
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::{Access, FileMap};
    ///
    /// let map = FileMap::open("Cargo.toml")?;
    /// let mut start = [0; 9];
    /// map.read_exact_at(&mut start, 0)?;
    /// map.check_reaches(0..start.len())?;
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    pub fn check_reaches(&self, range: Range<usize>) -> Result<()> {
        let origin = &self.body().origin;
        let position = |offset: usize| origin.file_offset.saturating_add(offset as u64);
        // What was loaded is a copy, of a file that told no length.
        let len = origin.file_len().filter(|_| self.backend() != Route::Loaded);
        match len {
            Some(len_bytes) if len_bytes < position(range.end) => {
                let kind = ErrorKind::Truncated { len_bytes };
                let done = len_bytes.saturating_sub(position(range.start)) as usize;
                let error = origin.error(Operation::Read, kind, range.start, range.len());
                Err(error.with_done(done))
            }
            _ => Ok(()),
        }
    }
}

impl DataRanges<'_> {
    /// The next run, and nothing where there is none up to the end.
    fn next_run(&self) -> Result<Option<Range<usize>>, Errno> {
        let origin = &self.map.body().origin;
        let Some(file) = origin.fd().filter(|_| self.map.backend() != Route::Loaded) else {
            return Ok(Some(self.at..self.end));
        };
        let from = origin.file_offset.saturating_add(self.at as u64);
        let offset_of = |position: u64| {
            let offset = position.saturating_sub(origin.file_offset);
            usize::try_from(offset).unwrap_or(self.end).clamp(self.at, self.end)
        };
        let Some(start) = fs::seek_data(file, from)? else { return Ok(None) };
        // A file that was cut in between has neither data nor hole here.
        let Some(end) = fs::seek_hole(file, start)? else { return Ok(None) };
        let found = offset_of(start)..offset_of(end);
        Ok((!found.is_empty()).then_some(found))
    }
}

impl Iterator for DataRanges<'_> {
    type Item = Result<Range<usize>>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at == self.end {
            return None;
        }
        let answer = match self.next_run() {
            Ok(Some(range)) => {
                self.at = range.end;
                return Some(Ok(range));
            }
            Ok(None) => self.map.check_reaches(self.at..self.end).err().map(Err),
            // The file system has no answer: then nothing may be left out.
            Err(Errno::INVAL | Errno::SPIPE | Errno::OPNOTSUPP | Errno::NOSYS) => {
                Some(Ok(self.at..self.end))
            }
            Err(errno) => {
                let rest = self.at..self.end;
                Some(Err(self.map.body().refused(Operation::Inspect, &rest, errno)))
            }
        };
        self.at = self.end;
        answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use std::fs::File;
    use std::os::unix::fs::FileExt;
    use std::path::PathBuf;
    use std::vec::Vec;

    const MIB: usize = 1 << 20;

    /// A file of 8 MiB with data in the third and the sixth.
    fn sparse(name: &str) -> (PathBuf, File) {
        let path = std::env::temp_dir().join(std::format!("{name}-{}", std::process::id()));
        let file = File::create(&path).unwrap();
        file.set_len(8 * MIB as u64).unwrap();
        for mib in [2, 5] {
            file.write_all_at(&std::vec![7; MIB], (mib * MIB) as u64).unwrap();
        }
        (path, file)
    }

    fn found(map: &FileMap, range: Range<usize>) -> Vec<Range<usize>> {
        map.data_ranges(range).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn holes_are_left_out_wherever_the_mapping_starts() {
        let (path, _file) = sparse("bifolio-holes");
        let map = FileMap::open(&path).unwrap();
        let all = found(&map, 0..map.len());
        let late = Options::new().offset(3 * MIB as u64 - 5).open(&path).unwrap();
        let of_late = found(&late, 0..late.len());
        std::fs::remove_file(&path).unwrap();
        if all.len() == 1 {
            std::println!("skipped: the file system of the temporary directory knows no holes");
            return;
        }
        assert_eq!(all, [2 * MIB..3 * MIB, 5 * MIB..6 * MIB]);
        assert_eq!(found(&map, 0..2 * MIB), []);
        assert_eq!(
            found(&map, 2 * MIB + 1..5 * MIB + 1),
            [2 * MIB + 1..3 * MIB, 5 * MIB..5 * MIB + 1]
        );
        assert_eq!(of_late, [0..5, 2 * MIB + 5..3 * MIB + 5]);
        let error = map.data_ranges(0..8 * MIB + 1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::OutOfBounds { len_bytes: 8 * MIB as u64 });
    }

    #[test]
    fn a_file_cut_short_is_an_error_and_not_a_hole() {
        let (path, file) = sparse("bifolio-holes-cut");
        let map = FileMap::open(&path).unwrap();
        file.set_len(5 * MIB as u64 + 10).unwrap();
        std::fs::remove_file(&path).unwrap();
        let mut ranges = map.data_ranges(0..map.len()).unwrap();
        let error = ranges.find_map(Result::err).unwrap();
        assert_eq!(error.kind(), ErrorKind::Truncated { len_bytes: 5 * MIB as u64 + 10 });
        assert!(ranges.next().is_none());
        // Within the page of the new end nothing faults.
        let end = 5 * MIB + 10;
        map.read_exact_at(&mut [0; 20], end - 10).unwrap();
        assert_eq!(map.check_reaches(end - 10..end), Ok(()));
        let error = map.check_reaches(end - 10..end + 10).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated { len_bytes: end as u64 });
        assert_eq!(
            (error.range(), error.done_bytes()),
            (Some(end as u64 - 10..end as u64 + 10), 10)
        );
    }

    #[test]
    fn a_file_that_tells_no_length_is_all_data() {
        let map = FileMap::open("/proc/version").unwrap();
        assert!(!map.is_empty());
        assert_eq!(found(&map, 0..map.len()), std::vec![0..map.len()]);
        map.check_reaches(0..map.len()).unwrap();
    }
}
