//! Descriptors over a socket: they arrive, closed on exec, all or none.
//!
//! # Safety
//!
//! The calls ask about descriptors and limits, with pointers to locals only.
#![allow(unsafe_code, reason = "the tests ask libc about descriptors")]

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixStream};

use bifolio_sys::Errno;
use bifolio_sys::net::{FDS_MAX, Received, recv_fds, send_fds};

fn open_null() -> File {
    File::open("/dev/null").unwrap()
}

/// How many descriptors this process has open: the tests of this file run one at a time, under
/// `LOCK`.
fn open_count() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

/// Counting descriptors wants no other test to open any.
static LOCK: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    LOCK.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn empty(count: usize) -> Vec<Option<OwnedFd>> {
    std::iter::repeat_with(|| None).take(count).collect()
}

#[test]
fn a_descriptor_arrives_with_its_data_and_closes_on_exec() {
    let _alone = alone();
    let (here, there) = UnixStream::pair().unwrap();
    let (mut reader, writer) = std::io::pipe().unwrap();
    assert_eq!(send_fds(&here, b"a pipe", &[writer.as_fd()]), Ok(6));
    drop(writer);

    let (mut data, mut fds) = ([0; 16], empty(2));
    let received = recv_fds(&there, &mut data, &mut fds).unwrap();
    assert_eq!(received, Received { bytes: 6, fds: 1 });
    assert_eq!(&data[..6], b"a pipe");
    assert!(fds[1].is_none());
    let fd = fds[0].take().unwrap();
    // SAFETY: fcntl(2), F_GETFD takes no pointer.
    let flags = unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETFD) };
    assert_eq!(flags, libc::FD_CLOEXEC);

    File::from(fd).write_all(b"through it").unwrap();
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    assert_eq!(text, "through it");
}

#[test]
fn as_many_as_the_kernel_carries_arrive_and_one_more_is_refused() {
    let _alone = alone();
    let (here, there) = UnixStream::pair().unwrap();
    let null = open_null();
    let many = vec![null.as_fd(); FDS_MAX + 1];
    assert_eq!(send_fds(&here, b"x", &many), Err(Errno::INVAL));
    assert_eq!(send_fds(&here, b"x", &many[1..]), Ok(1));
    let mut fds = empty(FDS_MAX);
    let received = recv_fds(&there, &mut [0], &mut fds).unwrap();
    assert_eq!(received, Received { bytes: 1, fds: FDS_MAX });
    assert!(fds.iter().all(Option::is_some));
}

#[test]
fn more_descriptors_than_there_is_room_for_are_an_error_and_leak_none() {
    let _alone = alone();
    let (here, there) = UnixStream::pair().unwrap();
    let null = open_null();
    send_fds(&here, b"x", &[null.as_fd(); 5]).unwrap();
    let before = open_count();
    let mut fds = empty(3);
    assert_eq!(recv_fds(&there, &mut [0], &mut fds), Err(Errno::MSGSIZE));
    assert!(fds.iter().all(Option::is_none));
    assert_eq!(open_count(), before);
}

#[test]
fn more_descriptors_than_may_be_open_are_an_error_and_leak_none() {
    let _alone = alone();
    let (here, there) = UnixStream::pair().unwrap();
    let null = open_null();
    send_fds(&here, b"x", &[null.as_fd(); 200]).unwrap();
    let before = open_count();

    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: getrlimit(2) writes one `struct rlimit`.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) }, 0);
    let few = libc::rlimit { rlim_cur: 100, ..limit };
    // SAFETY: setrlimit(2) reads one `struct rlimit`.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const few) }, 0);
    let mut fds = empty(FDS_MAX);
    let received = recv_fds(&there, &mut [0], &mut fds);
    // SAFETY: setrlimit(2) reads one `struct rlimit`.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }, 0);

    assert_eq!(received, Err(Errno::MSGSIZE));
    assert!(fds.iter().all(Option::is_none));
    assert_eq!(open_count(), before);
}

#[test]
fn a_datagram_that_does_not_fit_is_an_error_and_leaks_none() {
    let _alone = alone();
    let (here, there) = UnixDatagram::pair().unwrap();
    let null = open_null();
    send_fds(&here, b"too long", &[null.as_fd()]).unwrap();
    let before = open_count();
    assert_eq!(recv_fds(&there, &mut [0; 3], &mut empty(1)), Err(Errno::MSGSIZE));
    assert_eq!(open_count(), before);
}

#[test]
fn no_data_is_refused_and_the_end_of_a_stream_is_no_bytes() {
    let _alone = alone();
    let (here, there) = UnixStream::pair().unwrap();
    let null = open_null();
    assert_eq!(send_fds(&here, b"", &[null.as_fd()]), Err(Errno::INVAL));
    drop(here);
    let received = recv_fds(&there, &mut [0; 8], &mut empty(1));
    assert_eq!(received, Ok(Received { bytes: 0, fds: 0 }));
}

#[test]
fn a_peer_that_is_gone_is_an_error_and_no_signal() {
    let _alone = alone();
    let (here, there) = UnixStream::pair().unwrap();
    drop(there);
    // Rust ignores SIGPIPE; a C program does not.
    // SAFETY: signal(2) with a disposition that runs no code of ours.
    let before = unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
    let sent = send_fds(&here, b"x", &[]);
    // SAFETY: as above; it restores what stood before.
    unsafe { libc::signal(libc::SIGPIPE, before) };
    assert_eq!(sent, Err(Errno::PIPE));
}
