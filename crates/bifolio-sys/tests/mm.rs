//! The calls on memory do what their names say, and what the kernel refuses is an error.
//!
//! # Safety
//!
//! Every range that a test changes is one that it mapped, and it holds no reference into it.
#![allow(unsafe_code, reason = "the calls under test are unsafe")]

mod common;

use std::fs::File;
use std::num::NonZeroUsize;
use std::ptr;

use bifolio_sys::Errno;
use bifolio_sys::features::Feature;
use bifolio_sys::fs::{MemfdFlags, ftruncate, memfd_create, seek_data};
use bifolio_sys::mm::{
    Advice, Categories, Find, IoVec, MapFlags, Misplaced, MprotectFlags, Node, NodeMask,
    PageRegion, PagemapEntry, PagemapScan, Policy, ProtFlags, WriteProtect, get_mempolicy, madvise,
    mbind, memfd_secret, mincore, mmap, mmap_anonymous, mprotect, mseal, munmap, pagemap_read,
    pagemap_scan, process_madvise, procmap_query,
};
use bifolio_sys::page::{page_size, thp_size};
use bifolio_sys::process::{PidfdFlags, getpid, pidfd_open, process_vm_readv};

use common::{Pages, is_missing};

/// Whether the byte at `addr` can be read, asked of the kernel.
fn is_readable(addr: *mut std::ffi::c_void) -> bool {
    let mut byte = 0_u8;
    let local = IoVec { base: (&raw mut byte).cast(), len: 1 };
    // SAFETY: the byte to be written is a local that nothing refers to.
    let read = unsafe { process_vm_readv(getpid(), &[local], &[IoVec { base: addr, len: 1 }]) };
    read == Ok(1)
}

fn advise(pages: &Pages, advice: Advice) -> Result<(), Errno> {
    // SAFETY: the pages are the test's own, and it keeps no reference into them.
    unsafe { madvise(pages.base, pages.len, advice) }
}

#[test]
fn mincore_tells_touched_pages_from_others() {
    let pages = Pages::new(4);
    pages.touch(0, 1);
    pages.touch(2, 1);
    let mut resident = [0xff; 4];
    mincore(pages.base.addr(), &mut resident).unwrap();
    assert_eq!(resident.map(|byte| byte & 1), [1, 0, 1, 0]);
    assert_eq!(mincore(pages.base.addr() + 1, &mut resident), Err(Errno::INVAL));
    assert_eq!(mincore(0, &mut resident), Err(Errno::NOMEM));
}

#[test]
fn every_advice_that_fits_private_memory_is_taken() {
    for advice in Advice::ALL {
        let pages = Pages::new(2);
        pages.touch(0, 7);
        let needs = match advice {
            Advice::Remove | Advice::Collapse => continue, // They have tests of their own.
            // Modules of the kernel that may be left out.
            Advice::Mergeable | Advice::Unmergeable
                if advise(&pages, advice) == Err(Errno::INVAL) =>
            {
                println!("skipped: this kernel has no KSM");
                continue;
            }
            Advice::HugePage | Advice::NoHugePage => Some(Feature::Thp),
            Advice::PopulateRead | Advice::PopulateWrite => Some(Feature::MadvPopulate),
            Advice::Cold | Advice::PageOut => Some(Feature::MadvPageout),
            Advice::GuardInstall | Advice::GuardRemove => Some(Feature::MadvGuard),
            _ => None,
        };
        if needs.is_some_and(is_missing) {
            continue;
        }
        assert_eq!(advise(&pages, advice), Ok(()), "{advice:?}");
        if !advice.changes_contents() {
            assert_eq!(pages.peek(0), 7, "{advice:?}");
        }
    }
}

#[test]
fn dropped_pages_read_as_zero() {
    let pages = Pages::new(1);
    pages.touch(0, 7);
    advise(&pages, Advice::DontNeed).unwrap();
    assert_eq!(pages.peek(0), 0);
}

