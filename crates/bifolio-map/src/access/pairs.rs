//! Two views at once: comparing them, and copying from one to the other.
//!
//! A fault of a guarded access to both does not say on which side it was. So the block at which it
//! stopped is asked for in private copies, first here, then there: each answer is exact, and the
//! rest goes on behind it.
//!
//! # Safety
//!
//! Unsafe code hands pointers into both windows to the guarded assembly, within the shorter one's
//! length.
#![allow(unsafe_code, reason = "guarded access to two windows by pointer")]

use super::{Via, View, ViewMut};
use crate::error::Result;
use bifolio_sys::guard;

/// The length of the private copies where a side faulted or is not guarded, in bytes.
const BLOCK_LEN: usize = 4096;

impl View<'_> {
    /// The offset of the first byte in which the two views differ; `None` where one is the
    /// beginning of the other (compare the lengths).
    ///
    /// # Errors
    ///
    /// As [`read_at`](Self::read_at), for the view whose page cannot be had, where no difference
    /// lies before it.
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::{Access, FileMap};
    ///
    /// let (one, other) = (FileMap::open("Cargo.toml")?, FileMap::open("Cargo.toml")?);
    /// assert_eq!(one.view().compare(&other.view())?, None);
    /// assert_eq!(one.slice(1..9)?.compare(&other.slice(2..9)?)?, Some(0));
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    pub fn compare(&self, other: &View<'_>) -> Result<Option<usize>> {
        let len = self.len().min(other.len());
        let are_guarded = self.via == Via::Guarded && other.via == Via::Guarded;
        let mut at = 0;
        while at < len {
            if are_guarded {
                // SAFETY: `at < len`, which is within both windows, and both are guarded
                // (invariants 0 and 2 of the view).
                match unsafe { guard::compare(self.address(at), other.address(at), len - at) } {
                    Ok(found) => return Ok(found.map(|index| at + index)),
                    Err(fault) => at += fault.done,
                }
            }
            let (mut mine, mut theirs) = ([0; BLOCK_LEN], [0; BLOCK_LEN]);
            let block = &mut mine[..BLOCK_LEN.min(len - at)];
            let count = self.read_on(block, at).map_err(|e| self.of_whole(e, 0, len, at))?;
            let block = &mut theirs[..count];
            let count = other.read_on(block, at).map_err(|e| other.of_whole(e, 0, len, at))?;
            if mine[..count] != theirs[..count] {
                let index = (0..count).find(|&index| mine[index] != theirs[index]);
                return Ok(index.map(|index| at + index));
            }
            at += count;
        }
        Ok(None)
    }

    /// Copies to the start of `target` as many bytes as both have, and returns how many.
    ///
    /// Where the two overlap, what ends up there is unspecified.
    ///
    /// # Errors
    ///
    /// As [`read_at`](Self::read_at) or [`write_at`](ViewMut::write_at), for the view whose page
    /// cannot be had; the bytes before it were copied.
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::{Access, AccessMut, FileMap, SharedMap};
    ///
    /// let (file, memory) = (FileMap::open("Cargo.toml")?, SharedMap::anon(9)?);
    /// assert_eq!(file.view().copy_to_view(&memory.view_mut())?, 9);
    /// assert_eq!(memory.load::<[u8; 9]>(0)?, *b"[package]");
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    pub fn copy_to_view(&self, target: &ViewMut<'_>) -> Result<usize> {
        let len = self.len().min(target.len());
        let are_guarded = self.via == Via::Guarded && target.via == Via::Guarded;
        let mut at = 0;
        while at < len {
            if are_guarded {
                // SAFETY: `at < len`, which is within both windows, and both are guarded
                // (invariants 0 and 2 of the view); no reference covers the target (invariant 1).
                match unsafe { guard::copy(target.address(at), self.address(at), len - at) } {
                    Ok(()) => return Ok(len),
                    Err(fault) => at += fault.done,
                }
            }
            let mut block = [0; BLOCK_LEN];
            let block = &mut block[..BLOCK_LEN.min(len - at)];
            let count = self.read_on(block, at).map_err(|e| self.of_whole(e, 0, len, at))?;
            target.write_all_at(&block[..count], at).map_err(|error| {
                let done = at + error.done_bytes();
                target.of_whole(error, 0, len, done)
            })?;
            at += count;
        }
        Ok(len)
    }
}
