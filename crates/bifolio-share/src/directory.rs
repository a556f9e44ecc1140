//! `Directory`: from names to objects, without a lock for those who look.
//!
//! A table of open addressing: an object is in the first entry from the place of its hash on that
//! had room, and a search ends at the first empty one.
//!
//! # Invariants
//!
//! 0. Entries get a name, and give it up, under the lock only. So no name has two entries, and one
//!    of two who claim a name at once is first.
//! 1. Between the place of a hash and an entry that has it there is no empty entry.
//! 2. An entry that is being made has its maker in it. Nobody else writes to it while that lives.
//! 3. `changes` is raised, and all who sleep on it are woken, after an object became ready or a
//!    claim was given up. A death that comes between is told to them by `Peers::deaths`.
//!
//! What is true if the process dies after a step:
//!
//! | it has | what stands there | who goes on |
//! |---|---|---|
//! | written a name | an entry as before, with another version | the next one overwrites it |
//! | claimed the entry | a maker who is dead | whoever wants the name takes it over |
//! | made the object ready | an object, sleepers not woken | they are woken by the death |
//! | removed it | entries that are removed | the next removal, or nobody: they cost a look |
//!
//! # Safety
//!
//! References are made to entries, whose fields are all atomics, in memory that the constructor is
//! promised.
#![allow(unsafe_code, reason = "makes references into memory that it was lent")]

use std::mem::{offset_of, size_of};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use bifolio_sync::{Deadline, Expect, LockError, Mutex, MutexGuard, Owner, Peers};
use bifolio_sys::{Errno, futex};

use crate::ground::Ground;
use crate::object_error::ObjectErrorKind;

mod entry;

pub(crate) use entry::{Entry, Kind, Name, Place, fingerprint_of_array};

type Result<T> = std::result::Result<T, ObjectErrorKind>;

#[repr(C, align(64))]
struct Head {
    lock: Mutex<()>,
    changes: AtomicU32,
    unused: [u32; 13],
}

const _: () = assert!(size_of::<Head>() == 64 && offset_of!(Head, changes) == 8);

/// The names of what lies in a region.
///
/// Memory of zeros is a directory without names.
#[derive(Debug)]
pub struct Directory {
    head: NonNull<Head>,
    mask: u32,
}

// SAFETY: it leads to atomics and to a lock, which all processes share anyway.
unsafe impl Send for Directory {}
// SAFETY: as above.
unsafe impl Sync for Directory {}

/// What became of the wish to make an object.
pub(crate) enum Claimed {
    /// The entry of this number is the caller's to fill.
    Mine(u32),
    /// The object is there.
    Ready(u32, Place),
    /// Another makes it at the moment.
    Busy,
}

impl Directory {
    /// How many bytes a name has at most; at least it has one.
    pub const NAME_LEN_MAX: usize = Name::LEN_MAX;
    /// How many entries there are at most.
    pub const CAPACITY_MAX: u32 = 1 << 24;

    /// How many bytes a directory with `capacity` entries takes.
    #[must_use]
    pub const fn len_bytes(capacity: u32) -> usize {
        size_of::<Head>() + capacity as usize * size_of::<Entry>()
    }

    /// The directory that lies at `start`.
    ///
    /// # Panics
    ///
    /// `capacity` is not a power of two up to [`CAPACITY_MAX`](Self::CAPACITY_MAX), or `start` is
    /// not a multiple of 64.
    ///
    /// # Safety
    ///
    /// 0. [`len_bytes`](Self::len_bytes) bytes from `start` on are mapped, shared, readable and
    ///    writable, as long as the value is used.
    /// 1. They began as zeros, and are changed by directories of this capacity alone.
    #[must_use]
    pub unsafe fn new(start: NonNull<u8>, capacity: u32) -> Directory {
        assert!(capacity.is_power_of_two() && capacity <= Self::CAPACITY_MAX, "{capacity}");
        assert!(start.addr().get().is_multiple_of(64), "a directory at {start:p}");
        Directory { head: start.cast(), mask: capacity - 1 }
    }

