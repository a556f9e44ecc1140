//! A file, read only.
//!
//! It does not promise that the file stays as it is: every access says what it found.
//!
//! # Safety
//!
//! Implements [`Mapping`] for files that are mapped, and fills memory that it has just mapped.
#![allow(unsafe_code, reason = "implements an unsafe trait, and fills fresh memory")]

use crate::access::{Access, View};
use crate::backend::{Backend, ReadReason, Route, special_file_system};
use crate::body::Body;
use crate::cut::halves;
use crate::error::{Error, ErrorKind, FileKind, Operation, Result};
use crate::mapping::{Mapping, Protection, Sharing};
use crate::object::Object;
use crate::options::{Options, Wish};
use crate::origin::{self, Origin};
use crate::pages::sealed::HasBody;
use crate::populate::populate;
use crate::span::{Placement, Request};
use bifolio_sys::Errno;
use bifolio_sys::fs::{self, FileSystem, FileType, OFlags};
use bifolio_sys::mm::{MapFlags, ProtFlags};
use bifolio_sys::page::{PageSize, page_size};
use core::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;
use std::vec::Vec;

/// A file that cannot be mapped and tells no length is loaded up to this many bytes.
const LOADED_LEN_MAX: usize = 256 << 20;

/// A file, read through page faults; nothing is loaded before it is used.
///
/// The bytes are the file's as it is at each access. Where another process shortens it, reading
/// what is gone is an error; between the file's end and the end of its last page the mapped bytes
/// are zeros, as mmap(2) says. `Send` and `Sync`.
///
/// A file that cannot be mapped, or is better not, is read by pread(2) with the same methods:
/// [`backend`](Self::backend) tells. What tells no length, as most files in `/proc` and `/sys`, is
/// loaded into memory when it is opened, up to 256 MiB.
///
/// # Examples
///
/// ```
/// use bifolio_map::{Access, FileMap};
///
/// let map = FileMap::open("Cargo.toml")?;
/// let mut start = [0; 9];
/// map.read_exact_at(&mut start, 0)?;
/// assert_eq!(&start, b"[package]");
/// # Ok::<(), bifolio_map::Error>(())
/// ```
///
/// # References
///
/// mmap(2), `MAP_SHARED`.
pub struct FileMap {
    body: Body,
    route: Route,
}

const _: () = {
    const fn crosses_threads<T: Send + Sync>() {}
    crosses_threads::<FileMap>();
};

halves!(FileMap, route);

/// What is known of a file before it is mapped.
struct Subject {
    len: usize,
    page: PageSize,
    /// Its file system, where that is not an ordinary local one.
    system: Option<FileSystem>,
    /// Whether it is read where it is mapped: not so for a character device.
    is_readable: bool,
    /// Whether it has bytes though it says that it has none.
    is_denying_its_bytes: bool,
}

impl Options {
    /// Opens a file and maps it, read only.
    ///
    /// It does not wait: a FIFO is an error at once. With [`len`](Self::len) it may reach beyond
    /// the file's end (errors to read until the file has grown) or show a character device that can
    /// be mapped.
    ///
    /// # Errors
    ///
    /// What open(2), fstat(2) and mmap(2) report; [`NotMappable`](crate::ErrorKind::NotMappable)
    /// for what is not a run of bytes; [`TooLarge`](crate::ErrorKind::TooLarge) for more than the
    /// address space where a mapping is [asked for](Backend::Map);
    /// [`Invalid`](crate::ErrorKind::Invalid) where an address or a lock is asked for together with
    /// [`Backend::Read`].
    pub fn open(&self, path: impl AsRef<Path>) -> Result<FileMap> {
        let path = path.as_ref();
        let object = Object::File(Arc::from(path));
        let file = open_without_waiting(path, &object)?;
        let (map, subject) =
            self.map_origin(self.origin(file.into(), object)).map_err(|(_, error)| error)?;
        // Where the file is read, a server may see O_NONBLOCK and take it seriously.
        if (map.route != Route::Mapped || subject.system.is_some())
            && let Some(fd) = map.body.origin.fd()
        {
            let cleared =
                fs::fcntl_getfl(fd).and_then(|flags| fs::fcntl_setfl(fd, flags - OFlags::NONBLOCK));
            cleared.map_err(|errno| {
                Error::from_errno(Operation::Open, &map.body.origin.object, errno)
            })?;
        }
        Ok(map)
    }

