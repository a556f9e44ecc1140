//! The memory of a process from outside: what was made is found, as it was made.

#[path = "../scratch/mod.rs"]
mod scratch;

mod known;
mod made;
mod older;
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
        Some("older") => older::without_the_ioctls(libc::ENOTTY),
        Some("filtered") => older::without_the_ioctls(libc::EPERM),
        Some("stranger") => people::stranger(),
        Some(other) => panic!("no scenario is called {other}"),
    }
}
