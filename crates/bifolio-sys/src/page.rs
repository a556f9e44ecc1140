//! Pages and page sizes: asked of the kernel, never assumed.
//!
//! 1. A [`PageSize`] is a power of two.
//! 2. Both ends of a [`PageRange`] are multiples of its page size, and `start <= end`.
//!
//! It does not round what cannot be rounded: where a result would not fit, the answer is `None`.
//!
//! # Safety
//!
//! The one unsafe operation reads the auxiliary vector.
#![allow(unsafe_code, reason = "the page size lies in the auxiliary vector")]

use core::mem::MaybeUninit;
use core::ops::Range;
// A cache of a constant, not a protocol: there is nothing here for a model checker.
use core::sync::atomic::{AtomicU32, Ordering};

use rustix::fs::{CWD, MemfdFlags, Mode, OFlags, RawDir, fstat, memfd_create, openat};
use rustix::io::Errno;

use crate::text::{Path, parse_number, read_number};

/// The size of a page in bytes: a power of two.
///
/// ```
/// use bifolio_sys::page::{PageSize, page_size};
///
/// let page = page_size();
/// assert!(page.is_aligned(page.bytes()));
/// assert_eq!(page.round_up(1), Some(page.bytes()));
/// assert_eq!(PageSize::new(3000), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageSize {
    log2: u32,
}

impl PageSize {
    /// A page of `bytes`, or `None` if that is not a power of two.
    #[must_use]
    pub const fn new(bytes: usize) -> Option<Self> {
        if bytes.is_power_of_two() { Some(Self { log2: bytes.trailing_zeros() }) } else { None }
    }

    /// Its size in bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        1 << self.log2
    }

    /// The binary logarithm of its size, as `MAP_HUGETLB` and `MFD_HUGETLB` encode it: 0 to 63.
    #[must_use]
    pub const fn log2(self) -> u32 {
        self.log2
    }

    /// Whether `bytes` (an address, an offset or a length) is a multiple of the page size.
    #[must_use]
    pub const fn is_aligned(self, bytes: usize) -> bool {
        bytes & self.mask() == 0
    }

    /// The greatest multiple of the page size that is not above `bytes`.
    #[must_use]
    pub const fn round_down(self, bytes: usize) -> usize {
        bytes & !self.mask()
    }

    /// The least multiple of the page size that is not below `bytes`, or `None` if it does not fit.
    #[must_use]
    pub const fn round_up(self, bytes: usize) -> Option<usize> {
        match bytes.checked_add(self.mask()) {
            Some(above) => Some(self.round_down(above)),
            None => None,
        }
    }

    /// How many pages hold `bytes`.
    #[must_use]
    pub const fn count(self, bytes: usize) -> PageCount {
        PageCount((bytes >> self.log2) + !self.is_aligned(bytes) as usize)
    }

    /// The pages that `bytes` touches, in a file or in memory: `None` if the last would end beyond
    /// 2^64.
    ///
    /// ```
    /// use bifolio_sys::page::PageSize;
    ///
    /// let page = PageSize::new(4096).unwrap();
    /// assert_eq!(page.outward(4000..4100).unwrap().bytes(), 0..8192);
    /// assert!(page.outward(5000..5000).unwrap().is_empty());
    /// ```
    #[must_use]
    pub const fn outward(self, bytes: Range<u64>) -> Option<PageRange> {
        let mask = self.mask() as u64;
        let start = bytes.start & !mask;
        if bytes.start >= bytes.end {
            return Some(PageRange { page: self, start, end: start });
        }
        match bytes.end.checked_add(mask) {
            Some(above) => Some(PageRange { page: self, start, end: above & !mask }),
            None => None,
        }
    }

    /// The pages that lie wholly within `bytes`, in a file or in memory.
    ///
    /// ```
    /// use bifolio_sys::page::PageSize;
    ///
    /// let page = PageSize::new(4096).unwrap();
    /// assert_eq!(page.inward(4000..12_300).bytes(), 4096..12_288);
    /// assert!(page.inward(4000..8000).is_empty());
    /// ```
    #[must_use]
    pub const fn inward(self, bytes: Range<u64>) -> PageRange {
        let mask = self.mask() as u64;
        let end = bytes.end & !mask;
        let start = match bytes.start.checked_add(mask) {
            Some(above) if above & !mask < end => above & !mask,
            _ => end,
        };
        PageRange { page: self, start, end }
    }

    /// The bits of an address that lie within the page.
    const fn mask(self) -> usize {
        self.bytes() - 1
    }
}

