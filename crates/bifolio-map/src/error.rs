//! The one error: which operation, on what, where, and why.
//!
//! It holds no free-form text and allocates nothing, so it exists without `alloc` too. What the
//! kernel said stays readable as `errno`.

use crate::object::Object;
use bifolio_sys::Errno;
use core::fmt;
use core::ops::Range;

/// What was being done when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Opening a file.
    Open,
    /// Asking for a file's size, kind or state.
    Stat,
    /// Creating a mapping.
    Map,
    /// Removing a mapping.
    Unmap,
    /// Reading bytes or a value.
    Read,
    /// Writing bytes or a value.
    Write,
    /// An atomic operation.
    Atomic,
    /// Writing dirty pages back.
    Flush,
    /// Growing the mapped object.
    Grow,
    /// Giving advice.
    Advise,
    /// Changing the protection.
    Protect,
    /// Locking pages in memory, or unlocking them.
    Lock,
    /// Bringing pages in before they are used.
    Populate,
    /// Bringing pages in while the program goes on.
    Prefetch,
    /// Taking pages out of memory.
    Evict,
    /// Splitting a mapping in two.
    Split,
    /// Joining two mappings.
    Join,
    /// Changing the size of a mapping.
    Resize,
    /// Making reserved addresses usable.
    Commit,
    /// Giving the memory behind reserved addresses back.
    Decommit,
    /// Placing or removing guard pages.
    Guard,
    /// Sealing a memory file.
    Seal,
    /// Binding memory to NUMA nodes.
    Bind,
    /// Asking which pages are resident, or were copied.
    Inspect,
    /// Writing a mapping out to another file.
    Save,
    /// Making bytes stable.
    Stabilize,
    /// Tracking which pages are written.
    Track,
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Operation::Open => "open",
            Operation::Stat => "stat",
            Operation::Map => "map",
            Operation::Unmap => "unmap",
            Operation::Read => "read",
            Operation::Write => "write",
            Operation::Atomic => "atomic access to",
            Operation::Flush => "flush",
            Operation::Grow => "grow",
            Operation::Advise => "advise on",
            Operation::Protect => "protect",
            Operation::Lock => "lock",
            Operation::Populate => "populate",
            Operation::Prefetch => "prefetch",
            Operation::Evict => "evict",
            Operation::Split => "split",
            Operation::Join => "join",
            Operation::Resize => "resize",
            Operation::Commit => "commit",
            Operation::Decommit => "decommit",
            Operation::Guard => "guard",
            Operation::Seal => "seal",
            Operation::Bind => "bind",
            Operation::Inspect => "inspect",
            Operation::Save => "save",
            Operation::Stabilize => "stabilize",
            Operation::Track => "track writes to",
        })
    }
}

/// Why it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The range reaches beyond the `len_bytes` of the mapping.
    OutOfBounds {
        /// The length of the mapping in bytes.
        len_bytes: u64,
    },
    /// The file became shorter than the mapping: it has `len_bytes` now.
    Truncated {
        /// The length of the file in bytes when the fault was looked into.
        len_bytes: u64,
    },
    /// The address is not a multiple of `align_bytes`.
    Misaligned {
        /// The alignment that the access needs, in bytes.
        align_bytes: usize,
    },
    /// No page is there, or it does not permit the access: a guard page, reserved addresses, a
    /// changed protection.
    NotAccessible,
    /// The medium could not supply or take the page.
    Media,
    /// A memory module lost the page (`BUS_MCEERR_AR`).
    Poisoned,
    /// The file system, quota or huge-page pool is full.
    NoSpace,
    /// No memory, or no addresses, or a limit on them.
    NoMemory,
    /// This process may not do that.
    NotPermitted,
    /// The kernel, the file system or the file does not offer that.
    Unsupported,
    /// This kind of file cannot be mapped or read by offset.
    NotMappable(FileKind),
    /// Something is mapped at that address already.
    Occupied,
    /// A length or offset is too large for an address space.
    TooLarge,
    /// The mapping was created without the ability to write.
    ReadOnly,
    /// More was asked for than the `reserved_bytes` of addresses that the mapping has.
    BeyondReservation {
        /// The bytes of addresses that are reserved, from the start of the mapping on.
        reserved_bytes: u64,
    },
    /// Others can take the memory away, so that no plain reference to it can be had.
    Revocable,
    /// The process has ended, was never there, or is hidden from this user.
    NoSuchProcess,
    /// It is a thread of the kernel, which has no memory of its own.
    KernelThread,
    /// Nobody tracks which pages are written: tracking was not begun, or in the process that this
    /// one was forked from.
    NotTracked,
    /// An argument contradicts another, or the state of the mapping.
    Invalid,
    /// Another error of the kernel: see [`Error::errno`].
    Kernel,
}

