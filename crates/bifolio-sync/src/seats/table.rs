//! The table of seats as it lies in shared memory: a head of 64 bytes, and 64 bytes for each seat.
//!
//! Zeros are a table where nobody ever sat. All numbers are little-endian, as the machines are.
//!
//! # Invariants
//!
//! 0. The lock of a seat is the byte [`LOCK_BASE`] + seat of the file. Who has it writes
//!    `generation`, `started`, `pid_namespace`, `name` and `pid`, and nobody else does.
//! 1. `generation` only grows. It grows while its writer holds the lock, so that the open file
//!    description of whoever sat there before is closed everywhere.
//! 2. `life` and `watch` hold the number of the keeper's thread while it runs, and OWNER_DIED when
//!    the kernel has marked its end: `life` first, then `watch`. Before the next generation begins
//!    they are zero. A thread that is not a keeper never sleeps on `watch`.
//! 3. `told` is a generation whose end was proved, and told by `deaths`; it only grows.
//!
//! # Safety
//!
//! References are made to the table, which is nothing but atomics; who makes the value answers for
//! the memory.
#![allow(unsafe_code, reason = "memory that is shared")]

use core::mem::{align_of, offset_of, size_of};
use core::num::NonZeroU64;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

use bifolio_sys::fs::fd::AsFd;
use bifolio_sys::fs::{LockType, fcntl_ofd_getlk, fcntl_ofd_setlk};
use bifolio_sys::futex;
use bifolio_sys::process::Itself;
use bifolio_sys::robust::{FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS};

use crate::owner::Owner;

/// The byte whose lock belongs to seat 0: far behind the end of any file.
pub(super) const LOCK_BASE: u64 = 1 << 62;

/// A word from which the kernel has taken the thread.
const ENDED: u32 = FUTEX_OWNER_DIED | FUTEX_WAITERS;

/// What the seats have in common.
#[repr(C, align(64))]
pub(crate) struct Head {
    /// How many deaths were told; who waits for any sleeps on it.
    pub(crate) deaths: AtomicU32,
    /// Changes when somebody sits down; keepers sleep on it.
    pub(crate) roster: AtomicU32,
    reserved: [AtomicU32; 14],
}

/// One seat.
#[repr(C, align(64))]
pub(crate) struct Seat {
    /// For those who wait for what the sitter holds; marked by the kernel.
    pub(crate) life: AtomicU32,
    /// How many have sat here.
    pub(crate) generation: AtomicU32,
    /// For keepers alone; marked by the kernel, after `life`.
    pub(crate) watch: AtomicU32,
    /// The last generation whose end was told.
    pub(crate) told: AtomicU32,
    /// When the sitter's process began, in clock ticks since the machine started.
    started: AtomicU64,
    /// Where its number is valid: the number of its PID namespace.
    pid_namespace: AtomicU64,
    /// The name of its first thread, filled up with zeros.
    name: [AtomicU64; 2],
    /// Its number there; 0 while nobody sits, and while somebody sits down.
    pid: AtomicU32,
    reserved: [AtomicU32; 3],
}

const _: () = {
    assert!(size_of::<Head>() == 64 && align_of::<Head>() == 64);
    assert!(offset_of!(Head, deaths) == 0 && offset_of!(Head, roster) == 4);
    assert!(size_of::<Seat>() == 64 && align_of::<Seat>() == 64);
    assert!(offset_of!(Seat, life) == 0 && offset_of!(Seat, generation) == 4);
    assert!(offset_of!(Seat, watch) == 8 && offset_of!(Seat, told) == 12);
    assert!(offset_of!(Seat, started) == 16 && offset_of!(Seat, pid_namespace) == 24);
    assert!(offset_of!(Seat, name) == 32 && offset_of!(Seat, pid) == 48);
    assert!(offset_of!(Seat, reserved) == 52);
};

/// What a seat says of who sits there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    pub(crate) pid: u32,
    pub(crate) pid_namespace: u64,
    pub(crate) itself: Itself,
}

impl Seat {
    /// Whether a keeper runs for it, as far as is known here.
    pub(crate) fn is_watched(&self) -> bool {
        self.watch.load(SeqCst) & FUTEX_TID_MASK != 0
    }

    /// Whether the end of the keeper of this generation, or of a later one, was marked and is not
    /// told yet.
    pub(crate) fn is_ending(&self, generation: u32) -> bool {
        self.life.load(SeqCst) & FUTEX_OWNER_DIED != 0 && self.told.load(SeqCst) < generation
    }

    /// Wakes all who sleep on its life. Where that was marked, nobody falls asleep on it again.
    pub(crate) fn wake_life(&self) {
        let _ = futex::wake(&self.life, u32::MAX);
    }

    /// Who sits there, unless somebody is sitting down.
    pub(crate) fn who(&self, generation: u32) -> Option<Who> {
        let pid = self.pid.load(SeqCst);
        let pid_namespace = self.pid_namespace.load(SeqCst);
        let start_ticks = self.started.load(SeqCst);
        let mut name = [0; 16];
        for (bytes, word) in name.chunks_exact_mut(8).zip(&self.name) {
            bytes.copy_from_slice(&word.load(SeqCst).to_le_bytes());
        }
        let unchanged = self.pid.load(SeqCst) == pid && self.generation.load(SeqCst) == generation;
        let who = Who { pid, pid_namespace, itself: Itself { name, start_ticks } };
        (unchanged && pid != 0).then_some(who)
    }

    /// Says that nobody sits there who should be listed.
    pub(crate) fn clear_who(&self) {
        self.pid.store(0, SeqCst);
    }

