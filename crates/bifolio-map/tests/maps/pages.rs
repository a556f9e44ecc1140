//! The states of pages, counted by bucket.

use super::scratch::Random;
use bifolio_map::memory::{Detail, Process, bucket, maps_with, pages_of};
use bifolio_map::{
    AnonMap, Errno, ErrorKind, Mapping, Pages, Residency, Resident, page::page_size,
};
use bifolio_sys::mm::{
    RegisterMode, USER_MODE_ONLY, UffdFeatures, uffdio_api, uffdio_register, uffdio_writeprotect,
    userfaultfd,
};
use std::os::fd::OwnedFd;

pub(crate) fn known(residency: Residency) -> Resident {
    match residency {
        Residency::Known(resident) => resident,
        other => panic!("{other:?}"),
    }
}

#[test]
pub(crate) fn touched_pages_are_counted_in_their_bucket() {
    let mut random = Random::new("touched_pages_are_counted_in_their_bucket");
    let page = page_size().bytes();
    const PAGES: usize = 3000;
    let mut map = AnonMap::new(PAGES * page).unwrap();
    map.advise(0..map.len(), bifolio_map::Advice::NoHugePage).unwrap();
    let mut is_touched = vec![false; PAGES];
    for _ in 0..1000 {
        let at = random.below(PAGES);
        is_touched[at] = true;
        map[at * page] = 1;
    }
    let start = map.as_ptr().addr();
    for count in [1, 7, 64, PAGES, PAGES + 5] {
        let mut buckets = vec![Residency::default(); count];
        pages_of(Process::this(), start..start + map.len(), &mut buckets).unwrap();
        for (index, &found) in buckets.iter().enumerate() {
            let found = known(found);
            let part = bucket(0..map.len() as u64, index, count);
            let pages = part.start as usize / page..part.end as usize / page;
            let touched = is_touched[pages.clone()].iter().filter(|&&is| is).count();
            let counts = (found.total_pages as usize, found.resident_pages as usize);
            assert_eq!(counts, (pages.len(), touched), "bucket {index} of {count}");
            assert_eq!(found.swapped_pages, Some(0), "bucket {index} of {count}");
        }
    }
    // A range within a page is that page, and none is none.
    let mut one = [Residency::default()];
    map[17 * page] = 1;
    pages_of(Process::this(), start + 17 * page + 5..start + 17 * page + 6, &mut one).unwrap();
    assert_eq!((known(one[0]).total_pages, known(one[0]).resident_pages), (1, 1));
    pages_of(Process::this(), start..start, &mut one).unwrap();
    assert_eq!(known(one[0]).total_pages, 0);
    pages_of(Process::this(), start..start + page, &mut []).unwrap();
}

#[test]
fn addresses_without_a_mapping_have_no_pages() {
    let page = page_size().bytes();
    let map = AnonMap::new(8 * page).unwrap();
    let start = map.as_ptr().addr();
    map.unmap().unwrap();
    let mut buckets = [Residency::default(); 3];
    // Another thread may map there meanwhile, but not at the bottom of the address space.
    pages_of(Process::this(), start..start + page, &mut buckets).unwrap();
    pages_of(Process::this(), 0..8 * page, &mut buckets).unwrap();
    assert_eq!(buckets.map(|bucket| known(bucket).resident_pages), [0; 3]);
    assert_eq!(buckets.map(|bucket| known(bucket).total_pages), [2, 3, 3]);
    let beyond = pages_of(Process::this(), 0..usize::MAX, &mut buckets).unwrap_err();
    assert_eq!(beyond.kind(), ErrorKind::TooLarge);
}

/// Has the kernel mark every page, of memory that is not there yet too.
fn track(range: std::ops::Range<usize>) -> Result<OwnedFd, Errno> {
    let tracker = userfaultfd(USER_MODE_ONLY)?;
    let features = UffdFeatures::WP_ASYNC | UffdFeatures::WP_UNPOPULATED;
    uffdio_api(&tracker, features | UffdFeatures::PAGEFAULT_FLAG_WP)?;
    uffdio_register(&tracker, range.clone(), RegisterMode::WriteProtect)?;
    uffdio_writeprotect(&tracker, range, true)?;
    Ok(tracker)
}

/// The kernel calls a page that is marked, and was never there, swapped.
#[test]
pub(crate) fn pages_that_are_tracked_are_not_said_to_be_in_swap() {
    let page = page_size().bytes();
    let mut map = AnonMap::new(64 * page).unwrap();
    for at in 0..16 {
        map[at * page] = 1;
    }
    let start = map.as_ptr().addr();
    let range = start..start + map.len();
    let tracker = match track(range.clone()) {
        Ok(tracker) => tracker,
        Err(errno) => return println!("skipped: writes cannot be tracked here ({errno})"),
    };
    let mut buckets = [Residency::default(); 4];
    pages_of(Process::this(), range, &mut buckets).unwrap();
    assert_eq!(buckets.map(|bucket| known(bucket).resident_pages), [16, 0, 0, 0]);
    for swapped in buckets.map(|bucket| known(bucket).swapped_pages) {
        assert!(matches!(swapped, None | Some(0)), "{swapped:?}");
    }
    let found = maps_with(Process::this(), Detail::Pages).unwrap();
    let region = found.find(start).unwrap();
    assert!(matches!(region.usage.swapped_bytes, None | Some(0)), "{region:?}");
    drop(tracker);
}
