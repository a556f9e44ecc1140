//! Copies of a file that another process truncates, extends and punches holes into meanwhile: on
//! several threads, more than a million of them, and none may raise a signal, lose count, or see a
//! byte that was never in the file.
//!
//! # Safety
//!
//! This file calls the guarded functions with pointers into a mapping of the file.
#![allow(unsafe_code, reason = "see # Safety above")]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, ptr, thread};

use bifolio_sys::fault;
use bifolio_sys::guard::{self, Cause, Fault, Word};
use rustix::fs::{FallocateFlags, MemfdFlags};
use rustix::mm::{MapFlags, ProtFlags};

use crate::random::Random;

const LEN: usize = 1 << 16;
const THREADS: u64 = 3;
const ROUNDS: usize = 350_000;
/// Fewer would prove nothing.
const FAULTS_MIN: usize = 1000;
/// What all but the holes of the file consists of.
const BYTE: u8 = 0x5a;
const BEFORE: u8 = 0xee;

/// Attacks the file of this path for as long as the parent lives: it kills this process.
fn attack(path: &str, parent: u32) {
    let file = File::options().read(true).write(true).open(path).unwrap();
    let mut random = Random::new();
    let full = vec![BYTE; LEN];
    while std::os::unix::process::parent_id() == parent {
        let (at, end) = (random.below(LEN), random.below(LEN));
        match random.below(3) {
            0 => rustix::fs::ftruncate(&file, at as u64).unwrap(),
            1 => {
                let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                let len = at.abs_diff(end).max(1) as u64;
                match rustix::fs::fallocate(&file, hole, at.min(end) as u64, len) {
                    Ok(()) | Err(rustix::io::Errno::OPNOTSUPP) => {}
                    Err(errno) => panic!("{errno}"),
                }
            }
            _ => assert_eq!(rustix::io::pwrite(&file, &full, 0), Ok(LEN)),
        }
    }
}

#[test]
#[ignore = "the other tests start it as a child"]
fn attacker() {
    let path = std::env::var("BIFOLIO_CHILD").unwrap();
    let (parent, path) = path.split_once(' ').unwrap();
    attack(path, parent.parse().unwrap());
}

/// A shared mapping of the file, at which nothing but guarded access points.
#[derive(Clone, Copy)]
struct Target(*mut u8);

// SAFETY: it is reached by guarded access only, which knows no data race.
unsafe impl Send for Target {}

impl Target {
    fn at(self, offset: usize) -> *mut u8 {
        self.0.wrapping_add(offset)
    }
}

fn is_of_the_file(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| matches!(byte, 0 | &BYTE))
}

/// One operation at a random place; whether it met a fault.
fn step(target: Target, random: &mut Random) -> bool {
    let at = random.below(LEN - 256);
    let len = random.below(256);
    let mut buf = [BEFORE; 256];
    let result = match random.below(6) {
        0..3 => {
            // SAFETY: `len` bytes of a local.
            let copied = unsafe { guard::copy(buf.as_mut_ptr(), target.at(at), len) };
            let done = copied.err().map_or(len, |fault| fault.done);
            assert!(is_of_the_file(&buf[..done]), "{done} of {len}: {buf:?}");
            assert!(buf[done..].iter().all(|byte| *byte == BEFORE), "{done} of {len}: {buf:?}");
            copied
        }
        3 => {
            buf.fill(BYTE);
            // SAFETY: bytes of the file, to which no reference exists.
            unsafe { guard::copy(target.at(at), buf.as_ptr(), len) }
        }
        4 => {
            // SAFETY: it only reads.
            let found = unsafe { guard::find_byte(target.at(at), BEFORE, len) };
            found.map(|found| assert_eq!(found, None))
        }
        _ => {
            let word = target.at(at & !7).cast::<u64>();
            // SAFETY: a word of the file, to which no reference exists.
            let before = unsafe { u64::fetch_or(word, 0) };
            before.map(|word| assert!(is_of_the_file(&word.to_ne_bytes()), "{word:#x}"))
        }
    };
    match result.map_err(|Fault { code, .. }| code.cause()) {
        Ok(()) => false,
        Err(cause) => {
            assert_eq!(cause, Cause::Unbacked);
            true
        }
    }
}

fn survive(file: &File) {
    fault::install().unwrap();
    rustix::fs::ftruncate(file, LEN as u64).unwrap();
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: a new mapping, at an address of the kernel's choice.
    let base = unsafe {
        rustix::mm::mmap(ptr::null_mut(), LEN, protection, MapFlags::SHARED, file, 0).unwrap()
    };
    let target = Target(base.cast());
    let own = std::process::id();
    let mut attacker = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "--ignored", "attacked::attacker", "--nocapture"])
        .env("BIFOLIO_CHILD", format!("{own} /proc/{own}/fd/{}", file.as_raw_fd()))
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let (faults, copies) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let mut random = Random::new();
    thread::scope(|scope| {
        for _ in 0..THREADS {
            let mut random = Random::seeded(random.next());
            let (faults, copies) = (&faults, &copies);
            scope.spawn(move || {
                let target = target;
                // On a busy machine the attacker may start late: up to a bound, it is awaited.
                for round in 0..100 * ROUNDS {
                    if round >= ROUNDS && faults.load(Ordering::SeqCst) > FAULTS_MIN {
                        break;
                    }
                    let is_fault = step(target, &mut random);
                    faults.fetch_add(is_fault.into(), Ordering::SeqCst);
                    copies.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert_eq!(attacker.try_wait().unwrap(), None, "the attacker ended before it was killed");
    attacker.kill().unwrap();
    attacker.wait().unwrap();
    let (faults, copies) = (faults.into_inner(), copies.into_inner());
    println!("{copies} operations, {faults} faults");
    assert!(faults > FAULTS_MIN && faults < copies, "{faults} faults of {copies}");
    // SAFETY: mapped above, and nobody uses it any more.
    unsafe { rustix::mm::munmap(base, LEN) }.unwrap();
}

#[test]
fn a_memory_file_under_attack_by_another_process() {
    let file = rustix::fs::memfd_create(c"attacked", MemfdFlags::CLOEXEC).unwrap();
    survive(&File::from(file));
}

#[test]
fn a_file_on_disk_under_attack_by_another_process() {
    let path =
        PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("attacked-{}", std::process::id()));
    let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    survive(&file);
}
