//! Taking pages of an open file out of memory, without mapping it.

use crate::error::{Error, ErrorKind, FileKind, Operation, Result};
use crate::evict::{Dirty, Evicted, evict_file};
use crate::object::Object;
use bifolio_sys::Errno;
use bifolio_sys::fs::fd::AsFd;
use core::ops::Range;

/// Takes the pages that hold `range` of an open file out of memory, looks whether they are gone,
/// and says of those that are not why they stayed.
///
/// Pages that others need go too, and are read from the disk when they are used next.
///
/// # Errors
///
/// What posix_fadvise(2) reports, and sync_file_range(2) where pages are to be written back;
/// [`NotMappable`](ErrorKind::NotMappable) for a pipe.
///
/// # Panics
///
/// Where `range` ends before it starts.
///
/// # Examples
///
/// ```
/// use bifolio_map::{Dirty, Stayed, memory};
///
/// let file = std::fs::File::open("Cargo.toml")?;
/// let len = file.metadata()?.len();
/// for reason in memory::evict(&file, 0..len, Dirty::Leave)?.stayed {
///     match reason {
///         Stayed::Dirty { pages } => println!("{pages} pages are newer than the disk"),
///         Stayed::Mapped(holder) => println!("{} has it mapped", holder.process),
///         other => println!("{other:?}"),
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # References
///
/// posix_fadvise(2), `POSIX_FADV_DONTNEED`; sync_file_range(2).
pub fn evict(file: impl AsFd, range: Range<u64>, dirty: Dirty) -> Result<Evicted> {
    assert!(range.start <= range.end, "{range:?} ends before it starts");
    evict_file(file.as_fd(), &range, dirty).map_err(|errno| {
        let error = Error::from_errno(Operation::Evict, &Object::OpenFile, errno);
        let error = match errno {
            Errno::SPIPE => error.with_kind(ErrorKind::NotMappable(FileKind::Pipe)),
            _ => error,
        };
        error.with_range(range)
    })
}