/// A kind of file that is not a run of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileKind {
    /// A directory.
    Directory,
    /// A pipe or FIFO.
    Pipe,
    /// A socket.
    Socket,
    /// A character device that cannot be mapped.
    Device,
    /// Something else.
    Other,
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileKind::Directory => "a directory",
            FileKind::Pipe => "a pipe",
            FileKind::Socket => "a socket",
            FileKind::Device => "a device",
            FileKind::Other => "not a regular file",
        })
    }
}

/// A failed operation on a mapping.
///
/// # Examples
///
/// ```
/// use bifolio_map::{Access, AnonMap, ErrorKind};
///
/// let map = AnonMap::new(4096)?;
/// let error = map.view().read_exact_at(&mut [0; 8], 4092).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::OutOfBounds { len_bytes: 4096 });
/// assert_eq!(error.to_string(), "read anonymous memory [4092..4100): the mapping has 4096 bytes");
/// # Ok::<(), bifolio_map::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Error {
    operation: Operation,
    kind: ErrorKind,
    object: Object,
    range: Option<Range<u64>>,
    errno: Option<Errno>,
    done_bytes: usize,
}

/// The result of an operation on a mapping.
pub type Result<T, E = Error> = core::result::Result<T, E>;

impl Error {
    pub(crate) fn new(operation: Operation, object: &Object, kind: ErrorKind) -> Self {
        Error { operation, kind, object: object.clone(), range: None, errno: None, done_bytes: 0 }
    }

    /// What the kernel refused, with the kind that its errno stands for.
    pub(crate) fn from_errno(operation: Operation, object: &Object, errno: Errno) -> Self {
        let mut error = Error::new(operation, object, ErrorKind::from_errno(errno));
        error.errno = Some(errno);
        error
    }

    pub(crate) fn with_range(mut self, range: Range<u64>) -> Self {
        self.range = Some(range);
        self
    }

    /// The same told of the operation that it was a step of.
    pub(crate) fn with_operation(mut self, operation: Operation) -> Self {
        self.operation = operation;
        self
    }

    pub(crate) fn with_kind(mut self, kind: ErrorKind) -> Self {
        self.kind = kind;
        self
    }

    pub(crate) fn with_errno(mut self, errno: Errno) -> Self {
        self.errno = Some(errno);
        self
    }

    pub(crate) fn with_done(mut self, done_bytes: usize) -> Self {
        self.done_bytes = done_bytes;
        self
    }

    /// What was being done.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// Why it failed.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What it was done to.
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// The bytes it was done to, counted from the start of the mapping's bytes, or of the file
    /// where there is one.
    pub fn range(&self) -> Option<Range<u64>> {
        self.range.clone()
    }

    /// What the kernel answered, where it did.
    pub fn errno(&self) -> Option<Errno> {
        self.errno
    }

    /// The bytes at the front of the range that were read or written before the failure.
    pub fn done_bytes(&self) -> usize {
        self.done_bytes
    }

    /// What one can do about it, where there is something short to say.
    pub fn help(&self) -> Option<&'static str> {
        Some(match self.kind {
            ErrorKind::Truncated { .. } => {
                "another process shortened the file: open it again; files are best replaced by \
                 rename"
            }
            ErrorKind::NotMappable(FileKind::Directory) => "name a file inside the directory",
            ErrorKind::NotMappable(FileKind::Pipe | FileKind::Socket) => {
                "save the stream to a file first"
            }
            ErrorKind::NotPermitted if matches!(self.object, Object::Process(_)) => {
                "only the user of a process may look into it, and who has CAP_SYS_PTRACE: root, \
                 but seldom in a container"
            }
            ErrorKind::NoSpace => "free space on the file system, or raise the quota",
            ErrorKind::Occupied => "choose another address, or give it as a hint",
            ErrorKind::Media => {
                "the data on the medium cannot be read or written: look at the kernel's log"
            }
            ErrorKind::Unsupported => {
                "`bifolio doctor` lists what this kernel and this process may do"
            }
            ErrorKind::BeyondReservation { .. } => {
                "reserve more addresses when mapping: they cost nothing"
            }
            ErrorKind::Revocable => {
                "use guarded access, or seal the memory file against shrinking and future writes"
            }
            ErrorKind::NotTracked => {
                "begin with `track`; a process that was forked begins for itself"
            }
            _ => return None,
        })
    }
}

