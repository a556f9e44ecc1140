//! Space for a file before it is used, so that a full disk is an error of a call and not a signal
//! of a page.
//!
//! It never makes a file shorter, and never overwrites a byte that somebody wrote.

use bifolio_sys::Errno;
use bifolio_sys::fs::fd::BorrowedFd;
use bifolio_sys::fs::{self, FallocateFlags};
use bifolio_sys::signal::without_sigxfsz;
use core::ops::Range;

/// Zeros that are written at a time where the file system cannot allocate.
const ZEROS: &[u8] = &[0; 1 << 16];

/// Allocates what lies in `range` of the file, in bytes, and makes the file at least as long as its
/// end.
///
/// Where the file system cannot allocate, zeros are appended and written back instead, so that a
/// server may refuse them now; holes inside the file then stay holes, and the file may get up to
/// 64 KiB longer than asked for by each who grows it at the same time.
pub(crate) fn allocate(fd: BorrowedFd<'_>, range: Range<u64>) -> Result<(), Errno> {
    match allocate_by_file_system(fd, range.clone()) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => append_zeros(fd, range.end),
        answer => answer,
    }
}

/// fallocate(2), in smaller pieces where signals interrupt it: tmpfs undoes an interrupted piece,
/// so that a timer could keep a large one from ever being done.
fn allocate_by_file_system(fd: BorrowedFd<'_>, range: Range<u64>) -> Result<(), Errno> {
    let (mut start, mut piece) = (range.start, range.end - range.start);
    while start < range.end {
        let len = piece.min(range.end - start);
        match without_sigxfsz(|| fs::fallocate(fd, FallocateFlags::empty(), start, len)) {
            Ok(()) => start += len,
            Err(Errno::INTR) => piece = (piece / 2).max(1 << 16),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

fn append_zeros(fd: BorrowedFd<'_>, end: u64) -> Result<(), Errno> {
    let mut was_short = false;
    loop {
        let len = fs::fstat(fd)?.st_size as u64;
        if len >= end {
            return if was_short { fs::fdatasync(fd) } else { Ok(()) };
        }
        was_short = true;
        let count = (end - len).min(ZEROS.len() as u64) as usize;
        match without_sigxfsz(|| fs::append(fd, &ZEROS[..count])) {
            Ok(0) => return Err(Errno::NOSPC),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}
