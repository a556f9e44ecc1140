//! Pages without a promise: an address, a length, and the calls on them.
//!
//! It is what a program maps that makes a promise of its own about the bytes, or an interface that
//! leaves that promise to its caller. No descriptor is kept, so mapping costs what mmap(2) costs.
//!
//! # Invariants
//!
//! 0. The body has a span: at least one page is mapped, for no bytes too.
//! 1. The range leaves the table of resolvers before its pages are unmapped or moved: `watch`
//!    stands before `body`, and is dropped first.
//!
//! It makes no reference to its bytes and reads none.
//!
//! # Safety
//!
//! Unsafe code makes system calls on the pages, which are the value's own; resolvers are their
//! caller's promise.
#![allow(unsafe_code, reason = "mprotect, mremap and the like take pointers")]

use crate::body::Body;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::mapping::{Protection, Sharing};
use crate::object::Object;
use crate::options::{Options, Wish};
use crate::origin::Origin;
use crate::span::Request;
use bifolio_sys::Errno;
use bifolio_sys::fault::{self, Registration, Resolver};
use bifolio_sys::fs::{self, fd::AsFd};
use bifolio_sys::mm::{self, MapFlags, MsyncFlags, ProtFlags};
use core::ffi::c_void;
use core::fmt;
use core::ops::Range;

/// Pages of a file or of memory, as an address and a length, and no promise about the bytes: others
/// may change them or take them away, and an access that the pages do not serve is a signal.
///
/// `Send` and `Sync`: it only tells its address. Unmapped when dropped. It keeps no descriptor.
///
/// # Examples
///
/// ```
/// use bifolio_map::{Options, Protection, Sharing};
///
/// let file = std::fs::File::open("Cargo.toml")?;
/// let map = Options::new().offset(1).raw_file(&file, Sharing::File, Protection::Read)?;
/// // SAFETY: nobody shortens the file meanwhile.
/// assert_eq!(unsafe { map.as_ptr().read_volatile() }, b'p');
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # References
///
/// mmap(2).
pub struct RawMap {
    watch: Option<Registration>,
    body: Body,
}

impl Options {
    /// How many bytes [`raw_file`](Self::raw_file) maps of a file: those asked for, or all from the
    /// offset to the end that fstat(2) tells, for a file of any kind.
    ///
    /// # Errors
    ///
    /// What fstat(2) reports; [`OutOfBounds`](ErrorKind::OutOfBounds) for an offset beyond the end;
    /// [`TooLarge`](ErrorKind::TooLarge) for more than `isize::MAX` bytes.
    pub fn raw_len(&self, file: impl AsFd) -> Result<usize> {
        let object = &Object::OpenFile;
        let len = match self.len {
            Some(len) => len as u64,
            None => {
                let stat = fs::fstat(file)
                    .map_err(|errno| Error::from_errno(Operation::Stat, object, errno))?;
                let len_bytes = stat.st_size as u64;
                len_bytes.checked_sub(self.offset).ok_or_else(|| {
                    Error::new(Operation::Map, object, ErrorKind::OutOfBounds { len_bytes })
                })?
            }
        };
        match isize::try_from(len) {
            Ok(_) => Ok(len as usize),
            Err(_) => Err(Error::new(Operation::Map, object, ErrorKind::TooLarge)),
        }
    }

    /// Maps a file that is open, without a promise: `Sharing::File` for its own bytes,
    /// `Sharing::Private` for copies of the pages that are written.
    ///
    /// Without bytes one page is mapped all the same, so that there is an address, and the kernel
    /// has refused what it does not map. The descriptor may be closed afterwards.
    ///
    /// # Errors
    ///
    /// As [`raw_len`](Self::raw_len), and what mmap(2) reports;
    /// [`Invalid`](ErrorKind::Invalid) for what is made for memory, and another sharing.
    ///
    /// # References
    ///
    /// mmap(2).
    pub fn raw_file(
        &self,
        file: impl AsFd,
        sharing: Sharing,
        protection: Protection,
    ) -> Result<RawMap> {
        self.only(&[Wish::Offset, Wish::Len, Wish::Residency], &Object::OpenFile)?;
        let flags = match sharing {
            Sharing::File => MapFlags::SHARED,
            Sharing::Private => MapFlags::PRIVATE,
            _ => return Err(Error::new(Operation::Map, &Object::OpenFile, ErrorKind::Invalid)),
        };
        let len = self.raw_len(&file)?;
        let request = self.raw_request(len, protection, flags);
        let mut origin = Origin::without_file(Object::OpenFile);
        origin.file_offset = self.offset;
        let mut body = Body::map_lent(request, file.as_fd(), origin)?;
        body.set_len(len);
        Ok(RawMap { watch: None, body })
    }

