//! Seats, by processes that are really killed.

mod attack;
mod deaths;
mod forks;
mod ground;
mod kernel;
mod namespaces;
mod table;
