//! Address ranges whose faults somebody else resolves: a table that a signal handler may read at
//! any instruction.
//!
//! # Invariants
//!
//! 0. A slot's `start`, `end`, `resolver` and `data` change only while its `state` is `CLAIMED`,
//!    and only by the thread that claimed it.
//! 1. A reader uses those fields only between raising `users` and lowering it, and only after it
//!    has seen `LIVE` in between.
//! 2. A slot leaves `RETIRING` only once its `users` is zero: a resolver that runs keeps its
//!    registration, and what `data` points to, alive.
//! 3. Slabs are never freed, so a reader may follow `next` at any time.
//!
//! A range is put where its address says or a few slots further on, in the newest slab, else in
//! another, else in a new one that is twice as large: taking a range in costs the same however many
//! there are, and threads seldom meet in a slot. Finding the range of an address means looking at
//! them all, which only a fault does.
//!
//! It does not order overlapping ranges: if the one that is asked first declines, the next is
//! asked.
//!
//! # Safety
//!
//! Unsafe code follows the list of slabs (invariant 3) and calls resolvers (invariants 1 and 2).
#![allow(unsafe_code, reason = "slabs come from mmap, resolvers are called from a signal handler")]

use super::{Info, Resolution, Resolver};
use crate::Errno;
use crate::sync::{AtomicPtr, AtomicU32, AtomicUsize, Ordering, fence, yield_now};
use core::ops::Range;
use core::ptr::{NonNull, null_mut};

const FREE: u32 = 0;
const CLAIMED: u32 = 1;
const LIVE: u32 = 2;
const RETIRING: u32 = 3;

pub(super) struct Slot {
    state: AtomicU32,
    users: AtomicU32,
    start: AtomicUsize,
    end: AtomicUsize,
    resolver: AtomicUsize,
    data: AtomicUsize,
}

impl Slot {
    #[cfg(not(loom))]
    pub(super) const fn empty() -> Slot {
        Slot {
            state: AtomicU32::new(FREE),
            users: AtomicU32::new(0),
            start: AtomicUsize::new(0),
            end: AtomicUsize::new(0),
            resolver: AtomicUsize::new(0),
            data: AtomicUsize::new(0),
        }
    }

    fn claim(&self, range: &Range<usize>, resolver: Resolver, data: usize) -> bool {
        // Relaxed: a slot that is taken is passed over, without taking its line from its owner.
        if self.state.load(Ordering::Relaxed) != FREE {
            return false;
        }
        // Acquire pairs with the release that set FREE: the last owner's fields are no longer read.
        if self.state.compare_exchange(FREE, CLAIMED, Ordering::Acquire, Ordering::Relaxed).is_err()
        {
            return false; // relaxed: as above
        }
        // Relaxed: the release below publishes all four.
        self.start.store(range.start, Ordering::Relaxed);
        self.end.store(range.end, Ordering::Relaxed); // relaxed: as above
        self.resolver.store(resolver as usize, Ordering::Relaxed); // relaxed: as above
        self.data.store(data, Ordering::Relaxed); // relaxed: as above
        // Release pairs with the acquire loads of `state` in `ask`.
        self.state.store(LIVE, Ordering::Release);
        true
    }

