//! Who keeps pages of a file mapped: every process that can be looked into is asked.

use super::folder::{Folder, Process};
use super::layout;
use super::maps::Region;
use super::smaps;
use super::states::{Pagemap, Run};
use crate::origin::file_len;
use crate::residency::{self, Resident};
use bifolio_sys::Errno;
use bifolio_sys::fs::{self, fd::BorrowedFd};
use bifolio_sys::mm::{Categories, Find, procmap_query};
use bifolio_sys::page::page_size;
use core::ops::Range;
use std::collections::BTreeSet;
use std::fs::File;
use std::string::String;
use std::vec::Vec;

/// A process that has pages of a file mapped.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// The process.
    pub process: Process,
    /// What it is called: up to 15 bytes of its program's name, or what it calls itself.
    pub name: String,
    /// The bytes of the file that it maps, as far as they were asked about: from the first to the
    /// last.
    pub range: Range<u64>,
    /// Pages of these that are mapped: only such a page is kept in memory by it. `None` where the
    /// kernel does not tell (before Linux 6.7).
    pub mapped_pages: Option<u64>,
    /// Whether some of them are locked in memory; `None` where the kernel does not tell.
    pub is_locked: Option<bool>,
}

/// The processes that hold pages, and how many could not be asked.
pub(crate) struct Holders {
    pub(crate) holders: Vec<Holder>,
    pub(crate) unasked: u32,
    /// Which blocks of the file, by number, hold pages that are mapped somewhere.
    pub(crate) blocks: BTreeSet<u64>,
}

/// Finds who has pages of `range` of a file mapped, among the processes that this one can see, and
/// in which blocks of so many bytes they lie.
pub(crate) fn of(
    file: BorrowedFd<'_>,
    range: &Range<u64>,
    block_len: u64,
) -> Result<Holders, Errno> {
    let identity = Identity::of(file)?;
    let mut found = Holders { holders: Vec::new(), unasked: 0, blocks: BTreeSet::new() };
    let entries = std::fs::read_dir("/proc").map_err(|error| errno(&error))?;
    for entry in entries.flatten() {
        let number = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        let Some(id) = number else { continue };
        // Who has ended meanwhile holds nothing.
        let Ok(folder) = Folder::open(Process::from(id)) else { continue };
        let regions = match folder.file(c"maps").and_then(|maps| layout::read(&maps)) {
            Ok(regions) => regions,
            Err(Errno::ACCESS | Errno::PERM) => {
                found.unasked += 1;
                continue;
            }
            Err(_) => continue,
        };
        let parts = regions.iter().filter_map(|region| identity.part(region, range));
        let holder = holder(Process::from(id), &folder, &parts.collect::<Vec<_>>(), |bytes| {
            found.blocks.extend(bytes.start / block_len..bytes.end.div_ceil(block_len));
        });
        found.holders.extend(holder);
    }
    Ok(found)
}

/// What is locked of these addresses of this process, where its bytes are `range` of a mapping.
pub(crate) fn locked_here(
    addresses: &Range<usize>,
    range: &Range<usize>,
    resident: &Resident,
) -> Option<Holder> {
    let folder = Folder::open(Process::this()).ok()?;
    let regions = folder.file(c"maps").and_then(|maps| layout::read(&maps)).ok()?;
    let touches =
        |region: &&Region| region.range.start < addresses.end && addresses.start < region.range.end;
    let starts: Vec<_> = regions.iter().filter(touches).map(|region| region.range.start).collect();
    let is_locked = is_locked(&folder, &starts);
    (is_locked == Some(true)).then(|| Holder {
        process: Process::this(),
        name: name(&folder),
        range: range.start as u64..range.end as u64,
        mapped_pages: Some(resident.resident_pages),
        is_locked,
    })
}

/// How many pages of this process's own are mapped there, and not of a file; `None` where the
/// kernel does not tell.
pub(crate) fn own_copies(addresses: &Range<usize>) -> Option<u64> {
    let folder = Folder::open(Process::this()).ok()?;
    let pagemap = folder.file(c"pagemap").and_then(Pagemap::new).ok()?;
    count_mapped(&pagemap, addresses, |run| !run.is.contains(Categories::FILE))
}

/// Which file a mapping is of, as the kernel tells it of mappings: on Btrfs and overlayfs fstat(2)
/// tells something else.
struct Identity {
    device: (u32, u32),
    inode: u64,
}

/// A part of a mapping that shows what was asked about.
struct Part<'a> {
    region: &'a Region,
    addresses: Range<usize>,
    bytes: Range<u64>,
}

