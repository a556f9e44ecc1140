//! What is mapped: files and memory, whole and in part, nothing at all.
//!
//! # Safety
//!
//! The maps are of files that only the test knows.
#![allow(unsafe_code, reason = "the emulated constructors are unsafe")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "the files are the test's own")]
#![allow(clippy::multiple_unsafe_ops_per_block, reason = "as above")]

use crate::common::{Scratch, page, pattern};
use memmap2::{Mmap, MmapMut, MmapOptions, MmapRaw};
use std::io::ErrorKind;
use std::os::fd::AsRawFd;

#[test]
fn a_file_is_shown_as_it_is() {
    let bytes = pattern(3 * page() + 77);
    let scratch = Scratch::with(&bytes);
    let file = scratch.read_only();
    assert_eq!(unsafe { Mmap::map(&file) }.unwrap()[..], bytes);
    assert_eq!(unsafe { Mmap::map(file.as_raw_fd()) }.unwrap()[..], bytes);
    assert_eq!(unsafe { MmapOptions::new().map_copy_read_only(&file) }.unwrap()[..], bytes);
    let all = MmapOptions::new().populate().no_reserve_swap().no_probe_handle().clone();
    let map = unsafe { all.map(&file) }.unwrap();
    drop(file);
    assert_eq!(map.as_ref(), bytes);
    assert_eq!(std::thread::spawn(move || map.to_vec()).join().unwrap(), bytes);
}

#[test]
fn an_offset_need_not_begin_a_page() {
    let bytes = pattern(3 * page());
    let scratch = Scratch::with(&bytes);
    for offset in [0, 1, 77, page() - 1, page(), page() + 1, 3 * page() - 1, 3 * page()] {
        let mut options = MmapOptions::new();
        let map = unsafe { options.offset(offset as u64).map(&scratch.file) }.unwrap();
        assert_eq!(map[..], bytes[offset..], "from {offset}");
        let len = (bytes.len() - offset).min(100);
        let map = unsafe { options.len(len).map(&scratch.file) }.unwrap();
        assert_eq!(map[..], bytes[offset..offset + len], "{len} bytes from {offset}");
    }
    let beyond = unsafe { MmapOptions::new().offset(3 * page() as u64 + 1).map(&scratch.file) };
    assert_eq!(beyond.unwrap_err().kind(), ErrorKind::InvalidData);
}

#[test]
fn offsets_beyond_four_gibibytes() {
    let (scratch, offset) = (Scratch::with(b""), (1_u64 << 32) + 1);
    scratch.file.set_len(offset + 5432).unwrap();
    let mut map = unsafe { MmapOptions::new().offset(offset).map_mut(&scratch.file) }.unwrap();
    assert_eq!(map.len(), 5432);
    map.fill(3);
    assert!(map.iter().all(|&byte| byte == 3));
}

/// No bytes are a slice too, whose address is aligned, and that can be given every order.
#[test]
fn nothing_is_mapped_as_an_empty_slice() {
    let scratch = Scratch::with(b"");
    let file = &scratch.file;
    let none = MmapOptions::new().len(0).clone();
    let read = unsafe { Mmap::map(file) }.unwrap();
    assert!(read.is_empty() && read.as_ptr().cast::<u64>().is_aligned());
    let written = unsafe { MmapMut::map_mut(file) }.unwrap();
    written.flush().unwrap();
    written.flush_async().unwrap();
    written.flush_range(0, 0).unwrap();
    written.advise(memmap2::Advice::Random).unwrap();
    written.lock().unwrap();
    written.unlock().unwrap();
    let read = written.make_read_only().unwrap();
    assert_eq!(read.make_mut().unwrap()[..], []);
    assert!(MmapOptions::new().map_anon().unwrap().is_empty());
    assert!(MmapMut::map_anon(0).unwrap().make_exec().unwrap().is_empty());
    let full = Scratch::with(&pattern(page()));
    assert_eq!(unsafe { none.clone().offset(5).map(&full.file) }.unwrap()[..], []);
    assert_eq!(none.map_raw(&full.file).unwrap().len(), 0);
    // The kernel has its say for no bytes too.
    let directory = std::fs::File::open(std::env::temp_dir()).unwrap();
    assert!(unsafe { none.map(&directory) }.is_err());
}

#[test]
fn what_is_written_reaches_the_file_or_stays() {
    let scratch = Scratch::with(&pattern(2 * page()));
    let mut map = unsafe { MmapOptions::new().offset(2).len(6).map_mut(&scratch.file) }.unwrap();
    map.copy_from_slice(b"abc123");
    map.flush_async_range(1, 5).unwrap();
    map.flush_range(1, 5).unwrap();
    assert_eq!(scratch.bytes()[2..8], *b"abc123");
    let mut copy = unsafe { MmapOptions::new().map_copy(&scratch.read_only()) }.unwrap();
    copy.as_mut()[2..8].copy_from_slice(b"secret");
    copy.flush().unwrap();
    assert_eq!(copy[2..8], *b"secret");
    assert_eq!(scratch.bytes()[2..8], *b"abc123");
    assert_eq!(map[..], *b"abc123");
}

