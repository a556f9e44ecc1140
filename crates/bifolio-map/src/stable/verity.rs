//! The rung of files that fs-verity protects: nobody can write them, and each page is checked
//! against a hash when it is read.
//!
//! Two answers must agree: the number of the file system, and the attribute that statx(2) takes
//! from the file system's own record. A FUSE server can forge neither, and the ioctl of fs-verity,
//! which it answers as it likes, is not asked. A 9P server is believed in its number, and has no
//! say in the attribute.

use crate::body::Body;
use crate::constancy::{is_under_verity, is_vouched_for};
use crate::error::Operation;
use crate::stable::{Policy, Refusal, Source, shown};
use bifolio_sys::fs;

/// Maps a file that fs-verity protects, with every page checked and kept, or as the policy says.
pub(super) fn map(source: &Source<'_>, policy: &Policy) -> Result<Body, Refusal> {
    let refused = |errno| source.refused(Operation::Stat, errno);
    let system = fs::file_system(source.file).map_err(refused)?;
    if !is_vouched_for(system) {
        return Err(Refusal::NotVouched(system));
    }
    if !is_under_verity(source.file).map_err(refused)? {
        return Err(Refusal::NotVerity);
    }
    // It cannot become shorter: it cannot be written at all.
    source.check_reaches()?;
    let file = fs::fcntl_dupfd_cloexec(source.file, 0)
        .map_err(|errno| source.refused(Operation::Map, errno))?;
    let mut body = shown::map(source, file)?;
    if !policy.pages_on_demand {
        shown::keep_in_memory(&body)?;
    }
    body.origin.file = None;
    Ok(body)
}
