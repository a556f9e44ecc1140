//! The emulated interface, item by item: what each map shows, does and refuses.
//!
//! That its names and types are those of memmap2, and its errors too, is checked beside that crate,
//! in the workspace `bench`.

#[path = "../common/mod.rs"]
mod common;

mod advice;
mod bounds;
mod protect;
mod remap;
mod seals;
mod shape;