/// A number of pages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PageCount(usize);

impl PageCount {
    /// This many pages.
    #[must_use]
    pub const fn new(pages: usize) -> Self {
        Self(pages)
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0
    }

    /// The bytes of that many pages of this size, or `None` if they do not fit an address.
    ///
    /// ```
    /// use bifolio_sys::page::{PageCount, page_size};
    ///
    /// assert_eq!(PageCount::new(3).bytes(page_size()), Some(3 * page_size().bytes()));
    /// assert_eq!(PageCount::new(usize::MAX).bytes(page_size()), None);
    /// ```
    #[must_use]
    pub const fn bytes(self, page: PageSize) -> Option<usize> {
        self.0.checked_mul(page.bytes())
    }

    /// The sum, or `None` if it does not fit.
    #[must_use]
    pub const fn checked_add(self, other: Self) -> Option<Self> {
        match self.0.checked_add(other.0) {
            Some(pages) => Some(Self(pages)),
            None => None,
        }
    }

    /// The difference, or `None` if it were negative.
    #[must_use]
    pub const fn checked_sub(self, other: Self) -> Option<Self> {
        match self.0.checked_sub(other.0) {
            Some(pages) => Some(Self(pages)),
            None => None,
        }
    }
}

/// A run of whole pages of a file or of memory, by [`PageSize::outward`] or [`PageSize::inward`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PageRange {
    page: PageSize,
    start: u64,
    end: u64,
}

impl PageRange {
    /// Where it lies, in bytes.
    #[must_use]
    pub const fn bytes(self) -> Range<u64> {
        self.start..self.end
    }

    /// Its length in bytes.
    #[must_use]
    pub const fn len_bytes(self) -> u64 {
        self.end - self.start
    }

    /// How many pages it has.
    #[must_use]
    pub const fn count(self) -> PageCount {
        // Bifolio is for 64-bit systems, where a `u64` fits a `usize`.
        PageCount((self.len_bytes() >> self.page.log2) as usize)
    }

    /// Whether it has no page.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }
}

const _: () = assert!(size_of::<usize>() == size_of::<u64>(), "Bifolio is for 64-bit systems");

/// The size of an ordinary page, asked of the kernel once.
///
/// # Panics
///
/// When the kernel has not given the process its page size: Linux always does.
///
/// # References
///
/// [getauxval(3)](https://man7.org/linux/man-pages/man3/getauxval.3.html), `AT_PAGESZ`: every
/// Linux.
#[must_use]
pub fn page_size() -> PageSize {
    static LOG2: AtomicU32 = AtomicU32::new(0);
    // Relaxed pairs with the store below: the value is all there is, and every thread computes the
    // same.
    let log2 = LOG2.load(Ordering::Relaxed);
    if log2 != 0 {
        return PageSize { log2 };
    }
    // SAFETY: getauxval(3): it reads the vector that the kernel gave the process, and answers 0 for
    // a missing entry.
    let bytes = unsafe { libc::getauxval(libc::AT_PAGESZ) };
    let page = PageSize::new(bytes as usize).expect("the kernel gives every process its page size");
    // Relaxed pairs with the load above.
    LOG2.store(page.log2, Ordering::Relaxed);
    page
}

/// The page sizes for which this kernel has reserved pages (hugetlb), whether or not any page is in
/// their pools.
///
/// ```
/// let page = bifolio_sys::page::page_size();
/// for huge in bifolio_sys::page::huge_page_sizes().unwrap_or_default() {
///     assert!(huge > page);
/// }
/// ```
///
/// # Errors
///
/// [`Errno::NOENT`] on a kernel without hugetlb or without `/sys`, and whatever opening the
/// directory gives.
///
/// # References
///
/// [hugetlbpage](https://docs.kernel.org/admin-guide/mm/hugetlbpage.html),
/// `/sys/kernel/mm/hugepages`: Linux 2.6.27.
pub fn huge_page_sizes() -> Result<HugePageSizes, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat(CWD, c"/sys/kernel/mm/hugepages", flags, Mode::empty())?;
    let mut buf = [MaybeUninit::uninit(); 1024];
    let mut entries = RawDir::new(directory, &mut buf);
    let mut sizes = HugePageSizes(0);
    while let Some(entry) = entries.next() {
        if let Some(page) = huge_page_size_of(entry?.file_name().to_bytes()) {
            sizes.0 |= 1 << page.log2;
        }
    }
    Ok(sizes)
}

