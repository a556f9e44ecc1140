//! How much memory stands behind a mapping, of which kind, and whose it is.

use bifolio_sys::mm::Categories;
use core::iter::Sum;
use core::ops::{Add, AddAssign};

/// The memory behind a mapping, in bytes; `None` is what was not asked for, or what the kernel does
/// not tell.
///
/// Mapped is not resident, and resident is not this process's own: a page that ten processes have
/// mapped is resident in each, and counts a tenth in each one's `proportional_bytes`.
///
/// # Examples
///
/// ```
/// use bifolio_map::memory::Usage;
///
/// let mut one = Usage::default();
/// one.resident_bytes = Some(4096);
/// let mut other = one;
/// other.swapped_bytes = Some(4096);
/// // What one of two does not know, their sum does not know.
/// assert_eq!((one + other).resident_bytes, Some(8192));
/// assert_eq!((one + other).swapped_bytes, None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Usage {
    /// In memory and mapped by this process, the pool of huge pages included; without the page of
    /// zeros that all share.
    pub resident_bytes: Option<u64>,
    /// Resident, each page divided by the number of processes that map it (PSS).
    pub proportional_bytes: Option<u64>,
    /// Resident, mapped by others too, and not changed since it was read.
    pub shared_clean_bytes: Option<u64>,
    /// Resident, mapped by others too, and changed.
    pub shared_dirty_bytes: Option<u64>,
    /// Resident, mapped by this process alone, and not changed since it was read.
    pub private_clean_bytes: Option<u64>,
    /// Resident, mapped by this process alone, and changed.
    pub private_dirty_bytes: Option<u64>,
    /// Resident, and touched since somebody last cleared the marks of it (`clear_refs`).
    pub referenced_bytes: Option<u64>,
    /// Resident, and no file's: private copies, and memory without a file.
    pub anonymous_bytes: Option<u64>,
    /// Resident, given back by `MADV_FREE`, and not taken yet.
    pub lazily_freed_bytes: Option<u64>,
    /// In swap; as the page tables tell it, of private memory without a file only.
    pub swapped_bytes: Option<u64>,
    /// In swap, each page divided as in `proportional_bytes`.
    pub swapped_proportional_bytes: Option<u64>,
    /// Resident in huge pages, of the pool or transparent.
    pub huge_bytes: Option<u64>,
    /// Locked in memory, divided as in `proportional_bytes`.
    pub locked_bytes: Option<u64>,
    /// Guard pages inside (`MADV_GUARD_INSTALL`), which permit nothing and take no memory.
    pub guard_bytes: Option<u64>,
}

impl Usage {
    /// No memory, as far as the page tables can tell; `is_plain` for private memory without a file,
    /// of which they tell too what is in swap.
    pub(super) fn of_page_tables(is_plain: bool) -> Usage {
        Usage {
            resident_bytes: Some(0),
            anonymous_bytes: Some(0),
            swapped_bytes: is_plain.then_some(0),
            huge_bytes: Some(0),
            ..Usage::default()
        }
    }

    /// Counts `bytes` of pages in one state of the page tables.
    pub(super) fn count(&mut self, is: Categories, is_swapped: Option<bool>, bytes: u64) {
        let add = |to: &mut Option<u64>| *to = to.map(|sum| sum + bytes);
        if is.contains(Categories::PRESENT) && !is.contains(Categories::PFNZERO) {
            add(&mut self.resident_bytes);
            if !is.contains(Categories::FILE) {
                add(&mut self.anonymous_bytes);
            }
            if is.contains(Categories::HUGE) {
                add(&mut self.huge_bytes);
            }
        }
        if is.contains(Categories::GUARD) {
            add(&mut self.guard_bytes);
        }
        match is_swapped {
            Some(false) => {}
            Some(true) => add(&mut self.swapped_bytes),
            None => self.swapped_bytes = None,
        }
    }

    /// Resident and changed, whoever else maps it.
    #[must_use]
    pub fn dirty_bytes(&self) -> Option<u64> {
        Some(self.shared_dirty_bytes? + self.private_dirty_bytes?)
    }

    /// Resident and not changed, whoever else maps it.
    #[must_use]
    pub fn clean_bytes(&self) -> Option<u64> {
        Some(self.shared_clean_bytes? + self.private_clean_bytes?)
    }

    /// What the end of this process would free at once (USS): what it maps alone.
    #[must_use]
    pub fn private_bytes(&self) -> Option<u64> {
        Some(self.private_clean_bytes? + self.private_dirty_bytes?)
    }
}

impl Add for Usage {
    type Output = Usage;

    fn add(self, other: Usage) -> Usage {
        let sum = |one: Option<u64>, other: Option<u64>| Some(one? + other?);
        Usage {
            resident_bytes: sum(self.resident_bytes, other.resident_bytes),
            proportional_bytes: sum(self.proportional_bytes, other.proportional_bytes),
            shared_clean_bytes: sum(self.shared_clean_bytes, other.shared_clean_bytes),
            shared_dirty_bytes: sum(self.shared_dirty_bytes, other.shared_dirty_bytes),
            private_clean_bytes: sum(self.private_clean_bytes, other.private_clean_bytes),
            private_dirty_bytes: sum(self.private_dirty_bytes, other.private_dirty_bytes),
            referenced_bytes: sum(self.referenced_bytes, other.referenced_bytes),
            anonymous_bytes: sum(self.anonymous_bytes, other.anonymous_bytes),
            lazily_freed_bytes: sum(self.lazily_freed_bytes, other.lazily_freed_bytes),
            swapped_bytes: sum(self.swapped_bytes, other.swapped_bytes),
            swapped_proportional_bytes: sum(
                self.swapped_proportional_bytes,
                other.swapped_proportional_bytes,
            ),
            huge_bytes: sum(self.huge_bytes, other.huge_bytes),
            locked_bytes: sum(self.locked_bytes, other.locked_bytes),
            guard_bytes: sum(self.guard_bytes, other.guard_bytes),
        }
    }
}

impl AddAssign for Usage {
    fn add_assign(&mut self, other: Usage) {
        *self = *self + other;
    }
}

impl Sum for Usage {
    /// The sum of none is not known to be nothing: it is the default, of which nothing is known.
    fn sum<I: Iterator<Item = Usage>>(usages: I) -> Usage {
        usages.reduce(Add::add).unwrap_or_default()
    }
}
