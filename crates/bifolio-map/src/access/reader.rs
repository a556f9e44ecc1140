//! A view as a stream: `Read`, `BufRead` and `Seek`.
//!
//! # Safety
//!
//! Unsafe code sets the length of a `Vec` whose bytes were just read.
#![allow(unsafe_code, reason = "fills the spare capacity of a Vec")]

use super::{Via, View};
use crate::error::{ErrorKind, Operation, Result};
use core::fmt;
use core::ops::Range;
use std::boxed::Box;
use std::io::{self, BufRead, Read, Seek, SeekFrom};
use std::vec;
use std::vec::Vec;

/// The length of a buffer in bytes: what is filled by the assembly stays in the first-level cache.
const SHORT_LEN: usize = 4 << 10;

/// The length of a buffer in bytes where each costs a system call.
const LONG_LEN: usize = 64 << 10;

/// Reads a [`View`] from front to back, or from wherever it was sought to: made by
/// [`View::reader`].
///
/// It is buffered. An error of the mapping becomes an [`io::Error`] that keeps the kernel's number
/// in `raw_os_error`; the bytes before it were read, and the next call tries again.
pub struct Reader<'a> {
    view: View<'a>,
    /// Where the next byte to hand out lies in the view; it may be sought beyond the end.
    position: u64,
    /// Empty until it is needed.
    buf: Box<[u8]>,
    /// The part of `buf` that holds the bytes from `position` on.
    unread: Range<usize>,
}

impl<'a> View<'a> {
    /// The bytes as a stream.
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::{Access, FileMap};
    /// use std::io::{BufRead, Seek, SeekFrom};
    ///
    /// let map = FileMap::open("Cargo.toml")?;
    /// let mut reader = map.view().reader();
    /// reader.seek(SeekFrom::Start(1))?;
    /// let mut line = String::new();
    /// reader.read_line(&mut line)?;
    /// assert_eq!(line, "package]\n");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reader(&self) -> Reader<'a> {
        Reader { view: *self, position: 0, buf: Box::default(), unread: 0..0 }
    }

    /// The lines, without their ends, as of [`BufRead::lines`].
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::{Access, FileMap};
    ///
    /// let map = FileMap::open("Cargo.toml")?;
    /// assert_eq!(map.view().lines().next().unwrap()?, "[package]");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn lines(&self) -> io::Lines<Reader<'a>> {
        self.reader().lines()
    }

    /// Writes the bytes of `range` to `sink`.
    ///
    /// # Errors
    ///
    /// As [`slice`](Self::slice) and [`read_at`](Self::read_at), converted to an [`io::Error`], and
    /// what `sink` reports. The bytes before one that cannot be had were written.
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::{Access, FileMap};
    ///
    /// let (map, mut sink) = (FileMap::open("Cargo.toml")?, Vec::new());
    /// map.view().copy_to(1..8, &mut sink)?;
    /// assert_eq!(sink, b"package");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn copy_to(
        &self,
        range: Range<usize>,
        sink: &mut (impl io::Write + ?Sized),
    ) -> io::Result<()> {
        let part = self.slice(range)?;
        let mut chunks = part.chunks(vec![0; LONG_LEN.min(part.len().max(1))]);
        while let Some(chunk) = chunks.next_of_whole()? {
            sink.write_all(chunk.bytes)?;
        }
        Ok(())
    }

    /// Reads the bytes of `range` into a new `Vec`.
    ///
    /// # Errors
    ///
    /// As [`read_exact_at`](Self::read_exact_at); [`ErrorKind::NoMemory`] where there is none for
    /// the `Vec`.
    pub fn read_to_vec(&self, range: Range<usize>) -> Result<Vec<u8>> {
        let part = self.slice(range.clone())?;
        let mut bytes = Vec::new();
        if bytes.try_reserve_exact(part.len()).is_err() {
            return Err(self.error(Operation::Read, ErrorKind::NoMemory, range.start, part.len()));
        }
        let len = part.read_uninit_at(&mut bytes.spare_capacity_mut()[..part.len()], 0)?;
        // SAFETY: `read_uninit_at` initialised exactly the `len` first bytes of the capacity.
        unsafe { bytes.set_len(len) };
        Ok(bytes)
    }
}

impl Reader<'_> {
    fn buffer_len(&self) -> usize {
        if self.view.via == Via::Guarded { SHORT_LEN } else { LONG_LEN }
    }

    /// The bytes in the buffer.
    fn buffered(&self) -> &[u8] {
        &self.buf[self.unread.clone()]
    }

    /// The next byte's offset in the view, its end where the position lies beyond.
    fn offset(&self) -> usize {
        usize::try_from(self.position).map_or(self.view.len(), |at| at.min(self.view.len()))
    }
}

impl Read for Reader<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = if self.unread.is_empty() && buf.len() >= self.buffer_len() {
            self.view.read_on(buf, self.offset())?
        } else {
            self.fill_buf()?;
            let len = buf.len().min(self.unread.len());
            buf[..len].copy_from_slice(&self.buffered()[..len]);
            self.unread.start += len;
            len
        };
        self.position += len as u64;
        Ok(len)
    }
}

impl BufRead for Reader<'_> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.unread.is_empty() {
            if self.buf.is_empty() {
                self.buf = vec![0; self.buffer_len()].into_boxed_slice();
            }
            let offset = self.offset();
            self.unread = 0..self.view.read_on(&mut self.buf, offset)?;
        }
        Ok(self.buffered())
    }

    fn consume(&mut self, amount: usize) {
        let amount = amount.min(self.unread.len());
        self.unread.start += amount;
        self.position += amount as u64;
    }
}

impl Seek for Reader<'_> {
    /// Moves the position and forgets what is buffered: what is read next is what memory holds
    /// then.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.position = seek(self.position, self.view.len(), to)?;
        self.unread = 0..0;
        Ok(self.position)
    }

    fn stream_position(&mut self) -> io::Result<u64> {
        Ok(self.position)
    }
}

/// The position that `to` means, as lseek(2) has it: anywhere beyond the end, never before the
/// start.
pub(super) fn seek(position: u64, len: usize, to: SeekFrom) -> io::Result<u64> {
    let sought = match to {
        SeekFrom::Start(offset) => Some(offset),
        SeekFrom::Current(distance) => position.checked_add_signed(distance),
        SeekFrom::End(distance) => (len as u64).checked_add_signed(distance),
    };
    sought.ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

impl fmt::Debug for Reader<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader")
            .field("view", &self.view)
            .field("position", &self.position)
            .finish()
    }
}
