//! Seats: who shares a piece of memory, by proofs of the kernel.
//!
//! A process has a seat as long as an open file description of its own has the lock on one byte of
//! the file. The kernel gives the lock up after the process has executed its last instruction, and
//! not before; numbers of processes and time play no part. `docs/share.md` has the whole argument.
//!
//! # Invariants
//!
//! 0. `me` holds the owner that this process is, or 0. Its page is wiped on fork.
//! 1. While it is not 0, [`sittings`] has a sitting of this `id`, whose lock is on the owner's
//!    seat, and whose keeper runs.
//! 2. A sitting of this `id` beside a `me` of 0 was inherited by fork.
//!
//! # Safety
//!
//! The constructor is promised the memory, and the trait promises mutual exclusion.
#![allow(unsafe_code, reason = "stands on memory that others lend, implements an unsafe trait")]

mod list;
mod sittings;
pub(crate) mod table;

use core::fmt;
use core::num::NonZeroU32;
use core::ops::Range;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU32, Ordering, Ordering::SeqCst};
use std::vec::Vec;

use bifolio_map::AnonMap;
use bifolio_sys::Errno;
use bifolio_sys::fs::fd::{AsFd, OwnedFd};
use bifolio_sys::fs::{CWD, DescriptorPath, LockType, Mode, OFlags, openat};
use bifolio_sys::futex::Expect;
use bifolio_sys::process::{getpid, itself, pid_namespace};

use crate::error::{Error, Operation, Result};
use crate::keeper::Keeper;
use crate::owner::Owner;
use crate::peers::Peers;
use sittings::{Id, Sitting, expect_forks, sittings};
use table::{Table, Who, set_lock};

pub use list::{Sitter, State};

/// The seats of a piece of memory, and the one of this process once it has one.
///
/// The first [`me`](Peers::me) takes a seat and starts a small thread, its keeper, which blocks all
/// signals. Dropping the value gives the seat up: to the others this process is dead then, whatever
/// it has left behind.
pub struct Seats {
    me: NonNull<AtomicU32>,
    id: Id,
    table: Table,
    shared: Range<usize>,
    file: OwnedFd,
    /// Holds `me`.
    _page: AnonMap,
}

// SAFETY: `me` is an atomic of a page that the value owns, and the rest is Send.
unsafe impl Send for Seats {}
// SAFETY: as above; what changes is behind a lock.
unsafe impl Sync for Seats {}

impl Seats {
    /// How many bytes the table takes.
    #[must_use]
    pub const fn table_len_bytes(seats: u32) -> usize {
        Table::len_bytes(seats)
    }

    /// Those who share `shared`, where the table of `seats` seats lies at `table`, in memory of
    /// `file`. It takes no seat yet.
    ///
    /// `file` is opened anew through `/proc/self/fd` for each seat, for reading and writing.
    ///
    /// # Errors
    ///
    /// There is no memory for a page, or the kernel wipes none on fork (before Linux 4.14).
    ///
    /// # Panics
    ///
    /// If `seats` is 0 or more than [`Owner::SEATS_MAX`], if the table is not aligned to 64 bytes,
    /// or if it does not lie in `shared`.
    ///
    /// # Safety
    ///
    /// 0. Until the value was dropped, all of `shared` is mapped here, shared, readable and
    ///    writable; forgetting the value leaves it so for good.
    /// 1. All who share it have the table at this place, with this number of seats, and use `file`
    ///    or another descriptor of the same file, which keeps locks of open file descriptions: a
    ///    local file system, or a memory file. The file has one table.
    /// 2. The table began as zeros, and is changed by nothing else.
    /// 3. No process closes, duplicates or hands on descriptors that are not its own, as those of
    ///    this value, which nobody else is told of; and none removes locks on the bytes of `file`
    ///    from 2^62 on.
    pub unsafe fn new(
        table: NonNull<u8>,
        seats: u32,
        shared: Range<*const u8>,
        file: OwnedFd,
    ) -> Result<Seats> {
        let shared = shared.start.addr()..shared.end.addr();
        let end = table.addr().get().checked_add(Table::len_bytes(seats));
        assert!((1..=Owner::SEATS_MAX).contains(&seats), "{seats} seats");
        assert!(table.addr().get().is_multiple_of(64), "a table at {table:p}");
        assert!(
            shared.start <= table.addr().get() && end.is_some_and(|end| end <= shared.end),
            "{seats} seats at {table:p} in {shared:x?}"
        );
        // SAFETY: mapped and shared (0), aligned and inside (above), only for this (2).
        let table = unsafe { Table::new(table, seats) };
        expect_forks().map_err(refused)?;
        let failed = |error: bifolio_map::Error| refused(error.errno().unwrap_or(Errno::NOMEM));
        let mut page = AnonMap::new(size_of::<AtomicU32>()).map_err(failed)?;
        let len = page.len();
        page.wipe_on_fork(0..len).map_err(failed)?;
        let me = NonNull::from(&mut *page).cast::<AtomicU32>();
        Ok(Seats { me, id: Id::new(), table, shared, file, _page: page })
    }

