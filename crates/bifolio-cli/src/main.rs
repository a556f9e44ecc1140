//! The program `bifolio`.
#![forbid(unsafe_code)]

fn main() {}
