//! Maps that become writable, read-only, executable.
//!
//! # Safety
//!
//! The maps are of files that only the test knows.
#![allow(unsafe_code, reason = "the emulated constructors are unsafe")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "the files are the test's own")]
#![allow(clippy::multiple_unsafe_ops_per_block, reason = "as above")]

use crate::common::{Scratch, page};
use memmap2::{Mmap, MmapMut, MmapOptions};
use std::io::ErrorKind;

#[test]
fn a_map_becomes_what_its_file_permits() {
    let scratch = Scratch::with(&[0; 256]);
    let map = unsafe { MmapMut::map_mut(&scratch.file) }.unwrap();
    let mut map = map.make_read_only().unwrap().make_mut().unwrap();
    map[..6].copy_from_slice(b"abc123");
    map.flush().unwrap();
    assert_eq!(scratch.bytes()[..6], *b"abc123");
    assert_eq!(map.make_exec().unwrap()[..6], *b"abc123");
    let map = unsafe { Mmap::map(&scratch.read_only()) }.unwrap();
    assert_eq!(map.make_mut().unwrap_err().kind(), ErrorKind::PermissionDenied);
    // A private map may always be written.
    let map = unsafe { MmapOptions::new().map_copy_read_only(&scratch.read_only()) }.unwrap();
    let mut map = map.make_mut().unwrap();
    map[0] = b'A';
    assert_eq!((map[0], scratch.bytes()[0]), (b'A', b'a'));
}

#[test]
fn memory_is_written_then_run() {
    let code = [0xB8, 0xAB, 0, 0, 0, 0xC3]; // mov eax, 0xAB; ret
    let assert_runs = |map: &Mmap| {
        assert_eq!(map[..code.len()], code);
        // Other CPUs have other code, and caches that would have to be told of it.
        if cfg!(target_arch = "x86_64") {
            let run =
                unsafe { std::mem::transmute::<*const u8, extern "C" fn() -> u8>(map.as_ptr()) };
            assert_eq!(run(), 0xAB);
        }
    };
    let mut map = MmapMut::map_anon(page()).unwrap();
    map[..code.len()].copy_from_slice(&code);
    assert_runs(&map.make_exec().unwrap());
    let scratch = Scratch::with(&code);
    match unsafe { MmapOptions::new().map_exec(&scratch.file) } {
        Ok(map) => assert_runs(&map),
        Err(error) => eprintln!("skipped: the file system permits no execution: {error}"),
    }
}