    /// Maps a file that is open for reading, read only.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), with the file.
    pub fn map_file(&self, file: File) -> Result<FileMap, (File, Error)> {
        match self.map_origin(self.origin(file.into(), Object::OpenFile)) {
            Ok((map, _)) => Ok(map),
            Err((file, error)) => Err((file.into(), error)),
        }
    }

    fn origin(&self, file: OwnedFd, object: Object) -> Origin {
        Origin { object, file: Some(file), file_offset: self.offset, is_file_s: true }
    }

    fn map_origin(&self, mut origin: Origin) -> Result<(FileMap, Subject), (OwnedFd, Error)> {
        let subject = match self.examine(&origin) {
            Ok(subject) => subject,
            Err(error) => return Err((give_back(origin), error)),
        };
        origin.is_file_s = subject.is_readable;
        let may_read = subject.is_readable && !self.needs_mapping();
        let reached = if may_read && subject.is_denying_its_bytes {
            self.load(origin)
        } else {
            match (self.backend, subject.system) {
                (Backend::Read, _) => Ok(read(&subject, origin, ReadReason::Asked)),
                (Backend::Auto, Some(system)) if may_read && system.is_remote() => {
                    Ok(read(&subject, origin, ReadReason::Remote(system)))
                }
                _ => match self.map_subject(&subject, origin) {
                    Err((origin, error)) if may_read => self.do_without(&subject, origin, error),
                    mapped => mapped,
                },
            }
        };
        match reached {
            Ok(map) => {
                if self.populate && map.route != Route::Mapped {
                    // As MAP_POPULATE: what cannot be had now is left for later.
                    let _ = populate(&map.body, &(0..map.body.len()));
                }
                Ok((map, subject))
            }
            Err((origin, error)) => Err((give_back(origin), error)),
        }
    }

    /// Whether only a mapping will do.
    fn needs_mapping(&self) -> bool {
        let is_placed = matches!(self.placement, Placement::Exactly(_));
        self.backend == Backend::Map || is_placed || self.locked
    }

    /// Finds out what kind of file it is and how much of it is meant.
    fn examine(&self, origin: &Origin) -> Result<Subject> {
        let fail = |operation, kind| Error::new(operation, &origin.object, kind);
        self.only(&[Wish::Offset, Wish::Len, Wish::Residency, Wish::Reading], &origin.object)?;
        if self.backend == Backend::Read && self.needs_mapping() {
            return Err(fail(Operation::Map, ErrorKind::Invalid));
        }
        let file = origin.fd().expect("the file was put there");
        let failed = |errno| Error::from_errno(Operation::Stat, &origin.object, errno);
        let stat = fs::fstat(file).map_err(failed)?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        let size = match kind {
            FileType::RegularFile => stat.st_size as u64,
            FileType::BlockDevice => fs::block_device_len(file).map_err(failed)?,
            FileType::CharacterDevice if self.len.is_some() && self.backend != Backend::Read => 0,
            other => {
                return Err(fail(Operation::Map, ErrorKind::NotMappable(file_kind(other))));
            }
        };
        let is_regular = kind == FileType::RegularFile;
        let system = if is_regular { special_file_system(file, stat.st_dev) } else { None };
        let page = match system {
            Some(FileSystem::Hugetlbfs) => PageSize::new(stat.st_blksize as usize),
            _ => None,
        };
        let len = match self.len {
            Some(len) => len,
            None => usize::try_from(size.saturating_sub(self.offset))
                .map_err(|_| fail(Operation::Map, ErrorKind::TooLarge))?,
        };
        Ok(Subject {
            len,
            page: page.unwrap_or(page_size()),
            system,
            is_readable: kind != FileType::CharacterDevice,
            is_denying_its_bytes: is_regular && size == 0 && denies_its_bytes(origin)?,
        })
    }

    fn map_subject(&self, subject: &Subject, origin: Origin) -> Result<FileMap, (Origin, Error)> {
        if subject.is_denying_its_bytes {
            let error = Error::from_errno(Operation::Map, &origin.object, Errno::NODEV);
            return Err((origin, error));
        }
        let request = Request {
            len: subject.len,
            protection: ProtFlags::READ,
            flags: MapFlags::SHARED | self.flags(),
            placement: self.placement,
        };
        let body = Body::map_pages(request, origin, subject.page).map_err(|(origin, error)| {
            let is_device = !subject.is_readable && error.errno() == Some(Errno::NODEV);
            let kind = ErrorKind::NotMappable(FileKind::Device);
            (origin, if is_device { error.with_kind(kind) } else { error })
        })?;
        Ok(FileMap { body, route: Route::Mapped })
    }