#[test]
fn removed_pages_are_a_hole_in_the_file() {
    let page = page_size().bytes();
    let file = memfd_create(c"", MemfdFlags::CLOEXEC).unwrap();
    ftruncate(&file, 2 * page as u64).unwrap();
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: without an address, the kernel maps where nothing is.
    let base =
        unsafe { mmap(ptr::null_mut(), 2 * page, protection, MapFlags::SHARED, &file, 0) }.unwrap();
    let pages = Pages { base, len: 2 * page };
    pages.touch(0, 7);
    pages.touch(1, 7);
    // SAFETY: the pages are the test's own, and it keeps no reference into them.
    unsafe { madvise(pages.base, page, Advice::Remove) }.unwrap();
    assert_eq!(seek_data(&file, 0), Ok(Some(page as u64)));
    assert_eq!((pages.peek(0), pages.peek(1)), (0, 7));
}

#[test]
fn a_collapsed_range_is_one_huge_page() {
    if is_missing(Feature::MadvCollapse) || is_missing(Feature::PagemapScan) {
        return;
    }
    let huge = thp_size().unwrap().bytes();
    let pages = Pages::with(2 * huge, MapFlags::PRIVATE).unwrap();
    let offset = pages.base.addr().next_multiple_of(huge) - pages.base.addr();
    let first = offset / page_size().bytes();
    pages.touch(first, 7);
    let start = pages.page(first);
    // SAFETY: the advice changes no contents.
    match unsafe { madvise(start, huge, Advice::Collapse) } {
        Err(Errno::NOMEM | Errno::AGAIN | Errno::BUSY) => {
            return println!("skipped: no huge page was to be had");
        }
        result => result.unwrap(),
    }
    let scan = PagemapScan {
        range: start.addr()..start.addr() + huge,
        all_of: Categories::HUGE,
        report: Categories::HUGE,
        ..PagemapScan::default()
    };
    let mut regions = [PageRegion::default(); 2];
    let pagemap = File::open("/proc/self/pagemap").unwrap();
    let scanned = pagemap_scan(pagemap, &scan, &mut regions).unwrap();
    let whole = PageRegion {
        start: start.addr() as u64,
        end: (start.addr() + huge) as u64,
        categories: Categories::HUGE,
    };
    assert_eq!(scanned.regions, [whole]);
    assert_eq!(pages.peek(first), 7);
}

#[test]
fn populated_pages_are_resident() {
    if is_missing(Feature::MadvPopulate) {
        return;
    }
    let pages = Pages::new(3);
    advise(&pages, Advice::PopulateWrite).unwrap();
    let mut resident = [0; 3];
    mincore(pages.base.addr(), &mut resident).unwrap();
    assert_eq!(resident.map(|byte| byte & 1), [1; 3]);
}

#[test]
fn guard_pages_fault_until_they_are_removed() {
    if is_missing(Feature::MadvGuard) {
        return;
    }
    let pages = Pages::new(1);
    advise(&pages, Advice::GuardInstall).unwrap();
    assert!(!is_readable(pages.base));
    advise(&pages, Advice::GuardRemove).unwrap();
    assert!(is_readable(pages.base));
}

#[test]
fn process_madvise_takes_many_ranges() {
    if is_missing(Feature::ProcessMadvise) || is_missing(Feature::Pidfd) {
        return;
    }
    let pages = Pages::new(3);
    let page = page_size().bytes();
    let own = pidfd_open(getpid(), PidfdFlags::empty()).unwrap();
    let ranges = [0, 2].map(|number| IoVec { base: pages.page(number), len: page });
    // SAFETY: the advice changes no contents.
    let advised = unsafe { process_madvise(&own, &ranges, Advice::Cold) };
    assert_eq!(advised, Ok(2 * page));
}

