//! Named objects and the arena below them, as one process and its threads see them.

#[path = "../common/mod.rs"]
mod common;

mod arena;
mod names;
