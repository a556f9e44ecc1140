//! Where one trial happens: the memory under test, and a board beside it on which those who take
//! part tell each other, and the director, how far they are.
//!
//! Invariants:
//! 1. `memory` is a mapping of `MEMORY_LEN` bytes of `file`, and `board` one of a [`Board`]; both
//!    are shared with every child that is forked after they were made, and live as long as this
//!    does.
//!
//! # Safety
//!
//! Maps memory, and lends it as atomics and as raw bytes, which others change at any time.
#![allow(unsafe_code, reason = "maps memory that processes share")]

use std::fs::File;
use std::io::Error;
use std::os::fd::{AsRawFd, FromRawFd};
use std::ptr;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::SeqCst};

use bifolio_sys::futex;

use crate::process::Patience;

/// What a trial's memory takes: seats, and something to work on.
pub(crate) const MEMORY_LEN: usize = 64 << 10;
/// Where that begins which is watched for changes: before it lie the seats, which others change.
pub(crate) const DATA: usize = 4 << 10;
/// So many words are watched.
const DATA_WORDS: usize = (MEMORY_LEN - DATA) / 8;
/// The flag of a trial in which nobody is killed.
pub(crate) const LIVING: usize = 15;
/// The system calls in which one sleeps on a futex.
const SLEEPS: [libc::c_long; 2] = [libc::SYS_futex, libc::SYS_futex_waitv];
const TEXT_LEN: usize = 1 << 12;

/// How many work at once where kills are random.
pub(crate) const WORKERS: usize = 3;

/// How far one of them is.
#[repr(C, align(64))]
struct Worker {
    inside: AtomicU64,
    done: AtomicU64,
}

/// What the processes of a trial tell each other. Zeros are its first state.
#[repr(C)]
pub(crate) struct Board {
    /// How far each has come, by scenes that need it.
    pub(crate) flags: [AtomicU32; 16],
    counted: AtomicU64,
    workers: [Worker; WORKERS],
    stopped: AtomicU32,
    text_len: AtomicU32,
    text: [AtomicU8; TEXT_LEN],
}

impl Board {
    /// Tells all that this has happened.
    pub(crate) fn raise(&self, flag: usize) {
        self.flags[flag].store(1, SeqCst);
        let _ = futex::wake(&self.flags[flag], u32::MAX);
    }

    /// Whether this has happened.
    pub(crate) fn is_raised(&self, flag: usize) -> bool {
        self.flags[flag].load(SeqCst) != 0
    }

    /// Sleeps until this has happened.
    pub(crate) fn wait_for(&self, flag: usize) {
        while self.flags[flag].load(SeqCst) == 0 {
            let _ = futex::wait(&self.flags[flag], 0, None);
        }
    }

    /// Tells the number of this thread, which is about to fall asleep.
    pub(crate) fn tell_number(&self, flag: usize) {
        // SAFETY: takes nothing (gettid(2)).
        self.flags[flag].store(unsafe { libc::gettid() }.cast_unsigned(), SeqCst);
    }

    /// Returns when the thread whose number was told there sleeps on a futex.
    pub(crate) fn await_sleep(&self, flag: usize) {
        let patience = Patience::new();
        while !patience.is_over() {
            let thread = self.flags[flag].load(SeqCst);
            let path = format!("/proc/{thread}/syscall");
            let call = std::fs::read_to_string(path).unwrap_or_default();
            let number = call.split(' ').next().and_then(|number| number.parse().ok());
            if number.is_some_and(|number| SLEEPS.contains(&number)) {
                return;
            }
            std::thread::yield_now();
        }
        panic!("nobody falls asleep");
    }

    /// Does `deed` over and over, until it is to stop.
    pub(crate) fn work(&self, slot: usize, mut deed: impl FnMut()) {
        let worker = &self.workers[slot];
        while self.stopped.load(SeqCst) == 0 {
            worker.inside.store(1, SeqCst);
            deed();
            worker.done.fetch_add(1, SeqCst);
            worker.inside.store(0, SeqCst);
        }
    }

    /// Whether whoever worked there was inside of an operation; nobody is now.
    pub(crate) fn leave(&self, slot: usize) -> bool {
        self.workers[slot].inside.swap(0, SeqCst) != 0
    }

