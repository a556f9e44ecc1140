//! The project's checks, one command each.
#![forbid(unsafe_code)]

fn main() {}
