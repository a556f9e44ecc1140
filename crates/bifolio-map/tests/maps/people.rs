//! Who may look, and at whom: other users, processes that are gone, threads of the kernel.

use super::scratch::{Scratch, assert_plays, child};
use bifolio_map::memory::{Process, maps, pages_of};
use bifolio_map::{ErrorKind, Residency, Untold};
use std::fs;
use std::os::unix::process::CommandExt;

/// The user whom nothing belongs to.
const STRANGER: u32 = 65534;

#[test]
fn a_stranger_may_not_look() {
    if bifolio_sys::process::geteuid().as_raw() == STRANGER {
        return println!("skipped: this user is the stranger");
    }
    let scratch = Scratch::for_everyone();
    let binary = scratch.copy_of_this();
    let mut stranger = std::process::Command::new(&binary);
    stranger.args(child("stranger").get_args()).env("BIFOLIO_CHILD", "stranger");
    stranger.env("BIFOLIO_PROCESS", std::process::id().to_string());
    stranger.current_dir("/").uid(STRANGER).gid(STRANGER);
    match stranger.output() {
        Err(error) => println!("skipped: another user cannot be had ({error})"),
        Ok(_) => assert_plays(&mut stranger),
    }
}

pub(crate) fn stranger() {
    let id: u32 = std::env::var("BIFOLIO_PROCESS").unwrap().parse().unwrap();
    let error = maps(id).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotPermitted);
    assert!(error.to_string().starts_with(&format!("inspect process {id}: not permitted")));
    assert!(error.help().is_some_and(|help| help.contains("root")), "{:?}", error.help());
    let mut buckets = [Residency::default(); 2];
    pages_of(id, 0x1000..0x9000, &mut buckets).unwrap();
    assert_eq!(buckets, [Residency::Unknown(Untold::NotPermitted); 2]);
    // Itself it may look at.
    assert!(maps(Process::this()).unwrap().regions().len() > 5);
    pages_of(Process::this(), 0x1000..0x9000, &mut buckets).unwrap();
    assert!(matches!(buckets[0], Residency::Known(_)));
}

#[test]
fn a_process_that_is_gone_is_gone() {
    let mut process = std::process::Command::new("true").spawn().unwrap();
    let id = process.id();
    // It is dead, and somebody has yet to ask how it ended.
    while fs::read_to_string(format!("/proc/{id}/stat")).unwrap().split(") Z").count() < 2 {
        std::thread::yield_now();
    }
    for _ in 0..2 {
        let mut buckets = [Residency::default()];
        for error in [maps(id).unwrap_err(), pages_of(id, 0..9, &mut buckets).unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::NoSuchProcess, "{error}");
        }
        // Its number is free afterwards.
        process.wait().unwrap();
    }
    assert_eq!(maps(u32::MAX).unwrap_err().kind(), ErrorKind::NoSuchProcess);
}

#[test]
fn a_thread_of_the_kernel_has_no_memory() {
    let name = fs::read_to_string("/proc/2/comm").unwrap_or_default();
    if name != "kthreadd\n" {
        return println!("skipped: process 2 is no thread of the kernel here");
    }
    assert_eq!(maps(2).unwrap_err().kind(), ErrorKind::KernelThread);
    let mut buckets = [Residency::default()];
    match pages_of(2, 0..9, &mut buckets) {
        Err(error) => assert_eq!(error.kind(), ErrorKind::KernelThread),
        // Its pagemap can be opened by root alone.
        Ok(()) => assert_eq!(buckets, [Residency::Unknown(Untold::NotPermitted)]),
    }
}
