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
//! It does not order overlapping ranges: the first slot that holds the address is asked first, the
//! next one if that declines.
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
    const fn empty() -> Slot {
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
        // Acquire pairs with the release that set FREE: the last owner's fields are no longer read.
        if self.state.compare_exchange(FREE, CLAIMED, Ordering::Acquire, Ordering::Relaxed).is_err()
        {
            return false; // relaxed: a slot that is taken is simply passed over
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

#[cfg(not(loom))]
const SLAB_SLOTS: usize = (4096 - size_of::<usize>()) / size_of::<Slot>();
#[cfg(loom)]
const SLAB_SLOTS: usize = 1;

struct Slab {
    slots: [Slot; SLAB_SLOTS],
    next: AtomicPtr<Slab>,
}

#[cfg(not(loom))]
const _: () = assert!(size_of::<Slab>() <= 4096);

/// All registered ranges of the process.
pub(super) struct Table {
    first: Slab,
}

impl Table {
    #[cfg(not(loom))]
    pub(super) const fn new() -> Self {
        Table {
            first: Slab {
                slots: [const { Slot::empty() }; SLAB_SLOTS],
                next: AtomicPtr::new(null_mut()),
            },
        }
    }

    /// Finds a slot for `range`, with a further slab where all are taken.
    pub(super) fn insert(
        &self,
        range: &Range<usize>,
        resolver: Resolver,
        data: usize,
    ) -> Result<&Slot, Errno> {
        let mut slab = &self.first;
        loop {
            if let Some(slot) = slab.slots.iter().find(|slot| slot.claim(range, resolver, data)) {
                return Ok(slot);
            }
            slab = match slab.next() {
                Some(next) => next,
                None => slab.extend()?,
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
            for slot in &here.slots {
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
    fn next(&self) -> Option<&Slab> {
        // Acquire pairs with the release in `extend`: the slab behind the pointer is initialised.
        // SAFETY: a slab that is linked is never freed (invariant 3).
        unsafe { self.next.load(Ordering::Acquire).as_ref() }
    }

    /// Links a new slab behind this one, or finds the one that another thread linked first.
    fn extend(&self) -> Result<&Slab, Errno> {
        let fresh = new_slab()?;
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

/// A zeroed slab, which is an empty one.
#[cfg(not(loom))]
fn new_slab() -> Result<NonNull<Slab>, Errno> {
    use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
    let protection = ProtFlags::READ | ProtFlags::WRITE;
    // SAFETY: no address is asked for, so no mapping is replaced.
    let slab =
        unsafe { mmap_anonymous(null_mut(), size_of::<Slab>(), protection, MapFlags::PRIVATE) }?;
    NonNull::new(slab.cast()).ok_or(Errno::NOMEM)
}

/// Gives an unused slab back.
///
/// # Safety
///
/// `slab` came from `new_slab` and nobody else knows it.
#[cfg(not(loom))]
unsafe fn free_slab(slab: NonNull<Slab>) {
    // SAFETY: the caller's promise. Unmapping one's own mapping fails only for want of memory; then
    // it stays.
    let _ = unsafe { rustix::mm::munmap(slab.as_ptr().cast(), size_of::<Slab>()) };
}

#[cfg(all(test, loom))]
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
            Table { first: Slab::for_model() }
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
            Slab { slots: [slot], next: AtomicPtr::new(null_mut()) }
        }
    }

    pub(super) fn new_slab() -> Result<NonNull<Slab>, Errno> {
        Ok(NonNull::from(Box::leak(Box::new(Slab::for_model()))))
    }

    pub(super) unsafe fn free_slab(slab: NonNull<Slab>) {
        // SAFETY: it came from `new_slab` above and was never linked.
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
        Info { addr, signal: Signal::Segv, si_code: 1, is_write: None, pc: 0 }
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

#[cfg(all(test, loom))]
use model::{free_slab, new_slab};
