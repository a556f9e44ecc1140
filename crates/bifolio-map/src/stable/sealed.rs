//! The rung of sealed memory files, and the file whose type says that it is sealed.
//!
//! # Invariants
//!
//! 0. The file of a `SealedFile` is sealed against writing and shrinking.
//!
//! Seals are for ever, so to look at them once is enough; only the kernel's own memory files have
//! them (a FUSE server is never asked).

use crate::body::Body;
use crate::constancy::SEALS;
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::memory_file::{MemoryFile, Seals, seals};
use crate::object::Object;
use crate::populate::populate;
use crate::stable::{Refusal, Rung, Source, Stable, shown};
use bifolio_sys::Errno;
use bifolio_sys::fs;
use bifolio_sys::fs::fd::{AsFd, BorrowedFd, OwnedFd};
use bifolio_sys::page::page_size;

/// Maps a sealed memory file, with every page in place.
pub(super) fn map(source: &Source<'_>) -> Result<Body, Refusal> {
    // First the seals: they prove that nobody has a mapping to write, and nobody will.
    match seals(source.file) {
        Ok(seals) if seals.contains(SEALS) => {}
        Ok(seals) => return Err(Refusal::NotSealed { seals }),
        Err(_) => return Err(Refusal::NotMemoryFile),
    }
    // Then the length, which cannot shrink any more.
    source.check_reaches()?;
    Ok(map_constant(source)?)
}

/// Maps what is sealed.
fn map_constant(source: &Source<'_>) -> Result<Body> {
    let file = fs::fcntl_dupfd_cloexec(source.file, 0)
        .map_err(|errno| source.refused(Operation::Map, errno))?;
    let mut body = shown::map(source, file)?;
    fill_holes(&body, source)?;
    body.origin.file = None;
    Ok(body)
}

/// Gives every hole its pages now: later, a system that promises memory strictly might have none,
/// nor might the pool of huge pages, and touching the hole would be a signal. A page that is there
/// stays.
fn fill_holes(body: &Body, source: &Source<'_>) -> Result<()> {
    let all = 0..source.len;
    let end = source.offset + source.len as u64;
    match fs::seek_hole(source.file, source.offset) {
        Ok(Some(hole)) if hole >= end && body.page() == page_size() => Ok(()),
        _ => populate(body, &all),
    }
}

/// A memory file whose bytes are constant: what to hand to readers, in this process and in others.
///
/// A file is written, then sealed, then mapped, and no other order compiles: who writes holds a
/// [`SharedMap`](crate::SharedMap), sealing takes it, and only what is sealed lends a slice.
///
/// # Examples
///
/// ```
/// use bifolio_map::{AccessMut, MemoryFile};
///
/// let writer = MemoryFile::new("greeting", 5)?.map()?;
/// writer.write_all_at(b"folio", 0)?;
/// let file = writer.into_memory_file().map_err(|(_, error)| error)?;
/// let sealed = file.into_sealed().map_err(|(_, error)| error)?;
/// let bytes = sealed.map()?;
/// assert_eq!(&bytes[..], b"folio");
/// # Ok::<(), bifolio_map::Error>(())
/// ```
///
/// Nothing lends a slice before the file is sealed:
///
/// ```compile_fail,E0308
/// # use bifolio_map::MemoryFile;
/// let writer = MemoryFile::new("greeting", 5)?.map()?;
/// let bytes: &[u8] = &writer;
/// # Ok::<(), bifolio_map::Error>(())
/// ```
///
/// Nothing is written after it gave up its mapping to be sealed:
///
/// ```compile_fail,E0382
/// # use bifolio_map::{AccessMut, MemoryFile};
/// let writer = MemoryFile::new("greeting", 5)?.map()?;
/// let file = writer.into_memory_file().map_err(|(_, error)| error)?;
/// writer.write_all_at(b"folio", 0)?;
/// # Ok::<(), bifolio_map::Error>(())
/// ```
///
/// And a sealed file is not mapped to be written, nor sealed while a mapping writes:
///
/// ```compile_fail,E0599
/// # use bifolio_map::{AccessMut, MemoryFile};
/// let sealed = MemoryFile::new("greeting", 5)?.into_sealed().map_err(|(_, error)| error)?;
/// sealed.map()?.write_all_at(b"folio", 0)?;
/// # Ok::<(), bifolio_map::Error>(())
/// ```
///
/// ```compile_fail,E0599
/// # use bifolio_map::MemoryFile;
/// let writer = MemoryFile::new("greeting", 5)?.map()?;
/// let sealed = writer.into_sealed();
/// # Ok::<(), bifolio_map::Error>(())
/// ```
///
/// # References
///
/// fcntl(2), *File Sealing*: Linux 3.17.
#[derive(Debug)]
pub struct SealedFile {
    file: OwnedFd,
}

impl MemoryFile {
    /// Seals it for good: its bytes and its length are constant from now on.
    ///
    /// # Errors
    ///
    /// What fcntl(2) reports, with the file: `EBUSY` while anybody has a mapping to write.
    pub fn into_sealed(self) -> Result<SealedFile, (MemoryFile, Error)> {
        match self.seal(Seals::CONSTANT | Seals::SEAL) {
            // Whoever sealed it before may have done all that is needed.
            Err(error) if !is_sealed(self.as_fd()).unwrap_or(false) => Err((self, error)),
            _ => Ok(SealedFile { file: self.into() }),
        }
    }
}

fn is_sealed(file: BorrowedFd<'_>) -> Result<bool, Errno> {
    seals(file).map(|seals| seals.contains(SEALS))
}

impl SealedFile {
    /// Takes a descriptor that another process sent, if its file is sealed against writing and
    /// shrinking.
    ///
    /// # Errors
    ///
    /// [`Invalid`](ErrorKind::Invalid) with the descriptor where it is not, or is no memory file.
    pub fn from_fd(file: impl Into<OwnedFd>) -> Result<SealedFile, (OwnedFd, Error)> {
        let file = file.into();
        let error = Error::new(Operation::Seal, &Object::OpenFile, ErrorKind::Invalid);
        match is_sealed(file.as_fd()) {
            Ok(true) => Ok(SealedFile { file }),
            Ok(false) => Err((file, error)),
            Err(errno) => Err((file, error.with_errno(errno))),
        }
    }

    /// Maps all of it.
    ///
    /// # Errors
    ///
    /// What mmap(2) reports.
    pub fn map(&self) -> Result<Stable> {
        let refused = |errno: Errno| Error::from_errno(Operation::Stat, &Object::MemoryFile, errno);
        let stat = fs::fstat(&self.file).map_err(refused)?;
        let object = &Object::MemoryFile;
        let len = usize::try_from(stat.st_size)
            .map_err(|_| Error::new(Operation::Map, object, ErrorKind::TooLarge))?;
        let source = Source { file: self.file.as_fd(), offset: 0, len, object };
        Ok(Stable::mapped(map_constant(&source)?, Rung::Sealed))
    }
}

impl AsFd for SealedFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl From<SealedFile> for OwnedFd {
    fn from(file: SealedFile) -> OwnedFd {
        file.file
    }
}