    fn set_who(&self, who: Who) {
        self.started.store(who.itself.start_ticks, SeqCst);
        self.pid_namespace.store(who.pid_namespace, SeqCst);
        for (bytes, word) in who.itself.name.chunks_exact(8).zip(&self.name) {
            let bytes = bytes.try_into().expect("pieces of eight bytes");
            word.store(u64::from_le_bytes(bytes), SeqCst);
        }
        // The last: with it, the rest is valid.
        self.pid.store(who.pid, SeqCst);
    }
}

/// The table of one region, as this process has it mapped.
#[derive(Clone, Copy)]
pub(crate) struct Table {
    head: NonNull<Head>,
    seats: u32,
}

// SAFETY: it is the address of atomics.
unsafe impl Send for Table {}
// SAFETY: as above.
unsafe impl Sync for Table {}

impl Table {
    /// How many bytes a table of so many seats takes.
    pub(crate) const fn len_bytes(seats: u32) -> usize {
        size_of::<Head>() + seats as usize * size_of::<Seat>()
    }

    /// # Safety
    ///
    /// [`len_bytes`](Self::len_bytes) bytes at `start`, which is a multiple of 64, are mapped for
    /// reading and writing as long as the value and its copies are used, and changed by nothing but
    /// atomic operations, futexes and the kernel.
    pub(crate) unsafe fn new(start: NonNull<u8>, seats: u32) -> Table {
        Table { head: start.cast(), seats }
    }

    pub(crate) fn head(&self) -> &Head {
        // SAFETY: mapped and aligned, as `new` was promised; every byte is an atomic's.
        unsafe { self.head.as_ref() }
    }

    pub(crate) fn seats(&self) -> &[Seat] {
        // SAFETY: `new` was promised so many seats behind the head.
        let first = unsafe { self.head.add(1) }.cast::<Seat>();
        // SAFETY: as above; every byte is an atomic's.
        unsafe { core::slice::from_raw_parts(first.as_ptr(), self.seats as usize) }
    }

    pub(crate) fn seat(&self, number: u32) -> Option<&Seat> {
        self.seats().get(number as usize)
    }

    /// Whether the kernel proves that `owner` is no more, asked through any descriptor of the file
    /// that has no lock of a seat itself.
    pub(crate) fn is_dead(&self, file: impl AsFd, owner: Owner) -> bool {
        let Some(seat) = self.seat(owner.seat()) else { return false };
        let generation = seat.generation.load(SeqCst);
        if generation != owner.generation() {
            // Invariant 1. One that has not begun is nobody's.
            return generation > owner.generation();
        }
        // Whoever has the lock now is the sitter, or the next one, who has not written yet. Where
        // nobody has it, the sitter has given it up, since it took it before it wrote.
        is_free(file, owner.seat())
    }

    /// Tells all that this generation of the seat has ended, which is proved.
    pub(crate) fn tell(&self, seat: &Seat, generation: u32) {
        let deaths = &self.head().deaths;
        deaths.fetch_add(1, SeqCst);
        let _ = futex::wake(deaths, u32::MAX);
        // The last: whoever is killed before has others do it again.
        seat.told.fetch_max(generation, SeqCst);
    }

    /// Wakes all who sleep on a life that has ended.
    pub(crate) fn announce(&self) {
        for seat in self.seats() {
            // The generation first: the mark may be a later one's, never an earlier one's.
            if seat.is_ending(seat.generation.load(SeqCst)) {
                seat.wake_life();
            }
        }
    }

    /// Makes who holds the lock of the seat its next sitter; `None` where its generations are used
    /// up.
    ///
    /// At each step until the last, a kill leaves what was, or a generation that nobody has been.
    pub(crate) fn sit_down(&self, number: u32, who: Who) -> Option<Owner> {
        let seat = self.seat(number)?;
        let generation = seat.generation.load(SeqCst);
        let owner = Owner::new(number, generation + 1)?;
        if seat.told.load(SeqCst) < generation {
            // The kernel marked both unless the memory was out of its reach then.
            seat.life.store(ENDED, SeqCst);
            seat.watch.store(ENDED, SeqCst);
            seat.wake_life();
            self.tell(seat, generation);
        }
        seat.clear_who();
        seat.life.store(0, SeqCst);
        seat.watch.store(0, SeqCst);
        seat.generation.store(owner.generation(), SeqCst);
        seat.set_who(who);
        Some(owner)
    }

    /// Says that `thread` keeps the seat, and has the other keepers look.
    ///
    /// The two words are on the robust list of that thread, which calls it.
    pub(crate) fn open_watch(&self, seat: &Seat, thread: u32) {
        seat.life.store(thread | FUTEX_WAITERS, SeqCst);
        seat.watch.store(thread | FUTEX_WAITERS, SeqCst);
        let roster = &self.head().roster;
        roster.fetch_add(1, SeqCst);
        let _ = futex::wake(roster, u32::MAX);
    }
}

const ONE_BYTE: NonZeroU64 = NonZeroU64::MIN;

/// Whether no other open file description has the lock of the seat; false where that is unknown.
pub(crate) fn is_free(file: impl AsFd, seat: u32) -> bool {
    let at = LOCK_BASE + u64::from(seat);
    fcntl_ofd_getlk(file, LockType::Write, at, ONE_BYTE) == Ok(LockType::None)
}

/// Takes the lock of a seat, or gives it up.
pub(crate) fn set_lock(
    file: impl AsFd,
    seat: u32,
    lock: LockType,
) -> Result<(), bifolio_sys::Errno> {
    fcntl_ofd_setlk(file, lock, LOCK_BASE + u64::from(seat), ONE_BYTE)
}
