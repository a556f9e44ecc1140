//! Stable bytes by a read lease: what taking one adds to a map, and how fast a break is answered.
//!
//! # Safety
//!
//! The holder is never stopped, and nobody else knows its files.
#![allow(unsafe_code, reason = "a policy with leases is unsafe to make")]

use crate::cases::{Case, Scale, file};
use crate::pair::{Bar, Outcome, compare};
use bifolio::{Access, FileMap, Options, Policy, Rung};
use std::fs::OpenOptions;
use std::hint::black_box;
use std::path::Path;

/// All cases, in the order of the report.
pub const CASES: &[Case] =
    &[Case { name: "lease", run: lease }, Case { name: "lease-break", run: lease_break }];

fn policy() -> Policy {
    // SAFETY: the benchmark is not stopped while it runs, and does not fork.
    unsafe { Policy::new().without_copy().lease() }
}

/// Open, map, lease, read one byte, drop; the peer does all of it without the lease.
fn lease(dir: &Path, scale: Scale) -> Vec<Outcome> {
    let mut outcomes = vec![];
    for len in [5000, (64 << 20) / scale.shrink] {
        let path = file(dir, &len.to_string(), len);
        let mut ours = |repeat| {
            let mut sum = 0;
            for _ in 0..repeat {
                let bytes = FileMap::open(&path).unwrap().stable(&policy()).unwrap();
                assert_eq!(bytes.rung(), Rung::Leased);
                sum += u64::from(black_box(&bytes)[17]);
            }
            sum
        };
        let mut peer = |repeat| {
            let mut sum = 0;
            for _ in 0..repeat {
                let map = FileMap::open(&path).unwrap();
                sum += u64::from(map.load::<u8>(17).unwrap());
            }
            sum
        };
        let work = format!("stable by lease, first byte of {len} bytes / map");
        let (bar, repeat) = (Bar::MoreNsMax(30_000.0), 2000 / scale.hurry);
        outcomes.push(compare(&work, bar, scale.rounds, repeat, &mut ours, &mut peer));
    }
    outcomes
}

/// A writer opens the leased file: how long he waits, until all of it is copied; the peer copies as
/// many bytes by memcpy to fresh huge pages.
fn lease_break(dir: &Path, scale: Scale) -> Vec<Outcome> {
    let len = (1 << 30) / scale.shrink;
    let path = file(dir, "large", len);
    let source = std::fs::read(&path).unwrap();
    let mut ours = |_| {
        let bytes = FileMap::open(&path).unwrap().stable(&policy()).unwrap();
        drop(OpenOptions::new().write(true).open(&path).unwrap());
        answer(black_box(&bytes))
    };
    let mut peer = |_| {
        let huge = Options::new().huge_pages(bifolio::HugePages::Transparent);
        let mut copy = huge.anon(len).unwrap();
        copy.copy_from_slice(&source);
        answer(black_box(&copy))
    };
    let work = format!("break of a lease on {} MiB / memcpy to fresh huge pages", len >> 20);
    // 0.7 of the bandwidth.
    let bar = Bar::RatioMax(1.0 / 0.7);
    vec![compare(&work, bar, scale.rounds, 1, &mut ours, &mut peer)]
}

fn answer(bytes: &[u8]) -> u64 {
    bytes.iter().step_by(4097).map(|&byte| u64::from(byte)).sum()
}
