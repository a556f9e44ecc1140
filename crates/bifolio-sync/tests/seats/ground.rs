//! Shared memory for the tests, and processes that are forked onto it and killed.
//!
//! # Safety
//!
//! The memory stays mapped for as long as the test runs, and is nothing but atomics.
#![allow(unsafe_code, reason = "maps memory and forks")]

use std::ffi::{CString, c_int};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use bifolio_sync::{Owner, Peers, Seats};

/// Words that the processes of a test tell each other things by, behind the table.
const WORDS: usize = 512;

/// Shared memory with a table of seats, which every forked process has at the same place.
pub(crate) struct Ground {
    base: NonNull<u8>,
    len: usize,
    seats: u32,
    file: OwnedFd,
}

// SAFETY: what it lends is nothing but atomics.
unsafe impl Sync for Ground {}

impl Ground {
    pub(crate) fn new(seats: u32) -> Ground {
        let len = Seats::table_len_bytes(seats) + 8 * WORDS;
        let (file, base) = shared_file(len);
        Ground { base, len, seats, file }
    }

    /// A handle of its own.
    pub(crate) fn seats(&self) -> Seats {
        let start = self.base.as_ptr().cast_const();
        let shared = start..start.wrapping_add(self.len);
        let file = self.file.try_clone().unwrap();
        // SAFETY: 0, 1, 2: `new` made it for nothing else, and it stays mapped. 3: no test closes
        // what is not its own, but where it says so.
        unsafe { Seats::new(self.base, self.seats, shared, file) }.unwrap()
    }

    /// Kills the process whose number stands in a word, and which nobody waits for.
    pub(crate) fn kill_stranger(&self, index: usize) {
        let pid = self.word(index).load(SeqCst) as c_int;
        // SAFETY: it is one that a test has left behind and that ends no other way.
        assert_eq!(unsafe { libc::kill(pid, libc::SIGKILL) }, 0);
    }

    /// All of it.
    pub(crate) fn range(&self) -> (*const u8, usize) {
        (self.base.as_ptr(), self.len)
    }

    /// The name of its file, which no other has.
    pub(crate) fn name(&self) -> String {
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        std::fs::read_link(path).unwrap().to_str().unwrap().to_owned()
    }

    /// Takes all of it away.
    pub(crate) fn truncate(&self) {
        // SAFETY: it takes numbers.
        assert_eq!(unsafe { libc::ftruncate(self.file.as_raw_fd(), 0) }, 0);
    }

    fn at(&self, offset: usize) -> *mut u8 {
        self.base.as_ptr().wrapping_add(offset)
    }

    /// A word of the table.
    pub(crate) fn table_word(&self, offset: usize) -> &AtomicU32 {
        assert!(offset + 4 <= Seats::table_len_bytes(self.seats));
        // SAFETY: within the mapping, which stays; aligned, as offsets are multiples of four.
        unsafe { AtomicU32::from_ptr(self.at(offset).cast()) }
    }

    /// A word of the test's own.
    pub(crate) fn word(&self, index: usize) -> &AtomicU64 {
        assert!(index < WORDS);
        let offset = Seats::table_len_bytes(self.seats) + 8 * index;
        // SAFETY: within the mapping, which stays.
        unsafe { AtomicU64::from_ptr(self.at(offset).cast()) }
    }

    /// Takes a seat and says which in a word, until somebody reads it.
    pub(crate) fn publish(&self, seats: &Seats, index: usize) -> Owner {
        let me = seats.me().unwrap();
        self.word(index).store(me.bits().into(), SeqCst);
        me
    }

    /// The owner that somebody says in a word; waits for it.
    pub(crate) fn published(&self, index: usize) -> Owner {
        until(|| self.word(index).load(SeqCst) != 0);
        Owner::in_word(self.word(index).swap(0, SeqCst) as u32).unwrap()
    }
}

/// More memory that forked processes share, which is a file.
pub(crate) struct Area {
    base: NonNull<u8>,
    len: usize,
    file: OwnedFd,
}

impl Area {
    pub(crate) fn new(len: usize) -> Area {
        let (file, base) = shared_file(len);
        Area { base, len, file }
    }

    /// Its first word.
    pub(crate) fn word(&self) -> &AtomicU64 {
        // SAFETY: within the mapping, which stays.
        unsafe { AtomicU64::from_ptr(self.base.as_ptr().cast()) }
    }

    /// One word of each 64 KiB.
    pub(crate) fn sample(&self) -> Vec<u64> {
        let word = |offset| {
            let word = self.base.as_ptr().wrapping_add(offset).cast();
            // SAFETY: within the mapping, which stays.
            unsafe { AtomicU64::from_ptr(word) }.load(SeqCst)
        };
        (0..self.len).step_by(64 << 10).map(word).collect()
    }

