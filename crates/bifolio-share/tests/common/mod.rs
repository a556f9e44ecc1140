//! Shared memory for tests of objects: a memory file with seats, a directory and an arena; children
//! that are really killed; and seeded random numbers.
//!
//! # Safety
//!
//! The memory is mapped as long as the process lives.
#![allow(unsafe_code, reason = "maps memory, forks, kills")]
#![allow(dead_code, reason = "each test takes what it needs")]

use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::SeqCst};

use bifolio_share::{Arena, Directory, Ground};
use bifolio_sync::{Expect, Owner, Peers, Result, Seats};

const SEATS: u32 = 16;
pub(crate) const SEATS_AT: usize = 4096;
pub(crate) const DIRECTORY_AT: usize = 8192;

/// Words for the tests at the beginning of the memory; the first is its length.
const WORDS: usize = 16;

pub(crate) struct Memory {
    start: NonNull<u8>,
    len_max: u64,
    seats: Seats,
    directory: Directory,
    arena: Arena,
}

impl Memory {
    /// `len` bytes, which may become `len_max`, with a directory of `capacity` entries.
    pub(crate) fn new(len: u64, len_max: u64, capacity: u32) -> Memory {
        // SAFETY: a name, and flags.
        let file = unsafe { libc::memfd_create(c"objects".as_ptr(), libc::MFD_CLOEXEC) };
        assert!(file >= 0);
        // SAFETY: the call above has made it for us.
        let file = unsafe { OwnedFd::from_raw_fd(file) };
        std::fs::File::from(file.try_clone().unwrap()).set_len(len_max).unwrap();
        let (protection, fd) = (libc::PROT_READ | libc::PROT_WRITE, raw(&file));
        let (len_here, shared) = (len_max as usize, libc::MAP_SHARED);
        // SAFETY: a new mapping at no fixed address.
        let start =
            unsafe { libc::mmap(std::ptr::null_mut(), len_here, protection, shared, fd, 0) };
        assert_ne!(start, libc::MAP_FAILED);
        let start = NonNull::new(start.cast::<u8>()).unwrap();
        let place = |offset: usize| start.map_addr(|addr| addr.checked_add(offset).unwrap());
        let arena_at = (DIRECTORY_AT + Directory::len_bytes(capacity)).next_multiple_of(64);
        assert!(SEATS_AT + Seats::table_len_bytes(SEATS) <= DIRECTORY_AT);
        assert!(arena_at + Arena::HEAD_BYTES <= len as usize);
        let shared = start.as_ptr().cast_const()..place(len_here).as_ptr().cast_const();
        // SAFETY: mapped for good, zeros, and used for nothing else; so are those below.
        let seats = unsafe { Seats::new(place(SEATS_AT), SEATS, shared, file) }.unwrap();
        // SAFETY: as above.
        let directory = unsafe { Directory::new(place(DIRECTORY_AT), capacity) };
        // SAFETY: as above.
        let arena = unsafe { Arena::new(start, arena_at as u64) };
        let memory = Memory { start, len_max, seats, directory, arena };
        memory.word(0).store(len, SeqCst);
        memory
    }

    /// A word that all processes share.
    pub(crate) fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < WORDS);
        let place = self.place(8 * index).cast::<AtomicU64>();
        // SAFETY: inside of the first page, which holds such words alone.
        unsafe { place.as_ref() }
    }

    /// A byte anywhere, to look at or to write where nobody should.
    pub(crate) fn byte(&self, offset: u64) -> &AtomicU8 {
        assert!(offset < self.len_max);
        let place = self.place(offset as usize).cast::<AtomicU8>();
        // SAFETY: mapped, and no plain reference to headers and entries exists.
        unsafe { place.as_ref() }
    }

    /// A word of a header or an entry.
    pub(crate) fn state(&self, offset: u64) -> &AtomicU32 {
        assert!(offset < self.len_max && offset.is_multiple_of(4));
        let place = self.place(offset as usize).cast::<AtomicU32>();
        // SAFETY: mapped, aligned, and no plain reference to it exists.
        unsafe { place.as_ref() }
    }

    fn place(&self, offset: usize) -> NonNull<u8> {
        self.start.map_addr(|addr| addr.checked_add(offset).unwrap())
    }

    pub(crate) fn arena_first(&self) -> u64 {
        let at = (DIRECTORY_AT + Directory::len_bytes(self.directory.capacity())) as u64;
        at.next_multiple_of(64) + Arena::HEAD_BYTES as u64
    }
}

