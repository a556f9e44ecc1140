//! Writes tracked by the kernel: what userfaultfd(2) and `PAGEMAP_SCAN` say together, on which the
//! tracking of dirty pages is built.
//!
//! # Safety
//!
//! Every range is one that the test mapped, and it holds no reference into it.
#![allow(unsafe_code, reason = "madvise is unsafe")]

mod common;

use std::fs::File;
use std::os::fd::OwnedFd;

use bifolio_sys::Errno;
use bifolio_sys::features::Feature;
use bifolio_sys::mm::{
    Advice, Categories, PageRegion, PagemapScan, RegisterMode, USER_MODE_ONLY, UffdFeatures,
    WriteProtect, madvise, pagemap_scan, uffdio_api, uffdio_register, uffdio_unregister,
    uffdio_writeprotect, userfaultfd,
};
use bifolio_sys::page::page_size;

use common::{Pages, is_missing};

/// A userfaultfd that tracks writes and needs no privilege; `None` where the kernel has none.
fn tracker() -> Option<OwnedFd> {
    if is_missing(Feature::UserfaultfdWpAsync) {
        return None;
    }
    let uffd = userfaultfd(USER_MODE_ONLY).unwrap();
    let features = UffdFeatures::WP_ASYNC | UffdFeatures::WP_UNPOPULATED;
    assert!(uffdio_api(&uffd, features).unwrap().contains(features));
    Some(uffd)
}

fn all(pages: &Pages) -> std::ops::Range<usize> {
    pages.base.addr()..pages.base.addr() + pages.len
}

/// The numbers of the pages that were written since they were protected.
fn written(pages: &Pages, write_protect: WriteProtect) -> Result<Vec<usize>, Errno> {
    let scan = PagemapScan {
        range: all(pages),
        all_of: Categories::WRITTEN,
        report: Categories::WRITTEN,
        write_protect,
        ..PagemapScan::default()
    };
    let pagemap = File::open("/proc/self/pagemap").unwrap();
    let mut regions = [PageRegion::default(); 64];
    let scanned = pagemap_scan(pagemap, &scan, &mut regions)?;
    let (base, page) = (pages.base.addr(), page_size().bytes());
    let number = |addr: u64| (addr as usize - base) / page;
    Ok(scanned.regions.iter().flat_map(|region| number(region.start)..number(region.end)).collect())
}

#[test]
fn a_written_page_is_told_once() {
    let Some(uffd) = tracker() else { return };
    let pages = Pages::new(16);
    uffdio_register(&uffd, all(&pages), RegisterMode::WriteProtect).unwrap();
    uffdio_writeprotect(&uffd, all(&pages), true).unwrap();
    assert_eq!(written(&pages, WriteProtect::NoOrFail), Ok(vec![]));
    pages.touch(3, 1);
    pages.touch(7, 1);
    let _ = pages.peek(9);
    assert_eq!(written(&pages, WriteProtect::NoOrFail), Ok(vec![3, 7]));
    assert_eq!(written(&pages, WriteProtect::MatchingOrFail), Ok(vec![3, 7]));
    assert_eq!(written(&pages, WriteProtect::MatchingOrFail), Ok(vec![]));
    pages.touch(7, 2);
    assert_eq!(written(&pages, WriteProtect::MatchingOrFail), Ok(vec![7]));
    assert_eq!((pages.peek(3), pages.peek(7)), (1, 2));
}

#[test]
fn unprotecting_says_written_of_pages_that_were_not() {
    let Some(uffd) = tracker() else { return };
    let pages = Pages::new(8);
    uffdio_register(&uffd, all(&pages), RegisterMode::WriteProtect).unwrap();
    uffdio_writeprotect(&uffd, all(&pages), true).unwrap();
    let (start, page) = (pages.base.addr(), page_size().bytes());
    uffdio_writeprotect(&uffd, start + 2 * page..start + 4 * page, false).unwrap();
    assert_eq!(written(&pages, WriteProtect::MatchingOrFail), Ok(vec![2, 3]));
    assert_eq!(written(&pages, WriteProtect::MatchingOrFail), Ok(vec![]));
}

/// What is dropped is zero afterwards, which is a change.
#[test]
fn dropped_private_pages_are_written() {
    let Some(uffd) = tracker() else { return };
    let pages = Pages::new(4);
    pages.touch(1, 7);
    uffdio_register(&uffd, all(&pages), RegisterMode::WriteProtect).unwrap();
    uffdio_writeprotect(&uffd, all(&pages), true).unwrap();
    // SAFETY: the pages are the test's own, and nothing refers to them.
    unsafe { madvise(pages.page(1), page_size().bytes(), Advice::DontNeed) }.unwrap();
    assert_eq!(written(&pages, WriteProtect::NoOrFail), Ok(vec![1]));
    assert_eq!(pages.peek(1), 0);
}

#[test]
fn what_is_not_registered_is_refused() {
    let Some(uffd) = tracker() else { return };
    let (pages, page) = (Pages::new(4), page_size().bytes());
    let range = all(&pages);
    for write_protect in [WriteProtect::NoOrFail, WriteProtect::MatchingOrFail] {
        assert_eq!(written(&pages, write_protect), Err(Errno::PERM));
    }
    assert_eq!(uffdio_writeprotect(&uffd, range.clone(), true), Err(Errno::NOENT));
    let odd = range.start + 1..range.end;
    let register = |range| uffdio_register(&uffd, range, RegisterMode::WriteProtect);
    assert_eq!(register(odd.clone()), Err(Errno::INVAL));
    assert_eq!(register(0..page), Err(Errno::INVAL));
    register(range.clone()).unwrap();
    assert_eq!(uffdio_writeprotect(&uffd, odd.clone(), true), Err(Errno::INVAL));
    assert_eq!(uffdio_unregister(&uffd, odd), Err(Errno::INVAL));

    let another = tracker().unwrap();
    let taken = uffdio_register(&another, range.clone(), RegisterMode::WriteProtect);
    assert_eq!(taken, Err(Errno::BUSY));

    uffdio_unregister(&uffd, range).unwrap();
    assert_eq!(written(&pages, WriteProtect::NoOrFail), Err(Errno::PERM));
    pages.touch(0, 1);
}

#[test]
fn features_are_asked_for_once() {
    let Some(uffd) = tracker() else { return };
    assert_eq!(uffdio_api(&uffd, UffdFeatures::default()), Err(Errno::INVAL));
    let all = UffdFeatures::PAGEFAULT_FLAG_WP
        | UffdFeatures::WP_HUGETLBFS_SHMEM
        | UffdFeatures::WP_UNPOPULATED
        | UffdFeatures::WP_ASYNC;
    assert_eq!(all.bits(), 1 | 1 << 12 | 1 << 13 | 1 << 15);
    assert!(!UffdFeatures::WP_ASYNC.contains(all));
}
