//! Regions: every kind, names that others race for and die for, memory that others take away.

#[path = "../common/mod.rs"]
mod common;

mod attack;
mod kinds;
mod names;
mod space;
mod support;
