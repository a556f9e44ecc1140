//! Copies between processes and descriptors that stand for them.
//!
//! # Safety
//!
//! The copies go to and from pages and buffers of the test that makes them.
#![allow(unsafe_code, reason = "the calls under test are unsafe")]

mod common;

use std::process::{Command, Stdio};

use bifolio_sys::Errno;
use bifolio_sys::features::Feature;
use bifolio_sys::mm::{IoVec, MprotectFlags, mprotect};
use bifolio_sys::page::page_size;
use bifolio_sys::process::{
    Pid, PidfdFlags, PidfdGetfdFlags, Signal, getpid, itself, pid_namespace, pidfd_getfd,
    pidfd_open, pidfd_send_signal, process_vm_readv, process_vm_writev,
};

use common::{Pages, is_missing};

/// A page without access ends the copy before it: in both directions, with the exact count.
#[test]
fn a_copy_stops_at_a_page_that_is_not_there() {
    if is_missing(Feature::ProcessVm) {
        return;
    }
    let page = page_size().bytes();
    let (pages, mut buffer) = (Pages::new(2), vec![0_u8; 2 * page]);
    pages.touch(0, 7);
    // SAFETY: nothing refers to the second page.
    unsafe { mprotect(pages.page(1), page, MprotectFlags::empty()) }.unwrap();
    let all = IoVec { base: pages.base, len: 2 * page };
    let second = IoVec { base: pages.page(1), len: page };
    let local = IoVec { base: buffer.as_mut_ptr().cast(), len: 2 * page };

    // SAFETY: `buffer` is written while nothing else refers to it.
    assert_eq!(unsafe { process_vm_readv(getpid(), &[local], &[all]) }, Ok(page));
    assert_eq!(buffer[0], 7);
    // SAFETY: as above.
    assert_eq!(unsafe { process_vm_readv(getpid(), &[local], &[second]) }, Err(Errno::FAULT));

    buffer[0] = 8;
    let local = IoVec { base: buffer.as_mut_ptr().cast(), len: 2 * page };
    // SAFETY: the pages are the test's own, and nothing refers to them.
    assert_eq!(unsafe { process_vm_writev(getpid(), &[local], &[all]) }, Ok(page));
    assert_eq!(pages.peek(0), 8);
    // SAFETY: as above.
    assert_eq!(unsafe { process_vm_writev(getpid(), &[local], &[second]) }, Err(Errno::FAULT));
}

#[test]
fn a_pidfd_signals_its_process_and_hands_over_its_descriptors() {
    if is_missing(Feature::Pidfd) {
        return;
    }
    let mut child =
        Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
    match pidfd_getfd(&pidfd, 0, PidfdGetfdFlags::empty()) {
        Ok(fd) => assert!(std::fs::File::from(fd).metadata().unwrap().len() == 0),
        Err(Errno::PERM | Errno::NOSYS) => println!("skipped: pidfd_getfd is not permitted here"),
        Err(errno) => panic!("{errno}"),
    }
    pidfd_send_signal(&pidfd, Signal::TERM).unwrap();
    use std::os::unix::process::ExitStatusExt;
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGTERM));
    assert_eq!(pidfd_send_signal(&pidfd, Signal::TERM), Err(Errno::SRCH));
}

#[test]
fn a_process_knows_itself() {
    let own = itself().unwrap();
    let name = std::fs::read_to_string("/proc/self/comm").unwrap();
    let shown = own.name.split(|&byte| byte == 0).next().unwrap();
    assert_eq!(shown, name.trim_end().as_bytes());
    let link = std::fs::read_link("/proc/self/ns/pid").unwrap();
    let text = format!("pid:[{}]", pid_namespace().unwrap());
    assert_eq!(link.to_str(), Some(text.as_str()));
    let line = std::fs::read_to_string("/proc/self/stat").unwrap();
    let behind = line.rsplit_once(") ").unwrap().1;
    let start: u64 = behind.split(' ').nth(22 - 3).unwrap().parse().unwrap();
    assert_eq!(own.start_ticks, start);
}
