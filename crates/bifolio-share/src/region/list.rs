//! Which regions there are, and taking away what dead processes left.

use super::lock::{self, is_attached, keep_out};
use super::make::{is_unfinished, read_header};
use super::place::{SHM, c_path};
use super::{Place, Region};
use crate::error::{Error, ErrorKind, Operation, Result};
use crate::header::KEEP;
use bifolio_sys::Errno;
use bifolio_sys::fs::fd::{AsFd, BorrowedFd, OwnedFd};
use bifolio_sys::fs::{self, AtFlags, CWD, FileType, Mode, OFlags};
use bifolio_sys::process::geteuid;
use std::path::Path;
use std::sync::Arc;

/// A region that has a name in `/dev/shm`, as it was found.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Listed {
    /// Its name.
    pub place: Place,
    /// How many bytes of room it has, and may have; or why its header cannot be believed.
    pub len: Result<(u64, u64)>,
    /// How many bytes of memory the file takes.
    pub memory_bytes: u64,
    /// The number of the user it belongs to.
    pub uid: u32,
    /// Its permissions.
    pub mode: u32,
    /// The process that made it, in its own PID namespace.
    pub creator: u32,
    /// Whether it is to stay although nobody is attached.
    pub is_kept: bool,
    /// Whether a process has it open; without one, it was left behind or kept.
    pub is_attached: bool,
}

/// What was taken away.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Cleaned {
    /// Regions that nobody was attached to.
    pub regions: Vec<Place>,
    /// How many files were removed that killed processes had not finished.
    pub unfinished: usize,
}

impl Region {
    /// Which regions have a name in `/dev/shm`, as far as this user may read them. It attaches to
    /// none; who sits in one, [`sitters`](Self::sitters) tells after opening it.
    ///
    /// # Errors
    ///
    /// What reading the directory reports.
    pub fn list() -> Result<Vec<Listed>> {
        let mut found = Vec::new();
        for (name, path) in entries(Path::new(SHM), Operation::List)? {
            if is_unfinished(&name) {
                continue;
            }
            let Ok(file) = open(&path, OFlags::RDONLY) else { continue };
            let place = Place::Name(Arc::from(name));
            match look(&place, &file) {
                Err(error) if error.kind() == ErrorKind::NotARegion => {}
                Ok(None) | Err(_) => {}
                Ok(Some(listed)) => found.push(listed),
            }
        }
        Ok(found)
    }

    /// Takes the names away of regions of this user in `/dev/shm` that no process is attached to,
    /// except those that were made to [`keep`](super::RegionOptions::keep); and what killed
    /// processes had not finished.
    ///
    /// A process that opens one at the same time either keeps it from being taken away, or finds
    /// none of that name.
    ///
    /// # Errors
    ///
    /// What reading the directory reports.
    pub fn clean() -> Result<Cleaned> {
        Region::clean_dir(SHM)
    }

    /// As [`clean`](Self::clean), in another directory: of regions in files, only what was not
    /// finished is taken away.
    ///
    /// # Errors
    ///
    /// What reading the directory reports.
    pub fn clean_dir(directory: impl AsRef<Path>) -> Result<Cleaned> {
        let directory = directory.as_ref();
        let mut cleaned = Cleaned::default();
        for (name, path) in entries(directory, Operation::Unlink)? {
            let is_unfinished = is_unfinished(&name);
            if !is_unfinished && directory != Path::new(SHM) {
                continue;
            }
            let place = match is_unfinished {
                true => Place::file(&path),
                false => Place::Name(Arc::from(name)),
            };
            // What vanishes or is refused meanwhile is left alone.
            match remove(&place, &path, is_unfinished) {
                Ok(true) if is_unfinished => cleaned.unfinished += 1,
                Ok(true) => cleaned.regions.push(place),
                Ok(false) | Err(_) => {}
            }
        }
        Ok(cleaned)
    }

    /// Takes its name away, if it still has it: those who are attached go on, and nobody finds it
    /// any more. Whether it had the name.
    ///
    /// # Errors
    ///
    /// [`Nameless`](ErrorKind::Nameless), and what unlinkat(2) reports.
    pub fn unlink(&self) -> Result<bool> {
        unlink(&self.0.place, self.fd())
    }

