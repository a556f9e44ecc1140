//! The memory of a process from outside: what was made is found, as it was made.

#[path = "../scratch/mod.rs"]
mod scratch;

mod pages;
mod people;

use scratch::scenario;

/// Where the children start.
#[test]
fn scenarios() {
    match scenario().as_deref() {
        None => {}
        Some("stranger") => people::stranger(),
        Some(other) => panic!("no scenario is called {other}"),
    }
}