    /// Reads what could not be mapped, where it is the mapping that is refused and not the file.
    fn do_without(
        &self,
        subject: &Subject,
        origin: Origin,
        error: Error,
    ) -> Result<FileMap, (Origin, Error)> {
        match (error.kind(), error.errno()) {
            // What cannot be mapped often tells a length that is not true, as in `/sys`.
            (_, Some(Errno::NODEV)) if subject.len <= LOADED_LEN_MAX => self.load(origin),
            (ErrorKind::TooLarge, _) => Ok(read(subject, origin, ReadReason::TooLarge)),
            // No memory, no device that maps, or a seal that kernels before 6.7 refuse to map.
            (_, Some(errno @ (Errno::NOMEM | Errno::NODEV | Errno::PERM))) => {
                Ok(read(subject, origin, ReadReason::Refused(errno)))
            }
            _ => Err((origin, error)),
        }
    }

    /// Reads everything there is into memory.
    fn load(&self, origin: Origin) -> Result<FileMap, (Origin, Error)> {
        let bytes = match read_to_end(&origin) {
            Ok(bytes) => bytes,
            Err(error) => return Err((origin, error)),
        };
        let start = usize::try_from(self.offset).unwrap_or(usize::MAX).min(bytes.len());
        let len = (bytes.len() - start).min(self.len.unwrap_or(usize::MAX));
        let request = Request {
            len,
            protection: ProtFlags::READ | ProtFlags::WRITE,
            flags: MapFlags::PRIVATE,
            placement: Placement::Anywhere,
        };
        let memory =
            Origin { file_offset: self.offset, ..Origin::without_file(origin.object.clone()) };
        let filled = Body::map(request, memory).and_then(|body| {
            // SAFETY: the pages were mapped just now to be written, and nobody else knows them.
            unsafe { body.view_mut() }.write_all_at(&bytes[start..start + len], 0)?;
            Ok(body)
        });
        match filled {
            Ok(body) => Ok(FileMap { body, route: Route::Loaded }),
            Err(error) => Err((origin, error)),
        }
    }
}

fn read(subject: &Subject, origin: Origin, reason: ReadReason) -> FileMap {
    FileMap { body: Body::unmapped(subject.len, origin), route: Route::Read(reason) }
}

fn file_kind(kind: FileType) -> FileKind {
    match kind {
        FileType::Directory => FileKind::Directory,
        FileType::Fifo => FileKind::Pipe,
        FileType::Socket => FileKind::Socket,
        FileType::CharacterDevice => FileKind::Device,
        _ => FileKind::Other,
    }
}

fn give_back(origin: Origin) -> OwnedFd {
    origin.file.expect("the file was put there")
}

/// Opens without waiting for the other end of a FIFO, and without taking over a terminal.
fn open_without_waiting(path: &Path, object: &Object) -> Result<File> {
    let open = |flags: OFlags| {
        OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
    };
    let opened = match open(OFlags::NONBLOCK | OFlags::NOCTTY) {
        // Somebody holds a lease on the file and is being told now: that is worth waiting for.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => open(OFlags::NOCTTY),
        opened => opened,
    };
    opened.map_err(|error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::INVAL);
        let error = Error::from_errno(Operation::Open, object, errno);
        let is_socket = || std::fs::metadata(path).is_ok_and(|stat| stat.file_type().is_socket());
        if errno == Errno::NXIO && is_socket() {
            error.with_kind(ErrorKind::NotMappable(FileKind::Socket))
        } else {
            error
        }
    })
}

/// Whether a file has a first byte though it says that it has none. One that is growing meanwhile
/// says so when it is asked again.
fn denies_its_bytes(origin: &Origin) -> Result<bool> {
    let file = origin.fd().expect("the file was put there");
    for _ in 0..3 {
        let has_bytes = match fs::pread(file, &mut [0_u8; 1], 0) {
            Ok(count) => count != 0,
            Err(errno) => return Err(unreadable(origin, errno)),
        };
        let stat = fs::fstat(file)
            .map_err(|errno| Error::from_errno(Operation::Stat, &origin.object, errno))?;
        if !has_bytes || stat.st_size != 0 {
            return Ok(false);
        }
    }
    Ok(true)
}