    fn retire(&self) {
        // Relaxed: the fence orders it before the look at `users`, and a reader's fence orders its
        // count before its look at `state` (the store-buffer pattern: at least one of the
        // two sees the other).
        self.state.store(RETIRING, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        // Acquire pairs with the release in `ask` that lowers the count: the resolver's work is
        // over.
        while self.users.load(Ordering::Acquire) != 0 {
            yield_now();
        }
        // Release pairs with the acquire in `claim`.
        self.state.store(FREE, Ordering::Release);
    }

    fn holds(&self, addr: usize) -> bool {
        // Relaxed: the caller has seen LIVE with acquire, which published both; a slot that was
        // recycled since is looked at again.
        self.start.load(Ordering::Relaxed) <= addr && addr < self.end.load(Ordering::Relaxed)
    }

    fn ask(&self, info: &Info) -> Resolution {
        // Acquire pairs with the release in `claim`.
        if self.state.load(Ordering::Acquire) != LIVE || !self.holds(info.addr) {
            return Resolution::Decline;
        }
        // Relaxed: the fence orders it before the second look at `state`; pairs with the fence in
        // `retire`.
        self.users.fetch_add(1, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        // The slot may have been retired and given away since: everything is looked at again.
        // Acquire pairs with the release in `claim`.
        let answer = if self.state.load(Ordering::Acquire) == LIVE && self.holds(info.addr) {
            // Relaxed: published by the release in `claim`, and kept by invariant 2 while `users`
            // is raised.
            let resolver = self.resolver.load(Ordering::Relaxed);
            let data = self.data.load(Ordering::Relaxed); // relaxed: as above
            // SAFETY: by invariant 0 the word was stored from a `Resolver`.
            let resolver = unsafe { core::mem::transmute::<usize, Resolver>(resolver) };
            // SAFETY: `register` demanded a resolver that may be called in a handler for its range;
            // invariant 2 keeps `data` alive.
            unsafe { resolver(info, data) }
        } else {
            Resolution::Decline
        };
        // Release pairs with the acquire in `retire`.
        self.users.fetch_sub(1, Ordering::Release);
        answer
    }
}

/// How many slots the first slab has: a power of two, as all have.
pub(super) const FIRST_SLOTS: usize = 64;
/// How many slots of a slab are tried before the next slab.
const TRIES: usize = 8;

struct Slab {
    slots: &'static [Slot],
    next: AtomicPtr<Slab>,
}

/// All registered ranges of the process.
pub(super) struct Table {
    first: Slab,
    /// The slab to look for a slot in first: the newest, which has half of all; null for the first.
    newest: AtomicPtr<Slab>,
}

impl Table {
    #[cfg(not(loom))]
    pub(super) const fn new(slots: &'static [Slot; FIRST_SLOTS]) -> Self {
        let first = Slab { slots, next: AtomicPtr::new(null_mut()) };
        Table { first, newest: AtomicPtr::new(null_mut()) }
    }

    /// Finds a slot for `range`, with a further slab where those it may have are taken.
    pub(super) fn insert(
        &self,
        range: &Range<usize>,
        resolver: Resolver,
        data: usize,
    ) -> Result<&'static Slot, Errno> {
        let place = place(range.start);
        // Acquire pairs with the release below: the slab behind the pointer is initialised.
        // SAFETY: a slab that is linked is never freed (invariant 3).
        let newest = unsafe { self.newest.load(Ordering::Acquire).as_ref() };
        let mut slab = &self.first;
        if let Some(slot) = newest.unwrap_or(slab).claim(place, range, resolver, data) {
            return Ok(slot);
        }
        loop {
            if let Some(slot) = slab.claim(place, range, resolver, data) {
                return Ok(slot);
            }
            slab = match slab.next() {
                Some(next) => next,
                None => {
                    let fresh = slab.extend()?;
                    // Release pairs with the acquire above.
                    self.newest.store((&raw const *fresh).cast_mut(), Ordering::Release);
                    fresh
                }
            };
        }
    }

    /// Takes a range out again; waits for resolvers that are at work on it.
    pub(super) fn remove(&self, slot: &Slot) {
        slot.retire();
    }

    /// Asks the resolvers whose range holds the address, until one resolves the fault.
    /// Async-signal-safe.
    pub(super) fn resolve(&self, info: &Info) -> Resolution {
        let mut slab = Some(&self.first);
        while let Some(here) = slab {
            for slot in here.slots {
                if slot.ask(info) == Resolution::Retry {
                    return Resolution::Retry;
                }
            }
            slab = here.next();
        }
        Resolution::Decline
    }
}

impl Slab {
    /// Takes one of the few slots that the place permits.
    fn claim(
        &self,
        place: usize,
        range: &Range<usize>,
        resolver: Resolver,
        data: usize,
    ) -> Option<&'static Slot> {
        let slots = self.slots;
        let mask = slots.len() - 1;
        (0..slots.len().min(TRIES))
            .map(|i| &slots[(place + i) & mask])
            .find(|slot| slot.claim(range, resolver, data))
    }

    fn next(&self) -> Option<&Slab> {
        // Acquire pairs with the release in `extend`: the slab behind the pointer is initialised.
        // SAFETY: a slab that is linked is never freed (invariant 3).
        unsafe { self.next.load(Ordering::Acquire).as_ref() }
    }