    /// Maps private memory of zeros, without a promise, readable and writable.
    ///
    /// Without bytes one page is mapped all the same. With
    /// [`HugePages::Pool`](crate::HugePages::Pool), the pages are taken from the pool when they are
    /// first used, and what the pool lacks then is a signal.
    ///
    /// # Errors
    ///
    /// What mmap(2) reports; [`Invalid`](ErrorKind::Invalid) for what is made for files.
    ///
    /// # References
    ///
    /// mmap(2), `MAP_PRIVATE | MAP_ANONYMOUS`.
    pub fn raw_anon(&self, len: usize) -> Result<RawMap> {
        self.only(&[Wish::Residency, Wish::PoolPages], &Object::AnonymousMemory)?;
        let request = self.raw_request(len, Protection::ReadWrite, MapFlags::PRIVATE);
        let mut body = Body::map(request, Origin::without_file(Object::AnonymousMemory))?;
        body.set_len(len);
        Ok(RawMap { watch: None, body })
    }

    fn raw_request(&self, len: usize, protection: Protection, flags: MapFlags) -> Request {
        Request {
            len: len.max(1),
            protection: ProtFlags::from_bits_retain(protection.flags().bits()),
            flags: flags | self.flags(),
            placement: self.placement,
        }
    }
}

impl RawMap {
    /// The address of the first byte, or of where it would be.
    #[inline]
    pub fn as_ptr(&self) -> *mut u8 {
        self.body.ptr().as_ptr()
    }

    /// The length in bytes.
    #[inline]
    pub fn len(&self) -> usize {
        self.body.len()
    }

    /// Whether it has no bytes. One page is mapped even then.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All pages: also those that hold no byte of it.
    fn all_pages(&self) -> (*mut c_void, usize) {
        let span = self.body.span().expect("at least one page is mapped (invariant 0)");
        (span.base().as_ptr().cast(), span.len())
    }

    /// The pages that hold `range`.
    fn pages(&self, operation: Operation, range: &Range<usize>) -> Result<(*mut c_void, usize)> {
        self.body.pages(operation, range).map(|(start, len)| (start.cast(), len))
    }

    /// Changes what all pages permit.
    ///
    /// # Errors
    ///
    /// What mprotect(2) reports: `EACCES` for writing to a file that is open for reading only.
    /// Where advice was given to a part, that part may be changed and the rest not.
    ///
    /// # References
    ///
    /// mprotect(2).
    pub fn protect(&mut self, protection: Protection) -> Result<()> {
        let (start, len) = self.all_pages();
        // SAFETY: the pages are the value's own, and no reference to them is its own to break.
        unsafe { mm::mprotect(start, len, protection.flags()) }
            .map_err(|errno| self.refused(Operation::Protect, 0..self.len(), errno))
    }

    /// Advises the kernel on the pages that hold `range`, by the number that madvise(2) knows the
    /// advice by. Advice may change bytes or drop them: these pages promise nothing about theirs.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](ErrorKind::OutOfBounds), and what madvise(2) reports.
    ///
    /// # Safety
    ///
    /// Whoever holds a reference to the bytes of those pages lives with what the advice does to
    /// them.
    ///
    /// # References
    ///
    /// madvise(2).
    pub unsafe fn advise(&self, range: Range<usize>, advice: i32) -> Result<()> {
        let (start, len) = self.pages(Operation::Advise, &range)?;
        // SAFETY: the pages are the value's own; for references the caller answers.
        unsafe { mm::madvise_number(start, len, advice) }
            .map_err(|errno| self.refused(Operation::Advise, range, errno))
    }

    /// Whether the kernel knows the advice of this number, for some mapping.
    ///
    /// # References
    ///
    /// madvise(2): a length of zero.
    pub fn knows_advice(advice: i32) -> bool {
        // SAFETY: advice on no byte changes none.
        unsafe { mm::madvise_number(core::ptr::null_mut(), 0, advice) }.is_ok()
    }

    /// Writes the pages that hold `range` back to their file, and waits for it.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](ErrorKind::OutOfBounds), and what writing back met.
    ///
    /// # References
    ///
    /// msync(2), `MS_SYNC`; what it makes durable is said at
    /// [`SharedMap::flush`](crate::SharedMap::flush).
    pub fn flush(&self, range: Range<usize>) -> Result<()> {
        self.msync(range, MsyncFlags::SYNC)
    }