#[test]
fn memory_is_zero_and_ours() {
    let mut map = MmapMut::map_anon(3 * page() + 1).unwrap();
    assert!(map.iter().all(|&byte| byte == 0));
    map[3 * page()] = 42;
    assert_eq!(map[3 * page()], 42);
    let stack = MmapOptions::new().stack().populate().no_reserve_swap().len(5).map_anon();
    assert_eq!(stack.unwrap()[..], [0; 5]);
}

#[test]
fn huge_pages_are_asked_for_by_their_size() {
    // A size that no machine has.
    let odd = MmapOptions::new().huge(Some(13)).len(1 << 13).map_anon().unwrap_err();
    assert_eq!(odd.raw_os_error(), Some(libc::EINVAL));
    match MmapOptions::new().huge(Some(21)).len(2 << 20).map_anon() {
        Ok(map) => assert_eq!((map.len(), map.as_ptr() as usize % (2 << 20)), (2 << 20, 0)),
        Err(error) => eprintln!("skipped: no huge page of 2 MiB: {error}"),
    }
    match MmapOptions::new().huge(None).len(1).map_anon() {
        Ok(map) => assert_eq!(map.len(), 1),
        Err(error) => eprintln!("skipped: no huge page of the default size: {error}"),
    }
}

#[test]
fn a_raw_map_gives_its_address_and_length() {
    let scratch = Scratch::with(b"abc123");
    let map = MmapRaw::map_raw(&scratch.file).unwrap();
    assert_eq!((map.len(), map.as_ptr()), (6, map.as_mut_ptr().cast_const()));
    unsafe { map.as_mut_ptr().write_volatile(b'A') };
    map.flush().unwrap();
    map.flush_async().unwrap();
    map.flush_range(0, 6).unwrap();
    map.flush_async_range(0, 6).unwrap();
    assert_eq!(scratch.bytes(), b"Abc123");
    let map = MmapOptions::new().offset(3).map_raw_read_only(&scratch.read_only()).unwrap();
    assert_eq!(unsafe { map.as_ptr().read_volatile() }, b'1');
    // A map to be written needs a file that may be.
    let refused = MmapOptions::new().map_raw(&scratch.read_only()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::PermissionDenied);
    let (read, memory) = (unsafe { Mmap::map(&scratch.file) }.unwrap(), MmapMut::map_anon(9));
    let address = read.as_ptr();
    assert_eq!(MmapRaw::from(read).as_ptr(), address);
    assert_eq!(MmapRaw::from(memory.unwrap()).len(), 9);
}

#[test]
fn a_map_shows_address_and_length_when_debugged() {
    let map = MmapMut::map_anon(9).unwrap();
    let address = map.as_ptr();
    assert_eq!(format!("{map:?}"), format!("MmapMut {{ ptr: {address:?}, len: 9 }}"));
    let map = map.make_read_only().unwrap();
    assert_eq!(format!("{map:?}"), format!("Mmap {{ ptr: {address:?}, len: 9 }}"));
    let map = MmapRaw::from(map);
    assert_eq!(format!("{map:?}"), format!("MmapRaw {{ ptr: {address:?}, len: 9 }}"));
}

#[test]
fn what_cannot_be_mapped_is_the_kernel_s_error() {
    for number in [-1, -7, 1 << 30] {
        let error = MmapOptions::new().len(1).map_raw(number).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EBADF), "descriptor {number}");
        let error = unsafe { Mmap::map(number) }.unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EBADF), "descriptor {number}");
    }
    let scratch = Scratch::with(b"abc");
    let too_long = unsafe { MmapOptions::new().len(usize::MAX).map(&scratch.file) }.unwrap_err();
    assert_eq!(too_long.kind(), ErrorKind::InvalidData);
    let too_long = MmapMut::map_anon(usize::MAX).unwrap_err();
    assert_eq!(too_long.kind(), ErrorKind::InvalidData);
    let no_room = MmapMut::map_anon(isize::MAX as usize).unwrap_err();
    assert_eq!(no_room.raw_os_error(), Some(libc::ENOMEM));
    let (pipe, _end) = std::io::pipe().unwrap();
    let error = unsafe { MmapOptions::new().len(1).map(&pipe) }.unwrap_err();
    assert!(matches!(error.raw_os_error(), Some(libc::EACCES | libc::ENODEV)), "{error}");
}

#[cfg(feature = "stable_deref_trait")]
#[test]
fn the_bytes_stay_when_the_value_moves() {
    fn is_stable<T: stable_deref_trait::StableDeref<Target = [u8]>>(_: &T) {}
    let map = MmapMut::map_anon(9).unwrap();
    is_stable(&map);
    let address = map.as_ptr();
    let map = Box::new(map);
    assert_eq!(map.as_ptr(), address);
    is_stable(&map.make_read_only().unwrap());
}
