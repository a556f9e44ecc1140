//! The numbers of a mapping, and of several together; `None` is what the kernel does not tell.

use bifolio::memory::{Backing, Region};
use serde::{Deserialize, Serialize};
use std::ops::Add;

/// Bytes by what they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Memory {
    /// Addresses.
    pub(super) mapped_bytes: u64,
    /// In memory now, whoever else has it.
    pub(super) resident_bytes: Option<u64>,
    /// Resident and no file's.
    pub(super) anonymous_bytes: Option<u64>,
    /// Resident, of files on disks.
    pub(super) file_bytes: Option<u64>,
    /// Resident, of files in memory.
    pub(super) shared_memory_bytes: Option<u64>,
    /// Resident, each page divided among those who map it.
    pub(super) proportional_bytes: Option<u64>,
    /// Resident, mapped by nobody else.
    pub(super) private_bytes: Option<u64>,
    /// Resident and changed.
    pub(super) dirty_bytes: Option<u64>,
    /// Resident, and to be had back without writing.
    pub(super) reclaimable_bytes: Option<u64>,
    /// In swap.
    pub(super) swapped_bytes: Option<u64>,
    /// Resident in huge pages.
    pub(super) huge_bytes: Option<u64>,
    /// Locked in memory.
    pub(super) locked_bytes: Option<u64>,
}

impl Memory {
    pub(super) fn of(region: &Region) -> Memory {
        let usage = &region.usage;
        let resident = usage.resident_bytes;
        // What is resident and not anonymous belongs to what lies behind it.
        let behind = resident.zip(usage.anonymous_bytes).map(|(all, own)| all.saturating_sub(own));
        let if_behind = |backing| match behind {
            Some(0) => Some(0),
            _ if region.backing == Backing::Unknown => None,
            _ if region.backing == backing => behind,
            _ => Some(0),
        };
        Memory {
            mapped_bytes: region.range.len() as u64,
            resident_bytes: resident,
            anonymous_bytes: usage.anonymous_bytes,
            file_bytes: if_behind(Backing::Storage),
            shared_memory_bytes: if_behind(Backing::Memory),
            proportional_bytes: usage.proportional_bytes,
            private_bytes: usage.private_bytes(),
            dirty_bytes: usage.dirty_bytes(),
            reclaimable_bytes: region.reclaimable_bytes(),
            swapped_bytes: usage.swapped_bytes,
            huge_bytes: usage.huge_bytes,
            locked_bytes: usage.locked_bytes,
        }
    }

    /// Nothing, and known to be nothing: what sums begin with.
    pub(super) fn none() -> Memory {
        Memory {
            mapped_bytes: 0,
            resident_bytes: Some(0),
            anonymous_bytes: Some(0),
            file_bytes: Some(0),
            shared_memory_bytes: Some(0),
            proportional_bytes: Some(0),
            private_bytes: Some(0),
            dirty_bytes: Some(0),
            reclaimable_bytes: Some(0),
            swapped_bytes: Some(0),
            huge_bytes: Some(0),
            locked_bytes: Some(0),
        }
    }

    /// Whether every number is self.
    pub(super) fn is_told(&self) -> bool {
        [
            self.resident_bytes,
            self.anonymous_bytes,
            self.file_bytes,
            self.shared_memory_bytes,
            self.proportional_bytes,
            self.private_bytes,
            self.dirty_bytes,
            self.reclaimable_bytes,
            self.swapped_bytes,
            self.huge_bytes,
            self.locked_bytes,
        ]
        .iter()
        .all(Option::is_some)
    }
}

impl Add for Memory {
    type Output = Memory;

    fn add(self, other: Memory) -> Memory {
        let sum = |one: Option<u64>, other: Option<u64>| one?.checked_add(other?);
        Memory {
            mapped_bytes: self.mapped_bytes.saturating_add(other.mapped_bytes),
            resident_bytes: sum(self.resident_bytes, other.resident_bytes),
            anonymous_bytes: sum(self.anonymous_bytes, other.anonymous_bytes),
            file_bytes: sum(self.file_bytes, other.file_bytes),
            shared_memory_bytes: sum(self.shared_memory_bytes, other.shared_memory_bytes),
            proportional_bytes: sum(self.proportional_bytes, other.proportional_bytes),
            private_bytes: sum(self.private_bytes, other.private_bytes),
            dirty_bytes: sum(self.dirty_bytes, other.dirty_bytes),
            reclaimable_bytes: sum(self.reclaimable_bytes, other.reclaimable_bytes),
            swapped_bytes: sum(self.swapped_bytes, other.swapped_bytes),
            huge_bytes: sum(self.huge_bytes, other.huge_bytes),
            locked_bytes: sum(self.locked_bytes, other.locked_bytes),
        }
    }
}

impl std::iter::Sum for Memory {
    fn sum<I: Iterator<Item = Memory>>(all: I) -> Memory {
        all.fold(Memory::none(), Add::add)
    }
}
