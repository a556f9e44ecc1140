//! Why no rung held: the reason of each, as data.

use crate::error::{Error, ErrorKind, Operation};
use crate::memory_file::Seals;
use crate::object::Object;
use crate::stable::Rung;
use bifolio_sys::fs::FileSystem;
use core::fmt;
use std::vec::Vec;

/// Why a rung does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// The policy does not permit it.
    NotAsked,
    /// The bytes are no file's: those of memory, or of a mapping with changes of its own.
    NoFile,
    /// It is no memory file, so that it has no seals.
    NotMemoryFile,
    /// The file, which lies in memory, lacks the seal against writing, or against shrinking.
    NotSealed {
        /// The seals that it has.
        seals: Seals,
    },
    /// fs-verity does not protect the file.
    NotVerity,
    /// It lies on a file system that has no fs-verity, or whose word on it is not the kernel's own.
    NotVouched(FileSystem),
    /// It lies on a file system that has no leases, or where not every way to change a file breaks
    /// one.
    NotLeasable(FileSystem),
    /// It is a memory file, or a file on tmpfs that has no name any more: the kernel grants a lease
    /// on such a file although it may be open for writing.
    WritersUncounted,
    /// It is open for writing, or somebody is about to write: a lease cannot be had now.
    OpenForWriting,
    /// It belongs to another user, and the process lacks `CAP_LEASE`.
    NotOwner,
    /// If all leases of this process were broken at once, copying their bytes could take longer
    /// than a third of `fs.lease-break-time`.
    TooSlow {
        /// How long copying them takes, in milliseconds.
        copy_ms: u64,
        /// The third, in milliseconds.
        max_ms: u64,
    },
    /// This process was forked from one that had leases, and has no thread to answer their breaks.
    Forked,
    /// The program has claimed every real-time signal.
    NoSignalLeft,
    /// It has more bytes than are permitted.
    TooLarge {
        /// The bytes that were asked for.
        len_bytes: u64,
        /// The bytes that are permitted.
        max_bytes: u64,
    },
    /// It changed each time while it was copied.
    Changing {
        /// How many times it was copied.
        attempts: u32,
    },
    /// A step failed.
    Failed(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal::Failed(error)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NotAsked => f.write_str("the policy does not permit it"),
            Refusal::NoFile => f.write_str("the bytes are not those of a file"),
            Refusal::NotMemoryFile => f.write_str("it is no memory file"),
            Refusal::NotSealed { seals } => {
                let missing = match (seals.contains(Seals::WRITE), seals.contains(Seals::SHRINK)) {
                    (false, false) => "writing and shrinking",
                    (false, true) => "writing",
                    (true, _) => "shrinking",
                };
                write!(f, "it is not sealed against {missing}")
            }
            Refusal::NotVerity => f.write_str("fs-verity does not protect it"),
            Refusal::NotVouched(system) => {
                write!(f, "the kernel does not vouch for fs-verity on {system:?}")
            }
            Refusal::NotLeasable(system) => {
                write!(f, "a lease does not protect the files of {system:?}")
            }
            Refusal::WritersUncounted => {
                f.write_str("it is a memory file, whose writers the kernel does not count")
            }
            Refusal::OpenForWriting => f.write_str("it is open for writing"),
            Refusal::NotOwner => f.write_str("it belongs to another user"),
            Refusal::TooSlow { copy_ms, max_ms } => {
                write!(f, "copying all leased bytes takes {copy_ms} ms, and may take {max_ms} ms")
            }
            Refusal::Forked => f.write_str("the process was forked from one that has leases"),
            Refusal::NoSignalLeft => f.write_str("every real-time signal is claimed"),
            Refusal::TooLarge { len_bytes, max_bytes } => {
                write!(f, "it has {len_bytes} bytes, and {max_bytes} are permitted")
            }
            Refusal::Changing { attempts } => {
                write!(f, "it changed each of {attempts} times while it was copied")
            }
            Refusal::Failed(error) => error.fmt(f),
        }
    }
}

/// No way to stable bytes was open.
///
/// It becomes an [`Error`], and an [`std::io::Error`], of the last step that failed, with its
/// errno; where every rung was refused without a failure, one of the kind
/// [`Revocable`](ErrorKind::Revocable).
///
/// # Examples
///
/// ```
/// use bifolio_map::{FileMap, Policy, Refusal, Rung};
///
/// let map = FileMap::open("Cargo.toml")?;
/// let error = map.stable(&Policy::new().without_copy()).unwrap_err();
/// assert_eq!(error.reason(Rung::Sealed), Some(&Refusal::NotMemoryFile));
/// assert_eq!(error.reason(Rung::Copied), Some(&Refusal::NotAsked));
/// # Ok::<(), bifolio_map::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoRung {
    object: Object,
    refused: Vec<(Rung, Refusal)>,
}

impl NoRung {
    pub(super) fn new(object: &Object) -> NoRung {
        NoRung { object: object.clone(), refused: Vec::new() }
    }

    pub(super) fn push(&mut self, rung: Rung, refusal: impl Into<Refusal>) {
        self.refused.push((rung, refusal.into()));
    }

    /// What the bytes were to be of.
    pub fn object(&self) -> &Object {
        &self.object
    }

    /// Each rung with its reason, in the order in which they were tried.
    pub fn reasons(&self) -> impl ExactSizeIterator<Item = (Rung, &Refusal)> {
        self.refused.iter().map(|(rung, refusal)| (*rung, refusal))
    }

    /// Why this rung does not hold.
    pub fn reason(&self, rung: Rung) -> Option<&Refusal> {
        self.reasons().find_map(|(refused, refusal)| (refused == rung).then_some(refusal))
    }

    /// The last failure among the reasons.
    fn failure(&self) -> Option<&Error> {
        self.refused.iter().rev().find_map(|(_, refusal)| match refusal {
            Refusal::Failed(error) => Some(error),
            _ => None,
        })
    }
}

impl fmt::Display for NoRung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "no stable bytes of {}", self.object)?;
        let mut before = ": ";
        for (rung, refusal) in self.reasons() {
            write!(f, "{before}{rung}: {refusal}")?;
            before = "; ";
        }
        Ok(())
    }
}

impl core::error::Error for NoRung {}

impl From<NoRung> for Error {
    fn from(no_rung: NoRung) -> Error {
        match no_rung.failure() {
            Some(error) => error.clone(),
            None => Error::new(Operation::Stabilize, &no_rung.object, ErrorKind::Revocable),
        }
    }
}

impl From<NoRung> for std::io::Error {
    /// Keeps `raw_os_error` where the last failure has one; without one all reasons stand inside.
    fn from(no_rung: NoRung) -> std::io::Error {
        match no_rung.failure() {
            Some(error) => error.clone().into(),
            None => std::io::Error::other(no_rung),
        }
    }
}
