//! One at a time, among resolvers: a repair that two threads begin at once, for the fault of the
//! same page, would be made a second time over what one of them has written since.
//!
//! # Invariants
//!
//! 0. `HOLDER` is this process's number while a [`Turn`] lives in it, and there is never a second.
//! 1. The thread that has the turn blocks every signal, so that no handler on it waits for it.
//!
//! A number of another process was left by the parent at fork(2), whose thread the child has not.

use crate::process::getpid;
use crate::signal::AllBlocked;
use core::sync::atomic::{AtomicI32, Ordering};

static HOLDER: AtomicI32 = AtomicI32::new(NOBODY);
const NOBODY: i32 = 0;

/// The only one in the process, until it is dropped; every signal is blocked on its thread.
///
/// # Examples
///
/// ```
/// use bifolio_sys::fault::Turn;
///
/// let turn = Turn::take();
/// assert!(turn.is_some() && Turn::take().is_none());
/// ```
#[derive(Debug)]
pub struct Turn {
    // Dropped after the turn was given back (1).
    _blocked: AllBlocked,
}

impl Turn {
    /// Takes the turn; `None` while another has it. Async-signal-safe.
    #[must_use]
    pub fn take() -> Option<Turn> {
        let blocked = AllBlocked::new();
        let process = getpid().as_raw_pid();
        let found = HOLDER.load(Ordering::SeqCst);
        let is_ours = found != process
            && HOLDER.compare_exchange(found, process, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        // Made only where it is ours: to drop one gives the turn back, whoever has it.
        is_ours.then(|| Turn { _blocked: blocked })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        HOLDER.store(NOBODY, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    #[test]
    fn a_turn_is_one_thread_s_of_one_process() {
        let turn = Turn::take().unwrap();
        // To ask in vain takes nothing from the holder: the next one asks in vain, too.
        for _ in 0..2 {
            assert!(std::thread::spawn(|| Turn::take().is_none()).join().unwrap());
        }
        drop(turn);
        // A thread of the parent had it at the fork.
        HOLDER.store(getpid().as_raw_pid() + 1, Ordering::SeqCst);
        drop(Turn::take().unwrap());
        assert!(Turn::take().is_some());
    }
}
