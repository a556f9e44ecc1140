//! What cannot be leased, and the reason as data.
//!
//! # Safety
//!
//! Unsafe code permits leases, on files that only the test knows.
#![allow(unsafe_code, reason = "a policy with leases is unsafe to make")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "an attack's argument is that it is one")]

use crate::scratch::{
    Scratch, assert_plays, can_mount, child, lease_time, mounting_child, pattern,
};
use crate::{lease, lease_with, policy, try_lease};
use bifolio_map::{FileMap, FileSystem, NoRung, Options, Policy, Refusal, Rung};
use bifolio_map::{SharedMap, Stable};
use bifolio_sys::fs::{
    LeaseType, MemfdFlags, fcntl_getlease, fcntl_setlease, memfd_create, pwrite,
};
use bifolio_sys::process::geteuid;
use std::fs::{self, File, OpenOptions, Permissions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

const STRANGER: u32 = 65534;
const FILE: &str = "BIFOLIO_FILE";

fn reason(refused: Result<Stable, NoRung>) -> Refusal {
    refused.unwrap_err().reason(Rung::Leased).unwrap().clone()
}

#[test]
fn who_did_not_ask_for_a_lease_gets_none() {
    let scratch = Scratch::new();
    let map = FileMap::open(scratch.file("file", b"bytes")).unwrap();
    assert_eq!(reason(map.stable(&Policy::new().without_copy())), Refusal::NotAsked);
    assert_eq!(map.stable(&Policy::new()).unwrap().rung(), Rung::Copied);
}

#[test]
fn what_is_open_for_writing_is_refused_and_copied_instead() {
    let _time = lease_time::steady();
    let scratch = Scratch::new();
    let path = scratch.file("file", &pattern(100_000));
    let writer = OpenOptions::new().write(true).open(&path).unwrap();
    assert_eq!(reason(try_lease(&path)), Refusal::OpenForWriting);
    let or_copy = unsafe { Policy::new().lease() };
    let copied = FileMap::open(&path).unwrap().stable(&or_copy).unwrap();
    assert_eq!((copied.rung(), copied.lease()), (Rung::Copied, None));
    drop(writer);
    // A mapping keeps its file open for writing.
    let shared = SharedMap::open(&path).unwrap();
    assert_eq!(reason(shared.stable(&policy())), Refusal::OpenForWriting);
    drop(shared);
    lease(&path);
}

#[test]
fn the_bytes_are_those_of_the_map() {
    let _time = lease_time::steady();
    let scratch = Scratch::new();
    let content = pattern(300_000);
    let path = scratch.file("file", &content);
    for (offset, len) in [(0, 300_000), (1, 299_999), (4096, 4096), (70_001, 1), (4095, 2)] {
        let stable = lease_with(&path, &Options::new().offset(offset).len(len));
        assert_eq!(*stable, content[offset as usize..][..len]);
        // Nor does a break change which they are.
        crate::break_leases(&path);
        assert_eq!(*stable, content[offset as usize..][..len]);
    }
    let beyond = Options::new().len(300_001).open(&path).unwrap();
    let Refusal::Failed(error) = reason(beyond.stable(&policy())) else { panic!() };
    assert_eq!(error.kind(), bifolio_map::ErrorKind::Truncated { len_bytes: 300_000 });
}

#[test]
fn what_could_not_be_copied_in_time_is_refused_with_both_times() {
    let _time = lease_time::steady();
    let scratch = Scratch::new();
    let path = scratch.file("file", b"");
    OpenOptions::new().write(true).open(&path).unwrap().set_len(4 << 40).unwrap();
    match reason(try_lease(&path)) {
        Refusal::TooSlow { copy_ms, max_ms } => assert!(copy_ms > max_ms),
        // Where memory is promised strictly there is none for the copy.
        refusal => assert!(matches!(refusal, Refusal::Failed(_)), "{refusal:?}"),
    }
}

#[test]
fn leases_count_together() {
    let Some(_time) = lease_time::shortened(1) else { return };
    let scratch = Scratch::new();
    let path = scratch.file("file", b"");
    OpenOptions::new().write(true).open(&path).unwrap().set_len(64 << 20).unwrap();
    let mut held = vec![];
    let refusal = loop {
        match try_lease(&path) {
            // 32 GiB in a third of a second.
            Ok(stable) => held.push(stable),
            Err(refused) => break refused.reason(Rung::Leased).unwrap().clone(),
        }
        assert!(held.len() < 512);
    };
    assert!(matches!(refusal, Refusal::TooSlow { .. }), "{refusal:?}");
    println!("{} MiB can be copied in time", held.len() * 64);
    // There is room again as soon as they are gone; small files that are together more than what
    // needs no measuring have it too.
    held.clear();
    let path = scratch.file("small", &pattern(1 << 20));
    let many: Vec<_> = (0..12).map(|_| lease(&path)).collect();
    assert_eq!(many.len(), 12);
}

#[test]
fn another_users_file_is_refused() {
    if !geteuid().is_root() {
        return println!("skipped: only root can be another user");
    }
    let scratch = Scratch::for_everyone();
    let path = scratch.file("file", b"bytes");
    fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    let binary = scratch.copy_of_this();
    let mut stranger = Command::new(&binary);
    stranger.args(child("stranger").get_args()).env("BIFOLIO_CHILD", "stranger");
    stranger.env(FILE, &path).current_dir("/").uid(STRANGER).gid(STRANGER);
    assert_plays(&mut stranger);
}

pub(crate) fn stranger() {
    let path = PathBuf::from(std::env::var_os(FILE).unwrap());
    assert_eq!(reason(try_lease(&path)), Refusal::NotOwner);
}

/// The kernel leases a memory file to whoever asks, though its maker has it open for writing.
#[test]
fn memory_files_are_refused_since_their_writers_are_not_counted() {
    let _time = lease_time::steady();
    let writer = memfd_create(c"memory", MemfdFlags::CLOEXEC).unwrap();
    pwrite(&writer, b"bytes", 0).unwrap();
    let reader = File::open(format!("/proc/self/fd/{}", writer.as_raw_fd())).unwrap();
    if fcntl_setlease(&reader, LeaseType::Read).is_ok() {
        pwrite(&writer, b"other", 0).unwrap();
        assert_eq!(fcntl_getlease(&reader), Ok(LeaseType::Read), "the kernel counts: allow it");
        fcntl_setlease(&reader, LeaseType::None).unwrap();
    }
    let map = FileMap::from_file(reader).unwrap();
    assert_eq!(reason(map.stable(&policy())), Refusal::WritersUncounted);
    drop(map);
    let Some(scratch) = Scratch::in_memory() else { return println!("skipped: no tmpfs") };
    let path = scratch.file("file", b"bytes");
    let map = FileMap::open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    assert_eq!(reason(map.stable(&policy())), Refusal::WritersUncounted);
    let anonymous = SharedMap::anon(4096).unwrap();
    assert_eq!(reason(anonymous.stable(&policy())), Refusal::NoFile);
}

/// Who changes the directory below an overlay breaks no lease of the overlay's file.
#[test]
fn overlays_are_refused_since_changes_below_them_are_not_noticed() {
    if can_mount() {
        let scratch = Scratch::new();
        assert_plays(mounting_child("overlay").env(FILE, scratch.join("")));
    }
}

pub(crate) fn overlay() {
    let directory = PathBuf::from(std::env::var_os(FILE).unwrap());
    // An overlay's upper directory may not lie on another overlay.
    let mounted = Command::new("mount").args(["-t", "tmpfs", "none"]).arg(&directory).output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        return println!("skipped: tmpfs cannot be mounted here");
    }
    let dir = |name: &str| {
        let path = directory.join(name);
        fs::create_dir(&path).unwrap();
        path
    };
    let (lower, upper, work, merged) = (dir("lower"), dir("upper"), dir("work"), dir("merged"));
    fs::write(upper.join("file"), b"bytes").unwrap();
    let show = |path: &Path| path.display().to_string();
    let options =
        format!("lowerdir={},upperdir={},workdir={}", show(&lower), show(&upper), show(&work));
    let mut mount = Command::new("mount");
    mount.args(["-t", "overlay", "overlay", "-o", &options]).arg(&merged);
    if !mount.output().is_ok_and(|output| output.status.success()) {
        return println!("skipped: overlayfs cannot be mounted here");
    }
    let path = merged.join("file");
    assert_eq!(reason(try_lease(&path)), Refusal::NotLeasable(FileSystem::Overlayfs));
    let file = File::open(&path).unwrap();
    if fcntl_setlease(&file, LeaseType::Read).is_ok() {
        fs::write(upper.join("file"), b"other").unwrap();
        assert_eq!(fcntl_getlease(&file), Ok(LeaseType::Read), "the kernel notices: allow it");
        assert_eq!(fs::read(&path).unwrap(), b"other");
    }
}
