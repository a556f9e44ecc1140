//! Stable bytes in the types of others: `bytes::Bytes`, and the promise that an address stays.
//!
//! # Safety
//!
//! `StableDeref` is unsafe to implement; each implementation argues why the address stays.
#![allow(unsafe_code, reason = "implements an unsafe trait")]

#[cfg(feature = "bytes")]
impl From<crate::Stable> for bytes::Bytes {
    /// Nothing is copied: the last clone or slice of it unmaps the bytes.
    fn from(stable: crate::Stable) -> bytes::Bytes {
        bytes::Bytes::from_owner(stable)
    }
}

// SAFETY: the bytes lie in pages that the value owns, not in the value: to move it moves none of
// them, and nothing that takes it by shared reference changes where they are.
#[cfg(feature = "stable_deref_trait")]
unsafe impl stable_deref_trait::StableDeref for crate::Stable {}
