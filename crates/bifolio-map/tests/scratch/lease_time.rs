//! `fs.lease-break-time` belongs to the whole machine: tests that need it to stay and those that
//! shorten it take turns, also across test programs.
//!
//! # Safety
//!
//! flock(2) takes no pointer.
#![allow(unsafe_code, reason = "flock of libc")]

use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const SETTING: &str = "/proc/sys/fs/lease-break-time";

/// The time keeps its value while this lives.
pub(crate) struct Steady {
    _lock: File,
}

/// The time is short while this lives.
pub(crate) struct Shortened {
    /// Writes the old value back when its input ends, which it does however this process ends.
    restorer: Child,
    _lock: File,
}

/// Waits until nobody shortens the time.
pub(crate) fn steady() -> Steady {
    Steady { _lock: lock(libc::LOCK_SH) }
}

/// Shortens the time to so many seconds; `None`, and the reason printed, where that is not allowed.
pub(crate) fn shortened(seconds: u32) -> Option<Shortened> {
    let lock = lock(libc::LOCK_EX);
    let before = fs::read_to_string(SETTING).unwrap_or_default();
    let restore = format!("read line; echo {} > {SETTING}", before.trim());
    let mut restorer = Command::new("sh");
    restorer.args(["-c", &restore]).stdin(Stdio::piped());
    if OpenOptions::new().write(true).open(SETTING).is_err() {
        println!("skipped: this process may not write to {SETTING}");
        return None;
    }
    let restorer = restorer.spawn().unwrap();
    let shortened = Shortened { restorer, _lock: lock };
    fs::write(SETTING, seconds.to_string()).unwrap();
    Some(shortened)
}

/// The third of the time, within which a break must be answered.
pub(crate) fn third() -> Duration {
    let seconds = fs::read_to_string(SETTING).unwrap().trim().parse().unwrap();
    Duration::from_secs(seconds) / 3
}

fn lock(operation: i32) -> File {
    let path = std::env::temp_dir().join("bifolio-test-lease-break-time");
    // Whoever made it may be another user.
    let file = File::open(&path).or_else(|_| {
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)
    });
    let file = file.unwrap();
    // SAFETY: it takes a descriptor and a number.
    assert_eq!(unsafe { libc::flock(file.as_raw_fd(), operation) }, 0);
    file
}

impl Drop for Shortened {
    fn drop(&mut self) {
        drop(self.restorer.stdin.take());
        let _ = self.restorer.wait();
    }
}
