//! A parent and its children by fork(2), who share memory, with either of two kinds of peers:
//! seats, or a stand-in, in which the parent waits for its children and decides when they are dead.
//!
//! [`both`] runs the same tests on both.
//!
//! # Safety
//!
//! It forks, maps and kills.
#![allow(unsafe_code, reason = "forks children that are really killed")]
#![allow(dead_code, reason = "each test file uses what it needs")]

use bifolio_sync::{Deadline, Expect, Owner, Peers, Result, Seats};
use bifolio_sys::futex;
use std::cell::Cell;
use std::mem::size_of;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

const SEATS: usize = 1024;
/// Longer than any test takes that goes well.
pub(crate) const LONG: Duration = Duration::from_secs(300);

/// How many seats there are in the tests on seats.
const SEATED: u32 = 32;

/// Who says who lives.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Kind {
    Parent,
    Seats,
}

thread_local! {
    /// What the test on this thread is on.
    pub(crate) static KIND: Cell<Kind> = const { Cell::new(Kind::Parent) };
}

/// Makes tests of functions, on either kind.
macro_rules! both {
    ($($name:ident)*) => {
        mod with_a_parent {
            $(#[test] fn $name() { super::$name() })*
        }
        mod with_seats {
            use super::common::{KIND, Kind};
            $(#[test] fn $name() { KIND.set(Kind::Seats); super::$name() })*
        }
    };
}
pub(crate) use both;

/// What lies before the data.
#[repr(C, align(64))]
struct Head {
    dead: [AtomicU32; SEATS],
    deaths: AtomicU32,
    seats: AtomicU32,
    stage: AtomicU32,
}

/// All of it.
#[repr(C)]
struct Shared<T> {
    table: Table,
    head: Head,
    data: T,
}

/// The seats, where there are some.
#[repr(C, align(64))]
struct Table([u8; Seats::table_len_bytes(SEATED)]);

/// A parent and its children, and the memory that they share: zeros at first.
pub(crate) struct Family<T> {
    shared: *mut Shared<T>,
    /// In memory of this process alone: a child has a copy, and changes that.
    me: AtomicU32,
    seats: Option<Seats>,
}

// SAFETY: the pointer is that of a mapping of its own; what lies there is atomic, or T.
unsafe impl<T: Sync> Sync for Family<T> {}

/// A child that was not waited for yet.
pub(crate) struct Child {
    pid: i32,
    owner: Owner,
}

impl<T: Sync> Family<T> {
    pub(crate) fn new() -> Family<T> {
        let len = size_of::<Shared<T>>();
        // SAFETY: a name that ends with zero.
        let file = unsafe { libc::memfd_create(c"family".as_ptr(), libc::MFD_CLOEXEC) };
        assert!(file >= 0);
        // SAFETY: made above.
        let file = unsafe { OwnedFd::from_raw_fd(file) };
        // SAFETY: it takes numbers.
        assert_eq!(unsafe { libc::ftruncate(file.as_raw_fd(), len as i64) }, 0);
        let (access, fd) = (libc::PROT_READ | libc::PROT_WRITE, file.as_raw_fd());
        // SAFETY: a new mapping, wherever there is room.
        let start = unsafe { libc::mmap(null_mut(), len, access, libc::MAP_SHARED, fd, 0) };
        assert_ne!(start, libc::MAP_FAILED);
        let seats = (KIND.get() == Kind::Seats).then(|| {
            let table = NonNull::new(start.cast::<u8>()).unwrap();
            let range = start.cast::<u8>().cast_const()..start.wrapping_byte_add(len).cast();
            // SAFETY: 0, 1, 2: made above for nothing else, unmapped after it was dropped. 3: no
            // test closes what is not its own.
            unsafe { Seats::new(table, SEATED, range, file) }.unwrap()
        });
        let family = Family { shared: start.cast(), me: AtomicU32::new(0), seats };
        family.me.store(family.next_seat().bits(), SeqCst);
        family
    }

    /// With that in its memory.
    pub(crate) fn with(data: T) -> Family<T> {
        let family = Family::<T>::new();
        // SAFETY: the place of the data in the mapping.
        let place = unsafe { &raw mut (*family.shared).data };
        // SAFETY: nobody else knows of the mapping yet.
        unsafe { place.write(data) };
        family
    }

    fn next_seat(&self) -> Owner {
        Owner::new(self.head().seats.fetch_add(1, SeqCst), 1).expect("a free seat")
    }

    fn head(&self) -> &Head {
        // SAFETY: mapped until this is dropped; atomics, of which zeros are values.
        unsafe { &(*self.shared).head }
    }

    pub(crate) fn data(&self) -> &T {
        // SAFETY: mapped until this is dropped; the tests put there what zeros are values of.
        unsafe { &(*self.shared).data }
    }

    /// A child, which ends when `life` does.
    pub(crate) fn child(&self, life: impl FnOnce(&T)) -> Child {
        let owner = self.next_seat();
        // SAFETY: the child uses nothing of the other threads, and ends without running what
        // belongs to the parent.
        let pid = unsafe { libc::fork() };
        assert!(pid >= 0);
        if pid == 0 {
            // SAFETY: what a failing test leaves behind is killed with its thread.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            // SAFETY: one that sleeps for ever is a failure.
            unsafe { libc::alarm(LONG.as_secs() as u32) };
            self.me.store(owner.bits(), SeqCst);
            let failed = catch_unwind(AssertUnwindSafe(|| life(self.data()))).is_err();
            // SAFETY: ends the process.
            unsafe { libc::_exit(i32::from(failed)) }
        }
        Child { pid, owner }
    }

    /// How far the tests' processes are.
    pub(crate) fn stage(&self) -> u32 {
        self.head().stage.load(SeqCst)
    }

    /// Tells the others how far it is.
    pub(crate) fn reach(&self, stage: u32) {
        self.head().stage.store(stage, SeqCst);
        futex::wake(&self.head().stage, u32::MAX).unwrap();
    }

    pub(crate) fn advance(&self) {
        self.head().stage.fetch_add(1, SeqCst);
        futex::wake(&self.head().stage, u32::MAX).unwrap();
    }

    pub(crate) fn await_stage(&self, reached: impl Fn(u32) -> bool) {
        let deadline = Deadline::after(LONG);
        loop {
            let stage = self.stage();
            if reached(stage) {
                return;
            }
            let slept = futex::wait(&self.head().stage, stage, deadline);
            assert_ne!(slept, Err(bifolio_sys::Errno::TIMEDOUT), "stage {stage}");
        }
    }

    pub(crate) fn signal(&self, child: &Child, signal: i32) {
        // SAFETY: a child that was not waited for.
        assert_eq!(unsafe { libc::kill(child.pid, signal) }, 0);
    }

    /// Stops it, and returns when it is.
    pub(crate) fn stop(&self, child: &Child) {
        self.signal(child, libc::SIGSTOP);
        let mut status = 0;
        // SAFETY: a child of this process, and a place for what became of it.
        let stopped = unsafe { libc::waitpid(child.pid, &raw mut status, libc::WUNTRACED) };
        assert_eq!(stopped, child.pid);
        assert!(libc::WIFSTOPPED(status));
    }

    /// Kills it, and proves that.
    pub(crate) fn kill(&self, child: Child) {
        self.signal(&child, libc::SIGKILL);
        assert_eq!(self.bury(child), libc::SIGKILL);
    }

    /// Kills it, and leaves the proof to `bury`.
    pub(crate) fn strike(&self, child: &Child) {
        self.signal(child, libc::SIGKILL);
    }

    /// Waits for its end, which must be a good one.
    pub(crate) fn join(&self, child: Child) {
        assert_eq!(self.bury(child), 0, "the child failed");
    }

    /// Waits for its end, and tells the others; the status of waitpid(2).
    pub(crate) fn bury(&self, child: Child) -> i32 {
        let owner = child.owner;
        let status = self.reap(child);
        self.tell(owner);
        status
    }

    /// Waits for its end, of which nobody knows yet; the status of waitpid(2).
    pub(crate) fn reap(&self, child: Child) -> i32 {
        let mut status = 0;
        // SAFETY: a child of this process, and a place for what became of it.
        let ended = unsafe { libc::waitpid(child.pid, &raw mut status, 0) };
        assert_eq!(ended, child.pid);
        status
    }

    /// Tells the others of an end that was waited for; where there are seats they know by then.
    pub(crate) fn tell(&self, owner: Owner) {
        self.head().dead[owner.seat() as usize].store(1, SeqCst);
        self.head().deaths.fetch_add(1, SeqCst);
        futex::wake(&self.head().deaths, u32::MAX).unwrap();
    }
}

impl Child {
    pub(crate) fn owner(&self) -> Owner {
        self.owner
    }

    /// Waits until its first thread sleeps in the kernel on a futex.
    pub(crate) fn await_sleep(&self) {
        for _ in 0..100_000 {
            let path = format!("/proc/{}/syscall", self.pid);
            let call = std::fs::read_to_string(path).unwrap_or_default();
            let number = call.split(' ').next().unwrap_or_default();
            // 202 and 98 are futex, 449 is futex_waitv.
            if matches!(number, "202" | "98" | "449") {
                return;
            }
            std::thread::yield_now();
        }
        panic!("the child does not sleep");
    }
}

impl<T> Drop for Family<T> {
    fn drop(&mut self) {
        self.seats = None;
        // SAFETY: its own mapping, of which no reference is left.
        assert_eq!(unsafe { libc::munmap(self.shared.cast(), size_of::<Shared<T>>()) }, 0);
    }
}

// SAFETY: as the seats say where there are some. Else each process has a number of its own (0), is
// dead when its parent has waited for it (1), the mapping is shared with all children (2), and
// whoever proves a death tells it afterwards (3).
unsafe impl<T: Sync> Peers for Family<T> {
    fn me(&self) -> Result<Owner> {
        match &self.seats {
            Some(seats) => seats.me(),
            None => Ok(Owner::in_word(self.me.load(SeqCst)).expect("a seat")),
        }
    }

    fn is_dead(&self, owner: Owner) -> bool {
        match &self.seats {
            Some(seats) => seats.is_dead(owner),
            None => self.head().dead[owner.seat() as usize].load(SeqCst) != 0,
        }
    }

    fn life(&self, owner: Owner) -> Option<Expect<'_>> {
        self.seats.as_ref().and_then(|seats| seats.life(owner))
    }

    fn announce(&self) {
        if let Some(seats) = &self.seats {
            seats.announce();
        }
    }

    fn deaths(&self) -> Expect<'_> {
        let word = &self.head().deaths;
        match &self.seats {
            Some(seats) => seats.deaths(),
            None => Expect { word, value: word.load(SeqCst) },
        }
    }

    fn contains(&self, start: *const u8, len: usize) -> bool {
        let offset = start.addr().checked_sub(self.shared.addr());
        offset.is_some_and(|offset| offset + len <= size_of::<Shared<T>>())
    }
}

/// Random numbers that one can ask for again: xorshift64.
pub(crate) struct Random(u64);

impl Random {
    /// From `BIFOLIO_SEED`, or the clock; prints which.
    pub(crate) fn new() -> Random {
        let given = std::env::var("BIFOLIO_SEED").ok().and_then(|seed| seed.parse().ok());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        let seed = given.unwrap_or(now.as_nanos() as u64);
        println!("BIFOLIO_SEED={seed}");
        Random(seed | 1)
    }

    pub(crate) fn with(seed: u32) -> Random {
        Random(u64::from(seed) << 1 | 1)
    }

    pub(crate) fn below(&mut self, end: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        ((self.0 >> 32) % u64::from(end)) as u32
    }
}
