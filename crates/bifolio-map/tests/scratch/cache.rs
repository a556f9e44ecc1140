//! Files of which some pages are cached and some are not, and what is told of them.

use super::pattern;
use bifolio_map::{Access, FileMap, Pages, Pattern, Residency, Resident, memory};
use bifolio_sys::fs::{Advice, fadvise};
use bifolio_sys::page::page_size;
use std::fs::{File, OpenOptions};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

pub(crate) const PAGES: usize = 512;

pub(crate) fn page() -> usize {
    page_size().bytes()
}

pub(crate) fn known(residency: Residency) -> Resident {
    match residency {
        Residency::Known(resident) => resident,
        other => panic!("{other:?}"),
    }
}

/// Makes a file of which the first half is cached and the second is not: as long as the map lives,
/// and as far as this process may lock.
pub(crate) fn half_cached(path: &Path) -> (File, FileMap) {
    let file = OpenOptions::new().read(true).write(true).create_new(true).open(path).unwrap();
    file.write_all_at(&pattern(PAGES * page()), 0).unwrap();
    file.sync_all().unwrap();
    fadvise(&file, 0, None, Advice::DontNeed).unwrap();
    let map = FileMap::open(path).unwrap();
    // No read-ahead, so that what is read is what is cached.
    map.access(0..map.len(), Pattern::Random).unwrap();
    fadvise(&file, 0, None, Advice::Random).unwrap();
    for at in 0..PAGES / 2 {
        file.read_exact_at(&mut [0], (at * page()) as u64).unwrap();
    }
    if let Err(error) = map.lock(0..PAGES / 2 * page()) {
        println!("pages may leave: {error}");
    }
    (file, map)
}

/// How often a test begins anew before it has failed.
pub(crate) const ATTEMPTS: usize = 20;

/// Runs a test that needs pages to stay where they are, which nobody promises: the kernel takes
/// them back when it likes, or when somebody tells it to drop its cache. Where it fails it begins
/// anew, and all that it asserts must hold in one run.
pub(crate) fn attempts(test: impl Fn()) {
    for _ in 1..ATTEMPTS {
        if catch_unwind(AssertUnwindSafe(&test)).is_ok() {
            return;
        }
    }
    test();
}

/// Counts `range` of a file in so many buckets.
pub(crate) fn cached(file: &File, range: Range<u64>, count: usize) -> Vec<Residency> {
    let mut buckets = vec![Residency::default(); count];
    memory::cached(file, range, &mut buckets).unwrap();
    buckets
}