    /// How many seats there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.seats().len()
    }

    /// Never: there is at least one.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        false
    }

    /// The word of invariant 0.
    fn here(&self) -> &AtomicU32 {
        // SAFETY: it lies in the page that the value owns, of which nothing else makes references.
        unsafe { self.me.as_ref() }
    }

    /// Who this process is, if it is somebody.
    #[inline]
    fn sitting(&self) -> Option<Owner> {
        // pairs with: the store in `sit_down`, behind everything that others look up by the owner.
        NonZeroU32::new(self.here().load(Ordering::Acquire)).map(Owner::from_bits)
    }

    /// Takes a seat, unless another thread of this process has.
    #[cold]
    fn sit_down(&self) -> Result<Owner, Errno> {
        let mut sittings = sittings();
        if let Some(owner) = self.sitting() {
            return Ok(owner);
        }
        if let Some(inherited) = sittings.remove(&self.id) {
            inherited.keeper.forget();
        }
        let who = Who {
            pid: getpid().as_raw_pid().cast_unsigned(),
            pid_namespace: pid_namespace()?,
            itself: itself()?,
        };
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOCTTY;
        let path = DescriptorPath::of(&self.file);
        let lock = openat(CWD, path.as_c_str(), flags, Mode::empty())?;
        let owner = self.choose(&lock, who)?;
        // SAFETY: the table stays mapped until this value is dropped, which ends the keeper first;
        // so does the file stay open.
        let keeper = unsafe { Keeper::start(self.table, self.file.as_fd(), owner.seat()) };
        let keeper =
            keeper.inspect_err(|_| self.table.seats()[owner.seat() as usize].clear_who())?;
        sittings.insert(self.id, Sitting { lock: Some(lock), keeper });
        // pairs with: the load in `sitting`.
        self.here().store(owner.bits(), Ordering::Release);
        Ok(owner)
    }

    /// Locks the best seat that is free and sits down there: of those without a keeper, the one
    /// that was used least; then of the others, which the kernel may not have been able to mark.
    fn choose(&self, lock: &OwnedFd, who: Who) -> Result<Owner, Errno> {
        let key = |(number, seat): (usize, &table::Seat)| {
            (seat.is_watched(), seat.generation.load(SeqCst), number as u32)
        };
        let mut order: Vec<_> = self.table.seats().iter().enumerate().map(key).collect();
        order.sort_unstable();
        for (_, _, number) in order {
            match set_lock(lock, number, LockType::Write) {
                Ok(()) => {}
                Err(Errno::AGAIN | Errno::ACCESS) => continue,
                Err(errno) => return Err(errno),
            }
            if let Some(owner) = self.table.sit_down(number, who) {
                return Ok(owner);
            }
            // Its generations are used up.
            set_lock(lock, number, LockType::None)?;
        }
        Err(Errno::USERS)
    }

    /// Whether `owner` is no more, proved.
    fn is_proved_dead(&self, owner: Owner) -> bool {
        self.sitting() != Some(owner) && self.table.is_dead(&self.file, owner)
    }
}

fn refused(errno: Errno) -> Error {
    Error::new(Operation::Attach, errno)
}

// SAFETY: 0: the seat's lock is this process's until it ends or drops the value, its generation is
// nobody else's, and `me` is 0 in a child. 1: `Table::is_dead` says why. 2: the constructor was
// promised `shared`. 3: see the keeper, and `drop`.
unsafe impl Peers for Seats {
    #[inline]
    fn me(&self) -> Result<Owner> {
        match self.sitting() {
            Some(owner) => Ok(owner),
            None => self.sit_down().map_err(refused),
        }
    }

    #[inline]
    fn is_me(&self, owner: Owner) -> bool {
        self.sitting() == Some(owner)
    }

    fn is_dead(&self, owner: Owner) -> bool {
        self.is_proved_dead(owner)
    }

    fn life(&self, owner: Owner) -> Option<Expect<'_>> {
        let seat = self.table.seat(owner.seat())?;
        // The life first: where the generation is still this one, the life was its own.
        let value = seat.life.load(SeqCst);
        let generation = seat.generation.load(SeqCst);
        if generation != owner.generation() {
            return None;
        }
        if self.sitting() == Some(owner) {
            // One's own end needs no notice, and whoever sleeps must not take that of others.
            return Some(Expect { word: &seat.generation, value: generation });
        }
        (value & bifolio_sys::robust::FUTEX_TID_MASK != 0)
            .then_some(Expect { word: &seat.life, value })
    }

    fn announce(&self) {
        self.table.announce();
    }

    fn deaths(&self) -> Expect<'_> {
        let word = &self.table.head().deaths;
        Expect { word, value: word.load(SeqCst) }
    }

    fn contains(&self, start: *const u8, len: usize) -> bool {
        let start = start.addr();
        self.shared.start <= start && start <= self.shared.end && len <= self.shared.end - start
    }
}

impl fmt::Debug for Seats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut seats = f.debug_struct("Seats");
        seats.field("me", &self.sitting()).field("len", &self.len()).finish_non_exhaustive()
    }
}

impl Drop for Seats {
    fn drop(&mut self) {
        let mut sittings = sittings();
        let Some(sitting) = sittings.remove(&self.id) else { return };
        let Some(owner) = self.sitting() else { return sitting.keeper.forget() };
        let seat = &self.table.seats()[owner.seat() as usize];
        self.here().store(0, SeqCst);
        // A kill before the end of the keeper is a death like any other; one after it as well,
        // since the kernel has marked the words and woken a keeper, which will find the lock free.
        seat.clear_who();
        sitting.keeper.end();
        seat.wake_life();
        drop(sitting.lock);
        self.table.tell(seat, owner.generation());
    }
}
