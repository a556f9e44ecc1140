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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;
    use crate::object::Object;
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::string::String;
    use std::{env, format, process};

    /// A file of `len` bytes, mapped as if it had `mapped_len`, and removed.
    fn mapped(len: u64, mapped_len: usize) -> Body {
        let path = env::temp_dir().join(format!("bifolio-shown-{}-{len}", process::id()));
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        file.set_len(len).unwrap();
        let object = &Object::OpenFile;
        let source = Source { file: file.as_fd(), offset: 0, len: mapped_len, object };
        map(&source, file.try_clone().unwrap().into()).unwrap()
    }

    /// What the kernel says of a mapping under `name`, in kB.
    fn told(body: &Body, name: &str) -> u64 {
        let all = std::fs::read_to_string("/proc/self/smaps").unwrap();
        let start = format!("{:x}-", body.ptr().addr());
        let mine = all.split_once(&start).unwrap().1;
        let line = mine.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let digits: String = line.chars().filter(char::is_ascii_digit).collect();
        digits.parse().unwrap()
    }

    #[test]
    fn every_page_is_there_to_stay() {
        let body = mapped(200_000, 200_000);
        assert_eq!(told(&body, "Rss:"), 0);
        keep_in_memory(&body).unwrap();
        let all_kb = 200_000_u64.next_multiple_of(page_size().bytes() as u64) >> 10;
        assert_eq!((told(&body, "Rss:"), told(&body, "Locked:")), (all_kb, all_kb));
    }

    #[test]
    fn a_page_that_cannot_be_had_is_an_error() {
        let error = keep_in_memory(&mapped(5000, 200_000)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated { len_bytes: 5000 });
    }
}