/// All bytes of a file that tells no length.
fn read_to_end(origin: &Origin) -> Result<Vec<u8>> {
    let file = origin.fd().expect("the file was put there");
    let mut bytes = Vec::new();
    let mut block = [0; 16384];
    loop {
        match fs::pread(file, &mut block, bytes.len() as u64) {
            Ok(0) => return Ok(bytes),
            Ok(count) if bytes.len() + count > LOADED_LEN_MAX => {
                return Err(Error::new(Operation::Read, &origin.object, ErrorKind::TooLarge));
            }
            Ok(count) => bytes.extend_from_slice(&block[..count]),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(unreadable(origin, errno)),
        }
    }
}

fn unreadable(origin: &Origin, errno: Errno) -> Error {
    let error = Error::from_errno(Operation::Read, &origin.object, errno);
    // A stream under a regular file's name, as some in `/proc` and `/sys`.
    let is_stream = matches!(errno, Errno::SPIPE | Errno::AGAIN);
    if is_stream { error.with_kind(ErrorKind::NotMappable(FileKind::Other)) } else { error }
}

impl FileMap {
    /// Opens a file and maps all of it.
    ///
    /// # Errors
    ///
    /// As [`Options::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<FileMap> {
        Options::new().open(path)
    }

    /// Maps all of a file that is open for reading.
    ///
    /// # Errors
    ///
    /// As [`Options::open`], with the file.
    pub fn from_file(file: File) -> Result<FileMap, (File, Error)> {
        Options::new().map_file(file)
    }

    /// How the file is reached, and why.
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::{FileMap, Route};
    ///
    /// let map = FileMap::open("/proc/version")?;
    /// assert_eq!(map.backend(), Route::Loaded);
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    pub fn backend(&self) -> Route {
        self.route
    }

    /// The length of the file now, in bytes: 0 where it has none, and that of the copy where it was
    /// loaded. The map keeps the length with which it was made.
    ///
    /// # Errors
    ///
    /// What fstat(2) reports.
    pub fn current_len(&self) -> Result<u64> {
        let origin = &self.body.origin;
        let Some(file) = origin.fd() else { return Ok(self.body.len() as u64) };
        match origin::file_len(file) {
            Ok(len) => Ok(len.unwrap_or(0)),
            Err(errno) => Err(Error::from_errno(Operation::Stat, &origin.object, errno)),
        }
    }

    /// The mapping, for parts that build on one; `None` where nothing is mapped or what is mapped
    /// is a copy.
    pub fn mapping(&self) -> Option<FileMapping<'_>> {
        (self.route == Route::Mapped).then_some(FileMapping { map: self })
    }

    /// Unmaps it and says whether that worked, which dropping it cannot.
    ///
    /// # Errors
    ///
    /// What munmap(2) reports, with the map.
    pub fn unmap(self) -> Result<(), (FileMap, Error)> {
        let FileMap { body, route } = self;
        body.unmap().map_err(|(body, error)| (FileMap { body, route }, error))
    }
}

impl Access for FileMap {
    #[inline]
    fn view(&self) -> View<'_> {
        self.body.view()
    }
}

impl HasBody for FileMap {
    #[allow(private_interfaces, reason = "sealed")]
    fn body(&self) -> &Body {
        &self.body
    }
}

impl fmt::Debug for FileMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileMap")
            .field("object", &self.body.origin.object)
            .field("offset", &self.body.origin.file_offset)
            .field("len", &self.body.len())
            .field("route", &self.route)
            .finish()
    }
}

/// A [`FileMap`] that is really mapped: it has an address.
#[derive(Clone, Copy, Debug)]
pub struct FileMapping<'a> {
    map: &'a FileMap,
}

impl Access for FileMapping<'_> {
    #[inline]
    fn view(&self) -> View<'_> {
        self.map.view()
    }
}

// SAFETY: the map is mapped and borrowed, so its body owns the pages as long as this value lives
// (0); no reference to them is made, and they are not writable (1); the view covers them all (2).
unsafe impl Mapping for FileMapping<'_> {
    fn as_ptr(&self) -> *const u8 {
        self.map.body.ptr().as_ptr()
    }

    fn sharing(&self) -> Sharing {
        Sharing::File
    }

    fn protection(&self) -> Protection {
        Protection::Read
    }
}
