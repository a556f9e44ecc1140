//! Why a lock is not there, or is there with a warning.

use core::fmt;

use crate::error::Error;
use crate::wait::Refused;

/// Why [`lock`](crate::Mutex::lock) and its kind do not simply return their guard `G`.
///
/// It becomes a `std::io::Error` with the errno that POSIX has for it; a guard in it is dropped.
#[non_exhaustive]
pub enum LockError<G> {
    /// The lock is held now, but whoever held it last died, or panicked, while it held it, or gave
    /// it back unrepaired: what it guards may be half changed. `EOWNERDEAD`.
    OwnerDead(G),
    /// Somebody found that what it guards cannot be repaired. `ENOTRECOVERABLE`.
    Poisoned,
    /// Another has it. `EWOULDBLOCK`.
    WouldBlock,
    /// Another had it until the deadline. `ETIMEDOUT`.
    TimedOut,
    /// The kernel refuses a seat, or to let it sleep.
    Failed(Error),
}

impl<G> From<Refused> for LockError<G> {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::WouldBlock => LockError::WouldBlock,
            Refused::TimedOut => LockError::TimedOut,
            Refused::Failed(error) => LockError::Failed(error),
        }
    }
}

impl<G> From<Error> for LockError<G> {
    fn from(error: Error) -> Self {
        LockError::Failed(error)
    }
}

impl<G> fmt::Debug for LockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::OwnerDead(_) => f.write_str("OwnerDead(..)"),
            LockError::Poisoned => f.write_str("Poisoned"),
            LockError::WouldBlock => f.write_str("WouldBlock"),
            LockError::TimedOut => f.write_str("TimedOut"),
            LockError::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
        }
    }
}

impl<G> fmt::Display for LockError<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LockError::OwnerDead(_) => f.write_str("the last holder of the lock died holding it"),
            LockError::Poisoned => f.write_str("what the lock guards was given up"),
            LockError::WouldBlock => f.write_str("another has the lock"),
            LockError::TimedOut => f.write_str("another had the lock for all that time"),
            LockError::Failed(error) => error.fmt(f),
        }
    }
}

impl<G> core::error::Error for LockError<G> {}

#[cfg(feature = "std")]
impl<G> From<LockError<G>> for std::io::Error {
    fn from(error: LockError<G>) -> Self {
        use bifolio_sys::Errno;
        let errno = match error {
            LockError::OwnerDead(_) => Errno::OWNERDEAD,
            LockError::Poisoned => Errno::NOTRECOVERABLE,
            LockError::WouldBlock => Errno::WOULDBLOCK,
            LockError::TimedOut => Errno::TIMEDOUT,
            LockError::Failed(error) => return error.into(),
        };
        std::io::Error::from_raw_os_error(errno.raw_os_error())
    }
}