    /// How many operations have ended there.
    pub(crate) fn done(&self, slot: usize) -> u64 {
        self.workers[slot].done.load(SeqCst)
    }

    /// Has all end who work.
    pub(crate) fn stop(&self) {
        self.stopped.store(1, SeqCst);
    }

    /// Leaves word of what went wrong; the first word stays.
    pub(crate) fn say(&self, text: &str) {
        let len = text.len().min(TEXT_LEN);
        if self.text_len.compare_exchange(0, len as u32, SeqCst, SeqCst).is_ok() {
            for (slot, byte) in self.text.iter().zip(text.bytes()) {
                slot.store(byte, SeqCst);
            }
        }
    }

    /// What a check counted.
    pub(crate) fn count(&self, effects: u64) {
        self.counted.store(effects, SeqCst);
    }

    pub(crate) fn counted(&self) -> u64 {
        self.counted.load(SeqCst)
    }

    /// What was said.
    pub(crate) fn said(&self) -> String {
        let len = self.text_len.load(SeqCst) as usize;
        let bytes: Vec<u8> = self.text[..len].iter().map(|byte| byte.load(SeqCst)).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

/// The place of one trial.
pub(crate) struct Place {
    file: File,
    memory: *mut u8,
    board: *mut Board,
}

impl Place {
    /// New memory of zeros, and a clean board.
    pub(crate) fn new() -> Place {
        // SAFETY: takes a string that ends with zero (memfd_create(2)).
        let descriptor = unsafe { libc::memfd_create(c"sweep".as_ptr(), libc::MFD_CLOEXEC) };
        assert!(descriptor >= 0, "memfd_create: {}", Error::last_os_error());
        // SAFETY: the kernel has just given this descriptor to nobody else.
        let file = unsafe { File::from_raw_fd(descriptor) };
        file.set_len(MEMORY_LEN as u64).expect("a memory file takes any length");
        let memory = map(MEMORY_LEN, libc::MAP_SHARED, file.as_raw_fd());
        let board = map(size_of::<Board>(), libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1).cast();
        Place { file, memory, board }
    }

    /// The file of the memory.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Where the memory begins in this process.
    pub(crate) fn memory(&self) -> *mut u8 {
        self.memory
    }

    pub(crate) fn board(&self) -> &Board {
        // SAFETY: invariant 1; it is atomics alone, zeros at first.
        unsafe { &*self.board }
    }

    /// What the memory holds now from `DATA` on, in words.
    pub(crate) fn words(&self) -> Vec<u64> {
        // SAFETY: invariant 1; each word is inside.
        let words = (0..DATA_WORDS).map(|index| unsafe { self.data().add(index) });
        // SAFETY: a pointer into the mapping; others may change what it reads.
        words.map(|word| unsafe { word.read_volatile() }).collect()
    }

    /// Puts words back to what they were.
    pub(crate) fn restore(&self, before: &[u64]) {
        for (index, &old) in before.iter().enumerate().take(DATA_WORDS) {
            // SAFETY: invariant 1; the word is inside.
            let word = unsafe { self.data().add(index) };
            // SAFETY: as above; others may change it.
            if unsafe { word.read_volatile() } != old {
                // SAFETY: as above.
                unsafe { word.write_volatile(old) };
            }
        }
    }

    fn data(&self) -> *mut u64 {
        // SAFETY: invariant 1; DATA is inside.
        unsafe { self.memory.add(DATA) }.cast()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // SAFETY: invariant 1, and nobody uses it after this.
        unsafe { libc::munmap(self.memory.cast(), MEMORY_LEN) };
        // SAFETY: invariant 1, and nobody uses it after this.
        unsafe { libc::munmap(self.board.cast(), size_of::<Board>()) };
    }
}

fn map(len: usize, flags: i32, descriptor: i32) -> *mut u8 {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: without an address the kernel takes one that is free (mmap(2)).
    let memory = unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, descriptor, 0) };
    assert!(memory != libc::MAP_FAILED, "mmap: {}", Error::last_os_error());
    memory.cast()
}