impl Identity {
    fn of(file: BorrowedFd<'_>) -> Result<Identity, Errno> {
        let stat = fs::fstat(file)?;
        let by_stat = Identity {
            device: (fs::major(stat.st_dev), fs::minor(stat.st_dev)),
            inode: stat.st_ino,
        };
        // What is open for writing only cannot be mapped.
        let (Some(_), Ok(span)) = (file_len(file)?, residency::map_untouched(file)) else {
            return Ok(by_stat);
        };
        let maps = File::open("/proc/self/maps").map_err(|error| errno(&error))?;
        let addr = span.base().addr().get();
        match procmap_query(&maps, addr, Find::Covering, &mut []) {
            Ok(Some(vma)) => Ok(Identity { device: vma.device, inode: vma.inode }),
            _ => Ok(by_stat),
        }
    }

    fn part<'a>(&self, region: &'a Region, range: &Range<u64>) -> Option<Part<'a>> {
        if (region.device, region.inode) != (self.device, self.inode) {
            return None;
        }
        let end = region.offset_bytes.saturating_add(region.range.len() as u64);
        let bytes = region.offset_bytes.max(range.start)..end.min(range.end);
        if bytes.is_empty() {
            return None;
        }
        let at = |byte: u64| region.range.start + (byte - region.offset_bytes) as usize;
        Some(Part { region, addresses: at(bytes.start)..at(bytes.end), bytes })
    }
}

/// What a process holds by these parts; `None` if nothing. Runs of the file that it has mapped are
/// told on.
fn holder(
    process: Process,
    folder: &Folder,
    parts: &[Part<'_>],
    mut mapped: impl FnMut(Range<u64>),
) -> Option<Holder> {
    let mut range = parts.first()?.bytes.clone();
    let pagemap = folder.file(c"pagemap").and_then(Pagemap::new).ok();
    let mut mapped_pages = pagemap.as_ref().map(|_| 0);
    for part in parts {
        range = range.start.min(part.bytes.start)..range.end.max(part.bytes.end);
        let pages = pagemap.as_ref().and_then(|pagemap| {
            count_mapped(pagemap, &part.addresses, |run| {
                // Copies in a private mapping hold no page of the file.
                let is_file_s = run.is.contains(Categories::FILE);
                if is_file_s {
                    let start = part.region.range.start;
                    let at = |addr: usize| part.region.offset_bytes + (addr - start) as u64;
                    mapped(at(run.pages.start)..at(run.pages.end));
                }
                is_file_s
            })
        });
        mapped_pages = mapped_pages.zip(pages).map(|(sum, pages)| sum + pages);
    }
    if mapped_pages == Some(0) {
        return None;
    }
    let starts: Vec<_> = parts.iter().map(|part| part.region.range.start).collect();
    let is_locked = is_locked(folder, &starts);
    Some(Holder { process, name: name(folder), range, mapped_pages, is_locked })
}

fn name(folder: &Folder) -> String {
    let name = folder.read(c"comm").unwrap_or_default();
    String::from_utf8_lossy(name.strip_suffix(b"\n").unwrap_or(&name)).into_owned()
}

/// How many pages are mapped there and of this sort.
fn count_mapped(
    pagemap: &Pagemap,
    addresses: &Range<usize>,
    mut is_wanted: impl FnMut(&Run) -> bool,
) -> Option<u64> {
    let start = page_size().round_down(addresses.start);
    let end = page_size().round_up(addresses.end)?;
    let mut pages = 0;
    let scanned = pagemap.scan(start..end, |run| {
        if run.is.contains(Categories::PRESENT) && is_wanted(&run) {
            pages += (run.pages.len() >> page_size().log2()) as u64;
        }
    });
    scanned.is_ok().then_some(pages)
}

/// Whether one of the mappings that start there is locked (mlock(2)).
fn is_locked(folder: &Folder, starts: &[usize]) -> Option<bool> {
    let status = folder.read(c"status").ok()?;
    let mut lines = status.split(|&byte| byte == b'\n');
    let locked = lines.find_map(|line| line.strip_prefix(b"VmLck:"))?;
    if locked.trim_ascii() == b"0 kB" {
        return Some(false);
    }
    let regions = smaps::parse(&folder.read(c"smaps").ok()?).ok()?;
    let mut mapped = regions.iter().filter(|region| starts.contains(&region.range.start));
    Some(mapped.any(|region| region.usage.locked_bytes.is_none_or(|bytes| bytes > 0)))
}

fn errno(error: &std::io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
