//! What the kernel refuses to those who share memory.

use bifolio_sys::Errno;
use core::fmt;

/// What was being done when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Taking a seat.
    Attach,
    /// Sleeping until a word changes.
    Wait,
    /// Waking those who sleep.
    Wake,
}

/// The result of what can be refused.
pub type Result<T, E = Error> = core::result::Result<T, E>;

/// What was being done, and what the kernel said.
///
/// It becomes a `std::io::Error` with its errno.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    operation: Operation,
    errno: Errno,
}

impl Error {
    /// For those who implement [`Peers`](crate::Peers).
    #[must_use]
    pub const fn new(operation: Operation, errno: Errno) -> Error {
        Error { operation, errno }
    }

    /// What was being done.
    #[must_use]
    pub const fn operation(&self) -> Operation {
        self.operation
    }

    /// What the kernel said.
    #[must_use]
    pub const fn errno(&self) -> Errno {
        self.errno
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operation = match self.operation {
            Operation::Attach => "take a seat in shared memory",
            Operation::Wait => "wait on shared memory",
            Operation::Wake => "wake who waits on shared memory",
        };
        match (self.operation, self.errno) {
            (Operation::Attach, Errno::USERS) => {
                write!(f, "{operation}: all are taken by processes that live")
            }
            (_, Errno::FAULT) => write!(f, "{operation}: the memory is gone"),
            (_, errno) => write!(f, "{operation}: {errno}"),
        }
    }
}

impl core::error::Error for Error {}

#[cfg(feature = "std")]
impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        std::io::Error::from_raw_os_error(error.errno.raw_os_error())
    }
}
