//! Stable bytes: whatever other processes do to the file, the slice stays, and nobody dies.
//!
//! # Safety
//!
//! The holders of leases run all the time, and nobody opens their files but the attackers.
#![allow(unsafe_code, reason = "a policy with leases is unsafe to make")]

#[path = "../scratch/mod.rs"]
mod scratch;

mod attacks;
mod clones;
mod harness;
mod moments;
mod reasons;
mod sealed;
mod served;
mod types;

use bifolio_map::{FileSystem, Policy, Rung};
use harness::{Defence, Programme};
use scratch::{Scratch, lease_time, scenario};

/// The policies under attack.
const DEFENCES: &[Defence] = &[
    Defence { name: "copied", policy: Policy::new, rung: |_| Rung::Copied, rounds: 3 },
    Defence {
        name: "reflink",
        policy: || Policy::new().pages_on_demand(),
        rung: |system| match system {
            FileSystem::Xfs | FileSystem::Btrfs => Rung::Reflink,
            _ => Rung::Copied,
        },
        rounds: 3,
    },
    Defence { name: "leased", policy: leased, rung: |_| Rung::Leased, rounds: 8 },
];

/// What is played on every file system, by every user.
const PROGRAMME: Programme = Programme {
    defences: DEFENCES,
    others: &[
        ("closed", clones::a_clone_has_no_way_in),
        ("moment", moments::a_copy_is_of_one_moment),
        ("restless", moments::a_file_that_never_rests_is_cloned_or_refused),
    ],
};
/// Leases or nothing.
fn leased() -> Policy {
    // SAFETY: nothing stops the holder, and the attackers only do what a lease is told of.
    unsafe { Policy::new().without_copy().lease() }
}

#[test]
fn bytes_stay_on_the_file_system_of_temporary_files() {
    let _time = lease_time::steady();
    PROGRAMME.play_in(&Scratch::for_everyone().join(""));
}

#[test]
fn bytes_stay_in_memory() {
    let _time = lease_time::steady();
    match Scratch::in_memory() {
        Some(scratch) => PROGRAMME.play_in(&scratch.join("")),
        None => println!("skipped: there is no tmpfs"),
    }
}

#[test]
fn bytes_stay_on_xfs() {
    let _time = lease_time::steady();
    Programme::play_on_image("mkfs.xfs -q");
}

#[test]
fn bytes_stay_on_btrfs() {
    let _time = lease_time::steady();
    Programme::play_on_image("mkfs.btrfs -q");
}

/// Where the children start.
#[test]
fn scenarios() {
    match scenario().as_deref() {
        None => {}
        Some("player") => PROGRAMME.player(),
        Some("attacker") => harness::attacker(),
        Some("liar") => served::liar(),
        Some("verity") => served::verity(),
        Some("vandal") => sealed::vandal(),
        Some("mounter") => PROGRAMME.mounter(),
        Some(other) => panic!("no scenario is called {other}"),
    }
}
