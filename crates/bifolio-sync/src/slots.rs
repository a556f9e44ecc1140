//! Which processes take part in something, and how often: a few slots, each of one process.
//!
//! ```text
//!  63                      34 33                                       0
//! +--------------------------+------------------------------------------+
//! | owner: seat, generation  | count; both zero: the slot is free       |
//! +--------------------------+------------------------------------------+
//! ```
//!
//! 1. A slot goes from free to its owner with a count, and back, in one step: when a process is
//!    killed, what it has is exactly what stands there.
//! 2. Only the owner changes its slot, and whoever proved that the owner is dead, to free.
//! 3. `leaving` is odd if somebody may sleep until a slot changes, and changes for good when they
//!    are woken. Whoever will sleep makes it odd before it looks at all slots for the last time;
//!    whoever leaves changes its slot before it looks at `leaving`. One sees the other.
//!
//! What is true if the process dies between two steps: whoever left and woke nobody, whoever set
//! `leaving` odd, and whoever had something, are found by all who are woken by the death.

use crate::owner::Owner;
use crate::peers::Peers;
use crate::wait::{Pace, Patience, Refused};
use crate::word::{Long, Word, constructor};

const COUNT_BITS: u32 = 64 - Owner::BITS;
const COUNT_MAX: u64 = (1 << COUNT_BITS) - 1;

/// `N` slots.
#[repr(C)]
pub(crate) struct Slots<const N: usize> {
    leaving: Word,
    pub(crate) pace: Pace,
    slots: [Long; N],
}

/// Where a process has its count.
#[derive(Clone, Copy)]
pub(crate) struct Slot(usize);

fn owner_of(slot: u64) -> Option<Owner> {
    Owner::in_word((slot >> COUNT_BITS) as u32)
}

impl<const N: usize> Slots<N> {
    constructor! {
        pub(crate) fn new() -> Slots<N> {
            const { assert!(N > 0, "there must be a slot") };
            Slots { leaving: Word::new(0), pace: Pace::new(), slots: Self::free() }
        }
    }

    #[cfg(not(loom))]
    const fn free() -> [Long; N] {
        [const { Long::new(0) }; N]
    }

    #[cfg(loom)]
    fn free() -> [Long; N] {
        [(); N].map(|()| Long::new(0))
    }

    /// Adds to what `me` has; `None` if all slots are others'.
    #[inline]
    pub(crate) fn enter(&self, me: Owner, count: u32) -> Option<Slot> {
        // Each process begins at another slot, so that they meet seldom.
        let first = me.seat() as usize % N;
        (0..N)
            .map(|offset| (first + offset) % N)
            .find(|index| self.add(*index, me, count))
            .map(Slot)
    }

    fn add(&self, index: usize, me: Owner, count: u32) -> bool {
        loop {
            let slot = self.slots[index].peek();
            let new = match slot {
                0 => u64::from(me.bits()) << COUNT_BITS,
                _ if owner_of(slot) == Some(me) => slot,
                _ => return false,
            };
            let room = COUNT_MAX - (new & COUNT_MAX);
            if room < u64::from(count) {
                return false;
            }
            if self.slots[index].replace(slot, new + u64::from(count)) {
                return true;
            }
        }
    }

    /// Takes away from what this process has there, and wakes those who wait for that.
    #[inline]
    pub(crate) fn leave(&self, Slot(index): Slot, count: u32) {
        loop {
            let slot = self.slots[index].peek();
            let rest = slot - u64::from(count);
            let new = if rest & COUNT_MAX == 0 { 0 } else { rest };
            if self.slots[index].replace(slot, new) {
                break;
            }
        }
        let leaving = self.leaving.load();
        if leaving & 1 != 0 {
            self.wake(leaving);
        }
    }

    #[cold]
    fn wake(&self, leaving: u32) {
        // Where another was faster it woke them after this slot changed.
        if self.leaving.flag(leaving, leaving.wrapping_add(1)) {
            self.leaving.wake(u32::MAX);
        }
    }

    /// The sum of all counts.
    #[inline]
    pub(crate) fn sum(&self) -> u64 {
        self.slots.iter().map(|slot| slot.load() & COUNT_MAX).sum()
    }

    /// The sum of all counts of those who live; frees the slots of the dead.
    pub(crate) fn sum_alive(&self, peers: &impl Peers) -> u64 {
        let alive = |long: &Long| {
            let slot = long.load();
            match owner_of(slot) {
                Some(owner) if peers.is_dead(owner) => {
                    // Another may have done so, and a process that lives sits there now.
                    if long.replace(slot, 0) { 0 } else { long.load() & COUNT_MAX }
                }
                _ => slot & COUNT_MAX,
            }
        };
        self.slots.iter().map(alive).sum()
    }

    /// Sleeps until somebody leaves, unless `ready` after that was said; may return for no reason.
    pub(crate) fn sleep_unless(
        &self,
        peers: &impl Peers,
        patience: Patience,
        ready: impl FnOnce() -> bool,
    ) -> Result<(), Refused> {
        let deaths = peers.deaths();
        let leaving = self.leaving.peek();
        let asleep = leaving | 1;
        if !self.leaving.replace(leaving, asleep) || ready() {
            return Ok(());
        }
        patience.sleep(self.leaving.expect(asleep), deaths)
    }

    /// Whether `me` would find a slot; frees those of the dead.
    pub(crate) fn has_room(&self, peers: &impl Peers, me: Owner) -> bool {
        self.sum_alive(peers);
        self.slots.iter().map(Long::load).any(|slot| slot == 0 || owner_of(slot) == Some(me))
    }
}
