//! Seats, by processes that are really killed.

mod deaths;
mod forks;
mod ground;
mod table;
