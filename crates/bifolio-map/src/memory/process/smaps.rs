//! What /proc/PID/smaps tells of each mapping: a line as in maps, then `Name:  N kB` lines.
//!
//! It is the only source of what is shared with whom, and it is slow: for each mapping the kernel
//! walks all its pages.

use super::layout;
use super::maps::Region;
use super::usage::Usage;
use bifolio_sys::Errno;
use std::vec::Vec;

/// The mappings with their numbers.
pub(super) fn parse(text: &[u8]) -> Result<Vec<Region>, Errno> {
    let mut regions = Vec::new();
    let mut counts = Counts::default();
    for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let word_end = line.iter().position(|&byte| byte == b' ').unwrap_or(line.len());
        match line[..word_end].split_last() {
            Some((b':', name)) => counts.set(name, &line[word_end..]),
            // Addresses, then: the next mapping.
            _ => {
                finish(&mut regions, &mut counts);
                regions.push(layout::parse(line).ok_or(Errno::IO)?);
            }
        }
    }
    finish(&mut regions, &mut counts);
    regions.retain(|region| !layout::is_everybodys(region));
    Ok(regions)
}

fn finish(regions: &mut [Region], counts: &mut Counts) {
    if let Some(region) = regions.last_mut() {
        let counts = core::mem::take(counts);
        region.page_size_bytes = counts.page_size_bytes;
        region.usage = counts.usage();
    }
}

/// The numbers of one mapping, in bytes.
#[derive(Default)]
struct Counts {
    page_size_bytes: Option<u64>,
    /// Those of the same name.
    usage: Usage,
    /// The parts of what is huge: transparent ones, then those of the pool, which are counted as
    /// nothing else.
    huge: [Option<u64>; 3],
    pool: [Option<u64>; 2],
}

impl Counts {
    fn set(&mut self, name: &[u8], value: &[u8]) {
        let usage = &mut self.usage;
        let field = match name {
            b"KernelPageSize" => &mut self.page_size_bytes,
            b"Rss" => &mut usage.resident_bytes,
            b"Pss" => &mut usage.proportional_bytes,
            b"Shared_Clean" => &mut usage.shared_clean_bytes,
            b"Shared_Dirty" => &mut usage.shared_dirty_bytes,
            b"Private_Clean" => &mut usage.private_clean_bytes,
            b"Private_Dirty" => &mut usage.private_dirty_bytes,
            b"Referenced" => &mut usage.referenced_bytes,
            b"Anonymous" => &mut usage.anonymous_bytes,
            b"LazyFree" => &mut usage.lazily_freed_bytes,
            b"Swap" => &mut usage.swapped_bytes,
            b"SwapPss" => &mut usage.swapped_proportional_bytes,
            b"Locked" => &mut usage.locked_bytes,
            b"AnonHugePages" => &mut self.huge[0],
            b"ShmemPmdMapped" => &mut self.huge[1],
            b"FilePmdMapped" => &mut self.huge[2],
            b"Shared_Hugetlb" => &mut self.pool[0],
            b"Private_Hugetlb" => &mut self.pool[1],
            _ => return,
        };
        *field = kibibytes(value);
    }

    fn usage(self) -> Usage {
        let mut usage = self.usage;
        // Kernels that do not know a kind do not have it.
        usage.huge_bytes = self.huge[0].map(|_| self.huge.iter().flatten().sum());
        let [shared, private] = self.pool.map(Option::unwrap_or_default);
        if shared + private == 0 {
            return usage;
        }
        // In memory they are, but nothing else is told of them.
        let add = |to: &mut Option<u64>, bytes| *to = to.map(|sum| sum + bytes);
        add(&mut usage.resident_bytes, shared + private);
        add(&mut usage.huge_bytes, shared + private);
        if shared == 0 {
            add(&mut usage.proportional_bytes, private);
        } else {
            usage.proportional_bytes = None;
        }
        usage.anonymous_bytes = None;
        usage.referenced_bytes = None;
        usage.shared_clean_bytes = None;
        usage.shared_dirty_bytes = None;
        usage.private_clean_bytes = None;
        usage.private_dirty_bytes = None;
        usage
    }
}

/// `   12 kB` in bytes.
fn kibibytes(value: &[u8]) -> Option<u64> {
    let digits = value.trim_ascii().strip_suffix(b" kB")?;
    str::from_utf8(digits).ok()?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"\
1000-3000 rw-p 00000000 fe:00 7    /a: b
Size:                  8 kB
KernelPageSize:        4 kB
Rss:                   8 kB
Pss:                   6 kB
Shared_Clean:          4 kB
Private_Dirty:         4 kB
Anonymous:             4 kB
AnonHugePages:         0 kB
FilePmdMapped:         4 kB
FutureThing:           9 lb
VmFlags: rd wr
200000-400000 rw-p 00000000 00:10 9    /anon_hugepage (deleted)
KernelPageSize:     2048 kB
Rss:                   0 kB
Pss:                   0 kB
Private_Dirty:         0 kB
AnonHugePages:         0 kB
Shared_Hugetlb:        0 kB
Private_Hugetlb:    2048 kB
ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0    [vsyscall]
Rss:                   0 kB
";

    #[test]
    fn every_number_is_that_of_its_mapping() {
        let regions = parse(TEXT).unwrap();
        assert_eq!(regions.len(), 2, "[vsyscall] is nobody's");
        assert_eq!(&*regions[0].name, b"/a: b");
        assert_eq!(regions[0].page_size_bytes, Some(4096));
        let expected = Usage {
            resident_bytes: Some(8192),
            proportional_bytes: Some(6144),
            shared_clean_bytes: Some(4096),
            private_dirty_bytes: Some(4096),
            anonymous_bytes: Some(4096),
            huge_bytes: Some(4096),
            ..Usage::default()
        };
        assert_eq!(regions[0].usage, expected);
        let pool = Usage {
            resident_bytes: Some(2 << 20),
            proportional_bytes: Some(2 << 20),
            huge_bytes: Some(2 << 20),
            ..Usage::default()
        };
        assert_eq!((regions[1].usage, regions[1].page_size_bytes), (pool, Some(2 << 20)));
        assert!(parse(b"nonsense\n").is_err());
    }
}