impl ErrorKind {
    pub(crate) fn from_errno(errno: Errno) -> Self {
        match errno {
            Errno::NOMEM | Errno::AGAIN | Errno::MFILE | Errno::NFILE => ErrorKind::NoMemory,
            Errno::NOSPC | Errno::DQUOT => ErrorKind::NoSpace,
            Errno::IO | Errno::UCLEAN => ErrorKind::Media,
            Errno::ACCESS | Errno::PERM => ErrorKind::NotPermitted,
            Errno::ROFS => ErrorKind::ReadOnly,
            Errno::NOSYS | Errno::OPNOTSUPP | Errno::NODEV => ErrorKind::Unsupported,
            Errno::EXIST => ErrorKind::Occupied,
            Errno::OVERFLOW | Errno::FBIG => ErrorKind::TooLarge,
            _ => ErrorKind::Kernel,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.operation, self.object)?;
        if let Some(range) = &self.range {
            write!(f, " [{}..{})", range.start, range.end)?;
        }
        f.write_str(": ")?;
        match self.kind {
            ErrorKind::OutOfBounds { len_bytes } => write!(f, "the mapping has {len_bytes} bytes"),
            ErrorKind::Truncated { len_bytes } => {
                write!(f, "the file was truncated to {len_bytes} bytes")
            }
            ErrorKind::Misaligned { align_bytes } => {
                write!(f, "not a multiple of {align_bytes} bytes")
            }
            ErrorKind::NotAccessible => f.write_str("no memory there permits the access"),
            ErrorKind::Media => f.write_str("the medium failed"),
            ErrorKind::Poisoned => f.write_str("a memory module lost the page"),
            ErrorKind::NoSpace => f.write_str("no space left"),
            ErrorKind::NoMemory => f.write_str("no memory or addresses left"),
            ErrorKind::NotPermitted => f.write_str("not permitted"),
            ErrorKind::Unsupported => f.write_str("not supported here"),
            ErrorKind::NotMappable(kind) => write!(f, "it is {kind}"),
            ErrorKind::Occupied => f.write_str("something is there already"),
            ErrorKind::TooLarge => {
                f.write_str("too large for the address space or the file system")
            }
            ErrorKind::ReadOnly => f.write_str("it is read-only"),
            ErrorKind::BeyondReservation { reserved_bytes } => {
                write!(f, "only {reserved_bytes} bytes of addresses are reserved")
            }
            ErrorKind::Revocable => f.write_str("others can take this memory away"),
            ErrorKind::NoSuchProcess => {
                f.write_str("it has ended, or was never there, or is hidden from this user")
            }
            ErrorKind::KernelThread => {
                f.write_str("it is a thread of the kernel, which has no memory of its own")
            }
            ErrorKind::NotTracked => f.write_str("the writes of this process are not tracked"),
            ErrorKind::Invalid => f.write_str("the arguments contradict each other or the mapping"),
            ErrorKind::Kernel => match self.errno {
                Some(errno) => write!(f, "{errno}"),
                None => f.write_str("the kernel refused"),
            },
        }?;
        if self.kind != ErrorKind::Kernel
            && let Some(errno) = self.errno
        {
            write!(f, " ({errno})")?;
        }
        if self.done_bytes != 0 {
            write!(f, "; {} bytes were done before", self.done_bytes)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({:?}: {self})", self.kind)
    }
}

impl core::error::Error for Error {}

#[cfg(feature = "std")]
impl From<Error> for std::io::Error {
    /// Keeps `raw_os_error` where the kernel gave one, since callers decide by it; without one the
    /// error itself stands inside.
    fn from(error: Error) -> Self {
        use std::io::{Error as IoError, ErrorKind as IoKind};
        if let Some(errno) = error.errno {
            return IoError::from_raw_os_error(errno.raw_os_error());
        }
        let kind = match error.kind {
            ErrorKind::OutOfBounds { .. } | ErrorKind::Truncated { .. } => IoKind::UnexpectedEof,
            ErrorKind::NoMemory => IoKind::OutOfMemory,
            ErrorKind::NoSpace => IoKind::StorageFull,
            ErrorKind::NotPermitted => IoKind::PermissionDenied,
            ErrorKind::NoSuchProcess => IoKind::NotFound,
            ErrorKind::ReadOnly => IoKind::ReadOnlyFilesystem,
            ErrorKind::Unsupported | ErrorKind::NotMappable(_) => IoKind::Unsupported,
            ErrorKind::Occupied => IoKind::AddrInUse,
            ErrorKind::Misaligned { .. }
            | ErrorKind::NotTracked
            | ErrorKind::Invalid
            | ErrorKind::TooLarge
            | ErrorKind::BeyondReservation { .. } => IoKind::InvalidInput,
            _ => IoKind::Other,
        };
        IoError::new(kind, error)
    }
}
