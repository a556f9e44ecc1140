//! The rung of files that fs-verity protects: nobody can write them, and each page is checked
//! against a hash when it is read.
//!
//! Two answers must agree: the number of the file system, and the attribute that statx(2) takes
//! from the file system's own record. A FUSE server can forge neither, and the ioctl of fs-verity,
//! which it answers as it likes, is not asked. A 9P server is believed in its number, and has no
//! say in the attribute.

use crate::body::Body;
use crate::error::Operation;
use crate::stable::{Policy, Refusal, Source, shown};
use bifolio_sys::fs::{self, AtFlags, FileSystem, StatxAttributes, StatxFlags};

/// Maps a file that fs-verity protects, with every page checked and kept, or as the policy says.
pub(super) fn map(source: &Source<'_>, policy: &Policy) -> Result<Body, Refusal> {
    let refused = |errno| source.refused(Operation::Stat, errno);
    match fs::file_system(source.file).map_err(refused)? {
        // Those that have it, and keep it themselves.
        FileSystem::Ext | FileSystem::Btrfs | FileSystem::F2fs => {}
        system => return Err(Refusal::NotVouched(system)),
    }
    let stat =
        fs::statx(source.file, c"", AtFlags::EMPTY_PATH, StatxFlags::SIZE).map_err(refused)?;
    if !stat.stx_attributes.contains(StatxAttributes::VERITY) {
        return Err(Refusal::NotVerity);
    }
    // It cannot become shorter: it cannot be written at all.
    source.check_length(stat.stx_size)?;
    let file = fs::fcntl_dupfd_cloexec(source.file, 0)
        .map_err(|errno| source.refused(Operation::Map, errno))?;
    let mut body = shown::map(source, file)?;
    if !policy.pages_on_demand {
        shown::keep_in_memory(&body)?;
    }
    body.origin.file = None;
    Ok(body)
}
