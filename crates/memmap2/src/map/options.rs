//! The builder.
//!
//! # Safety
//!
//! The constructors of what derefs to a file's bytes are unsafe by their interface.
#![allow(unsafe_code, reason = "the emulated constructors are unsafe")]

use super::descriptor::MmapAsRawDesc;
use super::inner::{self, Inner};
use super::{MapIfSafeError, Mmap, MmapMut, MmapRaw, safe};
use crate::fault::Repair;
use bifolio_map::page::PageSize;
use bifolio_map::{Errno, HugePages, Options, Protection, Sharing};
use std::io;
use std::os::fd::AsFd;

/// What to map, and how.
///
/// # Safety
///
/// The constructors of maps of files are unsafe, since their slices promise bytes that do not
/// change while others may change the file. What happens when it is shortened, the
/// [policy](crate::bifolio::OnFault) says.
///
/// # Examples
///
/// ```
/// let mut map = memmap2::MmapOptions::new().len(5).map_anon()?;
/// map.copy_from_slice(b"folio");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct MmapOptions {
    offset: u64,
    len: Option<usize>,
    huge: Option<u8>,
    stack: bool,
    populate: bool,
    no_reserve_swap: bool,
    no_probe_handle: bool,
}

impl MmapOptions {
    /// All of a file, or no memory.
    pub fn new() -> MmapOptions {
        MmapOptions::default()
    }

    /// Starts at this byte of the file, which need not begin a page. For files.
    pub fn offset(&mut self, offset: u64) -> &mut Self {
        self.offset = offset;
        self
    }

    /// Maps this many bytes: those of a file may reach beyond its end, and cannot be used then.
    pub fn len(&mut self, len: usize) -> &mut Self {
        self.len = Some(len);
        self
    }

    /// Memory fit for a stack (`MAP_STACK`).
    pub fn stack(&mut self) -> &mut Self {
        self.stack = true;
        self
    }

    /// Memory of huge pages, of the size that is this power of two or of the default one
    /// (`MAP_HUGETLB`).
    pub fn huge(&mut self, page_bits: Option<u8>) -> &mut Self {
        self.huge = Some(page_bits.unwrap_or(0));
        self
    }

    /// Brings the pages in now (`MAP_POPULATE`).
    pub fn populate(&mut self) -> &mut Self {
        self.populate = true;
        self
    }

    /// Does not count the map against the memory that the system has promised (`MAP_NORESERVE`).
    pub fn no_reserve_swap(&mut self) -> &mut Self {
        self.no_reserve_swap = true;
        self
    }

    /// Does nothing on Linux.
    pub fn no_probe_handle(&mut self) -> &mut Self {
        self.no_probe_handle = true;
        self
    }

    /// What holds for files and for memory.
    fn common(&self) -> Options {
        let mut options = Options::new();
        if self.populate {
            options = options.populate();
        }
        if self.no_reserve_swap {
            options = options.no_reserve();
        }
        options
    }

    /// What holds for files.
    fn for_file(&self) -> Options {
        let options = self.common().offset(self.offset);
        match self.len {
            Some(len) => options.len(len),
            None => options,
        }
    }

    fn map_file<T: MmapAsRawDesc>(
        &self,
        file: T,
        sharing: Sharing,
        protection: Protection,
    ) -> io::Result<Inner> {
        let (options, file) = (self.for_file(), file.as_raw_desc());
        Inner::map_file(&options, &file, sharing, protection, Repair::ByPolicy)
    }

    /// Maps a file to be read.
    ///
    /// # Errors
    ///
    /// What fstat(2) and mmap(2) report; `InvalidData` for an offset beyond the end of the file.
    ///
    /// # Safety
    ///
    /// The bytes do not change while the map lives; see [`MmapOptions`].
    pub unsafe fn map<T: MmapAsRawDesc>(&self, file: T) -> io::Result<Mmap> {
        self.map_file(file, Sharing::File, Protection::Read).map(Mmap::from_inner)
    }

    /// Maps a file to be read and executed.
    ///
    /// # Errors
    ///
    /// As [`map`](Self::map).
    ///
    /// # Safety
    ///
    /// As [`map`](Self::map).
    pub unsafe fn map_exec<T: MmapAsRawDesc>(&self, file: T) -> io::Result<Mmap> {
        self.map_file(file, Sharing::File, Protection::ReadExec).map(Mmap::from_inner)
    }

