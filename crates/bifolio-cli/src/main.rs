//! The program `bifolio`: files and memory, seen through mappings that survive.
//!
//! It holds what a program adds to the library: arguments, words, colours, exit codes. What it
//! needs of the system, the library offers.
#![forbid(unsafe_code)]

mod bytes;
mod cell;
mod cli;
mod cmd;
mod console;
mod failure;
mod hex;
mod holes;
mod input;
mod json;
mod load;
mod name;
mod progress;
mod save;
mod select;
mod wrap;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
