//! Why a region cannot be made, found, trusted or changed.

use crate::region::Place;
use bifolio_map::ErrorKind as MapKind;
use bifolio_sync::Fingerprint;
use bifolio_sys::Errno;
use std::fmt;
use std::ops::Range;

/// What was being done when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Making a region.
    Create,
    /// Opening one that exists.
    Open,
    /// Making it larger.
    Grow,
    /// Taking its name away, or asking whether it has one.
    Unlink,
    /// Handing it to another process.
    Send,
    /// Taking it from another process.
    Receive,
    /// Looking which regions there are.
    List,
    /// Looking at what lies in it.
    Inspect,
    /// Bringing its pages in, advising on them or binding them.
    Advise,
    /// Mapping it copy-on-write.
    Copy,
}

/// Why it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Nothing has the name.
    NotFound,
    /// Something has the name already.
    Exists,
    /// A name is 1 to 200 bytes without `/` and NUL, and does not begin with a dot.
    BadName,
    /// The name leads to a symlink, a directory, a device: never followed.
    NotRegular,
    /// The file does not begin as a region does.
    NotARegion,
    /// The region was made by a newer version, in a format that this one does not know.
    Newer {
        /// Its format.
        format: u32,
    },
    /// The region was made for another layout: another machine or another build.
    OtherLayout,
    /// The part of the header that never changes has changed, or contradicts itself.
    Damaged,
    /// It belongs to another application, or to another version of it.
    OtherFingerprint {
        /// What was asked for.
        expected: Fingerprint,
        /// That of the region, in bits; 0 where it has none.
        found: u64,
    },
    /// It belongs to another user.
    ForeignOwner {
        /// The number of that user.
        uid: u32,
    },
    /// Others may read or write it than the options permit.
    OpenToOthers {
        /// The permissions of the file.
        mode: u32,
    },
    /// Some of its memory was taken away: its file is shorter than its header says, or has been.
    Lost,
    /// Its maximum does not permit that many bytes.
    BeyondMax {
        /// How many bytes it may have for what lies in it.
        max_bytes: u64,
    },
    /// The range reaches beyond what the region has.
    OutOfBounds {
        /// How many bytes it has for what lies in it.
        len_bytes: u64,
    },
    /// The region has no name.
    Nameless,
    /// Other values of this process still use it.
    InUse,
    /// The other side did not send a region.
    NotSent,
    /// The arguments contradict each other.
    Invalid,
    /// The file system or the pool of huge pages is full.
    NoSpace,
    /// No memory, no addresses or no descriptors, or a limit on them.
    NoMemory,
    /// This process may not do that.
    NotPermitted,
    /// The kernel or the file system does not offer that.
    Unsupported,
    /// Another error of the kernel: see [`Error::errno`].
    Kernel,
}

/// The result of what is done with regions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What was being done, to which region, and why it failed.
///
/// It becomes a `std::io::Error`, with its errno where the kernel gave one.
///
/// # Examples
///
/// ```
/// use bifolio_share::{ErrorKind, Region};
///
/// let error = Region::open("no-such-region").unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// assert_eq!(error.to_string(), "open region no-such-region: there is none of that name");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    operation: Operation,
    kind: ErrorKind,
    place: Place,
    range: Option<Range<u64>>,
    errno: Option<Errno>,
}

impl Error {
    #[cold]
    pub(crate) fn new(operation: Operation, place: &Place, kind: ErrorKind) -> Error {
        Error { operation, kind, place: place.clone(), range: None, errno: None }
    }

    #[cold]
    pub(crate) fn from_errno(operation: Operation, place: &Place, errno: Errno) -> Error {
        Error { errno: Some(errno), ..Error::new(operation, place, ErrorKind::from_errno(errno)) }
    }

    /// What a mapping refused.
    #[cold]
    pub(crate) fn from_map(
        operation: Operation,
        place: &Place,
        error: &bifolio_map::Error,
    ) -> Error {
        let kind = match (error.kind(), error.errno()) {
            (MapKind::Truncated { .. }, _) => ErrorKind::Lost,
            (MapKind::NoSpace, _) => ErrorKind::NoSpace,
            (MapKind::NoMemory | MapKind::TooLarge, _) => ErrorKind::NoMemory,
            (MapKind::OutOfBounds { len_bytes }, _) => ErrorKind::OutOfBounds { len_bytes },
            (MapKind::Unsupported, _) => ErrorKind::Unsupported,
            (MapKind::Invalid, _) => ErrorKind::Invalid,
            (_, Some(errno)) => ErrorKind::from_errno(errno),
            (_, None) => ErrorKind::Kernel,
        };
        Error { errno: error.errno(), ..Error::new(operation, place, kind) }
    }

    pub(crate) fn with_range(self, range: Range<u64>) -> Error {
        Error { range: Some(range), ..self }
    }

    /// What was being done.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// Why it failed.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Which region it was done to.
    #[must_use]
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Which bytes it was done to, where it was some.
    #[must_use]
    pub fn range(&self) -> Option<Range<u64>> {
        self.range.clone()
    }

