//! Memory files: shared memory with a descriptor, which can be handed to other processes and
//! sealed.
//!
//! Whoever holds the descriptor may shorten the file or punch holes into it, until seals forbid it;
//! a seal is for ever. Writing can only be sealed while nobody has a mapping to write, so the way
//! to constant bytes is one of types: a [`SharedMap`] writes, [`SharedMap::into_memory_file`] gives
//! it up, `MemoryFile::into_sealed` seals, and only what is sealed lends a slice.

use crate::allocate::allocate;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::object::Object;
use crate::options::{HugePages, Options};
use crate::read_only::ReadOnlySharedMap;
use crate::shared::{MEMORY, SharedMap};
use bifolio_sys::Errno;
use bifolio_sys::fs::fd::{AsFd, BorrowedFd, OwnedFd};
use bifolio_sys::fs::{self, MemfdFlags, SealFlags};
use bifolio_sys::signal::without_sigxfsz;
use core::ops::BitOr;

/// What can no longer be done to a memory file, by anyone.
///
/// # References
///
/// fcntl(2), *File Sealing*: Linux 3.17.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Seals(u32);

impl Seals {
    /// No more seals (`F_SEAL_SEAL`).
    pub const SEAL: Seals = Seals(SealFlags::SEAL.bits());
    /// It never becomes shorter (`F_SEAL_SHRINK`).
    pub const SHRINK: Seals = Seals(SealFlags::SHRINK.bits());
    /// It never becomes longer (`F_SEAL_GROW`).
    pub const GROW: Seals = Seals(SealFlags::GROW.bits());
    /// Its bytes never change (`F_SEAL_WRITE`). It is refused while a mapping to write exists.
    pub const WRITE: Seals = Seals(SealFlags::WRITE.bits());
    /// No new way to write it, and no holes; mappings that exist go on writing
    /// (`F_SEAL_FUTURE_WRITE`, Linux 5.1).
    pub const FUTURE_WRITE: Seals = Seals(SealFlags::FUTURE_WRITE.bits());
    /// All that makes its bytes constant.
    pub const CONSTANT: Seals = Self::SHRINK.union(Self::GROW).union(Self::WRITE);
    /// What keeps every page there for good, while the mappings that exist go on writing: then
    /// [`SharedMap::atomic_ref`] works.
    pub const LASTING: Seals = Self::SHRINK.union(Self::FUTURE_WRITE);

    pub(crate) const fn union(self, other: Seals) -> Seals {
        Seals(self.0 | other.0)
    }

    /// Whether it has all of `other`.
    pub const fn contains(self, other: Seals) -> bool {
        self.0 & other.0 == other.0
    }
}

impl BitOr for Seals {
    type Output = Seals;

    fn bitor(self, other: Seals) -> Seals {
        self.union(other)
    }
}

/// A file in memory, without a name in any directory: it lives as long as a descriptor or a mapping
/// of it does.
///
/// # Examples
///
/// ```
/// use bifolio_map::{Access, AccessMut, MemoryFile};
///
/// let file = MemoryFile::new("greeting", 5)?;
/// let (writer, reader) = (file.map()?, file.map_read_only()?);
/// writer.write_all_at(b"folio", 0)?;
/// assert_eq!(reader.load::<[u8; 5]>(0)?, *b"folio");
/// # Ok::<(), bifolio_map::Error>(())
/// ```
///
/// With the feature `std` it can be sealed for good and read as a plain slice:
/// `SealedFile`.
///
/// # References
///
/// memfd_create(2): Linux 3.17.
#[derive(Debug)]
pub struct MemoryFile {
    file: OwnedFd,
}

impl Options {
    /// Creates a memory file of `len` bytes and maps it; `name` is for `/proc/PID/maps`.
    ///
    /// With [`reserve`](Options::reserve) it can grow. Its memory is taken page by page as it is
    /// used.
    ///
    /// # Errors
    ///
    /// What memfd_create(2), ftruncate(2) and mmap(2) report.
    pub fn memfd(&self, name: &str, len: usize) -> Result<SharedMap> {
        self.only(&MEMORY, &Object::MemoryFile)?;
        let file = create(name, len as u64, self.huge)?;
        self.map_shared(file, Object::MemoryFile)
    }
}

fn create(name: &str, len: u64, huge: HugePages) -> Result<OwnedFd> {
    let fail = |errno| Error::from_errno(Operation::Open, &Object::MemoryFile, errno);
    let mut flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    if let HugePages::Pool(size) = huge {
        flags |= MemfdFlags::HUGETLB;
        // The same bits as of MAP_HUGETLB (memfd_create(2)).
        flags |= size
            .map_or(MemfdFlags::empty(), |size| MemfdFlags::from_bits_retain(size.log2() << 26));
    }
    let file = fs::memfd_create(name, flags).map_err(fail)?;
    without_sigxfsz(|| fs::ftruncate(&file, len)).map_err(fail)?;
    Ok(file)
}

impl MemoryFile {
    /// Creates a memory file of `len` bytes of zeros; `name` (249 bytes at most) is for
    /// `/proc/PID/maps`.
    ///
    /// # Errors
    ///
    /// What memfd_create(2) and ftruncate(2) report.
    pub fn new(name: &str, len: u64) -> Result<MemoryFile> {
        Ok(MemoryFile { file: create(name, len, HugePages::Default)? })
    }

