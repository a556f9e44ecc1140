//! Advice, locks: what the kernel is told.
//!
//! # Safety
//!
//! The maps are of files that only the test knows.
#![allow(unsafe_code, reason = "the emulated constructors are unsafe")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "the files are the test's own")]
#![allow(clippy::multiple_unsafe_ops_per_block, reason = "as above")]

use crate::common::{Scratch, page};
use memmap2::{Advice, Mmap, MmapMut, MmapRaw, UncheckedAdvice};

/// The number of the kernel's flags (`VmFlags` of smaps) for the map at an address.
fn flags_at(address: usize) -> String {
    let smaps = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let start = format!("{address:x}-");
    let lines = smaps.lines().skip_while(|line| !line.starts_with(&start));
    let flags = lines.skip(1).find_map(|line| line.strip_prefix("VmFlags:"));
    flags.expect("the map is listed").to_owned()
}

#[test]
fn advice_reaches_the_kernel() {
    let scratch = Scratch::with(&vec![7; page()]);
    let read = unsafe { Mmap::map(&scratch.file) }.unwrap();
    let flags = |map: &Mmap| flags_at(map.as_ptr() as usize);
    for (advice, flag, is_set) in [
        (Advice::Random, "rr", true),
        (Advice::Normal, "rr", false),
        (Advice::Sequential, "sr", true),
        (Advice::DontFork, "dc", true),
        (Advice::DoFork, "dc", false),
        (Advice::DontDump, "dd", true),
        (Advice::DoDump, "dd", false),
    ] {
        read.advise(advice).unwrap();
        let flags = flags(&read);
        assert_eq!(flags.contains(&format!(" {flag}")), is_set, "{advice:?}: {flags}");
    }
    read.advise(Advice::WillNeed).unwrap();
    for advice in [Advice::HugePage, Advice::NoHugePage, Advice::Mergeable, Advice::Unmergeable] {
        if advice.is_supported() {
            MmapMut::map_anon(page()).unwrap().advise(advice).unwrap();
        } else {
            eprintln!("skipped: the kernel does not know {advice:?}");
        }
    }
    if Advice::PopulateRead.is_supported() {
        read.advise(Advice::PopulateRead).unwrap();
        MmapRaw::map_raw(&scratch.file).unwrap().advise(Advice::PopulateWrite).unwrap();
        // Populating a page that is gone is an error and no signal.
        scratch.file.set_len(0).unwrap();
        let error = read.advise(Advice::PopulateRead).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EFAULT));
    }
}

#[test]
fn advice_that_drops_bytes_drops_those_of_the_range() {
    let mut map = MmapMut::map_anon(2 * page()).unwrap();
    map.fill(255);
    let map = map.make_read_only().unwrap();
    unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, page(), page()) }.unwrap();
    assert_eq!((map[page() - 1], map[page()]), (255, 0));
    unsafe { map.unchecked_advise(UncheckedAdvice::DontNeed) }.unwrap();
    assert_eq!(map[0], 0);
    let scratch = Scratch::with(&vec![7; 2 * page()]);
    let map = MmapRaw::map_raw(&scratch.file).unwrap();
    unsafe { map.unchecked_advise_range(UncheckedAdvice::Remove, 0, page()) }.unwrap();
    assert_eq!((scratch.bytes()[page() - 1], scratch.bytes()[page()]), (0, 7));
    // What is made for memory is refused of a file.
    let error = unsafe { map.unchecked_advise(UncheckedAdvice::Free) }.unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::EINVAL));
}

#[test]
fn advice_is_the_kernel_s_number() {
    let numbers = [
        (Advice::Normal as i32, libc::MADV_NORMAL),
        (Advice::Random as i32, libc::MADV_RANDOM),
        (Advice::Sequential as i32, libc::MADV_SEQUENTIAL),
        (Advice::WillNeed as i32, libc::MADV_WILLNEED),
        (Advice::DontFork as i32, libc::MADV_DONTFORK),
        (Advice::DoFork as i32, libc::MADV_DOFORK),
        (Advice::Mergeable as i32, libc::MADV_MERGEABLE),
        (Advice::Unmergeable as i32, libc::MADV_UNMERGEABLE),
        (Advice::HugePage as i32, libc::MADV_HUGEPAGE),
        (Advice::NoHugePage as i32, libc::MADV_NOHUGEPAGE),
        (Advice::DontDump as i32, libc::MADV_DONTDUMP),
        (Advice::DoDump as i32, libc::MADV_DODUMP),
        (Advice::HwPoison as i32, libc::MADV_HWPOISON),
        (Advice::PopulateRead as i32, libc::MADV_POPULATE_READ),
        (Advice::PopulateWrite as i32, libc::MADV_POPULATE_WRITE),
        (UncheckedAdvice::DontNeed as i32, libc::MADV_DONTNEED),
        (UncheckedAdvice::Free as i32, libc::MADV_FREE),
        (UncheckedAdvice::Remove as i32, libc::MADV_REMOVE),
    ];
    for (ours, kernel_s) in numbers {
        assert_eq!(ours, kernel_s);
    }
    assert!(Advice::Normal.is_supported() && UncheckedAdvice::DontNeed.is_supported());
}

#[test]
fn locked_pages_are_locked_until_they_are_not() {
    let scratch = Scratch::with(&vec![7; page()]);
    let map = unsafe { memmap2::MmapOptions::new().offset(9).map(&scratch.file) }.unwrap();
    let is_locked = || flags_at(map.as_ptr() as usize - 9).contains(" lo");
    assert!(!is_locked());
    map.lock().unwrap();
    map.lock().unwrap();
    assert!(is_locked());
    map.unlock().unwrap();
    map.unlock().unwrap();
    assert!(!is_locked());
}
