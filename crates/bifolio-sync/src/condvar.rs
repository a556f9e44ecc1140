//! `Condvar`: sleeping until another says that the value of a mutex changed.
//!
//! `turn` changes with each notification; who waits sleeps on it. `sleepers` changes with each wait
//! and is zero when nobody sleeps for certain: a notification then costs no system call.
//!
//! 1. Whoever waits read `turn` and changed `sleepers` while it held the mutex. So a notification
//!    by whoever held the mutex later finds `sleepers` changed, and changes `turn` after that.
//! 2. `sleepers` becomes zero only where it did not change since before a wake-up that reached
//!    nobody, or that reached all: whoever began to wait earlier sees another `turn` or is awake.
//!    For that, a notification that sees the change of `sleepers` must not change `turn` before it
//!    was read: release and acquire of `sleepers`. No model shows it, since loom runs no load after
//!    what follows it.
//!
//! Whoever changed the value under the mutex has a seat, so that its death is noticed.
//!
//! What is true if the process dies between two steps: whoever changed `turn` and woke nobody, and
//! whoever was woken, leave others asleep, whom the death wakes. Whoever changed `sleepers` and
//! sleeps no more costs the next notification a system call.

use core::time::Duration;

use bifolio_sys::futex::Deadline;

use crate::error::Result;
use crate::held::inside;
use crate::mutex::{LockResult, MutexGuard};
use crate::peers::Peers;
use crate::refusal::LockError;
use crate::shared::Shared;
use crate::wait::{Patience, in_time};
use crate::word::{Word, constructor};

/// What one sleeps on while the value of a [`Mutex`](crate::Mutex) is not yet as one needs it.
///
/// It may wake up whoever waits without a notification, and does so when a process dies: look at
/// the value again. Memory of zeros is one on which nobody waits.
///
/// # Examples
///
/// ```
/// use bifolio_sync::{Condvar, LockError, Mutex, MutexGuard, Peers};
///
/// fn take<'a, P: Peers>(
///     count: &'a Mutex<u32>,
///     raised: &Condvar,
///     peers: &'a P,
/// ) -> Result<(), LockError<MutexGuard<'a, u32, P>>> {
///     let mut count = raised.wait_while(count.lock(peers)?, |count| *count == 0)?;
///     *count -= 1;
///     Ok(())
/// }
/// ```
#[repr(C)]
pub struct Condvar {
    turn: Word,
    sleepers: Word,
}

/// The value of the mutex, and whether the wait ended before the deadline.
pub type TimedResult<'a, T, P> =
    Result<(MutexGuard<'a, T, P>, bool), LockError<MutexGuard<'a, T, P>>>;

impl Condvar {
    constructor! {
        /// One on which nobody waits.
        #[must_use]
        pub fn new() -> Condvar {
            Condvar { turn: Word::new(0), sleepers: Word::new(0) }
        }
    }

    /// Wakes one who waits, if somebody does.
    ///
    /// Who waits is sure to hear of a change only if it was made under the mutex.
    pub fn notify_one(&self) {
        let sleepers = self.sleepers.load();
        if sleepers != 0 {
            self.turn.add(1);
            if self.turn.wake(1) == 0 {
                self.sleepers.replace(sleepers, 0);
            }
        }
    }

    /// Wakes all who wait.
    ///
    /// Who waits is sure to hear of a change only if it was made under the mutex.
    pub fn notify_all(&self) {
        let sleepers = self.sleepers.load();
        if sleepers != 0 {
            self.turn.add(1);
            self.turn.wake(u32::MAX);
            self.sleepers.replace(sleepers, 0);
        }
    }

    /// Gives the mutex back, sleeps until a notification, or for no reason, and takes it again.
    ///
    /// # Errors
    ///
    /// As [`Mutex::lock`](crate::Mutex::lock).
    ///
    /// # Panics
    ///
    /// It does not lie in the memory of the peers with whom the mutex was locked.
    pub fn wait<'a, T: Shared, P: Peers>(
        &self,
        guard: MutexGuard<'a, T, P>,
    ) -> LockResult<'a, T, P> {
        self.within(guard, Patience::ENDLESS).map(|(guard, _)| guard)
    }

    /// As [`wait`](Self::wait), and goes on at `deadline` at the latest.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_until<'a, T: Shared, P: Peers>(
        &self,
        guard: MutexGuard<'a, T, P>,
        deadline: Deadline,
    ) -> TimedResult<'a, T, P> {
        self.within(guard, Patience::until(deadline))
    }

    /// As [`wait`](Self::wait), and goes on after `duration` at the latest.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait).
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_for<'a, T: Shared, P: Peers>(
        &self,
        guard: MutexGuard<'a, T, P>,
        duration: Duration,
    ) -> TimedResult<'a, T, P> {
        self.within(guard, Patience::lasting(duration))
    }

    /// Waits as long as the value is such that `condition` is true.
    ///
    /// # Errors
    ///
    /// As [`wait`](Self::wait). A guard that comes with the error may have a value of any kind.
    ///
    /// # Panics
    ///
    /// As [`wait`](Self::wait).
    pub fn wait_while<'a, T: Shared, P: Peers>(
        &self,
        mut guard: MutexGuard<'a, T, P>,
        mut condition: impl FnMut(&mut T) -> bool,
    ) -> LockResult<'a, T, P> {
        while condition(&mut guard) {
            guard = self.wait(guard)?;
        }
        Ok(guard)
    }

    fn within<'a, T: Shared, P: Peers>(
        &self,
        guard: MutexGuard<'a, T, P>,
        patience: Patience,
    ) -> TimedResult<'a, T, P> {
        let (mutex, peers) = guard.parts();
        inside(peers, self);
        let deaths = peers.deaths();
        let turn = self.turn.peek();
        self.say_that_one_sleeps();
        drop(guard);
        let in_time = in_time(patience.sleep(self.turn.expect(turn), deaths));
        let guard = mutex.lock(peers)?;
        Ok((guard, in_time?))
    }

    fn say_that_one_sleeps(&self) {
        loop {
            let sleepers = self.sleepers.peek();
            if self.sleepers.replace(sleepers, sleepers.checked_add(1).unwrap_or(1)) {
                return;
            }
        }
    }
}

impl Default for Condvar {
    fn default() -> Self {
        Self::new()
    }
}

impl core::fmt::Debug for Condvar {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Condvar").finish_non_exhaustive()
    }
}
