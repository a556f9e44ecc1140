//! Bytes that nobody can change or take away: a plain slice of a file, by the first way that holds.
//!
//! # Invariants
//!
//! 0. A body inside a `Stable` is mapped to be read, covers the bytes, and its pages are those of a
//!    file that nobody can write, shorten or punch, by the argument of its rung. Every page is
//!    there to stay, unless the policy gave that up: then one that cannot be had ends the process.
//! 1. A copy inside a `Stable` is private anonymous memory that nothing writes any more.
//!
//! The argument of each rung, and what it assumes of the kernel, stands in `docs/map.md`.
//!
//! # Safety
//!
//! Unsafe code makes a slice of a body's pages (invariant 0).
#![allow(unsafe_code, reason = "slices of pages that cannot change")]

mod fill;
mod lease;
mod policy;
mod reflink;
mod refusal;
mod sealed;
mod shown;
mod snapshot;
mod stamp;
#[cfg(any(feature = "bytes", feature = "stable_deref_trait"))]
mod traits;
mod verity;

use crate::access::Access;
use crate::anon::AnonMap;
use crate::body::Body;
use crate::error::{Error, ErrorKind, Operation};
use crate::file::FileMap;
use crate::object::Object;
use crate::origin::{self, Origin};
use crate::pages::sealed::HasBody;
use crate::private::PrivateMap;
use crate::read_only::ReadOnlySharedMap;
use crate::shared::SharedMap;
use bifolio_sys::fs::fd::BorrowedFd;
use core::fmt;
use core::ops::Deref;

pub use lease::LeaseState;
pub use policy::Policy;
pub use refusal::{NoRung, Refusal};
pub use sealed::SealedFile;

/// A way to stable bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Rung {
    /// A memory file that is sealed against writing and shrinking; nothing is copied.
    Sealed,
    /// A file that fs-verity protects: nobody can write it, and what is read of it is checked.
    Verity,
    /// A read lease on the file; nothing is copied until somebody wants to write to it. Only
    /// [`Policy::lease`] leads here.
    Leased,
    /// A clone of the file by its file system (FICLONE), which nobody else can open.
    Reflink,
    /// A copy in private memory.
    Copied,
}

impl fmt::Display for Rung {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Rung::Sealed => "sealed",
            Rung::Verity => "verity",
            Rung::Reflink => "reflink",
            Rung::Leased => "leased",
            Rung::Copied => "copied",
        })
    }
}

/// Bytes that stay what they are, whatever happens to the file that they come from: a plain
/// `&[u8]`.
///
/// It owns what it shows, so it outlives the map and the file it was made from. `Send` and `Sync`.
///
/// # Examples
///
/// ```
/// use bifolio_map::{FileMap, Policy};
///
/// let bytes = FileMap::open("Cargo.toml")?.stable(&Policy::new())?;
/// let text = std::str::from_utf8(&bytes).expect("Cargo writes UTF-8");
/// assert!(text.contains("bifolio-map"));
/// # Ok::<(), bifolio_map::Error>(())
/// ```
pub struct Stable {
    owner: Owner,
    rung: Rung,
}

const _: () = {
    const fn crosses_threads<T: Send + Sync + 'static>() {}
    crosses_threads::<Stable>();
};

/// What holds the bytes.
enum Owner {
    Mapped(Body),
    Leased(lease::Leased),
    Copied(AnonMap),
}

impl Stable {
    /// The way by which the bytes are stable.
    pub fn rung(&self) -> Rung {
        self.rung
    }

    /// What has become of the lease, where that is the way; waits for the end of a break that is
    /// being answered. A forked child is told how it stood at the fork.
    pub fn lease(&self) -> Option<LeaseState> {
        match &self.owner {
            Owner::Leased(leased) => Some(leased.state()),
            _ => None,
        }
    }

    /// Makes it of a body for which invariant 0 holds.
    fn mapped(body: Body, rung: Rung) -> Stable {
        Stable { owner: Owner::Mapped(body), rung }
    }

    fn copied(copy: AnonMap) -> Stable {
        Stable { owner: Owner::Copied(copy), rung: Rung::Copied }
    }
}

impl Deref for Stable {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.owner {
            // SAFETY: the body's bytes are mapped, readable, and never change (invariant 0).
            Owner::Mapped(body) => unsafe {
                core::slice::from_raw_parts(body.ptr().as_ptr(), body.len())
            },
            Owner::Leased(leased) => leased.bytes(),
            Owner::Copied(copy) => copy,
        }
    }
}

impl AsRef<[u8]> for Stable {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl fmt::Debug for Stable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stable")
            .field("rung", &self.rung)
            .field("ptr", &self.as_ptr())
            .field("len", &self.len())
            .finish()
    }
}

/// What is to be made stable: `len` bytes of an open file from `offset` on.
struct Source<'a> {
    file: BorrowedFd<'a>,
    offset: u64,
    len: usize,
    object: &'a Object,
}