fn raw(file: &OwnedFd) -> i32 {
    std::os::fd::AsRawFd::as_raw_fd(file)
}

// SAFETY: what changes in it is atomic.
unsafe impl Sync for Memory {}

// SAFETY: the seats keep all promises of `Peers`.
unsafe impl Peers for Memory {
    fn me(&self) -> Result<Owner> {
        self.seats.me()
    }

    fn is_dead(&self, owner: Owner) -> bool {
        self.seats.is_dead(owner)
    }

    fn life(&self, owner: Owner) -> Option<Expect<'_>> {
        self.seats.life(owner)
    }

    fn announce(&self) {
        self.seats.announce();
    }

    fn deaths(&self) -> Expect<'_> {
        self.seats.deaths()
    }

    fn contains(&self, start: *const u8, len: usize) -> bool {
        self.seats.contains(start, len)
    }
}

// SAFETY: mapped for good (0), the length only grows (1), one directory and one arena (2).
unsafe impl Ground for Memory {
    fn directory(&self) -> &Directory {
        &self.directory
    }

    fn arena(&self) -> &Arena {
        &self.arena
    }

    fn len_bytes(&self) -> u64 {
        self.word(0).load(SeqCst)
    }

    fn grow_to(&self, len_bytes: u64) -> bool {
        len_bytes <= self.len_max && self.word(0).fetch_max(len_bytes, SeqCst) <= self.len_max
    }
}

/// A child by fork(2), which is killed at the latest when this is dropped.
pub(crate) struct Child(i32);

impl Child {
    /// Runs `work` in a child, which ends with it.
    pub(crate) fn run(work: impl FnOnce()) -> Child {
        let Some(child) = Child::fork() else {
            let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
            Child::exit(i32::from(done.is_err()));
        };
        child
    }

    /// A child that goes on where this is called, where it is `None`. It must [`exit`](Self::exit).
    pub(crate) fn fork() -> Option<Child> {
        // SAFETY: the child ends without returning into the harness.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0, "fork");
        // Lazily: dropping a `Child(0)` would kill all of the process group.
        (pid > 0).then(|| Child(pid))
    }

    /// Ends a child, at once.
    pub(crate) fn exit(code: i32) -> ! {
        // SAFETY: ends the process.
        unsafe { libc::_exit(code) }
    }

    /// Kills it and waits until it is gone.
    pub(crate) fn kill(self) {
        drop(self);
    }

    /// Waits for its end; whether its work was done.
    pub(crate) fn join(self) -> bool {
        let mut status = 0;
        // SAFETY: waits for a child that nobody else waits for.
        let waited = unsafe { libc::waitpid(self.0, &raw mut status, 0) };
        assert_eq!(waited, self.0);
        std::mem::forget(self);
        status == 0
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // SAFETY: a child that nobody has waited for: the number is still its own.
        unsafe { libc::kill(self.0, libc::SIGKILL) };
        // SAFETY: as above.
        unsafe { libc::waitpid(self.0, std::ptr::null_mut(), 0) };
    }
}

/// Random numbers of a seed, which is printed, or taken from `BIFOLIO_SEED`.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new() -> Random {
        let given = std::env::var("BIFOLIO_SEED").ok().and_then(|seed| seed.parse().ok());
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
        let seed = given.unwrap_or(now.as_nanos() as u64);
        println!("BIFOLIO_SEED={seed}");
        Random(seed)
    }

    pub(crate) fn of(seed: u64) -> Random {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
