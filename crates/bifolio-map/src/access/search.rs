//! Searching in memory that others may change: for one byte by the guarded assembly, for several in
//! private copies.
//!
//! # Safety
//!
//! Unsafe code hands pointers inside the window to the guarded assembly, after the bounds were
//! checked.
#![allow(unsafe_code, reason = "a guarded search by pointer")]

use super::{Via, View};
use crate::error::{Error, ErrorKind, Operation, Result};
use bifolio_sys::bytes::find_bytes;
use bifolio_sys::guard::{self, Pair};

/// The length of a block that is copied to be searched, in bytes.
const BLOCK_LEN: usize = 8 << 10;

/// The longest needle that a block on the stack serves: it leaves seven eighths of each for new
/// bytes.
const SHORT_MAX: usize = BLOCK_LEN / 8;

impl View<'_> {
    /// The offset of the first byte at or after `from` that equals `byte`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::OutOfBounds`] where `from` lies beyond the end, and as
    /// [`read_at`](Self::read_at), where the byte is not found before.
    pub fn find_byte(&self, byte: u8, from: usize) -> Result<Option<usize>> {
        self.check(Operation::Read, from, 0)?;
        if self.via != Via::Guarded {
            return self.find_within(&[byte], from, &mut [0; BLOCK_LEN]);
        }
        let len = self.len() - from;
        let search = |done| {
            // SAFETY: `from + done <= self.len()`, so the rest lies inside the window, which is
            // guarded (invariants 0 and 2 of the view).
            let found = unsafe { guard::find_byte(self.address(from + done), byte, len - done) }?;
            Ok(found.map(|index| from + done + index))
        };
        self.guarded_read(from, len, search, |file, done| file.find_byte(byte, from + done))
    }

    /// The offset of the first place at or after `from` where `pair` stands: two bytes at a
    /// distance, by which a search for a longer string skips what cannot be it.
    ///
    /// # Errors
    ///
    /// As [`find_byte`](Self::find_byte).
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::{Access, FileMap, Pair};
    ///
    /// let map = FileMap::open("Cargo.toml")?;
    /// let pair = Pair { first: b'[', second: b's', distance: 5 };
    /// let at = map.view().find_pair(pair, 0)?.expect("the package inherits its lints");
    /// assert_eq!(&map.load::<[u8; 7]>(at)?, b"[lints]");
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    pub fn find_pair(&self, pair: Pair, from: usize) -> Result<Option<usize>> {
        self.check(Operation::Read, from, 0)?;
        let len = self.len() - from;
        if self.via != Via::Guarded {
            return self.find_pair_in_blocks(pair, from);
        }
        let search = |done| {
            // SAFETY: `from + done <= self.len()`, so the rest lies inside the window, which is
            // guarded (invariants 0 and 2 of the view).
            let found = unsafe { guard::find_pair(self.address(from + done), pair, len - done) }?;
            Ok(found.map(|index| from + done + index))
        };
        self.guarded_read(from, len, search, |file, done| file.find_pair(pair, from + done))
    }

    fn find_pair_in_blocks(&self, pair: Pair, from: usize) -> Result<Option<usize>> {
        let mut at = from;
        while let Some(place) = self.find_byte(pair.first, at)? {
            let Some(second) = place.checked_add(pair.distance).filter(|&at| at < self.len())
            else {
                return Ok(None);
            };
            if self.load::<u8>(second)? == pair.second {
                return Ok(Some(place));
            }
            at = place + 1;
        }
        Ok(None)
    }

    /// The offset of the first occurrence of `needle` at or after `from`; an empty one occurs at
    /// `from`.
    ///
    /// The time is linear in the bytes searched. A match that lies before a page that cannot be had
    /// is found.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::OutOfBounds`] where `from` lies beyond the end, and as
    /// [`read_at`](Self::read_at). A needle of more than 1 KiB needs a buffer on the heap:
    /// [`ErrorKind::NoMemory`] where there is none, [`ErrorKind::Unsupported`] without the feature
    /// `std`.
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::{Access, FileMap};
    ///
    /// let map = FileMap::open("Cargo.toml")?;
    /// let at = map.view().find(b"[lints]\n", 0)?.expect("the package inherits its lints");
    /// assert_eq!(map.view().find(b"workspace = true\n", at)?, Some(at + 8));
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    pub fn find(&self, needle: &[u8], from: usize) -> Result<Option<usize>> {
        match needle {
            [] => self.check(Operation::Read, from, 0).map(|()| Some(from)),
            &[byte] => self.find_byte(byte, from),
            _ if needle.len() <= SHORT_MAX => self.find_within(needle, from, &mut [0; BLOCK_LEN]),
            _ => self.find_long(needle, from),
        }
    }

    #[cfg(feature = "std")]
    fn find_long(&self, needle: &[u8], from: usize) -> Result<Option<usize>> {
        let no_memory = || {
            self.error(Operation::Read, ErrorKind::NoMemory, from, self.len().saturating_sub(from))
        };
        let len = needle.len().checked_mul(8).ok_or_else(no_memory)?;
        let mut block = std::vec::Vec::new();
        block.try_reserve_exact(len).map_err(|_| no_memory())?;
        block.resize(len, 0);
        self.find_within(needle, from, &mut block)
    }

    #[cfg(not(feature = "std"))]
    fn find_long(&self, _: &[u8], from: usize) -> Result<Option<usize>> {
        Err(self.error(
            Operation::Read,
            ErrorKind::Unsupported,
            from,
            self.len().saturating_sub(from),
        ))
    }

    /// Searches private copies in `block`, which is longer than `needle`; the end of each is kept
    /// in front of the next, so that no occurrence is cut in two.
    fn find_within(&self, needle: &[u8], from: usize, block: &mut [u8]) -> Result<Option<usize>> {
        self.check(Operation::Read, from, 0)?;
        let (mut at, mut kept) = (from, 0);
        loop {
            let len = self
                .read_on(&mut block[kept..], at)
                .map_err(|error| self.searched(error, from, at))?;
            if len == 0 {
                return Ok(None);
            }
            let filled = kept + len;
            if let Some(index) = find_bytes(&block[..filled], needle) {
                return Ok(Some(at - kept + index));
            }
            at += len;
            kept = filled.min(needle.len() - 1);
            block.copy_within(filled - kept..filled, 0);
        }
    }

    /// An error at `at` as one of the whole search.
    #[cold]
    fn searched(&self, error: Error, from: usize, at: usize) -> Error {
        self.of_whole(error, from, self.len() - from, at - from)
    }
}
