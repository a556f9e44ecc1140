//! A lease: its holder's thread is told of the writer, who waits for the answer.

use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use bifolio_sys::Errno;
use bifolio_sys::fs::{
    LeaseType, OFlags, fcntl_getlease, fcntl_setlease, fcntl_setown_thread, fcntl_setsig,
    lease_break_time,
};
use bifolio_sys::process::gettid;
use bifolio_sys::signal::{AllBlocked, RealTime, sigtimedwait};

/// More than any test waits for.
const LONG: Duration = Duration::from_secs(600);

fn file(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
        .join(format!("lease-{name}-{}", std::process::id()));
    std::fs::write(&path, "leased").unwrap();
    path
}

#[test]
fn the_thread_that_was_named_is_told_and_the_writer_waits() {
    let path = file("told");
    let signal = RealTime::unclaimed().unwrap();
    let (sender, receiver) = channel();
    let helper = {
        let _blocked = AllBlocked::new();
        let path = path.clone();
        thread::spawn(move || {
            let file = File::open(path).unwrap();
            fcntl_setsig(&file, signal).unwrap();
            fcntl_setown_thread(&file, gettid()).unwrap();
            fcntl_setlease(&file, LeaseType::Read).unwrap();
            assert_eq!(fcntl_getlease(&file), Ok(LeaseType::Read));
            assert_eq!(sigtimedwait(signal, Duration::ZERO), Err(Errno::AGAIN));
            sender.send(()).unwrap();
            // It comes: the other threads of this process would die of it, had it gone to them.
            sigtimedwait(signal, LONG).unwrap();
            assert_eq!(fcntl_getlease(&file), Ok(LeaseType::None));
            assert_eq!(std::fs::read(format!("/proc/self/fd/{}", fd(&file))).unwrap(), b"leased");
            fcntl_setlease(&file, LeaseType::None).unwrap();
            assert_eq!(fcntl_setlease(&file, LeaseType::None), Err(Errno::AGAIN));
        })
    };
    receiver.recv().unwrap();
    // Who will not wait hears so.
    let impatient = OpenOptions::new()
        .write(true)
        .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
        .open(&path);
    assert_eq!(impatient.unwrap_err().kind(), ErrorKind::WouldBlock);
    std::fs::write(&path, "other").unwrap();
    helper.join().unwrap();
    std::fs::remove_file(&path).unwrap();
}

fn fd(file: &File) -> i32 {
    std::os::fd::AsRawFd::as_raw_fd(file)
}

#[test]
fn who_has_it_open_for_writing_is_in_the_way() {
    let path = file("writer");
    let reader = File::open(&path).unwrap();
    let writer = OpenOptions::new().write(true).open(&path).unwrap();
    assert_eq!(fcntl_setlease(&reader, LeaseType::Read), Err(Errno::AGAIN));
    drop(writer);
    fcntl_setlease(&reader, LeaseType::Read).unwrap();
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn what_is_no_regular_file_has_no_lease() {
    let directory = File::open("/").unwrap();
    assert_eq!(fcntl_getlease(&directory), Ok(LeaseType::None));
    let device = File::open("/dev/null").unwrap();
    assert!(fcntl_setlease(&device, LeaseType::Read).is_err());
}

#[test]
fn the_time_to_answer_is_known() {
    match lease_break_time() {
        Ok(time) => assert_ne!(time, Some(Duration::ZERO)),
        Err(errno) => println!("skipped: /proc/sys/fs/lease-break-time: {errno}"),
    }
}

#[test]
fn blocking_all_signals_ends_with_the_guard() {
    let signal = RealTime::unclaimed().unwrap();
    let mask = || {
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap();
        u64::from_str_radix(line.trim(), 16).unwrap()
    };
    let bit = 1 << (signal.number() - 1);
    assert_eq!(mask() & bit, 0);
    {
        let _outer = AllBlocked::new();
        drop(AllBlocked::new());
        assert_eq!(mask() & bit, bit);
    }
    assert_eq!(mask() & bit, 0);
}
