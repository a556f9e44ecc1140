//! The commands, one file each.

pub(crate) mod cat;
pub(crate) mod cmp;
pub(crate) mod completions;
pub(crate) mod doctor;
pub(crate) mod evict;
pub(crate) mod find;
pub(crate) mod hex;
pub(crate) mod info;
pub(crate) mod lock;
pub(crate) mod man;
pub(crate) mod maps;
pub(crate) mod patch;
pub(crate) mod picture;
pub(crate) mod residency;
pub(crate) mod touch;
pub(crate) mod tour;
pub(crate) mod watch;
