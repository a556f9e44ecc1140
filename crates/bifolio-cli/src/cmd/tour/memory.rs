//! The step without a file: what malloc is made of.

use super::Step;
use super::measure::{Memory, human_time};
use super::subject::Subject;
use crate::bytes::human;
use crate::failure::Failure;
use bifolio::{AccessMut, Reservation};
use serde_json::json;
use std::hint::black_box;
use std::time::Instant;

const RESERVED_BYTES: usize = 1 << 40;
const COMMITTED_BYTES: usize = 1 << 20;
const ALLOCATED_BYTES: usize = 64 << 20;

/// Addresses for a tebibyte, memory for a mebibyte; and the same of the allocator.
pub(super) fn anonymous(_: &Subject) -> Result<Step, Failure> {
    let before = Memory::now();
    let start = Instant::now();
    let reservation = Reservation::new(RESERVED_BYTES)?;
    let time = start.elapsed();
    reservation.commit(0..COMMITTED_BYTES)?;
    reservation.fill(0..COMMITTED_BYTES, 1)?;
    let grown = growth(before, Memory::now());
    let beyond = reservation.write_all_at(&[1], COMMITTED_BYTES).err();
    drop(reservation);

    let before = Memory::now();
    let mut allocated = vec![0_u8; ALLOCATED_BYTES];
    black_box(&mut allocated);
    let untouched = growth(before, Memory::now());
    allocated[..COMMITTED_BYTES].fill(1);
    black_box(&mut allocated);
    let touched = growth(before, Memory::now());

    let show = |grown: Option<(u64, u64)>, what: fn((u64, u64)) -> u64| {
        grown.map_or_else(|| "an unknown amount".to_owned(), |grown| human(what(grown)))
    };
    let text = vec![
        format!(
            "{} of addresses were reserved in {}, and {} of them given memory and filled: the \
             address space grew by {}, memory by {}. One byte further: {}.",
            human(RESERVED_BYTES as u64),
            human_time(time),
            human(COMMITTED_BYTES as u64),
            show(grown, |(size, _)| size),
            show(grown, |(_, anon)| anon),
            beyond.as_ref().map_or_else(
                || "it could be written".to_owned(),
                |error| format!("{:?}", error.to_string())
            ),
        ),
        format!(
            "The allocator does the same for large blocks. A vector of {} zeros took {} of \
             addresses and {} of memory; when its first {} was written, it was {}.",
            human(ALLOCATED_BYTES as u64),
            show(untouched, |(size, _)| size),
            show(untouched, |(_, anon)| anon),
            human(COMMITTED_BYTES as u64),
            show(touched, |(_, anon)| anon),
        ),
    ];
    let numbers = |grown: Option<(u64, u64)>| {
        grown.map(|(size, anon)| json!({"addresses_bytes": size, "memory_bytes": anon}))
    };
    let facts = json!({
        "reserved_bytes": RESERVED_BYTES,
        "committed_bytes": COMMITTED_BYTES,
        "nanoseconds": time.as_nanos() as u64,
        "grown": numbers(grown),
        "beyond": beyond.map(|error| error.to_string()),
        "allocated_bytes": ALLOCATED_BYTES,
        "allocated": numbers(untouched),
        "allocated_and_written": numbers(touched),
    });
    Ok(Step { text, facts })
}

/// By how much addresses and memory of its own grew.
fn growth(before: Option<Memory>, after: Option<Memory>) -> Option<(u64, u64)> {
    let (before, after) = before.zip(after)?;
    Some((after.size.saturating_sub(before.size), after.anon.saturating_sub(before.anon)))
}
