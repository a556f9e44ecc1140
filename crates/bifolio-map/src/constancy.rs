//! Whether the bytes of an open file can change, whoever tries.
//!
//! It looks at what is for ever: seals and fs-verity cannot be taken back.

use crate::error::{Error, Operation, Result};
use crate::memory_file::{Seals, seals};
use crate::object::Object;
use bifolio_sys::Errno;
use bifolio_sys::fs::fd::{AsFd, BorrowedFd};
use bifolio_sys::fs::{self, AtFlags, FileSystem, StatxAttributes, StatxFlags};

/// The seals that keep the bytes which a file has.
pub(crate) const SEALS: Seals = Seals::SHRINK.union(Seals::WRITE);

/// Whether fs-verity on this file system is the kernel's own work, whose word can be taken.
pub(crate) fn is_vouched_for(system: FileSystem) -> bool {
    matches!(system, FileSystem::Ext | FileSystem::F2fs | FileSystem::Btrfs)
}

/// Whether the file system says that fs-verity protects an open file.
pub(crate) fn is_under_verity(file: BorrowedFd<'_>) -> Result<bool, Errno> {
    match fs::statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::TYPE) {
        Ok(stat) => Ok(stat.stx_attributes.contains(StatxAttributes::VERITY)),
        // A sandbox that does not know the call: nobody says so.
        Err(Errno::NOSYS | Errno::PERM) => Ok(false),
        Err(errno) => Err(errno),
    }
}

/// What keeps the bytes of a file as they are, or why nothing does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Constancy {
    /// It is a memory file, sealed against writing and shrinking: what it has it keeps.
    Sealed,
    /// fs-verity protects it, as the kernel itself says: its bytes and its length are constant.
    Verity,
    /// It lies in memory and lacks one of the two seals.
    NotSealed(Seals),
    /// It is said to be under fs-verity by a file system whose word is not the kernel's own.
    NotVouched(FileSystem),
    /// Nothing that could be asked keeps it: whoever may write it can change it.
    Changeable,
}

impl Constancy {
    /// Looks at an open file.
    ///
    /// # Errors
    ///
    /// What fstatfs(2) and statx(2) report.
    ///
    /// # Examples
    ///
    /// ```
    /// use bifolio_map::{Constancy, MemoryFile, Seals};
    ///
    /// let file = MemoryFile::new("greeting", 5)?;
    /// file.seal(Seals::SHRINK)?;
    /// assert_eq!(Constancy::of(&file)?, Constancy::NotSealed(Seals::SHRINK));
    /// file.seal(Seals::WRITE)?;
    /// assert_eq!(Constancy::of(&file)?, Constancy::Sealed);
    /// # Ok::<(), bifolio_map::Error>(())
    /// ```
    ///
    /// # References
    ///
    /// fcntl(2), *File Sealing*: Linux 3.17;
    /// [fs-verity](https://docs.kernel.org/filesystems/fsverity.html): Linux 5.4.
    pub fn of(file: impl AsFd) -> Result<Constancy> {
        let failed = |errno| Error::from_errno(Operation::Stat, &Object::OpenFile, errno);
        match seals(file.as_fd()) {
            Ok(seals) if seals.contains(SEALS) => return Ok(Constancy::Sealed),
            Ok(seals) => return Ok(Constancy::NotSealed(seals)),
            // It has no seals to have, or a sandbox does not tell.
            Err(_) => {}
        }
        if !is_under_verity(file.as_fd()).map_err(failed)? {
            return Ok(Constancy::Changeable);
        }
        match fs::file_system(&file).map_err(failed)? {
            system if is_vouched_for(system) => Ok(Constancy::Verity),
            other => Ok(Constancy::NotVouched(other)),
        }
    }
}
