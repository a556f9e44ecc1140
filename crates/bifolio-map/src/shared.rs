//! Memory that others see at once: of a file, of a memory file, or of no file and inherited by
//! children.
//!
//! # Invariants
//!
//! 0. `len <= body.len()`, and `len` never shrinks while the value lives.
//! 1. The body's pages are mapped `MAP_SHARED`, to be read and written, and stay so while the value
//!    lives.
//! 2. No reference to the bytes is made by safe code, but to atomics (`plain_atomic.rs`).
//!
//! It does not order what processes do: that is for atomics and locks. Growth is in `grow.rs`,
//! durability in `flush.rs`.
//!
//! # Safety
//!
//! Unsafe code lends views of the first `len` bytes, and vouches for the mapping.
#![allow(unsafe_code, reason = "lends views of shared pages, and implements an unsafe trait")]

use crate::access::{Access, AccessMut, Via, View, ViewMut};
#[cfg(feature = "std")]
use crate::allocate::allocate;
use crate::body::Body;
use crate::dirty::tracked;
use crate::error::{Error, ErrorKind, FileKind, Operation, Result};
use crate::mapping::{Mapping, Protection, Sharing};
use crate::object::Object;
use crate::options::{HugePages, Options, Wish};
use crate::origin::Origin;
use crate::pages::sealed::HasBody;
use crate::span::Request;
use bifolio_sys::fs::fd::{AsFd, BorrowedFd, OwnedFd};
use bifolio_sys::fs::{self, FileSystem, FileType, Stat};
use bifolio_sys::mm::{MapFlags, ProtFlags};
use bifolio_sys::page::{PageSize, page_size};
use bifolio_sys::sync::{AtomicUsize, Ordering};
use core::fmt;

/// Memory that other processes see change at once, and that is written back where a file lies
/// behind it.
///
/// It is read and written by [`Access`] and [`AccessMut`] only: others may change the bytes, and
/// shorten the file, at any moment. There is no slice of it in safe code.
///
/// With [`Options::reserve`] it can [`grow`](SharedMap::grow) without moving.
///
/// # Examples
///
/// ```
/// use bifolio_map::{Access, AccessMut, SharedMap};
///
/// # let name = format!("bifolio-doc-shared-{}", std::process::id());
/// # let path = std::env::temp_dir().join(name);
/// std::fs::write(&path, b"0000 pages")?;
/// let map = SharedMap::open(&path)?;
/// map.write_all_at(b"0042", 0)?;
/// assert_eq!(std::fs::read(&path)?, b"0042 pages");
/// # std::fs::remove_file(&path)?;
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # References
///
/// mmap(2), `MAP_SHARED`.
pub struct SharedMap {
    pub(crate) body: Body,
    len: AtomicUsize,
    pub(crate) lasting: Lasting,
}

/// Whether the pages stay for as long as the mapping does, so that plain references to atomics may
/// point there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lasting {
    /// They do: memory without a file, promised by the kernel when it was mapped.
    Always,
    /// They do once the memory file is sealed.
    WhenSealed,
    /// They may not.
    Never,
}

/// What shared memory without a file of one's own can be asked for.
pub(crate) const MEMORY: [Wish; 3] = [Wish::Residency, Wish::PoolPages, Wish::Reserve];

/// What a shared mapping of a file can be asked for.
const FILE: [Wish; 5] =
    [Wish::Offset, Wish::Len, Wish::Residency, Wish::Reserve, Wish::Synchronous];

/// The same where the length is an argument.
#[cfg(feature = "std")]
const CREATED_FILE: [Wish; 4] = [Wish::Offset, Wish::Residency, Wish::Reserve, Wish::Synchronous];

