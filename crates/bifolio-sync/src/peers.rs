//! What a lock asks about those who share its memory.
//!
//! # Safety
//!
//! The trait is unsafe to implement: mutual exclusion rests on what it says.
#![allow(unsafe_code, reason = "declares an unsafe trait")]

use crate::error::Result;
use crate::owner::Owner;
use bifolio_sys::futex::Expect;

/// Those who share one piece of memory, as this process sees them.
///
/// # Safety
///
/// An implementer promises:
///
/// 0. [`me`](Self::me) names this process and no other that shares the memory, from its first
///    answer until the process has executed its last instruction on that memory; a child by
///    fork(2) is another process.
/// 1. [`is_dead`](Self::is_dead) is true only of owners whose process has executed its last
///    instruction on the memory, and stays true of them.
/// 2. [`contains`](Self::contains) is true only of memory that all of them share, and that this
///    process has mapped as long as the value lives.
/// 3. [`deaths`](Self::deaths) changes, and all who sleep on it are woken, after
///    [`is_dead`](Self::is_dead) became true of an owner. Not before alone: a thread of the dying
///    process that still sleeps could take a wake-up with it which nobody makes good.
pub unsafe trait Peers {
    /// This process. The first time, and the first time after fork(2), it takes a seat.
    ///
    /// # Errors
    ///
    /// No seat is free, or what taking one needs is refused.
    fn me(&self) -> Result<Owner>;

    /// Whether this process is `owner`. It takes no seat: a child by fork(2) that drops what its
    /// parent holds should not.
    #[inline]
    fn is_me(&self, owner: Owner) -> bool {
        self.me() == Ok(owner)
    }

    /// Whether the kernel proves that `owner` is no more: its seat's lock is free, or another sits
    /// there. False as long as that is not known.
    fn is_dead(&self, owner: Owner) -> bool;

    /// A word to sleep on beside one's own: the kernel changes it and wakes one sleeper when
    /// `owner` begins to die. That is no proof, since its other threads may run for a moment; ask
    /// [`is_dead`](Self::is_dead) again, and while it says no, ask again a little later. Whoever is
    /// woken by it passes that on: [`announce`](Self::announce). `None` where the owner's death has
    /// begun already.
    ///
    /// It makes hearing of a death quicker and is not enough alone: one who is killed may take the
    /// wake-up, and the word may come to stand for another who sits there later. Ask for
    /// [`deaths`](Self::deaths) first, and sleep on that, too.
    fn life(&self, owner: Owner) -> Option<Expect<'_>>;

    /// Wakes all who sleep on the lives of those whose death has begun: whoever was woken by a
    /// life calls it, so that all hear of it although the kernel wakes one.
    fn announce(&self);

    /// A word to sleep on beside one's own, which tells of every death once it is proved.
    ///
    /// Ask for it first, then look at what one waits for, then sleep: whatever a process should
    /// have done and did not, since it was killed, is found by looking again. This is how a wake-up
    /// that a killed process had taken, or owed, reaches another.
    fn deaths(&self) -> Expect<'_>;

    /// Whether the `len` bytes at `start` lie in the memory that is shared.
    fn contains(&self, start: *const u8, len: usize) -> bool;
}
