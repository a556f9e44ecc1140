//! Stable bytes: what it takes to have a file as a plain slice.

use crate::cases::{Case, Scale, file};
use crate::pair::{Bar, Outcome, compare};
use bifolio::{FileMap, Policy};
use std::path::Path;

/// The cases of stable bytes.
pub const CASES: &[Case] = &[Case { name: "snapshot", run: snapshot }];

/// One byte of each page: the copy was made, and so was the peer's.
fn witness(bytes: &[u8]) -> u64 {
    bytes.iter().step_by(4096).map(|&byte| u64::from(byte)).sum()
}

fn snapshot(dir: &Path, scale: Scale) -> Vec<Outcome> {
    let path = file(dir, "warm", (1 << 30) / scale.shrink);
    let policy = Policy::new();
    let mut ours = |_| witness(&FileMap::open(&path).unwrap().stable(&policy).unwrap());
    let mut peer = |_| witness(&std::fs::read(&path).unwrap());
    let work = "stable copy of 1 GiB, warm / std::fs::read";
    vec![compare(work, Bar::RatioMax(1.0 / 1.5), scale.rounds, 1, &mut ours, &mut peer)]
}
