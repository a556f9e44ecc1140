//! A holder that is stopped: within the kernel's patience nothing changes; beyond it the lease is
//! lost and the bytes change, which is why the policy is unsafe.
//!
//! # Safety
//!
//! Unsafe code sends signals to a child of its own.
#![allow(unsafe_code, reason = "signals of libc")]
#![allow(clippy::undocumented_unsafe_blocks, reason = "an attack's argument is that it is one")]

use crate::scratch::{Scratch, child, lease_time, pattern};
use crate::{await_answer, await_break, break_leases, lease, readable};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::thread;

const LEN: usize = (1 << 20) + 5;
const FILE: &str = "BIFOLIO_FILE";

/// Leases the file, and tells what it became when it is asked.
pub(crate) fn holder() {
    let path = PathBuf::from(std::env::var_os(FILE).unwrap());
    let stable = lease(&path);
    // One page was seen, the others were not.
    assert_eq!(stable[0], pattern(1)[0]);
    println!("LEASED");
    std::io::stdin().read_line(&mut String::new()).unwrap();
    let state = await_answer(&stable);
    let bytes = readable(&stable, 0);
    let what = match bytes {
        bytes if bytes == pattern(LEN) => "the same",
        bytes if bytes.len() == LEN => "others",
        _ => "gone",
    };
    println!("{state:?}, and the bytes are {what}");
}

/// A holder of its own process, which can be stopped.
struct Holder {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Holder {
    fn start(path: &Path) -> Self {
        let mut command = child("holder");
        command.env(FILE, path).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().unwrap();
        let input = process.stdin.take().unwrap();
        let output = BufReader::new(process.stdout.take().unwrap());
        let mut holder = Holder { process, input, output };
        holder.read_until("LEASED");
        holder
    }

    fn read_until(&mut self, word: &str) -> String {
        loop {
            let mut line = String::new();
            assert_ne!(self.output.read_line(&mut line).unwrap(), 0, "the holder is gone");
            if line.contains(word) {
                return line.trim().to_owned();
            }
        }
    }

    fn signal(&self, signal: i32) {
        let pid = self.process.id().cast_signed();
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
    }

    /// Stops it, and waits until it does stand.
    fn stop(&self) {
        self.signal(libc::SIGSTOP);
        let (pid, mut status) = (self.process.id().cast_signed(), 0);
        assert_eq!(unsafe { libc::waitpid(pid, &raw mut status, libc::WUNTRACED) }, pid);
        assert!(libc::WIFSTOPPED(status));
    }

    fn resume(&self) {
        self.signal(libc::SIGCONT);
    }

    /// What it says of its bytes.
    fn verdict(mut self) -> String {
        self.input.write_all(b"\n").unwrap();
        let line = self.read_until("the bytes are");
        assert!(self.process.wait().unwrap().success());
        line
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_holder_that_is_stopped_for_a_while_keeps_its_bytes() {
    let _time = lease_time::steady();
    let scratch = Scratch::new();
    let path = scratch.file("file", &pattern(LEN));
    let holder = Holder::start(&path);
    holder.stop();
    thread::scope(|scope| {
        let writer = scope.spawn(|| fs::write(&path, vec![0; LEN]).unwrap());
        await_break(&path);
        assert!(!writer.is_finished());
        holder.resume();
    });
    let same = "Copied { unreadable_bytes: 0 }, and the bytes are the same";
    assert_eq!(holder.verdict(), same);
}

#[test]
fn a_holder_that_is_stopped_for_too_long_loses_the_lease_and_sees_other_bytes() {
    let Some(_time) = lease_time::shortened(1) else { return };
    let scratch = Scratch::new();
    let path = scratch.file("file", &pattern(LEN));
    let holder = Holder::start(&path);
    holder.stop();
    // This waits for as long as the kernel does, and no longer.
    let mut file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all(&[0; LEN]).unwrap();
    holder.resume();
    assert_eq!(holder.verdict(), "Lost, and the bytes are others");
}

#[test]
fn a_holder_that_is_stopped_for_too_long_loses_what_is_cut_off() {
    let Some(_time) = lease_time::shortened(1) else { return };
    let scratch = Scratch::new();
    let path = scratch.file("file", &pattern(LEN));
    let holder = Holder::start(&path);
    holder.stop();
    break_leases(&path);
    fs::write(&path, b"").unwrap();
    holder.resume();
    assert_eq!(holder.verdict(), "Lost, and the bytes are gone");
}