    /// Fills all of it with one byte.
    pub(crate) fn fill(&self, byte: u8) {
        // SAFETY: all of the mapping is writable, and nobody else uses it yet.
        unsafe { self.base.as_ptr().write_bytes(byte, self.len) };
    }

    /// Has the kernel copy all of `source` here, in one system call.
    pub(crate) fn fill_from(&self, source: &Area) {
        let (fd, to) = (source.file.as_raw_fd(), self.base.as_ptr().cast());
        // SAFETY: all of the mapping is writable, and nothing but atomics.
        let read = unsafe { libc::pread(fd, to, self.len.min(source.len), 0) };
        assert!(read > 0);
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`; whoever had a word of it is gone.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

/// A file of memory, and where all of it is mapped.
fn shared_file(len: usize) -> (OwnedFd, NonNull<u8>) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = CString::new(format!("ground-{}-", COUNT.fetch_add(1, SeqCst))).unwrap();
    // SAFETY: a name that ends with zero.
    let file = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) };
    assert!(file >= 0);
    // SAFETY: made above.
    let file = unsafe { OwnedFd::from_raw_fd(file) };
    // SAFETY: it takes numbers.
    assert_eq!(unsafe { libc::ftruncate(file.as_raw_fd(), len as i64) }, 0);
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let fd = file.as_raw_fd();
    // SAFETY: the kernel maps where nothing is.
    let base = unsafe { libc::mmap(null_mut(), len, protection, libc::MAP_SHARED, fd, 0) };
    assert_ne!(base, libc::MAP_FAILED);
    (file, NonNull::new(base.cast()).unwrap())
}

/// Waits for something that another process does; a test that hangs fails.
pub(crate) fn until(mut happened: impl FnMut() -> bool) {
    let hung = Instant::now() + Duration::from_secs(100);
    while !happened() {
        assert!(Instant::now() < hung, "it never happened");
        std::thread::yield_now();
    }
}

/// A forked process; killed when it is dropped.
pub(crate) struct Child {
    pub(crate) pid: c_int,
}

impl Child {
    /// Forks one that does `work` and ends.
    pub(crate) fn new(work: impl FnOnce()) -> Child {
        // SAFETY: the C library prepares the child for threads and memory of its own, and so do
        // the handlers under test.
        Child::go_on(unsafe { libc::fork() }, work)
    }

    /// The same by the system call alone.
    pub(crate) fn cloned(work: impl FnOnce()) -> Child {
        let (flags, nothing) = (libc::SIGCHLD, 0_usize);
        // SAFETY: without a stack or memory that is shared it is a fork; no other thread of the
        // tests that call it has a lock that the child needs.
        let pid =
            unsafe { libc::syscall(libc::SYS_clone, flags, nothing, nothing, nothing, nothing) };
        Child::go_on(pid as c_int, work)
    }

    /// What parent and child do then.
    fn go_on(pid: c_int, work: impl FnOnce()) -> Child {
        assert!(pid >= 0);
        if pid == 0 {
            // SAFETY: it takes numbers.
            unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
            let panicked = catch_unwind(AssertUnwindSafe(work)).is_err();
            // SAFETY: it ends the process here, without what the parent had planned to do.
            unsafe { libc::_exit(panicked.into()) };
        }
        Child { pid }
    }

    pub(crate) fn signal(&self, signal: c_int) {
        // SAFETY: it is a child of this process that nobody has waited for.
        assert_eq!(unsafe { libc::kill(self.pid, signal) }, 0);
    }

    pub(crate) fn kill(&self) {
        self.signal(libc::SIGKILL);
    }

    /// Waits for its end and returns its status; 0 where all went well.
    pub(crate) fn wait(self) -> c_int {
        let mut status = 0;
        // SAFETY: as above; the status is written here.
        assert_eq!(unsafe { libc::waitpid(self.pid, &raw mut status, 0) }, self.pid);
        std::mem::forget(self);
        status
    }

    /// Waits until it is stopped.
    pub(crate) fn wait_stopped(&self) {
        let mut status = 0;
        // SAFETY: as above.
        let waited = unsafe { libc::waitpid(self.pid, &raw mut status, libc::WUNTRACED) };
        assert!(waited == self.pid && libc::WIFSTOPPED(status));
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // SAFETY: as above.
        unsafe { libc::kill(self.pid, libc::SIGKILL) };
        // SAFETY: as above; no status is asked for.
        unsafe { libc::waitpid(self.pid, null_mut(), 0) };
    }
}

/// Has the calling child live on when its parent ends.
pub(crate) fn outlive_parent() {
    // SAFETY: it takes numbers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, 0) };
}

/// Does nothing until it is killed.
pub(crate) fn sleep_for_ever() -> ! {
    loop {
        std::thread::park();
    }
}