impl Source<'_> {
    /// An error of `operation` on all of the bytes.
    fn error(&self, operation: Operation, kind: ErrorKind) -> Error {
        let end = self.offset.saturating_add(self.len as u64);
        Error::new(operation, self.object, kind).with_range(self.offset..end)
    }

    fn refused(&self, operation: Operation, errno: bifolio_sys::Errno) -> Error {
        self.error(operation, ErrorKind::from_errno(errno)).with_errno(errno)
    }

    /// Checks that the file reaches to the end of the bytes now.
    fn check_reaches(&self) -> Result<(), Error> {
        let len = origin::file_len(self.file)
            .map_err(|errno| self.refused(Operation::Stat, errno))?
            .unwrap_or(0);
        self.check_length(len)
    }

    fn check_length(&self, len_bytes: u64) -> Result<(), Error> {
        let is_long_enough =
            self.offset.checked_add(self.len as u64).is_some_and(|end| end <= len_bytes);
        match is_long_enough {
            true => Ok(()),
            false => Err(self.error(Operation::Stabilize, ErrorKind::Truncated { len_bytes })),
        }
    }
}

/// Climbs the ladder: the first rung that the policy permits and that holds.
fn stabilize(map: &impl Access, origin: &Origin, policy: &Policy) -> Result<Stable, NoRung> {
    let len = map.view().len();
    if len == 0 {
        let empty = AnonMap::new(0).map_err(|error| only(Rung::Copied, &origin.object, error))?;
        return Ok(Stable::copied(empty));
    }
    let Some(file) = origin.mirror() else { return without_file(map, origin, policy) };
    let source = Source { file, offset: origin.file_offset, len, object: &origin.object };
    let mut refused = NoRung::new(&origin.object);
    match sealed::map(&source) {
        Ok(body) => return Ok(Stable::mapped(body, Rung::Sealed)),
        Err(refusal) => refused.push(Rung::Sealed, refusal),
    }
    match verity::map(&source, policy) {
        Ok(body) => return Ok(Stable::mapped(body, Rung::Verity)),
        Err(refusal) => refused.push(Rung::Verity, refusal),
    }
    match lease::lease(&source, policy) {
        Ok(leased) => return Ok(Stable { owner: Owner::Leased(leased), rung: Rung::Leased }),
        Err(refusal) => refused.push(Rung::Leased, refusal),
    }
    match reflink::map(&source, policy) {
        Ok(body) => return Ok(Stable::mapped(body, Rung::Reflink)),
        Err(refusal) => refused.push(Rung::Reflink, refusal),
    }
    match snapshot::of_file(&source, policy) {
        Ok(copy) => return Ok(Stable::copied(copy)),
        Err(refusal) => refused.push(Rung::Copied, refusal),
    }
    Err(refused)
}

/// What are no file's bytes can only be copied.
fn without_file(map: &impl Access, origin: &Origin, policy: &Policy) -> Result<Stable, NoRung> {
    let copy = snapshot::of_view(map.view(), policy);
    copy.map(Stable::copied).map_err(|refusal| {
        let mut refused = NoRung::new(&origin.object);
        for rung in [Rung::Sealed, Rung::Verity, Rung::Leased, Rung::Reflink] {
            refused.push(rung, Refusal::NoFile);
        }
        refused.push(Rung::Copied, refusal);
        refused
    })
}

fn only(rung: Rung, object: &Object, refusal: impl Into<Refusal>) -> NoRung {
    let mut refused = NoRung::new(object);
    refused.push(rung, refusal);
    refused
}

/// Gives a kind of mapping the way to stable bytes.
macro_rules! stable {
    ($($kind:ident: $what:literal),*) => {$(
        impl $kind {
            #[doc = $what]
            ///
            /// They stay what they are whatever happens to the mapping, the file or the value; the
            /// way is the first that `policy` permits and that holds ([`Stable::rung`]).
            ///
            /// A copy is of one moment where the file is written by system calls through the page
            /// cache, since a copy during which its length or its time stamps change is made again,
            /// a few times. Who writes through a shared mapping leaves no such trace, nor does who
            /// writes a block device: then the copy may mix moments, but does not change any more.
            /// It moves the offset of the open file, which matters where that was handed over open.
            ///
            /// # Errors
            ///
            /// The reason of each rung.
            pub fn stable(&self, policy: &Policy) -> Result<Stable, NoRung> {
                stabilize(self, &self.body().origin, policy)
            }
        }
    )*};
}

stable! {
    FileMap: "The bytes that it shows, as a plain `&[u8]`.",
    SharedMap: "The bytes that it shows now, as a plain `&[u8]`.",
    ReadOnlySharedMap: "The bytes that it shows now, as a plain `&[u8]`.",
    PrivateMap: "A copy of the bytes that it shows now, with the changes, as a plain `&[u8]`."
}