impl Options {
    /// Maps `len` bytes of zeroed memory that children share: those that are forked and do not
    /// call execve(2).
    ///
    /// # Errors
    ///
    /// What mmap(2) reports: [`NoMemory`](ErrorKind::NoMemory), [`Occupied`](ErrorKind::Occupied),
    /// ...
    ///
    /// # References
    ///
    /// mmap(2), `MAP_SHARED | MAP_ANONYMOUS`. With [`reserve`](Options::reserve) a memory file
    /// lies behind it, which can grow.
    pub fn shared(&self, len: usize) -> Result<SharedMap> {
        self.only(&MEMORY, &Object::SharedMemory)?;
        if self.reserve.is_some_and(|reserve| reserve > len) {
            return self.memfd("bifolio", len);
        }
        let is_promised = !self.no_reserve && !matches!(self.huge, HugePages::Pool(_));
        let lasting = if is_promised { Lasting::Always } else { Lasting::Never };
        let origin = Origin::without_file(Object::SharedMemory);
        let body = Body::map(self.shared_request(len), origin)?;
        Ok(SharedMap::from_body(body, len, lasting))
    }

    /// Maps an open file, which must be readable and writable, and keeps it open.
    ///
    /// # Errors
    ///
    /// What fstat(2) and mmap(2) report; [`NotPermitted`](ErrorKind::NotPermitted) for a file that
    /// is open for reading only; [`NotMappable`](ErrorKind::NotMappable) for what is not a run of
    /// bytes.
    pub fn shared_file(&self, file: impl Into<OwnedFd>) -> Result<SharedMap> {
        self.only(&FILE, &Object::OpenFile)?;
        self.map_shared(file.into(), Object::OpenFile)
    }

    pub(crate) fn map_shared(&self, file: OwnedFd, object: Object) -> Result<SharedMap> {
        let Part { len, is_readable, page } = self.part_of_file(&file, &object)?;
        let request = self.shared_request(len);
        let origin =
            Origin { object, file: Some(file), file_offset: self.offset, is_file_s: is_readable };
        let body = Body::map_pages(request, origin, page).map_err(|(_, error)| error)?;
        Ok(SharedMap::from_body(body, len, Lasting::WhenSealed))
    }

    /// The part to map of `file`: what was asked for, or the rest of the file.
    pub(crate) fn part_of_file(&self, file: impl AsFd, object: &Object) -> Result<Part> {
        let file = file.as_fd();
        let stat = stat_of(file, object)?;
        let file_len = mappable_len(&stat, object, self.len.is_some())?;
        let len = match self.len {
            Some(len) => len,
            None => usize::try_from(file_len.saturating_sub(self.offset))
                .map_err(|_| Error::new(Operation::Map, object, ErrorKind::TooLarge))?,
        };
        let is_readable = FileType::from_raw_mode(stat.st_mode) != FileType::CharacterDevice;
        Ok(Part { len, is_readable, page: page_of_file(file, &stat) })
    }

    /// The addresses to map for `len` bytes now and as many as were reserved for later.
    fn shared_request(&self, len: usize) -> Request {
        let sharing = match self.synchronous {
            true => MapFlags::SHARED_VALIDATE | MapFlags::SYNC,
            false => MapFlags::SHARED,
        };
        let mut flags = sharing | self.flags();
        // Nothing is to be promised for addresses that may never be used.
        let is_longer = self.reserve.is_some_and(|reserve| reserve > len);
        flags.set(MapFlags::NORESERVE, self.no_reserve || is_longer);
        Request {
            len: len.max(self.reserve.unwrap_or(0)),
            protection: ProtFlags::READ | ProtFlags::WRITE,
            flags,
            placement: self.placement,
        }
    }
}

/// What is mapped of a file.
pub(crate) struct Part {
    pub(crate) len: usize,
    /// Whether reading the file is reading the mapping: not so for a character device, from which
    /// it could take what others wait for.
    pub(crate) is_readable: bool,
    /// The size of its pages: huge ones are mapped and unmapped as a whole.
    pub(crate) page: PageSize,
}