    /// Links a new slab behind this one, or finds the one that another thread linked first.
    fn extend(&self) -> Result<&Slab, Errno> {
        let fresh = new_slab(2 * self.slots.len())?;
        // Release pairs with the acquire in `next`; acquire, on failure, with the release of the
        // thread that was first.
        let linked = self.next.compare_exchange(
            null_mut(),
            fresh.as_ptr(),
            Ordering::Release,
            Ordering::Acquire, // pairs with the other thread's release
        );
        if let Err(other) = linked {
            // SAFETY: `fresh` was never linked, so nobody else knows it.
            unsafe { free_slab(fresh) };
            // SAFETY: a slab that is linked is never freed (invariant 3).
            return Ok(unsafe { &*other });
        }
        // SAFETY: as above; it is linked now.
        Ok(unsafe { &*fresh.as_ptr() })
    }
}

/// Where the search for a slot begins: pages that are neighbours begin far from each other
/// (Fibonacci hashing; Knuth, The Art of Computer Programming 3, 6.4).
const fn place(addr: usize) -> usize {
    (addr >> 12).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32
}

/// How many bytes a slab of so many slots takes.
#[cfg(not(loom))]
const fn slab_bytes(slots: usize) -> usize {
    size_of::<Slab>() + slots * size_of::<Slot>()
}

#[cfg(not(loom))]
const _: () = assert!(align_of::<Slab>() == align_of::<Slot>() && FIRST_SLOTS.is_power_of_two());

/// A slab of so many slots, all empty.
#[cfg(not(loom))]
fn new_slab(slots: usize) -> Result<NonNull<Slab>, Errno> {
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: no address is asked for, so no mapping is replaced.
    let memory =
        unsafe { mmap_anonymous(null_mut(), slab_bytes(slots), protection, MapFlags::PRIVATE) }?;
    let slab = NonNull::new(memory.cast::<Slab>()).ok_or(Errno::NOMEM)?;
    // SAFETY: the slots follow their slab, inside what was mapped for both.
    let first = unsafe { slab.add(1) }.cast::<Slot>();
    // SAFETY: fresh from mmap(2) and so zeroed, which is an empty slot, aligned as the slab is
    // (asserted above), and never unmapped once it is linked (invariant 3).
    let slots = unsafe { core::slice::from_raw_parts(first.as_ptr(), slots) };
    // SAFETY: the memory is ours, writable and aligned to a page.
    unsafe { slab.write(Slab { slots, next: AtomicPtr::new(null_mut()) }) };
    Ok(slab)
}

/// Gives an unused slab back.
///
/// # Safety
///
/// `slab` came from `new_slab` and nobody else knows it.
#[cfg(not(loom))]
unsafe fn free_slab(slab: NonNull<Slab>) {
    // SAFETY: the caller's promise: it is initialised.
    let slots = unsafe { slab.as_ref() }.slots.len();
    // SAFETY: the caller's promise. Unmapping one's own mapping fails only for want of memory; then
    // it stays.
    let _ = unsafe { rustix::mm::munmap(slab.as_ptr().cast(), slab_bytes(slots)) };
}

#[cfg(loom)]
mod model {
    //! Explores every interleaving of a look-up with registration, removal and reuse of the slot.
    extern crate std;
    use super::*;
    use crate::fault::Signal;
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;

    use std::boxed::Box;

    impl Table {
        fn for_model() -> Self {
            Table { first: Slab::for_model(), newest: AtomicPtr::new(null_mut()) }
        }
    }

    impl Slab {
        fn for_model() -> Self {
            let slot = Slot {
                state: AtomicU32::new(FREE),
                users: AtomicU32::new(0),
                start: AtomicUsize::new(0),
                end: AtomicUsize::new(0),
                resolver: AtomicUsize::new(0),
                data: AtomicUsize::new(0),
            };
            // One slot a slab, so that two ranges already need a second slab.
            let slots = Box::leak(Box::new([slot]));
            Slab { slots, next: AtomicPtr::new(null_mut()) }
        }
    }