    /// Whether its name still leads to it: false for what never had one, and after an
    /// [`unlink`](Self::unlink) by whomever, as systemd does to a user's files in `/dev/shm` when
    /// the last session ends (`RemoveIPC`). It can be used all the same.
    ///
    /// # Errors
    ///
    /// What statx(2) reports.
    pub fn is_linked(&self) -> Result<bool> {
        match self.0.place.path() {
            Some(_) => self.0.place.leads_to(Operation::Unlink, self.fd()),
            None => Ok(false),
        }
    }
}

/// The files of a directory: their names and where they are.
fn entries(
    directory: &Path,
    operation: Operation,
) -> Result<Vec<(std::ffi::OsString, std::path::PathBuf)>> {
    let fail = |error: std::io::Error| {
        let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
        Error::from_errno(operation, &Place::All, errno)
    };
    let entry = |entry: std::io::Result<std::fs::DirEntry>| {
        entry.map(|entry| (entry.file_name(), entry.path()))
    };
    std::fs::read_dir(directory).map_err(fail)?.map(entry).collect::<Result<_, _>>().map_err(fail)
}

fn open(path: &Path, access: OFlags) -> Result<OwnedFd, Errno> {
    let path = c_path(path).ok_or(Errno::INVAL)?;
    let flags = access | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    fs::openat(CWD, path.as_c_str(), flags, Mode::empty())
}

fn look(place: &Place, file: &OwnedFd) -> Result<Option<Listed>> {
    let fail = |errno| Error::from_errno(Operation::List, place, errno);
    let stat = fs::fstat(file).map_err(fail)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Ok(None);
    }
    let header = match read_header(Operation::List, place, file) {
        Err(error) if error.kind() == ErrorKind::NotARegion => return Ok(None),
        header => header,
    };
    let told = header.as_ref().ok().map(|(header, _)| *header);
    let len = header.map(|(header, len)| {
        let first = header.arena_at;
        (len.clamp(first, header.max_len) - first, header.max_len - first)
    });
    Ok(Some(Listed {
        place: place.clone(),
        len,
        memory_bytes: stat.st_blocks as u64 * 512,
        uid: stat.st_uid,
        mode: stat.st_mode & 0o777,
        creator: told.map_or(0, |header| header.creator_pid),
        is_kept: told.is_some_and(|header| header.flags & KEEP != 0),
        is_attached: is_attached(file).map_err(fail)?,
    }))
}

/// Removes a file that nobody uses; whether it has.
fn remove(place: &Place, path: &Path, is_unfinished: bool) -> Result<bool> {
    let fail = |errno| Error::from_errno(Operation::Unlink, place, errno);
    let file = open(path, OFlags::RDWR).map_err(fail)?;
    let stat = fs::fstat(&file).map_err(fail)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile
        || stat.st_uid != geteuid().as_raw()
    {
        return Ok(false);
    }
    // What is damaged is for its owner to look at.
    if !is_unfinished && read_header(Operation::Unlink, place, &file)?.0.flags & KEEP != 0 {
        return Ok(false);
    }
    // Until `file` is closed nobody attaches: who has opened it will find it without a name.
    if !keep_out(&file).map_err(fail)? {
        return Ok(false);
    }
    unlink(place, file.as_fd())
}

/// Takes a name away while it leads to `file`; whether it did. Others that would do so are waited
/// for, so that a new file of that name is never hit.
fn unlink(place: &Place, file: BorrowedFd<'_>) -> Result<bool> {
    const UNLINK: Operation = Operation::Unlink;
    let path = place.c_path(UNLINK)?;
    let _alone = lock::unlinking(UNLINK, place, file)?;
    if !place.leads_to(UNLINK, file)? {
        return Ok(false);
    }
    fs::unlinkat(CWD, path.as_c_str(), AtFlags::empty())
        .map_err(|errno| Error::from_errno(UNLINK, place, errno))?;
    Ok(true)
}
