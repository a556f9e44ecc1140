//! Which mappings a process has: asked one by one (`PROCMAP_QUERY`), or read as text.

use super::folder::read_all;
use super::maps::{Backing, Permissions, Region};
use super::purpose::Purpose;
use super::usage::Usage;
use bifolio_sys::Errno;
use bifolio_sys::mm::{Find, ProtFlags, Vma, procmap_query};
use core::ops::Range;
use std::fs::File;
use std::vec::Vec;

/// The kernel writes no longer name than this.
const NAME_BYTES_MAX: usize = 4096;

/// The mappings that an open /proc/PID/maps tells; `SRCH` where that memory is gone.
pub(super) fn read(maps: &File) -> Result<Vec<Region>, Errno> {
    let regions = match by_query(maps) {
        answer @ (Ok(_) | Err(Errno::SRCH)) => answer,
        // An older kernel, a filter, a name that is too long: the text has names of any length.
        Err(_) => by_text(maps),
    }?;
    if regions.is_empty() { Err(Errno::SRCH) } else { Ok(regions) }
}

/// Whether these are still the mappings, which is asked without their names; `SRCH` where that
/// memory is gone.
pub(super) fn is_still(maps: &File, regions: &[Region]) -> Result<bool, Errno> {
    let mut expected = regions.iter();
    let mut at = 0;
    loop {
        match procmap_query(maps, at, Find::CoveringOrNext, &mut []) {
            Ok(Some(vma)) => {
                at = vma.range.end;
                let region = Region::from(vma);
                if expected.next().is_none_or(|expected| key(expected) != key(&region)) {
                    return Ok(false);
                }
            }
            Ok(None) => return Ok(expected.next().is_none()),
            Err(Errno::SRCH) => return Err(Errno::SRCH),
            Err(_) => {
                let again = by_text(maps)?;
                if again.is_empty() {
                    return Err(Errno::SRCH);
                }
                return Ok(again.iter().map(key).eq(regions.iter().map(key)));
            }
        }
    }
}

/// What makes a mapping another, whatever its file is called by now.
fn key(region: &Region) -> impl PartialEq + '_ {
    let file = (region.offset_bytes, region.inode, region.device);
    (&region.range, region.permissions, region.is_shared, file)
}

/// Whether it is the one page that the text shows for every process and that none has mapped.
pub(super) fn is_everybodys(region: &Region) -> bool {
    &*region.name == b"[vsyscall]"
}

/// Asks for one mapping after the other.
fn by_query(maps: &File) -> Result<Vec<Region>, Errno> {
    let mut name = [0; NAME_BYTES_MAX];
    let mut regions = Vec::new();
    let mut at = 0;
    while let Some(vma) = procmap_query(maps, at, Find::CoveringOrNext, &mut name)? {
        at = vma.range.end;
        regions.push(Region::from(vma));
    }
    Ok(regions)
}

impl From<Vma<'_>> for Region {
    fn from(vma: Vma<'_>) -> Region {
        Region {
            range: vma.range,
            permissions: Permissions {
                read: vma.protection.contains(ProtFlags::READ),
                write: vma.protection.contains(ProtFlags::WRITE),
                execute: vma.protection.contains(ProtFlags::EXEC),
            },
            is_shared: vma.is_shared,
            purpose: Purpose::Unknown,
            name: vma.name.into(),
            offset_bytes: vma.offset_bytes,
            inode: vma.inode,
            device: vma.device,
            page_size_bytes: Some(vma.page_size_bytes),
            backing: Backing::Unknown,
            is_deleted: None,
            usage: Usage::default(),
        }
    }
}

/// Reads the text.
fn by_text(maps: &File) -> Result<Vec<Region>, Errno> {
    let text = read_all(maps)?;
    let lines = text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    let mut regions = Vec::new();
    for line in lines {
        regions.push(parse(line).ok_or(Errno::IO)?);
    }
    regions.retain(|region| !is_everybodys(region));
    Ok(regions)
}

