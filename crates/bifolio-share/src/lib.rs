//! Memory that processes share, in which the death of any of them at any instruction blocks nobody
//! and loses nothing that was committed.

pub use bifolio_derive::Shared;
pub use bifolio_sync::{Fingerprint, Shared};