    pub(super) fn new_slab(_: usize) -> Result<NonNull<Slab>, Errno> {
        Ok(NonNull::from(Box::leak(Box::new(Slab::for_model()))))
    }

    pub(super) unsafe fn free_slab(slab: NonNull<Slab>) {
        // SAFETY: it came from `new_slab` above and was never linked. Its slot is leaked.
        drop(unsafe { Box::from_raw(slab.as_ptr()) });
    }

    /// What a registration points to: its owner destroys it once the registration is taken back,
    /// and the checker sees any reading that is not ordered before that.
    struct Owned {
        is_alive: UnsafeCell<bool>,
    }

    impl Owned {
        fn new() -> Arc<Self> {
            Arc::new(Owned { is_alive: UnsafeCell::new(true) })
        }

        fn destroy(&self) {
            // SAFETY: the checker verifies that nobody reads at the same time.
            self.is_alive.with_mut(|is_alive| unsafe { *is_alive = false });
        }
    }

    // SAFETY: the models order all access to the cell, which the checker verifies.
    unsafe impl Sync for Owned {}
    // SAFETY: as above.
    unsafe impl Send for Owned {}

    unsafe fn resolver(_: &Info, data: usize) -> Resolution {
        // SAFETY: the models keep every `Owned` allocated to their end.
        let owned = unsafe { &*(data as *const Owned) };
        // SAFETY: the checker verifies that nobody writes at the same time.
        let is_alive = owned.is_alive.with(|is_alive| unsafe { *is_alive });
        assert!(is_alive, "a resolver ran after its removal");
        Resolution::Retry
    }

    fn info(addr: usize) -> Info {
        Info { addr, signal: Signal::Segv, si_code: 1, is_write: None, pc: 0, is_guarded: false }
    }

    #[test]
    fn a_removed_resolver_never_runs() {
        loom::model(|| {
            let table = Arc::new(Table::for_model());
            let owned = Owned::new();
            let data = &raw const *owned as usize;
            let slot: *const Slot = table.insert(&(100..200), resolver, data).unwrap();
            let reader = {
                let (table, _keep) = (Arc::clone(&table), Arc::clone(&owned));
                loom::thread::spawn(move || {
                    let _keep = _keep;
                    table.resolve(&info(150));
                })
            };
            // SAFETY: slots live as long as their table.
            table.remove(unsafe { &*slot });
            owned.destroy();
            reader.join().unwrap();
            assert_eq!(table.resolve(&info(150)), Resolution::Decline);
        });
    }

    #[test]
    fn a_reused_slot_never_mixes_two_registrations() {
        unsafe fn first(info: &Info, data: usize) -> Resolution {
            assert_eq!(
                (info.addr / 100, data),
                (1, 1),
                "the first resolver got what is not its own"
            );
            Resolution::Retry
        }
        unsafe fn second(info: &Info, data: usize) -> Resolution {
            assert_eq!(
                (info.addr / 100, data),
                (3, 2),
                "the second resolver got what is not its own"
            );
            Resolution::Retry
        }
        loom::model(|| {
            let table = Arc::new(Table::for_model());
            let slot: *const Slot = table.insert(&(100..200), first, 1).unwrap();
            let reader = {
                let table = Arc::clone(&table);
                loom::thread::spawn(move || {
                    table.resolve(&info(150));
                    table.resolve(&info(350));
                })
            };
            // SAFETY: slots live as long as their table.
            table.remove(unsafe { &*slot });
            table.insert(&(300..400), second, 2).unwrap();
            reader.join().unwrap();
        });
    }

    #[test]
    fn two_threads_may_extend_the_table_at_once() {
        loom::model(|| {
            let table = Arc::new(Table::for_model());
            let owned = Owned::new();
            let data = &raw const *owned as usize;
            let other = {
                let table = Arc::clone(&table);
                loom::thread::spawn(move || {
                    table.insert(&(100..200), resolver, data).unwrap();
                })
            };
            table.insert(&(300..400), resolver, data).unwrap();
            other.join().unwrap();
            assert_eq!(table.resolve(&info(150)), Resolution::Retry);
            assert_eq!(table.resolve(&info(350)), Resolution::Retry);
        });
    }
}

#[cfg(loom)]
use model::{free_slab, new_slab};
