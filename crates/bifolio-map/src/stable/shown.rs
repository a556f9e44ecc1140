//! Mapping a file whose bytes are constant, so that its pages are the slice.
//!
//! That they are constant is the rung's to prove; that touching them cannot fail is proved here,
//! where the policy does not do without.

use crate::body::Body;
use crate::error::{Operation, Result};
use crate::origin::Origin;
use crate::pages;
use crate::populate::populate;
use crate::span::{Placement, Request};
use crate::stable::Source;
use bifolio_sys::fs::fd::OwnedFd;
use bifolio_sys::fs::{self, FileSystem};
use bifolio_sys::mm::{MapFlags, ProtFlags};
use bifolio_sys::page::{PageSize, page_size};

/// Maps the bytes of `source` from `file`, which is closed: the mapping is enough to hold it.
///
/// The mapping is private: kernels before 6.7 refuse to map a file shared whose writing is sealed,
/// and of constant bytes both show the same.
pub(super) fn map(source: &Source<'_>, file: OwnedFd) -> Result<Body> {
    let refused = |errno| source.refused(Operation::Map, errno);
    let page = match fs::file_system(&file).map_err(refused)? {
        FileSystem::Hugetlbfs => {
            let stat = fs::fstat(&file).map_err(refused)?;
            PageSize::new(stat.st_blksize as usize).unwrap_or(page_size())
        }
        _ => page_size(),
    };
    let request = Request {
        len: source.len,
        protection: ProtFlags::READ,
        // No page is ever copied, so none needs to be promised.
        flags: MapFlags::PRIVATE | MapFlags::NORESERVE,
        placement: Placement::Anywhere,
    };
    let object = source.object.clone();
    let origin = Origin { object, file: Some(file), file_offset: source.offset, is_file_s: true };
    Body::map_pages(request, origin, page).map_err(|(_, error)| error)
}

/// Brings every page in and locks it, so that none has to come from the medium again.
pub(super) fn keep_in_memory(body: &Body) -> Result<()> {
    let all = 0..body.len();
    // Locking brings them in too, but does not say why a page cannot be had.
    populate(body, &all)?;
    pages::lock(body, &all)
}