#[test]
fn sealed_memory_stays() {
    if is_missing(Feature::Mseal) {
        return;
    }
    let page = page_size().bytes();
    // SAFETY: without an address, the kernel maps where nothing is.
    let base = unsafe {
        mmap_anonymous(ptr::null_mut(), page, ProtFlags::READ, MapFlags::PRIVATE).unwrap()
    };
    // SAFETY: the page is this test's own and stays mapped until the process ends.
    assert_eq!(unsafe { mseal(base, page) }, Ok(()));
    // SAFETY: nothing refers to the page.
    assert_eq!(unsafe { munmap(base, page) }, Err(Errno::PERM));
    // SAFETY: as above.
    let protected = unsafe { mprotect(base, page, MprotectFlags::empty()) };
    assert_eq!(protected, Err(Errno::PERM));
    assert!(is_readable(base));
}

#[test]
fn secret_memory_is_not_for_the_kernel() {
    if is_missing(Feature::MemfdSecret) {
        return;
    }
    let file = memfd_secret().unwrap();
    let page = page_size().bytes();
    ftruncate(&file, page as u64).unwrap();
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: without an address, the kernel maps where nothing is.
    let base = unsafe { mmap(ptr::null_mut(), page, protection, MapFlags::SHARED, &file, 0) };
    let pages = match base {
        Ok(base) => Pages { base, len: page },
        // mmap(2): secret memory is locked memory.
        Err(Errno::AGAIN) => return println!("skipped: RLIMIT_MEMLOCK is too low"),
        Err(errno) => panic!("{errno}"),
    };
    pages.touch(0, 7);
    assert_eq!(pages.peek(0), 7);
    assert!(!is_readable(pages.base));
}

#[test]
fn a_policy_that_was_set_is_there() {
    if is_missing(Feature::Mbind) {
        return;
    }
    let pages = Pages::new(2);
    pages.touch(0, 7);
    assert_eq!(get_mempolicy(pages.base.addr()), Ok(Some(Policy::Default)));
    let first = Node::new(0).unwrap();
    let bind = Policy::Bind(NodeMask::from_iter([first]));
    for policy in [bind, Policy::Preferred(first), Policy::Local, Policy::Default] {
        mbind(pages.base.addr(), pages.len, &policy, Misplaced::Move).unwrap();
        assert_eq!(get_mempolicy(pages.base.addr()), Ok(Some(policy)));
    }
    assert_eq!(pages.peek(0), 7);
    let nowhere = Policy::Bind(NodeMask::from_iter([Node::new(1023).unwrap()]));
    let misplaced = Misplaced::Stay;
    assert_eq!(mbind(pages.base.addr(), pages.len, &nowhere, misplaced), Err(Errno::INVAL));
    let none = Policy::Interleave(NodeMask::default());
    assert_eq!(mbind(pages.base.addr(), pages.len, &none, misplaced), Err(Errno::INVAL));
}

/// Pages 0, 1 and 3 of four are present: two regions, by the ioctl and by the file.
#[test]
fn page_tables_tell_present_pages() {
    let pages = Pages::new(4);
    // A huge page would make all four present.
    let _ = advise(&pages, Advice::NoHugePage);
    for number in [0, 1, 3] {
        pages.touch(number, 1);
    }
    let pagemap = File::open("/proc/self/pagemap").unwrap();

    let mut entries = [PagemapEntry::default(); 4];
    assert_eq!(pagemap_read(&pagemap, pages.base.addr(), &mut entries), Ok(4));
    assert_eq!(entries.map(PagemapEntry::is_present), [true, true, false, true]);
    assert!(!entries[0].is_file() && entries[0].is_exclusive() && !entries[0].is_swapped());

    if is_missing(Feature::PagemapScan) {
        return;
    }
    let (start, page) = (pages.base.addr(), page_size().bytes());
    let mut scan = PagemapScan {
        range: start..start + pages.len,
        all_of: Categories::PRESENT,
        report: Categories::PRESENT | Categories::FILE,
        ..PagemapScan::default()
    };
    let mut regions = [PageRegion::default(); 4];
    let region = |from: usize, to: usize| PageRegion {
        start: (start + from * page) as u64,
        end: (start + to * page) as u64,
        categories: Categories::PRESENT,
    };
    let scanned = pagemap_scan(&pagemap, &scan, &mut regions).unwrap();
    assert_eq!(scanned.regions, [region(0, 2), region(3, 4)]);
    assert_eq!(scanned.walk_end, start + pages.len);

    scan.pages_max = NonZeroUsize::new(1);
    let scanned = pagemap_scan(&pagemap, &scan, &mut regions).unwrap();
    assert_eq!((scanned.regions, scanned.walk_end), (&[region(0, 1)][..], start + page));

    scan.pages_max = None;
    let scanned = pagemap_scan(&pagemap, &scan, &mut regions[..1]).unwrap();
    assert_eq!(scanned.regions, [region(0, 2)]);
    assert!(scanned.walk_end < start + pages.len);

    scan.inverted = Categories::PRESENT;
    let scanned = pagemap_scan(&pagemap, &scan, &mut regions).unwrap();
    assert_eq!(scanned.regions.len(), 1);
    assert_eq!(
        (scanned.regions[0].start, scanned.regions[0].end),
        ((start + 2 * page) as u64, (start + 3 * page) as u64)
    );

    // Without a userfaultfd, nothing may be write-protected.
    scan.write_protect = WriteProtect::MatchingOrFail;
    assert_eq!(pagemap_scan(&pagemap, &scan, &mut regions), Err(Errno::PERM));
}

