//! What a caller permits for the sake of stable bytes.
//!
//! It only remembers; the ladder in `mod.rs` asks it.

/// Which ways to stable bytes a caller permits.
///
/// By default: a memory file that is sealed, a file that fs-verity protects, and else a copy. All
/// of them keep the promise that no access to the bytes ends in a signal.
///
/// # Examples
///
/// ```
/// use bifolio_map::{FileMap, Policy, Rung};
///
/// let map = FileMap::open("Cargo.toml")?;
/// let bytes = map.stable(&Policy::new().copied_bytes_max(1 << 20))?;
/// assert_eq!(bytes.rung(), Rung::Copied);
/// assert!(bytes.starts_with(b"[package]"));
/// # Ok::<(), bifolio_map::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a policy does nothing by itself"]
pub struct Policy {
    pub(super) copy: bool,
    pub(super) copied_bytes_max: usize,
    pub(super) pages_on_demand: bool,
}

impl Policy {
    /// Sealed, protected by fs-verity, or copied, whatever the length.
    pub const fn new() -> Policy {
        Policy { copy: true, copied_bytes_max: usize::MAX, pages_on_demand: false }
    }

    /// Never copies: neither time nor memory in proportion to the length is spent.
    pub const fn without_copy(self) -> Policy {
        Policy { copy: false, ..self }
    }

    /// Copies this many bytes at most.
    pub const fn copied_bytes_max(self, bytes: usize) -> Policy {
        Policy { copied_bytes_max: bytes, ..self }
    }

    /// Lets pages of a file that cannot change be read when they are first used, and dropped and
    /// read again as the kernel likes.
    ///
    /// Then a file that fs-verity protects is neither brought in nor locked beforehand, and where
    /// the file system has clones (XFS, Btrfs) a clone is mapped instead of copied, in a time and
    /// memory that do not depend on the length.
    ///
    /// The bytes never change. But where the medium fails to supply a page, or fs-verity finds that
    /// it was tampered with, the access raises SIGBUS, which ends the process. And for the moment
    /// in which a clone is made, a process of the same user, which may follow `/proc/PID/fd`, could
    /// open it: with this policy it is assumed that none does, as it is assumed of everyone that
    /// none writes `/proc/PID/mem`.
    pub const fn pages_on_demand(self) -> Policy {
        Policy { pages_on_demand: true, ..self }
    }
}

impl Default for Policy {
    fn default() -> Policy {
        Policy::new()
    }
}
