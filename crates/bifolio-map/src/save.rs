//! A private mapping made into a file: the file it came from with the changes, in the place of
//! another in one step.
//!
//! It does not lock the source: who writes it meanwhile may get a mixture of its own bytes saved,
//! as any reader may.

use crate::access::Access;
use crate::error::{Error, ErrorKind, FileKind, Operation, Result};
use crate::object::Object;
use crate::pages::sealed::HasBody;
use crate::private::PrivateMap;
use crate::replace::Replacement;
use bifolio_sys::Errno;
use bifolio_sys::fs::{self, fd::AsFd, fd::BorrowedFd};
use bifolio_sys::signal::without_sigxfsz;
use core::ops::Range;
use std::fs::{File, Metadata};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::vec;

/// How much is copied at a time where the kernel does not do it.
const BLOCK: usize = 1 << 18;

impl PrivateMap {
    /// Saves the file as this mapping shows it, with the changes, at `path`, in one step: whoever
    /// looks sees the old file or the new one, whole, and so does who comes after a kill or a
    /// power cut at any moment.
    ///
    /// What lies in the file before and after the mapping is saved too. The new file takes after
    /// the one that it replaces in owner, group and mode, or after the mapped file where it
    /// replaces none; other links to the old file keep the old one; a symbolic link is followed.
    /// Extended attributes are not taken over. `path` may be the mapped file itself: the mapping
    /// goes on showing the old one, with the changes.
    ///
    /// What was not changed is shared with the mapped file where the file system can (Btrfs, XFS),
    /// or copied by the kernel; holes stay holes. Writes by other threads meanwhile may be in or
    /// not.
    ///
    /// # Errors
    ///
    /// What reading the mapping reports, [`Truncated`](ErrorKind::Truncated) above all; what
    /// creating, writing, syncing and renaming report for `path`. The old file is then as it was,
    /// but for an error of the last step, the sync of the directory: then the new file is in
    /// place, and a power cut may bring the old one back. A process killed between two particular
    /// system calls leaves a file `.bifolio-*.tmp` beside it.
    ///
    /// # References
    ///
    /// open(2), `O_TMPFILE`, Linux 3.11; linkat(2); rename(2); fsync(2); copy_file_range(2), Linux
    /// 4.5; ioctl_ficlone(2), Linux 4.5.
    pub fn commit_to(&self, path: impl AsRef<Path>) -> Result<()> {
        let object = Object::File(Arc::from(path.as_ref()));
        let refused = |error: &io::Error| {
            let errno = Errno::from_io_error(error).unwrap_or(Errno::IO);
            Error::from_errno(Operation::Save, &object, errno)
        };
        let (path, replaced) = target(path.as_ref()).map_err(|error| refused(&error))?;
        if let Some(kind) = replaced.as_ref().and_then(not_replaceable) {
            return Err(Error::new(Operation::Save, &object, ErrorKind::NotMappable(kind)));
        }
        let directory = path.parent().unwrap_or(Path::new("."));
        let new = Replacement::create(directory).map_err(|error| refused(&error))?;
        self.write_to(new.file.as_fd(), &object)?;
        let model = match replaced {
            Some(replaced) => replaced,
            None => self.source_metadata().map_err(|error| refused(&error))?,
        };
        new.take_after(&model).map_err(|error| refused(&error))?;
        new.publish(&path).map_err(|error| refused(&error))
    }

    fn source_metadata(&self) -> io::Result<Metadata> {
        let source = self.body().origin.fd().ok_or(io::ErrorKind::NotFound)?;
        File::from(source.try_clone_to_owned()?).metadata()
    }

