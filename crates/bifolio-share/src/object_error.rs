//! Why a named object cannot be made, found or trusted.

use bifolio_sync::{Error as PeersError, Fingerprint, LockError};
use bifolio_sys::Errno;
use std::fmt;

use crate::directory::Directory;

/// The result of what is done to named objects.
pub type ObjectResult<T> = Result<T, ObjectError>;

/// Why something about an object failed, with its name where it has one.
///
/// It becomes a `std::io::Error` with the errno that is nearest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectError {
    name: Option<ObjectName>,
    kind: ObjectErrorKind,
}

/// The name of an object.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ObjectName {
    len: u8,
    bytes: [u8; Directory::NAME_LEN_MAX],
}

impl ObjectName {
    /// The name of 1 to [`NAME_LEN_MAX`](Directory::NAME_LEN_MAX) bytes; `None` for others.
    #[must_use]
    pub fn new(name: &str) -> Option<ObjectName> {
        let mut bytes = [0; Directory::NAME_LEN_MAX];
        bytes.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        (!name.is_empty()).then_some(ObjectName { len: name.len() as u8, bytes })
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // It was made from a str.
        str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

/// The causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ObjectErrorKind {
    /// No object has the name. `ENOENT`.
    NotFound,
    /// An object has the name already. `EEXIST`.
    Exists,
    /// The object has another type. `EPROTOTYPE`.
    OtherType {
        /// The fingerprint of what was asked for.
        expected: Fingerprint,
        /// That of the object, in bits.
        found: u64,
    },
    /// A name is 1 to [`NAME_LEN_MAX`](Directory::NAME_LEN_MAX) bytes long. `EINVAL`.
    NameLength {
        /// How long it is.
        len: usize,
    },
    /// Every entry of the directory has a name. `ENOSPC`.
    DirectoryFull {
        /// How many there are.
        capacity: u32,
    },
    /// The arena has no room, also after what the dead left was given back. `ENOSPC`.
    NoSpace {
        /// How many bytes were asked for.
        len_bytes: u64,
    },
    /// Nobody made the object in time. `ETIMEDOUT`.
    TimedOut,
    /// A block of the arena is not what it must be. `EUCLEAN`.
    BrokenBlock {
        /// Where it begins in the region, in bytes.
        offset: u64,
    },
    /// An entry of the directory is not what it must be. `EUCLEAN`.
    BrokenEntry {
        /// Its number.
        index: u32,
    },
    /// Somebody gave up the directory or the arena for good. `ENOTRECOVERABLE`.
    Poisoned,
    /// The kernel refuses a seat, or to let this process sleep.
    Refused(PeersError),
}

impl ObjectError {
    pub(crate) fn named(name: &str, kind: ObjectErrorKind) -> ObjectError {
        ObjectError { name: ObjectName::new(name), kind }
    }

    /// The name of the object, where it is about one.
    #[must_use]
    pub fn name(&self) -> Option<ObjectName> {
        self.name
    }

    /// What happened.
    #[must_use]
    pub fn kind(&self) -> ObjectErrorKind {
        self.kind
    }

    /// The kernel's number for what happened.
    #[must_use]
    pub fn errno(&self) -> Errno {
        match self.kind {
            ObjectErrorKind::NotFound => Errno::NOENT,
            ObjectErrorKind::Exists => Errno::EXIST,
            ObjectErrorKind::OtherType { .. } => Errno::PROTOTYPE,
            ObjectErrorKind::NameLength { .. } => Errno::INVAL,
            ObjectErrorKind::DirectoryFull { .. } | ObjectErrorKind::NoSpace { .. } => Errno::NOSPC,
            ObjectErrorKind::TimedOut => Errno::TIMEDOUT,
            ObjectErrorKind::BrokenBlock { .. } | ObjectErrorKind::BrokenEntry { .. } => {
                Errno::UCLEAN
            }
            ObjectErrorKind::Poisoned => Errno::NOTRECOVERABLE,
            ObjectErrorKind::Refused(error) => error.errno(),
        }
    }
}

impl From<ObjectErrorKind> for ObjectError {
    fn from(kind: ObjectErrorKind) -> Self {
        ObjectError { name: None, kind }
    }
}

impl From<PeersError> for ObjectErrorKind {
    fn from(error: PeersError) -> Self {
        ObjectErrorKind::Refused(error)
    }
}

/// Of a lock that was not gained; one whose holder died is, and does not come here.
impl<G> From<LockError<G>> for ObjectErrorKind {
    fn from(error: LockError<G>) -> Self {
        match error {
            LockError::Failed(error) => ObjectErrorKind::Refused(error),
            LockError::TimedOut | LockError::WouldBlock => ObjectErrorKind::TimedOut,
            _ => ObjectErrorKind::Poisoned,
        }
    }
}

impl fmt::Display for ObjectErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            ObjectErrorKind::NotFound => f.write_str("there is none"),
            ObjectErrorKind::Exists => f.write_str("there is one already"),
            ObjectErrorKind::OtherType { expected, found } => {
                let expected = expected.bits();
                write!(f, "its type has fingerprint {found:016x}, not {expected:016x}")
            }
            ObjectErrorKind::NameLength { len } => {
                let max = Directory::NAME_LEN_MAX;
                write!(f, "a name has 1 to {max} bytes, not {len}")
            }
            ObjectErrorKind::DirectoryFull { capacity } => {
                write!(f, "all {capacity} entries of the directory are taken")
            }
            ObjectErrorKind::NoSpace { len_bytes } => {
                write!(f, "the arena has no room for {len_bytes} bytes")
            }
            ObjectErrorKind::TimedOut => f.write_str("nobody made it in time"),
            ObjectErrorKind::BrokenBlock { offset } => {
                write!(f, "the block of the arena at {offset} is broken")
            }
            ObjectErrorKind::BrokenEntry { index } => {
                write!(f, "entry {index} of the directory is broken")
            }
            ObjectErrorKind::Poisoned => f.write_str("its region was given up"),
            ObjectErrorKind::Refused(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for ObjectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "object {name:?}: {}", self.kind),
            None => self.kind.fmt(f),
        }
    }
}

impl std::error::Error for ObjectError {}

impl From<ObjectError> for std::io::Error {
    fn from(error: ObjectError) -> Self {
        std::io::Error::from_raw_os_error(error.errno().raw_os_error())
    }
}