    /// How many entries there are; no more objects than that have names.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.mask + 1
    }

    fn head(&self) -> &Head {
        // SAFETY: mapped and aligned (constructor), of an atomic and a lock alone.
        unsafe { self.head.as_ref() }
    }

    /// The entry of this number, modulo the capacity.
    #[inline]
    pub(crate) fn entry(&self, index: u32) -> &Entry {
        let skip = size_of::<Head>() + (index & self.mask) as usize * size_of::<Entry>();
        // SAFETY: the number is below the capacity, so the entry lies inside (constructor, 0).
        let place = unsafe { self.head.byte_add(skip) };
        // SAFETY: mapped, aligned to 64 as the start is, and of atomics alone.
        unsafe { place.cast::<Entry>().as_ref() }
    }

    fn lock<'g, G: Ground>(&'g self, ground: &'g G) -> Result<MutexGuard<'g, (), G>> {
        match self.head().lock.lock(ground) {
            Ok(guard) => Ok(guard),
            Err(LockError::OwnerDead(mut guard)) => {
                // Each step under it leaves a directory that is whole.
                guard.repaired();
                Ok(guard)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The entries in which a name can be, in order.
    #[inline]
    fn path(&self, hash: u64) -> impl Iterator<Item = u32> {
        let start = hash as u32;
        (0..=self.mask).map(move |step| start.wrapping_add(step) & self.mask)
    }

    /// Where the object of this name is. It takes no lock and no seat.
    #[inline]
    pub(crate) fn find(&self, name: &Name) -> Option<(u32, Place)> {
        for index in self.path(name.hash) {
            let entry = self.entry(index);
            if let Some(place) = entry.read(|entry| entry.is_named(name)) {
                return Some((index, place));
            }
            if entry.kind() == Kind::Empty {
                return None;
            }
        }
        None
    }

    /// Whether the entry of this number has its object there.
    pub(crate) fn refers(&self, index: u32, offset: u64) -> bool {
        self.entry(index).read(|_| true).is_some_and(|place| place.offset == offset)
    }

    /// Asks for the name: exactly one of all who do is told that it is his.
    pub(crate) fn claim(&self, ground: &impl Ground, name: &Name) -> Result<Claimed> {
        let me = ground.me()?;
        let _guard = self.lock(ground)?;
        let mut room = None;
        for index in self.path(name.hash) {
            let entry = self.entry(index);
            let kind = entry.kind();
            match kind {
                Kind::Ready | Kind::Making(_) if !entry.is_named(name) => {}
                Kind::Ready => {
                    let place =
                        entry.read(|_| true).ok_or(ObjectErrorKind::BrokenEntry { index })?;
                    return Ok(Claimed::Ready(index, place));
                }
                Kind::Making(owner) if ground.is_dead(owner) => {
                    // What it had reserved is found by the next sweep.
                    entry.claim(name, me);
                    return Ok(Claimed::Mine(index));
                }
                Kind::Making(_) => return Ok(Claimed::Busy),
                Kind::Removed | Kind::Empty => room = room.or(Some(index)),
                Kind::Broken => return Err(ObjectErrorKind::BrokenEntry { index }),
            }
            if kind == Kind::Empty {
                break;
            }
        }
        let index = room.ok_or(ObjectErrorKind::DirectoryFull { capacity: self.capacity() })?;
        self.entry(index).claim(name, me);
        Ok(Claimed::Mine(index))
    }

    /// Says that the object of a claim is there.
    pub(crate) fn publish(&self, index: u32, place: Place) {
        self.entry(index).publish(place);
        self.tell();
    }

    /// Gives up a claim of `owner`.
    pub(crate) fn give_up(&self, ground: &impl Ground, index: u32, owner: Owner) -> Result<()> {
        let guard = self.lock(ground)?;
        if self.entry(index).kind() == Kind::Making(owner) {
            self.vacate(index);
        }
        drop(guard);
        self.tell();
        Ok(())
    }

    /// Takes the name off its object; where that was.
    pub(crate) fn remove(&self, ground: &impl Ground, name: &Name) -> Result<Place> {
        let _guard = self.lock(ground)?;
        let (index, place) = self.find(name).ok_or(ObjectErrorKind::NotFound)?;
        // From here on the block tells by itself that an object was seen in it.
        ground.arena().commit(ground, place.offset)?;
        self.vacate(index);
        Ok(place)
    }

    /// Under the lock: empties the entry, and those before it over which no search goes any more.
    fn vacate(&self, index: u32) {
        self.entry(index).remove();
        let mut last = index;
        for _ in 0..=self.mask {
            let next = self.entry(last.wrapping_add(1));
            if next.kind() != Kind::Empty || self.entry(last).kind() != Kind::Removed {
                return;
            }
            self.entry(last).clear();
            last = last.wrapping_sub(1);
        }
    }

    fn tell(&self) {
        let changes = &self.head().changes;
        changes.fetch_add(1, SeqCst);
        // It fails where the memory is gone, and then nobody sleeps on it.
        let _ = futex::wake(changes, u32::MAX);
    }

    /// Calls `look` until it finds something, each time that something has changed.
    pub(crate) fn wait<T>(
        &self,
        peers: &impl Peers,
        deadline: Option<Deadline>,
        mut look: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        loop {
            let word = &self.head().changes;
            let change = Expect { word, value: word.load(SeqCst) };
            let deaths = peers.deaths();
            if let Some(found) = look()? {
                return Ok(found);
            }
            match sleep([change, deaths], deadline) {
                Ok(()) | Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::TIMEDOUT) => return Err(ObjectErrorKind::TimedOut),
                Err(errno) => {
                    let error = bifolio_sync::Error::new(bifolio_sync::Operation::Wait, errno);
                    return Err(error.into());
                }
            }
        }
    }

    /// Gives up the claims of the dead; how many there were.
    pub(crate) fn repair(&self, ground: &impl Ground) -> Result<u64> {
        let guard = self.lock(ground)?;
        let mut count = 0;
        for index in 0..=self.mask {
            match self.entry(index).kind() {
                Kind::Making(owner) if ground.is_dead(owner) => {
                    self.vacate(index);
                    count += 1;
                }
                Kind::Broken => return Err(ObjectErrorKind::BrokenEntry { index }),
                _ => {}
            }
        }
        drop(guard);
        if count > 0 {
            self.tell();
        }
        Ok(count)
    }

    /// Goes through all entries: each is found by its name, and has its block.
    pub(crate) fn verify(&self, ground: &impl Ground) -> Result<()> {
        let _guard = self.lock(ground)?;
        for index in 0..=self.mask {
            let entry = self.entry(index);
            let broken = ObjectErrorKind::BrokenEntry { index };
            let kind = entry.kind();
            if kind == Kind::Broken {
                return Err(broken);
            }
            if matches!(kind, Kind::Empty | Kind::Removed) {
                continue;
            }
            let name = entry.name().and_then(|name| Name::new(name.as_str())).ok_or(broken)?;
            let first = self.path(name.hash).find(|index| {
                let entry = self.entry(*index);
                match entry.kind() {
                    Kind::Ready | Kind::Making(_) => entry.is_named(&name),
                    kind => kind == Kind::Empty,
                }
            });
            let place = entry.read(|_| true);
            let placed =
                place.is_none_or(|place| ground.arena().holds(ground, index + 1, place.offset));
            if entry.hash() != name.hash || first != Some(index) || !placed {
                return Err(broken);
            }
        }
        Ok(())
    }
}

/// Sleeps while both words have their values.
fn sleep(words: [Expect<'_>; 2], deadline: Option<Deadline>) -> std::result::Result<(), Errno> {
    match futex::wait_any(&words, deadline) {
        Ok(_) => Ok(()),
        // Before Linux 5.16 one does not hear of deaths: one looks.
        Err(Errno::NOSYS | Errno::PERM) => {
            let soon = Deadline::after(Duration::from_millis(20));
            let until = deadline.map_or(soon, |deadline| soon.map(|soon| soon.min(deadline)));
            match futex::wait(words[0].word, words[0].value, until) {
                Err(Errno::TIMEDOUT) if !deadline.is_some_and(Deadline::is_past) => Ok(()),
                other => other,
            }
        }
        Err(errno) => Err(errno),
    }
}
