//! Stable bytes: whatever other processes do to the file, the slice stays, and nobody dies.

#[path = "../scratch/mod.rs"]
mod scratch;

mod attacks;
mod harness;

use bifolio_map::{Policy, Rung};
use harness::{Defence, attack_in, attack_on_image};
use scratch::{Scratch, scenario};

/// The policies under attack.
const DEFENCES: &[Defence] =
    &[Defence { name: "copied", policy: Policy::new, rung: |_| Rung::Copied, rounds: 5 }];

#[test]
fn bytes_stay_on_the_file_system_of_temporary_files() {
    DEFENCES.iter().for_each(|defence| attack_in(&Scratch::for_everyone().join(""), defence));
}

#[test]
fn bytes_stay_in_memory() {
    match Scratch::in_memory() {
        Some(scratch) => DEFENCES.iter().for_each(|defence| attack_in(&scratch.join(""), defence)),
        None => println!("skipped: there is no tmpfs"),
    }
}

#[test]
fn bytes_stay_on_xfs() {
    DEFENCES.iter().for_each(|defence| attack_on_image("mkfs.xfs -q", defence));
}

#[test]
fn bytes_stay_on_btrfs() {
    DEFENCES.iter().for_each(|defence| attack_on_image("mkfs.btrfs -q", defence));
}

/// Where the children start.
#[test]
fn scenarios() {
    match scenario().as_deref() {
        None => {}
        Some("holder") => harness::holder(DEFENCES),
        Some("attacker") => harness::attacker(),
        Some("mounter") => harness::mounter(DEFENCES),
        Some(other) => panic!("no scenario is called {other}"),
    }
}