/// The length of an open file, or why it cannot be mapped; a device has none of its own, so that
/// one must be given.
fn mappable_len(stat: &Stat, object: &Object, is_len_given: bool) -> Result<u64> {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => return Ok(stat.st_size as u64),
        FileType::BlockDevice | FileType::CharacterDevice if is_len_given => return Ok(0),
        FileType::BlockDevice | FileType::CharacterDevice => FileKind::Device,
        FileType::Directory => FileKind::Directory,
        FileType::Fifo => FileKind::Pipe,
        FileType::Socket => FileKind::Socket,
        _ => FileKind::Other,
    };
    Err(Error::new(Operation::Map, object, ErrorKind::NotMappable(kind)))
}

/// The size of the pages that a file is mapped by. Its file system is asked only where its blocks
/// are so large that they could be huge pages.
fn page_of_file(file: BorrowedFd<'_>, stat: &Stat) -> PageSize {
    let (page, block) = (page_size(), stat.st_blksize as usize);
    if block <= page.bytes() || fs::file_system(file) != Ok(FileSystem::Hugetlbfs) {
        return page;
    }
    PageSize::new(block).unwrap_or(page)
}

fn stat_of(file: BorrowedFd<'_>, object: &Object) -> Result<Stat> {
    fs::fstat(file).map_err(|errno| Error::from_errno(Operation::Stat, object, errno))
}

#[cfg(feature = "std")]
impl Options {
    /// Opens a file for reading and writing, and maps it.
    ///
    /// # Errors
    ///
    /// What open(2), fstat(2) and mmap(2) report;
    /// [`NotMappable`](ErrorKind::NotMappable) for what is not a run of bytes.
    pub fn open_shared(&self, path: impl AsRef<std::path::Path>) -> Result<SharedMap> {
        let mut options = std::fs::OpenOptions::new();
        let (file, object) = open_path(options.read(true).write(true), path.as_ref())?;
        self.only(&FILE, &object)?;
        self.map_shared(file, object)
    }
}

#[cfg(feature = "std")]
impl Options {
    /// Opens a file, or creates it where there is none, makes it long enough for `len` bytes from
    /// the offset on, and maps those.
    ///
    /// Space is allocated first, so that writing cannot meet a full disk later (in a file that was
    /// there already: holes before its old end excepted). A file that exists is never shortened
    /// and keeps its bytes. Where it fails, a file that was created stays, since others may have
    /// opened it.
    ///
    /// # Errors
    ///
    /// As [`open_shared`](Options::open_shared), and as [`SharedMap::grow`].
    pub fn create_shared(
        &self,
        path: impl AsRef<std::path::Path>,
        len: usize,
    ) -> Result<SharedMap> {
        let object = Object::File(std::sync::Arc::from(path.as_ref()));
        self.only(&CREATED_FILE, &object)?;
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let (file, object) = open_path(&options, path.as_ref())?;
        let end = self.offset.saturating_add(len as u64);
        let file_len = mappable_len(&stat_of(file.as_fd(), &object)?, &object, false)?;
        if file_len < end {
            allocate(file.as_fd(), file_len..end).map_err(|errno| {
                Error::from_errno(Operation::Grow, &object, errno).with_range(file_len..end)
            })?;
        }
        self.len(len).map_shared(file, object)
    }
}

/// Opens a file by path, and names it for errors.
#[cfg(feature = "std")]
pub(crate) fn open_path(
    options: &std::fs::OpenOptions,
    path: &std::path::Path,
) -> Result<(OwnedFd, Object)> {
    let object = Object::File(std::sync::Arc::from(path));
    match options.open(path) {
        Ok(file) => Ok((file.into(), object)),
        Err(error) => {
            let errno =
                bifolio_sys::Errno::from_io_error(&error).unwrap_or(bifolio_sys::Errno::INVAL);
            Err(Error::from_errno(Operation::Open, &object, errno))
        }
    }
}

impl SharedMap {
    pub(crate) fn from_body(body: Body, len: usize, lasting: Lasting) -> SharedMap {
        debug_assert!(len <= body.len());
        SharedMap { body, len: AtomicUsize::new(len), lasting }
    }

    /// Maps `len` bytes of zeroed memory that children share.
    ///
    /// # Errors
    ///
    /// As [`Options::shared`].
    pub fn anon(len: usize) -> Result<SharedMap> {
        Options::new().shared(len)
    }

