//! Shared and private mappings: what they do, what they survive, and what they leave behind.
//!
//! One binary: it is also what its tests run as child processes (`children.rs`).

mod attack;
mod children;
mod grow;
mod mapping;
mod private;
mod seals;
mod support;
