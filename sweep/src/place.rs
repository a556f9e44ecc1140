//! Where one trial happens: the memory under test, and a board beside it on which those who take
//! part tell each other, and the director, how far they are.
//!
//! Invariants:
//! 1. `memory` is a mapping of `MEMORY_LEN` bytes, and `board` one of a [`Board`]; both are
//!    shared with every child that is forked after they were made, and live as long as this does.
//!
//! # Safety
//!
//! Maps memory, and lends it as atomics and as raw bytes, which others change at any time.
#![allow(unsafe_code, reason = "maps memory that processes share")]

use std::io::Error;
use std::ptr;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::SeqCst};

/// What a trial's memory takes: a region with its tables, and something to work on.
pub(crate) const MEMORY_LEN: usize = 64 << 10;
const TEXT_LEN: usize = 1 << 12;

/// What the processes of a trial tell each other. Zeros are its first state.
#[repr(C)]
pub(crate) struct Board {
    /// How far each has come, by scenes that need it.
    pub(crate) flags: [AtomicU32; 16],
    counted: AtomicU64,
    text_len: AtomicU32,
    text: [AtomicU8; TEXT_LEN],
}

impl Board {
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
    memory: *mut u8,
    board: *mut Board,
}

impl Place {
    /// New memory of zeros, and a clean board.
    pub(crate) fn new() -> Place {
        let memory = map(MEMORY_LEN);
        let board = map(size_of::<Board>()).cast();
        Place { memory, board }
    }

    /// Where the memory begins in this process.
    pub(crate) fn memory(&self) -> *mut u8 {
        self.memory
    }

    pub(crate) fn board(&self) -> &Board {
        // SAFETY: invariant 1; it is atomics alone, zeros at first.
        unsafe { &*self.board }
    }

    /// What the memory holds now, in words.
    pub(crate) fn words(&self) -> Vec<u64> {
        let words = self.memory.cast::<u64>();
        // SAFETY: invariant 1; the index is below the length in words.
        let word = |index| unsafe { words.add(index) };
        // SAFETY: a pointer into the mapping that the line above gave; others may change it.
        (0..MEMORY_LEN / 8).map(|index| unsafe { word(index).read_volatile() }).collect()
    }

    /// Puts words back to what they were, and says how many differed.
    pub(crate) fn restore(&self, before: &[u64]) -> usize {
        let words = self.memory.cast::<u64>();
        let mut count = 0;
        for (index, &old) in before.iter().enumerate().take(MEMORY_LEN / 8) {
            // SAFETY: invariant 1; the index is below the length in words.
            let word = unsafe { words.add(index) };
            // SAFETY: as above; others may change it.
            if unsafe { word.read_volatile() } != old {
                // SAFETY: as above.
                unsafe { word.write_volatile(old) };
                count += 1;
            }
        }
        count
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

fn map(len: usize) -> *mut u8 {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS;
    // SAFETY: without an address the kernel takes one that is free (mmap(2)).
    let memory = unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, -1, 0) };
    assert!(memory != libc::MAP_FAILED, "mmap: {}", Error::last_os_error());
    memory.cast()
}
