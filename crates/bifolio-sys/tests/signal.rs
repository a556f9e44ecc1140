//! Meets the limit on the size of files, whose signal ends a process that does not see it coming.
//!
//! The limit belongs to the process, so each scenario is this binary run again with its name in
//! `BIFOLIO_CHILD`.
//!
//! # Safety
//!
//! Unsafe code sets the limit, and asks for pending signals.
#![allow(unsafe_code, reason = "limits and signal sets of libc")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "an attack's argument is that it is one")]
#![allow(clippy::multiple_unsafe_ops_per_block, reason = "as above")]

use bifolio_sys::Errno;
use bifolio_sys::fs::{FallocateFlags, MemfdFlags, append, fallocate, memfd_create};
use bifolio_sys::signal::without_sigxfsz;
use core::mem::zeroed;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

/// Its output goes through pipes: the limit would hold for a file as well.
fn child(scenario: &str) -> ExitStatus {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "scenarios", "--nocapture", "--test-threads=1"])
        .env("BIFOLIO_CHILD", scenario)
        .output()
        .unwrap();
    child.status
}

/// Where the children start.
#[test]
fn scenarios() {
    let Ok(scenario) = std::env::var("BIFOLIO_CHILD") else { return };
    let limit = libc::rlimit { rlim_cur: 8192, rlim_max: 8192 };
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit) }, 0);
    let file = memfd_create("limited", MemfdFlags::CLOEXEC).unwrap();
    let grow = || fallocate(&file, FallocateFlags::empty(), 0, 8193);
    match scenario.as_str() {
        "unprepared" => drop(grow()),
        "prepared" => {
            for _ in 0..3 {
                assert_eq!(without_sigxfsz(grow), Err(Errno::FBIG));
            }
            assert!(!is_pending() && !is_blocked());
            assert_eq!(without_sigxfsz(|| append(&file, &[1; 100])), Ok(100));
        }
        "panicking" => {
            let panicked =
                std::panic::catch_unwind(|| without_sigxfsz::<()>(|| panic!("of the call's own")));
            assert!(panicked.is_err() && !is_blocked());
        }
        "pending before" => {
            let set = xfsz();
            unsafe {
                libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, core::ptr::null_mut())
            };
            unsafe { libc::raise(libc::SIGXFSZ) };
            assert_eq!(without_sigxfsz(grow), Err(Errno::FBIG));
            assert!(is_pending() && is_blocked());
        }
        other => panic!("no scenario {other}"),
    }
}

fn xfsz() -> libc::sigset_t {
    let mut set = unsafe { zeroed() };
    unsafe { libc::sigemptyset(&raw mut set) };
    unsafe { libc::sigaddset(&raw mut set, libc::SIGXFSZ) };
    set
}

fn is_pending() -> bool {
    let mut set = unsafe { zeroed() };
    unsafe { libc::sigpending(&raw mut set) };
    unsafe { libc::sigismember(&raw const set, libc::SIGXFSZ) == 1 }
}

fn is_blocked() -> bool {
    let mut set = unsafe { zeroed() };
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, core::ptr::null(), &raw mut set) };
    unsafe { libc::sigismember(&raw const set, libc::SIGXFSZ) == 1 }
}

#[test]
fn the_limit_on_file_sizes_is_an_error_and_no_signal() {
    assert_eq!(child("unprepared").signal(), Some(libc::SIGXFSZ));
    assert!(child("prepared").success());
}

#[test]
fn a_call_that_panics_leaves_nothing_blocked() {
    assert!(child("panicking").success());
}

#[test]
fn a_signal_that_waited_before_still_waits() {
    assert!(child("pending before").success());
}

#[test]
fn appending_never_overwrites() {
    let file = memfd_create("appended", MemfdFlags::CLOEXEC).unwrap();
    assert_eq!(append(&file, b"one"), Ok(3));
    assert_eq!(bifolio_sys::fs::pwrite(&file, b"O", 0), Ok(1));
    assert_eq!(append(&file, b" two"), Ok(4));
    let mut seen = [0; 8];
    assert_eq!(bifolio_sys::fs::pread(&file, &mut seen, 0), Ok(7));
    assert_eq!(&seen, b"One two\0");
}