/// The size of reserved huge pages that `MAP_HUGETLB` means when it names none.
///
/// # Errors
///
/// [`Errno::INVAL`] or [`Errno::NOSYS`] on a kernel without hugetlb.
///
/// # References
///
/// [memfd_create(2)](https://man7.org/linux/man-pages/man2/memfd_create.2.html), `MFD_HUGETLB`:
/// Linux 4.14.
pub fn default_huge_page_size() -> Result<PageSize, Errno> {
    // The block size of such a file is its page size, and no file system need be mounted to ask.
    let file = memfd_create(c"page size", MemfdFlags::CLOEXEC | MemfdFlags::HUGETLB)?;
    let bytes = fstat(&file)?.st_blksize;
    usize::try_from(bytes).ok().and_then(PageSize::new).ok_or(Errno::INVAL)
}

/// The size in a name like `hugepages-2048kB`.
fn huge_page_size_of(name: &[u8]) -> Option<PageSize> {
    let kib = parse_number(name.strip_prefix(b"hugepages-")?.strip_suffix(b"kB")?)?;
    PageSize::new(usize::try_from(kib.checked_mul(1024)?).ok()?)
}

/// The sizes of reserved huge pages, ascending: an iterator by value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HugePageSizes(u64);

impl Iterator for HugePageSizes {
    type Item = PageSize;

    fn next(&mut self) -> Option<PageSize> {
        let page = PageSize { log2: self.0.trailing_zeros() };
        // Clears the lowest bit that is set.
        self.0 &= self.0.checked_sub(1)?;
        Some(page)
    }
}

/// The pool of reserved huge pages of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HugePagePool {
    /// Pages in the pool (`nr_hugepages`).
    pub total: PageCount,
    /// Pages of it that nobody uses (`free_hugepages`); some may be reserved.
    pub free: PageCount,
    /// Free pages that are promised to a mapping (`resv_hugepages`).
    pub reserved: PageCount,
    /// Pages that the pool may grow by when it is empty (`nr_overcommit_hugepages`).
    pub overcommit: PageCount,
}

impl HugePagePool {
    /// Asks the kernel for the pool of pages of this size.
    ///
    /// # Errors
    ///
    /// [`Errno::NOENT`] if the kernel has no huge pages of this size.
    ///
    /// # References
    ///
    /// [hugetlbpage](https://docs.kernel.org/admin-guide/mm/hugetlbpage.html): Linux 2.6.27.
    pub fn of(page: PageSize) -> Result<Self, Errno> {
        let file = |name| {
            let kib = page.bytes() / 1024;
            let path = Path::new(format_args!("/sys/kernel/mm/hugepages/hugepages-{kib}kB/{name}"));
            read_number(path.as_c_str()).map(|pages| PageCount(pages as usize))
        };
        Ok(Self {
            total: file("nr_hugepages")?,
            free: file("free_hugepages")?,
            reserved: file("resv_hugepages")?,
            overcommit: file("nr_overcommit_hugepages")?,
        })
    }
}

