//! Maps that become longer and shorter.
//!
//! # Safety
//!
//! The maps are of files that only the test knows.
#![allow(unsafe_code, reason = "the emulated constructors are unsafe")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "the files are the test's own")]
#![allow(clippy::multiple_unsafe_ops_per_block, reason = "as above")]

use crate::common::{Scratch, page, pattern};
use memmap2::{Mmap, MmapMut, MmapOptions, MmapRaw, RemapOptions};

fn moving() -> RemapOptions {
    RemapOptions::new().may_move(true)
}

#[test]
fn a_map_follows_its_file() {
    let bytes = pattern(5 * page() + 9);
    let scratch = Scratch::with(&bytes);
    for offset in [0, 77] {
        let mut options = MmapOptions::new();
        let mut map = unsafe { options.offset(offset).len(128).map_mut(&scratch.file) }.unwrap();
        let all = bytes.len() - offset as usize;
        for len in [page(), all, 3 * page() + 1, 1, 0, 400, all] {
            unsafe { map.remap(len, moving()) }.unwrap();
            assert_eq!(map[..], bytes[offset as usize..][..len], "{len} bytes from {offset}");
        }
        unsafe { map.remap(5, RemapOptions::new()) }.unwrap();
        map.copy_from_slice(&bytes[offset as usize..][..5]);
    }
    let mut map = unsafe { Mmap::map(&scratch.file) }.unwrap();
    unsafe { map.remap(9, RemapOptions::default()) }.unwrap();
    assert_eq!(map[..], bytes[..9]);
    let mut map = MmapRaw::map_raw(&scratch.file).unwrap();
    unsafe { map.remap(7, moving()) }.unwrap();
    assert_eq!(map.len(), 7);
}

#[test]
fn where_there_is_no_room_a_map_moves_or_stays_as_it_is() {
    let mut map = MmapMut::map_anon(3 * page()).unwrap();
    map.fill(1);
    // Something lies behind: the back of what was one map.
    let back = map[page()..].as_ptr() as usize;
    let blocker = unsafe {
        libc::mmap(
            back as *mut libc::c_void,
            page(),
            libc::PROT_NONE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED,
            -1,
            0,
        )
    };
    assert_eq!(blocker as usize, back);
    // To the kernel these are three areas by now, and the map itself is the first alone.
    unsafe { map.remap(page(), RemapOptions::new()) }.unwrap();
    let blocker = unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED_NOREPLACE;
        libc::mmap(back as *mut libc::c_void, page(), libc::PROT_NONE, flags, -1, 0)
    };
    assert_eq!(blocker as usize, back);
    let address = map.as_ptr();
    let error = unsafe { map.remap(2 * page(), RemapOptions::new()) }.unwrap_err();
    assert_eq!(error.raw_os_error(), Some(libc::ENOMEM));
    assert_eq!((map.as_ptr(), map.len(), map[page() - 1]), (address, page(), 1));
    unsafe { map.remap(2 * page(), moving()) }.unwrap();
    assert_ne!(map.as_ptr(), address);
    assert_eq!((map[page() - 1], map[page()]), (1, 0));
    assert_eq!(unsafe { libc::munmap(blocker, page()) }, 0);
}

#[test]
fn more_bytes_than_addresses_are_the_kernel_s_error() {
    let mut map = MmapMut::map_anon(5).unwrap();
    for len in [usize::MAX, isize::MAX as usize + 1, isize::MAX as usize, 1 << 60] {
        let error = unsafe { map.remap(len, moving()) }.unwrap_err();
        assert!(matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOMEM)), "{error}");
        assert_eq!(map[..], [0; 5]);
    }
}