/// A line of proc_pid_maps(5): `START-END PERMS OFFSET MAJOR:MINOR INODE   NAME`.
pub(super) fn parse(line: &[u8]) -> Option<Region> {
    let mut rest = line;
    let mut word = || {
        let end = rest.iter().position(|&byte| byte == b' ').unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        rest = behind.get(1..).unwrap_or_default();
        word
    };
    let (addresses, permissions, offset, device, inode) = (word(), word(), word(), word(), word());
    let (start, end) = pair(addresses, b'-')?;
    let (major, minor) = pair(device, b':')?;
    let [read, write, execute, sharing, ..] = *permissions else { return None };
    Some(Region {
        range: Range { start: start.try_into().ok()?, end: end.try_into().ok()? },
        permissions: Permissions {
            read: read == b'r',
            write: write == b'w',
            execute: execute == b'x',
        },
        is_shared: sharing == b's',
        purpose: Purpose::Unknown,
        name: unescape(rest.trim_ascii_start()).into(),
        offset_bytes: number(offset, 16)?,
        inode: number(inode, 10)?,
        device: (major.try_into().ok()?, minor.try_into().ok()?),
        page_size_bytes: None,
        backing: Backing::Unknown,
        is_deleted: None,
        usage: Usage::default(),
    })
}

fn number(digits: &[u8], radix: u32) -> Option<u64> {
    u64::from_str_radix(str::from_utf8(digits).ok()?, radix).ok()
}

/// Two hexadecimal numbers.
fn pair(word: &[u8], between: u8) -> Option<(u64, u64)> {
    let at = word.iter().position(|&byte| byte == between)?;
    Some((number(&word[..at], 16)?, number(&word[at + 1..], 16)?))
}

/// Undoes the kernel's one escape: a line break is written `\012`. A name that has these four
/// characters themselves is misread: the kernel does not escape the backslash.
fn unescape(name: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name;
    while let [first, behind @ ..] = rest {
        match rest.strip_prefix(br"\012") {
            Some(after) => {
                bytes.push(b'\n');
                rest = after;
            }
            None => {
                bytes.push(*first);
                rest = behind;
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::process::still::Still;

    #[test]
    fn lines_are_understood_whatever_the_file_is_called() {
        let line = b"7f0000001000-7f0000003000 rw-s 0000a000 fe:02 4711       \
            /a b\\012c\xff (deleted)";
        let region = parse(line).unwrap();
        assert_eq!(region.range, 0x7f00_0000_1000..0x7f00_0000_3000);
        assert_eq!(
            (std::format!("{}", region.permissions), region.is_shared),
            ("rw-".into(), true)
        );
        assert_eq!(&*region.name, b"/a b\nc\xff (deleted)");
        assert_eq!((region.offset_bytes, region.inode, region.device), (0xa000, 4711, (0xfe, 2)));
        let region = parse(b"00400000-00401000 ---p 00000000 00:00 0 ").unwrap();
        assert_eq!((&*region.name, region.is_shared), (&b""[..], false));
        for line in
            [&b"1000-2000"[..], b"x-y r--p 0 0:0 0", b"1-2 r--p 0 0:0 x", b"1-2 r-- 0 0:0 0"]
        {
            assert_eq!(parse(line), None);
        }
    }

    /// The size of pages is told by one way alone.
    fn without_page_size(regions: Vec<Region>) -> Vec<Region> {
        let forget = |region| Region { page_size_bytes: None, ..region };
        regions.into_iter().map(forget).collect()
    }

    #[test]
    fn both_ways_of_asking_agree() {
        let still = Still::new();
        let folder = still.folder();
        let maps = folder.file(c"maps").unwrap();
        let text = by_text(&maps).unwrap();
        assert!(text.len() > 10, "{text:?}");
        match by_query(&maps) {
            Ok(queried) => assert_eq!(without_page_size(queried), text),
            Err(errno) => std::println!("skipped: no PROCMAP_QUERY ({errno})"),
        }
        still.end();
        // The descriptor still means the address space that is gone, and nothing else.
        assert_eq!(by_text(&maps), Err(Errno::SRCH));
        assert!(matches!(by_query(&maps), Err(Errno::SRCH | Errno::NOTTY)));
    }
}
