//! File systems whose answers are checked: a FUSE server that lies, and ext4 with fs-verity.
//!
//! # Safety
//!
//! The ioctls of fs-verity take pointers to records that are as long as their numbers say.
#![allow(unsafe_code, reason = "ioctl(2) takes a pointer")]

use crate::harness::mount_image;
use crate::scratch::{Scratch, assert_plays, can_mount, fuse, mounting_child, pattern};
use bifolio_map::{Errno, FileMap, FileSystem, Options, Policy, Refusal, Rung};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::process::Command;

/// `FS_IOC_ENABLE_VERITY`, `_IOW('f', 133, struct fsverity_enable_arg)`, which has 128 bytes.
const ENABLE_VERITY: libc::Ioctl = 0x4080_6685_u32 as libc::Ioctl;

/// `FS_IOC_MEASURE_VERITY`, `_IOWR('f', 134, struct fsverity_digest)`, which has 4 bytes.
const MEASURE_VERITY: libc::Ioctl = 0xC004_6686_u32 as libc::Ioctl;

fn ioctl(file: &File, request: libc::Ioctl, argument: &mut [u32]) -> io::Result<()> {
    // SAFETY: both requests read and write what their structs hold, which the callers give.
    match unsafe { libc::ioctl(file.as_raw_fd(), request, argument.as_mut_ptr()) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[test]
fn a_server_s_word_on_verity_is_not_taken() {
    if can_mount() {
        assert_plays(&mut mounting_child("liar"));
    }
}

/// A FUSE server answers the ioctl by which others recognise fs-verity.
pub(crate) fn liar() {
    let scratch = Scratch::new();
    let content = pattern(256 << 10);
    if !fuse::serve(fuse::Content(content.clone()), &scratch.join("")) {
        return println!("skipped: FUSE cannot be mounted");
    }
    let path = scratch.join("file");
    // The digest's header says that it has room for 64 bytes.
    let mut digest = [0_u32; 17];
    digest[0] = 64 << 16;
    match ioctl(&File::open(&path).unwrap(), MEASURE_VERITY, &mut digest) {
        Ok(()) => assert_ne!(digest[1], 0, "the server's digest"),
        Err(error) => println!("skipped: the lie, which this kernel does not pass on ({error})"),
    }
    let half = Options::new().len(content.len() / 2).open(&path).unwrap();
    let error = half.stable(&Policy::new().without_copy()).unwrap_err();
    let reason = error.reason(Rung::Verity);
    assert_eq!(reason, Some(&Refusal::NotVouched(FileSystem::Fuse)));
    let stable = half.stable(&Policy::new()).unwrap();
    assert_eq!(stable.rung(), Rung::Copied);
    assert!(*stable == content[..content.len() / 2]);
    // The second half cannot be read: an error now, and its errno is kept.
    let error = FileMap::open(&path).unwrap().stable(&Policy::new()).unwrap_err();
    let errno = io::Error::from(error).raw_os_error();
    assert_eq!(errno, Some(Errno::IO.raw_os_error()));
    // So that the directory can be removed.
    let _ = Command::new("umount").arg("--lazy").arg(scratch.join("")).status();
}

#[test]
fn a_file_under_verity_is_not_copied() {
    if can_mount() {
        let scratch = Scratch::new();
        let mut child = mounting_child("verity");
        child.env("BIFOLIO_MKFS", "mkfs.ext4 -q -F -b 4096 -O verity");
        assert_plays(child.env("BIFOLIO_FILE", scratch.join("")));
    }
}

pub(crate) fn verity() {
    let Some(directory) = mount_image() else { return };
    let path = directory.join("file");
    let content = pattern(300_000);
    std::fs::write(&path, &content).unwrap();
    if !enable_verity(&path) {
        return;
    }
    let map = FileMap::open(&path).unwrap();
    for policy in [Policy::new(), Policy::new().pages_on_demand()] {
        let stable = map.stable(&policy.without_copy()).unwrap();
        assert_eq!(stable.rung(), Rung::Verity);
        assert!(*stable == content);
        let error = File::options().write(true).open(&path).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EPERM));
    }
}

fn enable_verity(path: &Path) -> bool {
    // Version 1, SHA-256, blocks of 4096 bytes, no salt, no signature.
    let mut argument = [0; 32];
    argument[..3].copy_from_slice(&[1, 1, 4096]);
    match ioctl(&File::open(path).unwrap(), ENABLE_VERITY, &mut argument) {
        Ok(()) => true,
        Err(error) => {
            println!("skipped: this kernel has no fs-verity ({error})");
            false
        }
    }
}
