//! A file, and changes to it that nobody else sees: copy-on-write.
//!
//! # Invariants
//!
//! 0. The body's pages are mapped `MAP_PRIVATE`, to be read and written, and stay so while the
//!    value lives; no reference to their bytes is made by safe code.
//!
//! It does not promise that what was not changed here stays: a page that was not copied shows the
//! file as it is now. Nor is a copied page safe from the file's becoming shorter: the kernel takes
//! it too, and access to it is an error.
//!
//! # Safety
//!
//! Unsafe code lends writable views, and vouches for the mapping.
#![allow(unsafe_code, reason = "lends writable views, and implements an unsafe trait")]

use crate::access::{Access, AccessMut, ViewMut};
use crate::body::Body;
use crate::cut::halves;
use crate::dirty::tracked;
use crate::error::{ErrorKind, Operation, Result};
use crate::kind::kind;
use crate::object::Object;
use crate::options::{Options, Wish};
use crate::origin::Origin;
use crate::pages;
use crate::shared::{Part, open_path};
use crate::span::Request;
use bifolio_sys::Errno;
use bifolio_sys::fs;
use bifolio_sys::fs::fd::OwnedFd;
use bifolio_sys::mm::{Advice as RawAdvice, MapFlags, ProtFlags};
use core::ops::Range;
use std::path::Path;

/// A file that can be written without being changed: each page is copied when it is first written,
/// and the copies are this mapping's own.
///
/// The pages that were not written show the file as it is, whoever writes it.
/// [`commit_to`](PrivateMap::commit_to) makes a file of what the mapping shows; whoever unmaps or
/// drops it without that forgets the changes.
///
/// # Examples
///
/// ```
/// use bifolio_map::{Access, AccessMut, PrivateMap};
///
/// let map = PrivateMap::open("Cargo.toml")?;
/// map.write_all_at(b"# ours  ", 0)?;
/// assert_eq!(map.load::<[u8; 8]>(0)?, *b"# ours  ");
/// assert_eq!(std::fs::read("Cargo.toml")?[..8], *b"[package");
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # References
///
/// mmap(2), `MAP_PRIVATE`.
pub struct PrivateMap {
    body: Body,
}

kind!(PrivateMap, Private, ReadWrite);
tracked!(PrivateMap);
halves!(PrivateMap);

impl Options {
    /// Opens a file for reading, and maps it to be read and, privately, written.
    ///
    /// The kernel promises memory for all copies at once, and refuses more than the machine has;
    /// [`no_reserve`](Options::no_reserve) does without the promise.
    ///
    /// # Errors
    ///
    /// What open(2), fstat(2) and mmap(2) report;
    /// [`NotMappable`](ErrorKind::NotMappable) for what is not a run of bytes.
    pub fn open_private(&self, path: impl AsRef<Path>) -> Result<PrivateMap> {
        let (file, object) = open_path(std::fs::OpenOptions::new().read(true), path.as_ref())?;
        self.map_private_file(file, object)
    }

    /// Maps an open file to be read and, privately, written; it need be open for reading only.
    ///
    /// # Errors
    ///
    /// As [`open_private`](Options::open_private).
    pub fn private_file(&self, file: impl Into<OwnedFd>) -> Result<PrivateMap> {
        self.map_private_file(file.into(), Object::OpenFile)
    }

    fn map_private_file(&self, file: OwnedFd, object: Object) -> Result<PrivateMap> {
        self.only(&[Wish::Offset, Wish::Len, Wish::Residency], &object)?;
        let Part { len, page, .. } = self.part_of_file(&file, &object)?;
        let request = Request {
            len,
            protection: ProtFlags::READ | ProtFlags::WRITE,
            flags: MapFlags::PRIVATE | self.flags(),
            placement: self.placement,
        };
        let origin =
            Origin { object, file: Some(file), file_offset: self.offset, is_file_s: false };
        let body = Body::map_pages(request, origin, page).map_err(|(_, error)| error)?;
        Ok(PrivateMap { body })
    }
}

impl PrivateMap {
    /// Opens a file for reading, and maps all of it to be read and, privately, written.
    ///
    /// # Errors
    ///
    /// As [`Options::open_private`].
    pub fn open(path: impl AsRef<Path>) -> Result<PrivateMap> {
        Options::new().open_private(path)
    }

    /// Maps an open file.
    ///
    /// # Errors
    ///
    /// As [`Options::private_file`].
    pub fn from_file(file: impl Into<OwnedFd>) -> Result<PrivateMap> {
        Options::new().private_file(file)
    }

    /// Undoes the changes in `range`, to the byte: it shows the file again.
    ///
    /// The copies of the pages that lie wholly in it are given back. In the pages at its ends that
    /// do not, the file's bytes are written over the changes, so those pages stay copies.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](ErrorKind::OutOfBounds); what madvise(2) reports (`EINVAL` for locked
    /// pages); what reading the file reports.
    ///
    /// # References
    ///
    /// madvise(2), `MADV_DONTNEED`.
    pub fn discard(&self, range: Range<usize>) -> Result<()> {
        self.body.pages(Operation::Advise, &range)?;
        let page = self.body.page();
        let delta = self.body.delta();
        // Before the first byte and after the last there is nothing to keep.
        let first = match range.start {
            0 => 0,
            start => page.round_up(delta + start).map_or(range.end, |at| at - delta),
        };
        let last = match range.end {
            end if end == self.len() => end,
            end => page.round_down(delta + end).saturating_sub(delta),
        };
        if first >= last {
            return self.restore(range);
        }
        self.restore(range.start..first)?;
        pages::advise(&self.body, &(first..last), RawAdvice::DontNeed)?;
        self.restore(last..range.end)
    }

    /// Writes the file's bytes over the changes in `range`.
    fn restore(&self, range: Range<usize>) -> Result<()> {
        let Some(file) = self.body.origin.fd() else { return Ok(()) };
        let mut block = [0; 4096];
        let mut at = range.start;
        while at < range.end {
            let want = (range.end - at).min(block.len());
            let position = self.body.origin.file_offset + at as u64;
            match fs::pread(file, &mut block[..want], position) {
                Ok(0) => {
                    let len_bytes = self.body.origin.file_len().unwrap_or(position);
                    let kind = ErrorKind::Truncated { len_bytes };
                    return Err(self.body.origin.error(Operation::Read, kind, at, range.end - at));
                }
                Ok(count) => {
                    self.write_all_at(&block[..count], at)?;
                    at += count;
                }
                Err(Errno::INTR) => {}
                Err(errno) => {
                    return Err(self.body.refused(Operation::Read, &(at..range.end), errno));
                }
            }
        }
        Ok(())
    }
}

impl AccessMut for PrivateMap {
    #[inline]
    fn view_mut(&self) -> ViewMut<'_> {
        // SAFETY: the pages are mapped to be written, and no reference to them exists (invariant
        // 0).
        unsafe { self.body.view_mut() }
    }
}
