//! What no lease is told of: a medium that fails, and a file that is emptied by a reader. Bytes are
//! lost then, and never replaced by others.

use crate::scratch::{Scratch, assert_plays, can_mount, lease_time, mounting_child, pattern};
use crate::{await_answer, break_leases, lease, readable};
use bifolio_map::{LeaseState, page};
use bifolio_sys::fs::{Advice, fadvise};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

const LEN: usize = 4 << 20;

#[test]
fn what_the_medium_does_not_supply_becomes_inaccessible() {
    if can_mount() {
        let _time = lease_time::steady();
        let scratch = Scratch::new();
        let mut mounter = mounting_child("truncated-medium");
        assert_plays(mounter.env("BIFOLIO_FILE", scratch.join("")));
    }
}

/// The image of the file system is cut while the file is leased: what is not cached is `EIO`.
pub(crate) fn truncated_medium() {
    let directory = PathBuf::from(std::env::var_os("BIFOLIO_FILE").unwrap());
    let (image, mount) = (directory.join("image"), directory.join("mount"));
    File::create(&image).unwrap().set_len(64 << 20).unwrap();
    fs::create_dir(&mount).unwrap();
    if !runs(Command::new("mkfs.ext4").arg("-q").arg(&image))
        || !runs(Command::new("mount").args(["-o", "loop"]).args([&image, &mount]))
    {
        return println!("skipped: an image of ext4 cannot be made and mounted here");
    }
    let (path, content) = (mount.join("file"), pattern(LEN));
    fs::write(&path, &content).unwrap();
    let file = File::open(&path).unwrap();
    file.sync_all().unwrap();
    fadvise(&file, 0, None, Advice::DontNeed).unwrap();
    let stable = lease(&path);
    let first = stable[0];
    OpenOptions::new().write(true).open(&image).unwrap().set_len(64 << 10).unwrap();
    // The loop device reads through the page cache of the image, which is cut with it.
    break_leases(&path);
    let LeaseState::Copied { unreadable_bytes } = await_answer(&stable) else { panic!() };
    assert!(unreadable_bytes > 0 && unreadable_bytes % page::page_size().bytes() == 0);
    // What had been read is still there, and what is there was the file's.
    let (mut at, mut lost) = (0, 0);
    while at < LEN {
        let bytes = readable(&stable, at);
        assert!(bytes == content[at..at + bytes.len()], "from {at}");
        at += bytes.len();
        if at < LEN {
            at += page::page_size().bytes();
            lost += page::page_size().bytes();
        }
    }
    assert_eq!((readable(&stable, 0)[0], lost), (first, unreadable_bytes));
}

fn runs(command: &mut Command) -> bool {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    command.env("PATH", path).output().is_ok_and(|output| output.status.success())
}

/// Empties the file without opening it for writing, of which Linux tells no holder of a read lease.
pub(crate) fn empty_as_reader(path: &Path) {
    let flags = libc::O_RDONLY | libc::O_TRUNC;
    // The standard library wants write access for `truncate`.
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 0);
}

#[test]
fn what_a_reader_cuts_off_is_gone_and_never_replaced() {
    let _time = lease_time::steady();
    for scratch in [Some(Scratch::new()), Scratch::in_memory()].into_iter().flatten() {
        let content = pattern(LEN);
        let path = scratch.join("file");
        for round in 0..20 {
            fs::write(&path, &content).unwrap();
            let stable = lease(&path);
            let is_over = AtomicBool::new(false);
            thread::scope(|scope| {
                for start in [0, LEN / 2 + 1] {
                    let (stable, content, is_over) = (&stable, &content, &is_over);
                    scope.spawn(move || {
                        while !is_over.load(Ordering::SeqCst) {
                            let bytes = readable(stable, start);
                            assert!(bytes == content[start..start + bytes.len()], "{round}");
                        }
                    });
                }
                empty_as_reader(&path);
                fs::write(&path, vec![0; LEN]).unwrap();
                is_over.store(true, Ordering::SeqCst);
            });
            let LeaseState::Copied { unreadable_bytes } = await_answer(&stable) else { panic!() };
            let left = readable(&stable, 0);
            // A kernel that tells of it is a kernel under which nothing is lost.
            assert!(left == content[..left.len()]);
            assert_eq!(left.len() + unreadable_bytes, LEN);
        }
    }
}