    /// Writes the whole file, as the mapping shows it, to an empty one.
    fn write_to(&self, out: BorrowedFd<'_>, object: &Object) -> Result<()> {
        let origin = &self.body().origin;
        let refused = |errno| Error::from_errno(Operation::Save, object, errno);
        let Some(source) = origin.fd() else { return Err(refused(Errno::BADF)) };
        let source_len = origin.file_len().unwrap_or(0);
        let end = origin.file_offset.saturating_add(self.len() as u64);
        // A mapping that reaches beyond its file shows bytes that nobody can read.
        if source_len < end {
            let kind = ErrorKind::Truncated { len_bytes: source_len };
            return Err(origin.error(Operation::Read, kind, 0, self.len()));
        }
        if without_sigxfsz(|| fs::ioctl_ficlone(out, source)).is_err() {
            without_sigxfsz(|| fs::ftruncate(out, source_len)).map_err(refused)?;
            copy_data(source, out, source_len).map_err(refused)?;
        }
        // Where the page tables cannot be asked, all is taken from the mapping.
        let copied =
            self.copied_ranges().unwrap_or_else(|_| core::iter::once(0..self.len()).collect());
        let mut block = vec![0; BLOCK];
        for range in copied {
            for at in range.clone().step_by(BLOCK) {
                let bytes = &mut block[..BLOCK.min(range.end - at)];
                self.read_exact_at(bytes, at)?;
                write_all(out, bytes, origin.file_offset + at as u64).map_err(refused)?;
            }
        }
        // Shortened while it was copied: then something is missing.
        match origin.file_len() {
            Some(len) if len >= end => Ok(()),
            len => {
                let kind = ErrorKind::Truncated { len_bytes: len.unwrap_or(0) };
                Err(origin.error(Operation::Read, kind, 0, self.len()))
            }
        }
    }
}

/// Where the file goes, symbolic links followed, and what is there now.
fn target(path: &Path) -> io::Result<(PathBuf, Option<Metadata>)> {
    match std::fs::canonicalize(path) {
        Ok(path) => {
            let metadata = std::fs::metadata(&path)?;
            Ok((path, Some(metadata)))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((path.to_path_buf(), None)),
        Err(error) => Err(error),
    }
}

/// What it is, where a file must not take its place.
fn not_replaceable(metadata: &Metadata) -> Option<FileKind> {
    use std::os::unix::fs::FileTypeExt;
    let kind = metadata.file_type();
    match () {
        () if kind.is_file() => None,
        () if kind.is_dir() => Some(FileKind::Directory),
        () if kind.is_fifo() => Some(FileKind::Pipe),
        () if kind.is_socket() => Some(FileKind::Socket),
        () if kind.is_char_device() || kind.is_block_device() => Some(FileKind::Device),
        () => Some(FileKind::Other),
    }
}

/// Copies what is data in the first `len` bytes; holes are left out.
fn copy_data(source: BorrowedFd<'_>, out: BorrowedFd<'_>, len: u64) -> Result<(), Errno> {
    let mut at = 0;
    while at < len {
        let data = match next_data(source, at, len) {
            Ok(Some(data)) => data,
            Ok(None) => return Ok(()),
            // It knows no holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS | Errno::SPIPE) => at..len,
            Err(errno) => return Err(errno),
        };
        at = data.end;
        copy_range(source, out, data)?;
    }
    Ok(())
}

fn next_data(file: BorrowedFd<'_>, at: u64, len: u64) -> Result<Option<Range<u64>>, Errno> {
    let Some(start) = fs::seek_data(file, at)? else { return Ok(None) };
    let end = fs::seek_hole(file, start)?.unwrap_or(len).min(len);
    Ok((start < end).then_some(start..end))
}

/// Copies a range from one file to the same place in another, by the kernel where it can.
fn copy_range(source: BorrowedFd<'_>, out: BorrowedFd<'_>, range: Range<u64>) -> Result<(), Errno> {
    let mut at = range.start;
    while at < range.end {
        let (mut from, mut to) = (at, at);
        let want = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(1 << 30);
        let copied = without_sigxfsz(|| {
            fs::copy_file_range(source, Some(&mut from), out, Some(&mut to), want)
        });
        match copied {
            // The source became shorter, which `write_to` finds out at its end.
            Ok(0) => return Ok(()),
            Ok(count) => at += count as u64,
            Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS | Errno::PERM) => {
                return copy_by_hand(source, out, at..range.end);
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn copy_by_hand(
    source: BorrowedFd<'_>,
    out: BorrowedFd<'_>,
    range: Range<u64>,
) -> Result<(), Errno> {
    let mut block = vec![0; BLOCK];
    let mut at = range.start;
    while at < range.end {
        let want = (range.end - at).min(BLOCK as u64) as usize;
        match fs::pread(source, &mut block[..want], at) {
            Ok(0) => return Ok(()),
            Ok(count) => {
                write_all(out, &block[..count], at)?;
                at += count as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn write_all(out: BorrowedFd<'_>, mut bytes: &[u8], mut at: u64) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match without_sigxfsz(|| fs::pwrite(out, bytes, at)) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(count) => {
                bytes = &bytes[count..];
                at += count as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