    /// What the kernel said, where it said something.
    #[must_use]
    pub fn errno(&self) -> Option<Errno> {
        self.errno
    }
}

impl ErrorKind {
    fn from_errno(errno: Errno) -> ErrorKind {
        match errno {
            Errno::NOENT => ErrorKind::NotFound,
            Errno::EXIST => ErrorKind::Exists,
            Errno::LOOP | Errno::ISDIR | Errno::NXIO => ErrorKind::NotRegular,
            Errno::NOSPC | Errno::DQUOT | Errno::FBIG => ErrorKind::NoSpace,
            Errno::NOMEM | Errno::MFILE | Errno::NFILE | Errno::NOLCK => ErrorKind::NoMemory,
            Errno::ACCESS | Errno::PERM | Errno::ROFS => ErrorKind::NotPermitted,
            Errno::NOSYS | Errno::OPNOTSUPP | Errno::NODEV => ErrorKind::Unsupported,
            Errno::NAMETOOLONG => ErrorKind::BadName,
            _ => ErrorKind::Kernel,
        }
    }

    /// The number that is nearest, for errors that the kernel did not make.
    fn errno(self) -> Errno {
        match self {
            ErrorKind::NotFound => Errno::NOENT,
            ErrorKind::Exists => Errno::EXIST,
            ErrorKind::NotRegular => Errno::LOOP,
            ErrorKind::NotARegion | ErrorKind::Damaged | ErrorKind::NotSent => Errno::BADMSG,
            ErrorKind::Newer { .. }
            | ErrorKind::OtherLayout
            | ErrorKind::OtherFingerprint { .. } => Errno::PROTOTYPE,
            ErrorKind::ForeignOwner { .. }
            | ErrorKind::OpenToOthers { .. }
            | ErrorKind::NotPermitted => Errno::PERM,
            ErrorKind::Lost => Errno::FAULT,
            ErrorKind::InUse => Errno::BUSY,
            ErrorKind::NoSpace => Errno::NOSPC,
            ErrorKind::NoMemory => Errno::NOMEM,
            ErrorKind::Unsupported => Errno::OPNOTSUPP,
            ErrorKind::Kernel => Errno::IO,
            ErrorKind::BadName
            | ErrorKind::BeyondMax { .. }
            | ErrorKind::OutOfBounds { .. }
            | ErrorKind::Nameless
            | ErrorKind::Invalid => Errno::INVAL,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operation::Create => "create",
            Operation::Open => "open",
            Operation::Grow => "grow",
            Operation::Unlink => "unlink",
            Operation::Send => "send",
            Operation::Receive => "receive",
            Operation::List => "list",
            Operation::Inspect => "inspect",
            Operation::Advise => "advise on",
            Operation::Copy => "copy",
        })
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ErrorKind::NotFound => "there is none of that name",
            ErrorKind::Exists => "something has that name already",
            ErrorKind::BadName => {
                "a name is 1 to 200 bytes without a slash, and begins with no dot"
            }
            ErrorKind::NotRegular => "it is no regular file, and links are not followed",
            ErrorKind::NotARegion => "it is no region",
            ErrorKind::Newer { format } => return write!(f, "its format is newer: {format}"),
            ErrorKind::OtherLayout => "it was made for another layout of memory",
            ErrorKind::Damaged => "its header is damaged",
            ErrorKind::OtherFingerprint { expected, found } => {
                let expected = expected.bits();
                return write!(f, "it has fingerprint {found:016x}, not {expected:016x}");
            }
            ErrorKind::ForeignOwner { uid } => return write!(f, "it belongs to user {uid}"),
            ErrorKind::OpenToOthers { mode } => {
                return write!(f, "others may use it: its mode is {mode:04o}");
            }
            ErrorKind::Lost => "some of its memory was taken away",
            ErrorKind::BeyondMax { max_bytes } => {
                return write!(f, "it was made for {max_bytes} bytes at most");
            }
            ErrorKind::OutOfBounds { len_bytes } => return write!(f, "it has {len_bytes} bytes"),
            ErrorKind::Nameless => "it has no name",
            ErrorKind::InUse => "other values of this process use it",
            ErrorKind::NotSent => "the other side sent no region",
            ErrorKind::Invalid => "the arguments contradict each other",
            ErrorKind::NoSpace => "no space left",
            ErrorKind::NoMemory => "no memory, addresses or descriptors left",
            ErrorKind::NotPermitted => "not permitted",
            ErrorKind::Unsupported => "not supported here",
            ErrorKind::Kernel => "the kernel refused",
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.operation, self.place)?;
        if let Some(range) = &self.range {
            write!(f, " [{}..{})", range.start, range.end)?;
        }
        write!(f, ": {}", self.kind)?;
        match self.errno {
            Some(errno) if !matches!(self.kind, ErrorKind::NotFound | ErrorKind::Exists) => {
                write!(f, " ({errno})")
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}: {self})", self.kind)
    }
}

impl std::error::Error for Error {}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        let errno = error.errno.unwrap_or_else(|| error.kind.errno());
        std::io::Error::from_raw_os_error(errno.raw_os_error())
    }
}
