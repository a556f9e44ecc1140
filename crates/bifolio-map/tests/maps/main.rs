//! The memory of a process from outside: what was made is found, as it was made.

#[path = "../scratch/mod.rs"]
mod scratch;

mod known;
mod made;
mod pages;
mod people;
mod restless;

use scratch::scenario;

/// Where the children start.
#[test]
fn scenarios() {
    match scenario().as_deref() {
        None => {}
        Some("known") => made::make(),
        Some("stranger") => people::stranger(),
        Some(other) => panic!("no scenario is called {other}"),
    }
}