#[test]
fn another_file_is_no_pagemap_and_no_maps() {
    let other = File::open("/proc/self/status").unwrap();
    let scan = PagemapScan::default();
    assert_eq!(pagemap_scan(&other, &scan, &mut []), Err(Errno::NOTTY));
    assert_eq!(procmap_query(&other, 0, Find::Covering, &mut []), Err(Errno::NOTTY));
}

#[test]
fn a_mapping_is_found_by_address() {
    if is_missing(Feature::ProcmapQuery) {
        return;
    }
    let maps = File::open("/proc/self/maps").unwrap();
    let program = std::env::current_exe().unwrap();
    let file = File::open(&program).unwrap();
    let page = page_size().bytes();
    // SAFETY: without an address, the kernel maps where nothing is.
    let base = unsafe {
        mmap(ptr::null_mut(), page, ProtFlags::READ, MapFlags::SHARED, &file, page as u64).unwrap()
    };
    let pages = Pages { base, len: page };

    let mut name = [0; 4096];
    let vma = procmap_query(&maps, base.addr() + 1, Find::Covering, &mut name).unwrap().unwrap();
    assert_eq!(vma.range, base.addr()..base.addr() + page);
    assert_eq!(vma.protection, ProtFlags::READ);
    assert!(vma.is_shared);
    assert_eq!((vma.offset_bytes, vma.page_size_bytes), (page as u64, page as u64));
    assert_eq!(vma.name, program.as_os_str().as_encoded_bytes());
    use std::os::unix::fs::MetadataExt;
    assert_eq!(vma.inode, file.metadata().unwrap().ino());

    let mut short = [0; 4];
    let too_long = procmap_query(&maps, base.addr(), Find::Covering, &mut short);
    assert_eq!(too_long, Err(Errno::NAMETOOLONG));
    let nameless = procmap_query(&maps, base.addr(), Find::Covering, &mut []).unwrap().unwrap();
    assert!(nameless.name.is_empty());

    assert_eq!(procmap_query(&maps, 0, Find::Covering, &mut []), Ok(None));
    let next = procmap_query(&maps, 0, Find::CoveringOrNext, &mut []).unwrap().unwrap();
    assert!(next.range.start > 0);
    drop(pages);
    let gone = procmap_query(&maps, base.addr(), Find::Covering, &mut []);
    assert!(
        gone.is_ok_and(|vma| vma.is_none_or(|vma| vma.inode != file.metadata().unwrap().ino()))
    );
}

#[cfg(target_arch = "x86_64")]
#[test]
fn map_32bit_is_below_2_gib() {
    let page = page_size().bytes();
    let pages = Pages::with(page, MapFlags::PRIVATE | bifolio_sys::mm::MAP_32BIT).unwrap();
    assert!(pages.base.addr() + page <= 1 << 31);
}