    /// Asks for the same without waiting: since Linux 2.6.19 the kernel only checks the range, and
    /// writes the pages back when it likes, as it would have done unasked.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](ErrorKind::OutOfBounds).
    ///
    /// # References
    ///
    /// msync(2), `MS_ASYNC`.
    pub fn flush_async(&self, range: Range<usize>) -> Result<()> {
        self.msync(range, MsyncFlags::ASYNC)
    }

    fn msync(&self, range: Range<usize>, flags: MsyncFlags) -> Result<()> {
        let (start, len) = self.pages(Operation::Flush, &range)?;
        if len == 0 {
            return Ok(());
        }
        // SAFETY: the pages are the value's own; writing them back changes none.
        unsafe { mm::msync(start, len, flags) }
            .map_err(|errno| self.refused(Operation::Flush, range, errno))
    }

    /// Keeps the pages that hold `range` in memory until [`unlock`](Self::unlock); they are brought
    /// in first.
    ///
    /// # Errors
    ///
    /// [`OutOfBounds`](ErrorKind::OutOfBounds), and what mlock(2) reports: `ENOMEM` beyond
    /// `RLIMIT_MEMLOCK`.
    ///
    /// # References
    ///
    /// mlock(2).
    pub fn lock(&self, range: Range<usize>) -> Result<()> {
        let (start, len) = self.pages(Operation::Lock, &range)?;
        // SAFETY: the pages are the value's own; locking changes no byte.
        unsafe { mm::mlock(start, len) }
            .map_err(|errno| self.refused(Operation::Lock, range, errno))
    }

    /// Lets the pages that hold `range` be reclaimed again.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock).
    ///
    /// # References
    ///
    /// munlock(2).
    pub fn unlock(&self, range: Range<usize>) -> Result<()> {
        let (start, len) = self.pages(Operation::Lock, &range)?;
        // SAFETY: the pages are the value's own; unlocking changes no byte.
        unsafe { mm::munlock(start, len) }
            .map_err(|errno| self.refused(Operation::Lock, range, errno))
    }

    /// Maps more of the file or less, or more memory or less, to `len` bytes in all; where there is
    /// no room behind the pages it moves them if it `may_move`, and fails otherwise.
    ///
    /// The resolver that [`on_fault`](Self::on_fault) named is gone afterwards, also where it
    /// fails; otherwise nothing has changed then.
    ///
    /// # Errors
    ///
    /// What mremap(2) reports: `ENOMEM` where there is no room; [`TooLarge`](ErrorKind::TooLarge).
    ///
    /// # Safety
    ///
    /// No pointer to a byte that was mapped before is used afterwards, where it moves or becomes
    /// shorter.
    ///
    /// # References
    ///
    /// mremap(2).
    pub unsafe fn remap(&mut self, len: usize, may_move: bool) -> Result<()> {
        // The range leaves the table before its pages go anywhere (invariant 1).
        self.watch = None;
        let too_large = self.body.origin.error(Operation::Resize, ErrorKind::TooLarge, 0, len);
        let bytes = len.max(1).checked_add(self.body.delta());
        let pages = bytes.and_then(|bytes| self.body.page().round_up(bytes));
        // There is a span (invariant 0).
        let (Some(pages), Some(span)) = (pages, self.body.span_mut()) else {
            return Err(too_large);
        };
        // SAFETY: the caller's promise about pointers.
        if let Err(errno) = unsafe { span.remap(pages, may_move) } {
            return Err(self.refused(Operation::Resize, 0..len, errno));
        }
        self.body.set_len(len);
        Ok(())
    }

    /// Sends every fault in the pages to `resolver`, until the map is unmapped, remapped or given
    /// another one.
    ///
    /// # Errors
    ///
    /// What [`fault::register`] reports; then faults go where they went before.
    ///
    /// # Safety
    ///
    /// As of [`fault::register`].
    pub unsafe fn on_fault(&mut self, resolver: Resolver, data: usize) -> Result<()> {
        let (start, len) = self.all_pages();
        let range = start.addr()..start.addr() + len;
        // SAFETY: the caller's promise; the range is taken out before its pages go (invariant 1).
        match unsafe { fault::register(range, resolver, data) } {
            Ok(registration) => {
                self.watch = Some(registration);
                Ok(())
            }
            Err(errno) => Err(self.refused(Operation::Map, 0..self.len(), errno)),
        }
    }

    #[cold]
    fn refused(&self, operation: Operation, range: Range<usize>, errno: Errno) -> Error {
        self.body.refused(operation, &range, errno)
    }
}

impl fmt::Debug for RawMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RawMap").field("ptr", &self.as_ptr()).field("len", &self.len()).finish()
    }
}

const _: () = {
    const fn crosses_threads<T: Send + Sync>() {}
    crosses_threads::<RawMap>();
};