    /// Maps a file to be read and written.
    ///
    /// # Errors
    ///
    /// As [`map`](Self::map).
    ///
    /// # Safety
    ///
    /// As [`map`](Self::map).
    pub unsafe fn map_mut<T: MmapAsRawDesc>(&self, file: T) -> io::Result<MmapMut> {
        self.map_file(file, Sharing::File, Protection::ReadWrite).map(MmapMut::from_inner)
    }

    /// Maps a file to be read and written, where what is written stays in this process.
    ///
    /// # Errors
    ///
    /// As [`map`](Self::map).
    ///
    /// # Safety
    ///
    /// As [`map`](Self::map).
    pub unsafe fn map_copy<T: MmapAsRawDesc>(&self, file: T) -> io::Result<MmapMut> {
        self.map_file(file, Sharing::Private, Protection::ReadWrite).map(MmapMut::from_inner)
    }

    /// Maps a file to be read, and perhaps written in this process alone, after
    /// [`Mmap::make_mut`].
    ///
    /// # Errors
    ///
    /// As [`map`](Self::map).
    ///
    /// # Safety
    ///
    /// As [`map`](Self::map).
    pub unsafe fn map_copy_read_only<T: MmapAsRawDesc>(&self, file: T) -> io::Result<Mmap> {
        self.map_file(file, Sharing::Private, Protection::Read).map(Mmap::from_inner)
    }

    /// Maps a file to be read, if nobody can change it any more: a memory file behind the seals
    /// `F_SEAL_SHRINK` and `F_SEAL_WRITE`, or a file under fs-verity on a file system of which the
    /// kernel itself answers for that (ext4, F2FS, Btrfs).
    ///
    /// # Errors
    ///
    /// [`not_safe`](MapIfSafeError::not_safe) for another file, and for bytes beyond its end;
    /// [`map_failed`](MapIfSafeError::map_failed) as [`map`](Self::map).
    ///
    /// # Examples
    ///
    /// ```
    /// let file = std::fs::File::open("Cargo.toml")?;
    /// assert!(memmap2::Mmap::map_if_safe(&file).unwrap_err().not_safe());
    /// # Ok::<(), std::io::Error>(())
    /// ```
    pub fn map_if_safe<T: MmapAsRawDesc>(&self, file: T) -> Result<Mmap, MapIfSafeError> {
        // A descriptor of our own: safe code of another thread may close the one that was told, so
        // that its number means another file before this one is mapped.
        let number = file.as_raw_desc();
        let file = inner::lent(&number).and_then(|file| file.try_clone_to_owned());
        let file = file.map_err(MapIfSafeError::map_failed_with)?;
        let options = self.for_file();
        let len = options.raw_len(&file).map_err(inner::error);
        let len = len.map_err(MapIfSafeError::map_failed_with)?;
        safe::check(file.as_fd(), self.offset, len)?;
        let file = (&file).as_raw_desc();
        let (sharing, protection) = (Sharing::File, Protection::Read);
        Inner::map_file(&options.len(len), &file, sharing, protection, Repair::Never)
            .map(Mmap::from_inner)
            .map_err(MapIfSafeError::map_failed_with)
    }

    /// Maps memory of zeros, as many bytes as [`len`](Self::len) says or none.
    ///
    /// # Errors
    ///
    /// What mmap(2) reports; `InvalidData` for more than `isize::MAX` bytes.
    pub fn map_anon(&self) -> io::Result<MmapMut> {
        let len = self.len.unwrap_or(0);
        if isize::try_from(len).is_err() {
            return Err(inner::too_long());
        }
        let mut options = self.common();
        if self.stack {
            options = options.stack();
        }
        if let Some(page_bits) = self.huge {
            // Six bits, as the kernel has for it.
            let page = match page_bits & 0x3f {
                0 => None,
                bits => {
                    Some(PageSize::new(1 << bits).ok_or_else(|| inner::from_errno(Errno::INVAL))?)
                }
            };
            options = options.huge_pages(HugePages::Pool(page));
        }
        Inner::map_anon(&options, len).map(MmapMut::from_inner)
    }

    /// Maps a file to be read and written by pointers.
    ///
    /// # Errors
    ///
    /// As [`map`](Self::map).
    pub fn map_raw<T: MmapAsRawDesc>(&self, file: T) -> io::Result<MmapRaw> {
        self.map_file(file, Sharing::File, Protection::ReadWrite).map(MmapRaw::from_inner)
    }

    /// Maps a file to be read by pointers.
    ///
    /// # Errors
    ///
    /// As [`map`](Self::map).
    pub fn map_raw_read_only<T: MmapAsRawDesc>(&self, file: T) -> io::Result<MmapRaw> {
        self.map_file(file, Sharing::File, Protection::Read).map(MmapRaw::from_inner)
    }
}
