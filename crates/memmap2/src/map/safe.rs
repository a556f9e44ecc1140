//! Mapping without `unsafe`: only what nobody can change any more.

use bifolio_map::{Constancy, Options, Seals};
use std::fmt;
use std::io::{self, ErrorKind};
use std::os::fd::BorrowedFd;

/// Why a file was not mapped safely.
pub struct MapIfSafeError {
    inner: MapIfSafeErrorInner,
}

#[derive(Debug)]
enum MapIfSafeErrorInner {
    NotSafe(io::Error),
    MapFailed(io::Error),
}

use MapIfSafeErrorInner::{MapFailed, NotSafe};

impl MapIfSafeError {
    fn not_safe_as(reason: impl fmt::Display) -> Self {
        let reason = format!("mapping this file is not safe: {reason}");
        MapIfSafeError { inner: NotSafe(io::Error::new(ErrorKind::InvalidInput, reason)) }
    }

    pub(super) fn map_failed_with(error: io::Error) -> Self {
        MapIfSafeError { inner: MapFailed(error) }
    }

    /// Whether no file can be mapped safely on this system: never on Linux.
    pub fn not_supported(&self) -> bool {
        false
    }

    /// Whether somebody could still change the file.
    pub fn not_safe(&self) -> bool {
        matches!(self.inner, NotSafe(_))
    }

    /// Whether mapping it failed.
    pub fn map_failed(&self) -> bool {
        matches!(self.inner, MapFailed(_))
    }
}

impl std::error::Error for MapIfSafeError {}

impl fmt::Display for MapIfSafeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.inner {
            NotSafe(error) | MapFailed(error) => error.fmt(f),
        }
    }
}

impl fmt::Debug for MapIfSafeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl From<MapIfSafeError> for io::Error {
    fn from(error: MapIfSafeError) -> io::Error {
        match error.inner {
            NotSafe(error) | MapFailed(error) => error,
        }
    }
}

/// Refuses a file that somebody can change, and bytes that it does not have.
pub(super) fn check(file: BorrowedFd<'_>, offset: u64, len: usize) -> Result<(), MapIfSafeError> {
    let refused = |reason: &dyn fmt::Display| MapIfSafeError::not_safe_as(reason);
    match Constancy::of(file).map_err(|error| refused(&error))? {
        Constancy::Sealed | Constancy::Verity => {}
        Constancy::NotSealed(seals) => {
            let missing = match (seals.contains(Seals::SHRINK), seals.contains(Seals::WRITE)) {
                (true, _) => "F_SEAL_WRITE",
                (false, true) => "F_SEAL_SHRINK",
                (false, false) => "F_SEAL_SHRINK and F_SEAL_WRITE",
            };
            return Err(refused(&format_args!("it lacks {missing}")));
        }
        Constancy::NotVouched(system) => {
            return Err(refused(&format_args!(
                "{system:?} itself says that it is under fs-verity"
            )));
        }
        _ => return Err(refused(&"it is neither a sealed memory file nor under fs-verity")),
    }
    // The length is looked at after the seals: it cannot become less from then on.
    let end = offset.checked_add(len as u64).ok_or_else(|| {
        MapIfSafeError::map_failed_with(io::Error::new(
            ErrorKind::InvalidInput,
            "the end of the range is no number",
        ))
    })?;
    let file_len = Options::new().raw_len(file).map_err(|error| refused(&error))? as u64;
    if end > file_len {
        return Err(refused(&format_args!(
            "byte {end} of a file of {file_len} bytes was asked for"
        )));
    }
    Ok(())
}
