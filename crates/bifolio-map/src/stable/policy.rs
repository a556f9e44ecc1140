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
}

impl Policy {
    /// Sealed, protected by fs-verity, or copied, whatever the length.
    pub const fn new() -> Policy {
        Policy { copy: true, copied_bytes_max: usize::MAX }
    }

    /// Never copies: neither time nor memory in proportion to the length is spent.
    pub const fn without_copy(self) -> Policy {
        Policy { copy: false, ..self }
    }

    /// Copies this many bytes at most.
    pub const fn copied_bytes_max(self, bytes: usize) -> Policy {
        Policy { copied_bytes_max: bytes, ..self }
    }
}

impl Default for Policy {
    fn default() -> Policy {
        Policy::new()
    }
}
