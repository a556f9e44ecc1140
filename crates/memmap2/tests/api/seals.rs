//! Mapping without `unsafe`: what is let through, and why the rest is not.
//!
//! # Safety
//!
//! The maps are of files that only the test knows.
#![allow(unsafe_code, reason = "the emulated constructors are unsafe")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "the files are the test's own")]
#![allow(clippy::multiple_unsafe_ops_per_block, reason = "as above")]

use crate::common::Scratch;
use memmap2::{Mmap, MmapOptions};
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::sync::atomic::{AtomicBool, Ordering};

fn memory_file(bytes: &[u8]) -> File {
    let fd = unsafe { libc::memfd_create(c"safe".as_ptr(), libc::MFD_ALLOW_SEALING) };
    assert!(fd >= 0, "{}", std::io::Error::last_os_error());
    let mut file = unsafe { File::from_raw_fd(fd) };
    file.write_all(bytes).unwrap();
    file
}

fn seal(file: &File, seals: i32) {
    assert_eq!(unsafe { libc::fcntl(file.as_raw_fd(), libc::F_ADD_SEALS, seals) }, 0);
}

#[test]
fn a_memory_file_is_mapped_behind_both_seals() {
    let file = memory_file(b"Hello, folio!");
    let refused = Mmap::map_if_safe(&file).unwrap_err();
    assert!(refused.not_safe() && !refused.map_failed() && !refused.not_supported());
    assert!(refused.to_string().ends_with("it lacks F_SEAL_SHRINK and F_SEAL_WRITE"), "{refused}");
    seal(&file, libc::F_SEAL_SHRINK);
    let refused = Mmap::map_if_safe(&file).unwrap_err();
    assert!(refused.to_string().ends_with("it lacks F_SEAL_WRITE"), "{refused}");
    let error = std::io::Error::from(refused);
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    seal(&file, libc::F_SEAL_WRITE);
    match Mmap::map_if_safe(&file) {
        Ok(map) => assert_eq!(map[..], *b"Hello, folio!"),
        // Before Linux 6.7 no sealed file can be mapped shared.
        Err(refused) => {
            assert!(refused.map_failed(), "{refused}");
            return eprintln!("skipped: {refused}");
        }
    }
    let map = MmapOptions::new().offset(7).map_if_safe(&file).unwrap();
    assert_eq!(map[..], *b"folio!");
    // Bytes beyond the end would come to be, and change, when the file grows.
    let refused = MmapOptions::new().offset(7).len(7).map_if_safe(&file).unwrap_err();
    assert!(refused.not_safe(), "{refused:?}");
    let refused = MmapOptions::new().offset(14).map_if_safe(&file).unwrap_err();
    assert!(refused.map_failed(), "{refused:?}");
    let refused = MmapOptions::new().offset(u64::MAX).len(2).map_if_safe(&file).unwrap_err();
    assert!(refused.map_failed(), "{refused:?}");
    assert_eq!(std::io::Error::from(refused).kind(), ErrorKind::InvalidInput);
}

#[test]
fn an_ordinary_file_is_not_safe() {
    let scratch = Scratch::with(b"bytes");
    let refused = Mmap::map_if_safe(&scratch.read_only()).unwrap_err();
    assert!(refused.not_safe());
    assert!(format!("{refused:?}").starts_with("NotSafe("), "{refused:?}");
    let refused = Mmap::map_if_safe(-1).unwrap_err();
    assert!(refused.map_failed());
    assert_eq!(std::io::Error::from(refused).raw_os_error(), Some(libc::EBADF));
}

/// A number is no file: what is mapped is what was looked at, though another thread gives the
/// number to another file meanwhile.
#[test]
fn what_was_looked_at_is_mapped() {
    let (sealed, scratch) = (memory_file(b"sealed"), Scratch::with(b"others"));
    seal(&sealed, libc::F_SEAL_SHRINK | libc::F_SEAL_WRITE);
    if let Err(refused) = Mmap::map_if_safe(&sealed) {
        return eprintln!("skipped: {refused}");
    }
    let both = [sealed.as_raw_fd(), scratch.file.as_raw_fd()];
    let number = sealed.try_clone().unwrap();
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                for file in both {
                    assert!(unsafe { libc::dup2(file, number.as_raw_fd()) } >= 0);
                }
            }
        });
        let mut mapped = (0..20_000).filter_map(|_| Mmap::map_if_safe(number.as_raw_fd()).ok());
        let other = mapped.find(|map| map[..] != *b"sealed");
        is_over.store(true, Ordering::SeqCst);
        assert!(other.is_none(), "an ordinary file was mapped");
    });
}
