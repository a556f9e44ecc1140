//! Giving back what shared pages hold: a hole in the file, or pages that are zero again.
//!
//! It is exact to the byte, so it never takes what lies beside the range in the same page: that may
//! be the file's, outside of the mapping.

use crate::access::{Access, AccessMut};
use crate::error::{Operation, Result};
use crate::pages;
use crate::shared::SharedMap;
use bifolio_sys::Errno;
use bifolio_sys::fs::{self, FallocateFlags};
use bifolio_sys::mm::Advice as RawAdvice;
use core::ops::Range;

impl SharedMap {
    /// Zeroes `range` for everybody, and gives the memory and the blocks of its whole pages back
    /// until they are written again. No length changes.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](crate::ErrorKind::OutOfBounds), and what fallocate(2) reports:
    /// [`Unsupported`](crate::ErrorKind::Unsupported) by a file system without holes,
    /// [`NotPermitted`](crate::ErrorKind::NotPermitted) for a memory file that is sealed against
    /// them.
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::{Access, AccessMut, SharedMap};
    ///
    /// let map = SharedMap::memfd("pool", 1 << 20)?;
    /// map.fill(0..1 << 20, 7)?;
    /// map.discard(10..1 << 20)?;
    /// assert_eq!(map.load::<[u8; 2]>(9)?, [7, 0]);
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    ///
    /// # References
    ///
    /// fallocate(2), `FALLOC_FL_PUNCH_HOLE`: Linux 2.6.38; without a file madvise(2),
    /// `MADV_REMOVE`: Linux 2.6.16.
    pub fn discard(&self, range: Range<usize>) -> Result<()> {
        let part = self.view_mut().slice_mut(range.clone());
        part.map_err(|error| error.with_operation(Operation::Advise))?;
        if range.is_empty() {
            return Ok(());
        }
        let Some(fd) = self.fd() else { return self.discard_memory(range) };
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let start = self.body.origin.file_offset + range.start as u64;
        loop {
            match fs::fallocate(fd, hole, start, range.len() as u64) {
                Err(Errno::INTR) => {}
                answer => {
                    self.body.changed(&range);
                    return answer
                        .map_err(|errno| self.body.refused(Operation::Advise, &range, errno));
                }
            }
        }
    }

    /// As [`discard`](Self::discard), of memory without a file.
    fn discard_memory(&self, range: Range<usize>) -> Result<()> {
        let page = self.body.page();
        let start = page.round_up(range.start).unwrap_or(range.end);
        // Behind the last byte the page holds nothing.
        let end = if range.end == self.len() { range.end } else { page.round_down(range.end) };
        // Locked pages are refused.
        if start >= end || pages::advise(&self.body, &(start..end), RawAdvice::Remove).is_err() {
            return self.fill(range, 0);
        }
        self.fill(range.start..start, 0)?;
        self.fill(end..range.end, 0)
    }
}
