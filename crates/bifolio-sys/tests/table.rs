//! A thread with a table of descriptors of its own: nothing of the others stays open in it, and
//! what it closes releases nothing of theirs.
//!
//! # Safety
//!
//! A thread leaves the table of the others, and locks are asked for by fcntl(2).
#![allow(unsafe_code, reason = "the call under test is unsafe, and locks have no safe one")]

use std::fs::File;
use std::io::{ErrorKind, PipeReader, Read, pipe};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::thread;

use bifolio_sys::Errno;
use bifolio_sys::fs::{OFlags, close_range_unshare, fcntl_getfl, fcntl_setfl};
use bifolio_sys::signal::AllBlocked;

/// A lock on all of a file, for fcntl(2).
fn whole(kind: libc::c_int) -> libc::flock {
    libc::flock { l_type: kind as _, l_whence: 0, l_start: 0, l_len: 0, l_pid: 0 }
}

/// Whether a lock of the process is in the way of one of this open file.
fn is_locked(probe: &File) -> bool {
    let mut lock = whole(libc::F_WRLCK);
    // SAFETY: fcntl(2) reads and writes a `struct flock`, the one here.
    let answer = unsafe { libc::fcntl(probe.as_raw_fd(), libc::F_OFD_GETLK, &raw mut lock) };
    assert_eq!(answer, 0, "{}", std::io::Error::last_os_error());
    lock.l_type != libc::F_UNLCK as libc::c_short
}

fn is_open(number: i32) -> bool {
    // SAFETY: fcntl(2), F_GETFD takes no pointer.
    unsafe { libc::fcntl(number, libc::F_GETFD) != -1 }
}

fn read(reader: &mut PipeReader) -> Result<usize, ErrorKind> {
    reader.read(&mut [0]).map_err(|error| error.kind())
}

#[test]
fn a_table_of_ones_own_holds_nothing_of_the_others_and_releases_nothing() {
    let name = format!("table-{}", std::process::id());
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, "locked").unwrap();
    let (file, probe) = (
        File::options().write(true).open(&path).unwrap(),
        File::options().write(true).open(&path).unwrap(),
    );
    // SAFETY: fcntl(2) reads a `struct flock`.
    let locked = unsafe {
        libc::fcntl(file.as_raw_fd(), libc::F_SETLK, &raw const *Box::new(whole(libc::F_WRLCK)))
    };
    assert!(locked == 0 && is_locked(&probe));
    let (mut reader, writer) = pipe().unwrap();
    fcntl_setfl(&reader, fcntl_getfl(&reader).unwrap() | OFlags::NONBLOCK).unwrap();

    let ((tell, told), (go_on, wait)) = (channel(), channel::<()>());
    let numbers = [file.as_raw_fd(), reader.as_raw_fd(), writer.as_raw_fd()];
    let other_path = path.clone();
    let _inherited = AllBlocked::new();
    let other = thread::spawn(move || {
        // SAFETY: what this thread uses from here on it opens after it, and closes itself.
        let left = unsafe { close_range_unshare(3) };
        if left.is_ok() {
            assert_eq!(numbers.map(is_open), [false; 3]);
            assert_eq!([0, 1, 2].map(is_open), [true; 3]);
            drop(File::open(other_path).unwrap());
        }
        tell.send(left).unwrap();
        // It stays until the others have looked.
        wait.recv().unwrap();
    });
    let left = told.recv().unwrap();
    if left.is_ok() {
        assert_eq!(numbers.map(is_open), [true; 3]);
        assert_eq!(read(&mut reader), Err(ErrorKind::WouldBlock));
        drop(writer);
        assert_eq!(read(&mut reader), Ok(0), "the other table holds the pipe open");
        assert!(is_locked(&probe), "what another table closes releases a lock");
    }
    go_on.send(()).unwrap();
    other.join().unwrap();
    match left {
        Ok(()) => {
            assert!(is_locked(&probe), "the end of the other table releases a lock");
            // In the table that has the lock, that is what happens.
            drop(File::open(&path).unwrap());
            assert!(!is_locked(&probe));
        }
        Err(Errno::NOSYS | Errno::PERM) => println!("skipped: close_range cannot be had"),
        Err(errno) => panic!("{errno}"),
    }
    std::fs::remove_file(&path).unwrap();
}
