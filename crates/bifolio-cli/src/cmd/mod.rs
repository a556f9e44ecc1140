//! The commands, one file each.

pub(crate) mod cat;
pub(crate) mod hex;