    /// Takes a descriptor for a memory file, as another process may have sent one.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) with the descriptor where it is none.
    pub fn from_fd(file: impl Into<OwnedFd>) -> Result<MemoryFile, (OwnedFd, Error)> {
        let file = file.into();
        match fs::fcntl_get_seals(&file) {
            Ok(_) => Ok(MemoryFile { file }),
            Err(errno) => {
                let error = Error::new(Operation::Seal, &Object::OpenFile, ErrorKind::Invalid);
                Err((file, error.with_errno(errno)))
            }
        }
    }

    /// The length in bytes.
    ///
    /// # Errors
    ///
    /// What fstat(2) reports.
    pub fn len(&self) -> Result<u64> {
        let stat = fs::fstat(&self.file).map_err(|errno| refused(Operation::Stat, errno))?;
        Ok(stat.st_size as u64)
    }

    /// Whether it has no bytes.
    ///
    /// # Errors
    ///
    /// What fstat(2) reports.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Makes sure that it has memory for its first `len` bytes, and is as long.
    ///
    /// # Errors
    ///
    /// What fallocate(2) reports.
    pub fn reserve(&self, len: u64) -> Result<()> {
        allocate(self.file.as_fd(), 0..len).map_err(|errno| refused(Operation::Grow, errno))
    }

    /// What is sealed.
    ///
    /// # Errors
    ///
    /// What fcntl(2) reports.
    pub fn seals(&self) -> Result<Seals> {
        seals(self.file.as_fd()).map_err(|errno| refused(Operation::Seal, errno))
    }

    /// Forbids what `seals` name, to everybody and for ever, while the file stays in use; to seal
    /// it whole and read it as a slice is `into_sealed`.
    ///
    /// # Errors
    ///
    /// What fcntl(2) reports: `EBUSY` for [`Seals::WRITE`] while somebody has a mapping to write,
    /// [`NotPermitted`](ErrorKind::NotPermitted) after [`Seals::SEAL`].
    pub fn seal(&self, seals: Seals) -> Result<()> {
        add_seals(self.file.as_fd(), seals).map_err(|errno| refused(Operation::Seal, errno))
    }

    /// Maps all of it to be read and written.
    ///
    /// # Errors
    ///
    /// What mmap(2) reports: [`NotPermitted`](ErrorKind::NotPermitted) where writing is sealed.
    pub fn map(&self) -> Result<SharedMap> {
        Options::new().map_shared(self.duplicate()?, Object::MemoryFile)
    }

    /// Maps all of it to be read.
    ///
    /// # Errors
    ///
    /// What mmap(2) reports.
    pub fn map_read_only(&self) -> Result<ReadOnlySharedMap> {
        Options::new().map_read_only(self.duplicate()?, Object::MemoryFile)
    }

    /// Another descriptor, for a mapping to keep.
    fn duplicate(&self) -> Result<OwnedFd> {
        fs::fcntl_dupfd_cloexec(&self.file, 0).map_err(|errno| refused(Operation::Map, errno))
    }
}

fn refused(operation: Operation, errno: Errno) -> Error {
    Error::from_errno(operation, &Object::MemoryFile, errno)
}

pub(crate) fn seals(file: BorrowedFd<'_>) -> Result<Seals, Errno> {
    fs::fcntl_get_seals(file).map(|seals| Seals(seals.bits()))
}

fn add_seals(file: BorrowedFd<'_>, seals: Seals) -> Result<(), Errno> {
    fs::fcntl_add_seals(file, SealFlags::from_bits_retain(seals.0))
}

impl AsFd for MemoryFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl From<MemoryFile> for OwnedFd {
    fn from(file: MemoryFile) -> OwnedFd {
        file.file
    }
}

impl SharedMap {
    /// Creates a memory file of `len` bytes and maps it.
    ///
    /// # Errors
    ///
    /// As [`Options::memfd`].
    pub fn memfd(name: &str, len: usize) -> Result<SharedMap> {
        Options::new().memfd(name, len)
    }

    /// Forbids what `seals` name to be done to the memory file behind it, to everybody and for
    /// ever.
    ///
    /// # Errors
    ///
    /// What fcntl(2) reports: `EINVAL` for what is not a memory file, `EBUSY` for [`Seals::WRITE`],
    /// since this mapping writes (take [`into_memory_file`](SharedMap::into_memory_file) first).
    pub fn seal(&self, seals: Seals) -> Result<()> {
        let answer = self.fd().ok_or(Errno::INVAL).and_then(|fd| add_seals(fd, seals));
        answer.map_err(|errno| Error::from_errno(Operation::Seal, &self.body.origin.object, errno))
    }

    /// Unmaps it and keeps the memory file that was behind it.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) where there is none, and what munmap(2) reports: with the
    /// mapping.
    pub fn into_memory_file(mut self) -> Result<MemoryFile, (SharedMap, Error)> {
        let answer = self.fd().ok_or(Errno::INVAL).and_then(|fd| seals(fd));
        if let Err(errno) = answer {
            let object = &self.body.origin.object;
            let error = Error::new(Operation::Seal, object, ErrorKind::Invalid).with_errno(errno);
            return Err((self, error));
        }
        let file = self.body.origin.file.take();
        match (self.unmap(), file) {
            (Ok(()), Some(file)) => Ok(MemoryFile { file }),
            (Ok(()), None) => unreachable!("its seals were read above"),
            (Err((mut map, error)), file) => {
                map.body.origin.file = file;
                Err((map, error))
            }
        }
    }
}