/// The size of a transparent huge page that one page-table entry maps (2 MiB with 4 KiB pages).
///
/// # Errors
///
/// [`Errno::NOENT`] on a kernel without transparent huge pages or without `/sys`.
///
/// # References
///
/// [transhuge](https://docs.kernel.org/admin-guide/mm/transhuge.html), `hpage_pmd_size`: Linux
/// 4.10.
pub fn thp_size() -> Result<PageSize, Errno> {
    let bytes = read_number(c"/sys/kernel/mm/transparent_hugepage/hpage_pmd_size")?;
    usize::try_from(bytes).ok().and_then(PageSize::new).ok_or(Errno::INVAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: PageSize = PageSize::new(4096).unwrap();

    #[test]
    fn only_powers_of_two_are_page_sizes() {
        for bytes in [0, 3, 4095, 4097, usize::MAX] {
            assert_eq!(PageSize::new(bytes), None, "{bytes}");
        }
        assert_eq!(PageSize::new(1 << 63).unwrap().bytes(), 1 << 63);
    }

    #[test]
    fn rounding_agrees_with_division() {
        for bytes in [0, 1, 4095, 4096, 4097, 8191, 8192, usize::MAX - 4096, usize::MAX - 4095] {
            let pages = bytes.div_ceil(4096);
            assert_eq!(PAGE.round_up(bytes), Some(pages * 4096), "{bytes}");
            assert_eq!(PAGE.round_down(bytes), bytes / 4096 * 4096, "{bytes}");
            assert_eq!(PAGE.count(bytes), PageCount(pages), "{bytes}");
        }
    }

    #[test]
    fn what_does_not_fit_is_none() {
        assert_eq!(PAGE.round_up(usize::MAX - 4094), None);
        assert_eq!(PAGE.count(usize::MAX), PageCount(1 << 52));
        assert_eq!(PAGE.outward(0..u64::MAX), None);
        assert_eq!(PageCount(1 << 52).bytes(PAGE), None);
        assert_eq!(PageCount(usize::MAX).checked_add(PageCount(1)), None);
        assert_eq!(PageCount(1).checked_sub(PageCount(2)), None);
    }

    #[test]
    fn ranges_agree_with_their_pages() {
        let touched = |page: u64, range: &Range<u64>| {
            range.start < page * 4096 + 4096 && range.end > page * 4096
        };
        let within = |page: u64, range: &Range<u64>| {
            range.start <= page * 4096 && range.end >= page * 4096 + 4096
        };
        let edges = [0, 1, 4095, 4096, 4097, 8191, 8192, 12_287, 12_288, 12_289];
        for start in edges {
            for end in edges.into_iter().filter(|end| *end > start) {
                let range = start..end;
                let outward = PAGE.outward(range.clone()).unwrap();
                let inward = PAGE.inward(range.clone());
                for page in 0..5 {
                    let at = page * 4096;
                    assert_eq!(outward.bytes().contains(&at), touched(page, &range), "{range:?}");
                    assert_eq!(inward.bytes().contains(&at), within(page, &range), "{range:?}");
                }
            }
        }
    }

    #[test]
    fn the_ends_of_the_address_space_have_no_inner_page_beyond_them() {
        let last = u64::MAX - 4095;
        assert_eq!(PAGE.inward(last - 4096..u64::MAX).bytes(), last - 4096..last);
        assert!(PAGE.inward(u64::MAX - 10..u64::MAX).is_empty());
        assert_eq!(PAGE.inward(0..12_288).count(), PageCount(3));
    }

    #[test]
    fn a_reversed_range_has_no_page() {
        #[expect(clippy::reversed_empty_ranges, reason = "that is what is tested")]
        let reversed = 9000..10;
        assert!(PAGE.outward(reversed.clone()).unwrap().is_empty());
        assert!(PAGE.inward(reversed).is_empty());
    }

    #[test]
    fn the_default_is_one_of_the_sizes() {
        match default_huge_page_size() {
            Ok(page) => assert!(huge_page_sizes().unwrap().any(|size| size == page), "{page:?}"),
            Err(errno) => assert_eq!(huge_page_sizes().unwrap_or_default().next(), None, "{errno}"),
        }
    }

    #[test]
    fn names_of_pools_are_read_and_others_are_not() {
        assert_eq!(huge_page_size_of(b"hugepages-2048kB"), PageSize::new(2 << 20));
        for name in
            [&b"."[..], b"hugepages-", b"hugepages-3kB", b"hugepages-99999999999999999999kB"]
        {
            assert_eq!(huge_page_size_of(name), None);
        }
    }

    #[test]
    fn a_set_of_sizes_iterates_ascending() {
        let mut sizes = HugePageSizes(1 << 21 | 1 << 30 | 1 << 63);
        assert_eq!(sizes.next(), PageSize::new(2 << 20));
        assert_eq!(sizes.next(), PageSize::new(1 << 30));
        assert_eq!(sizes.next(), PageSize::new(1 << 63));
        assert_eq!(sizes.next(), None);
    }
}