    /// Maps an open file.
    ///
    /// # Errors
    ///
    /// As [`Options::shared_file`].
    pub fn from_file(file: impl Into<OwnedFd>) -> Result<SharedMap> {
        Options::new().shared_file(file)
    }

    /// Opens a file for reading and writing, and maps all of it.
    ///
    /// # Errors
    ///
    /// As [`Options::open_shared`].
    #[cfg(feature = "std")]
    pub fn open(path: impl AsRef<std::path::Path>) -> Result<SharedMap> {
        Options::new().open_shared(path)
    }

    /// Opens or creates a file, makes it at least `len` bytes long, and maps those.
    ///
    /// # Errors
    ///
    /// As [`Options::create_shared`].
    #[cfg(feature = "std")]
    pub fn create(path: impl AsRef<std::path::Path>, len: usize) -> Result<SharedMap> {
        Options::new().create_shared(path, len)
    }

    /// The file behind it, where there is one: to be handed to another process, or locked.
    pub fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.body.origin.fd()
    }

    /// Unmaps it and says whether that worked, which dropping it cannot.
    ///
    /// What was written is in the file, as other processes see it; whether it is on the medium,
    /// only [`flush`](SharedMap::flush) tells.
    ///
    /// # Errors
    ///
    /// What munmap(2) reports, with the mapping.
    pub fn unmap(self) -> Result<(), (SharedMap, Error)> {
        let SharedMap { body, len, lasting } = self;
        body.unmap().map_err(|(body, error)| (SharedMap { body, len, lasting }, error))
    }

    /// The bytes shown now.
    #[inline]
    pub(crate) fn shown_len(&self) -> usize {
        // Acquire: pairs with the release in `show`, so that whoever sees the length finds the file
        // at least that long.
        self.len.load(Ordering::Acquire)
    }

    /// Shows the first `len` bytes, where fewer were shown.
    pub(crate) fn show(&self, len: usize) {
        debug_assert!(len <= self.body.len());
        // Release: pairs with the acquire in `shown_len`.
        self.len.fetch_max(len, Ordering::Release);
    }
}

tracked!(SharedMap);

impl Access for SharedMap {
    #[inline]
    fn view(&self) -> View<'_> {
        let (ptr, len) = (self.body.ptr().as_ptr(), self.shown_len());
        // SAFETY: the span stays mapped while `self` is borrowed, and the bytes shown lie in it
        // (invariant 0); the dispatcher stands (the body's invariant 1).
        unsafe { View::new(ptr, len, Via::Guarded, &self.body.origin) }
    }
}

impl AccessMut for SharedMap {
    #[inline]
    fn view_mut(&self) -> ViewMut<'_> {
        let (ptr, len) = (self.body.ptr().as_ptr(), self.shown_len());
        // SAFETY: as in `view`; the pages are mapped to be written, and no reference but to atomics
        // exists (invariants 1 and 2).
        unsafe { ViewMut::new(ptr, len, Via::Guarded, &self.body.origin) }
    }
}

impl HasBody for SharedMap {
    #[allow(private_interfaces, reason = "sealed")]
    fn body(&self) -> &Body {
        &self.body
    }
}

// SAFETY: the body owns its pages for the value's life (0); no reference but to atomics is made
// (invariant 2, for 1); the view begins where the body does (2).
unsafe impl Mapping for SharedMap {
    fn as_ptr(&self) -> *const u8 {
        self.body.ptr().as_ptr()
    }

    fn sharing(&self) -> Sharing {
        if self.body.origin.file.is_some() { Sharing::File } else { Sharing::Shared }
    }

    fn protection(&self) -> Protection {
        Protection::ReadWrite
    }
}

impl fmt::Debug for SharedMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedMap")
            .field("object", &self.body.origin.object)
            .field("ptr", &self.body.ptr())
            .field("len", &self.shown_len())
            .field("capacity", &self.body.len())
            .finish()
    }
}
