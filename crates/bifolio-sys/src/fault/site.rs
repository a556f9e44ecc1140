//! What a resolver can find out about the memory that faulted, and do about it.
//!
//! Everything here is async-signal-safe: system calls and memory that stands ready, no heap, no
//! lock. It leaves `errno` to the dispatcher, which keeps it, and keeps what it works with out of
//! the stack, since a thread's alternate stack may have two pages of which the kernel takes one.
//!
//! # Safety
//!
//! The kernel writes a name to the value's own memory, and pages are replaced where they lie, which
//! only their owner may ask for.
#![allow(unsafe_code, reason = "maps over a page, in a signal handler")]

use crate::Errno;
use crate::mm::{self, Advice};
use crate::page::page_size;
use crate::uapi::{
    PROCMAP_QUERY_VMA_EXECUTABLE, PROCMAP_QUERY_VMA_READABLE, PROCMAP_QUERY_VMA_WRITABLE,
    ProcmapQuery, check,
};
use core::ffi::CStr;
use core::ops::Range;
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::mm::{MapFlags, ProtFlags};

/// The kernel's longest name, and a NUL.
const NAME_BYTES: usize = 4097;
/// How much of the text is read at once.
const CHUNK_BYTES: usize = 512;

/// Where an access faulted: the mapping that the kernel has there, and the file behind it.
///
/// It is large, and its place is in static memory: an alternate stack has no room for it.
///
/// # Examples
///
/// ```
/// use bifolio_sys::fault::Site;
///
/// let mut site = Site::new();
/// site.look_up(Site::new as fn() -> Site as usize)?;
/// assert!(site.is_executable() && site.file_range(site.addresses()).is_some());
/// # Ok::<(), bifolio_sys::Errno>(())
/// ```
///
/// # References
///
/// `PROCMAP_QUERY`: Linux 6.11; before, and where it is refused, the text of
/// [proc_pid_maps(5)](https://man7.org/linux/man-pages/man5/proc_pid_maps.5.html), which does not
/// tell the size of huge pages.
pub struct Site {
    vma: ProcmapQuery,
    name_len: usize,
    file_len: Option<u64>,
    name: [u8; NAME_BYTES],
    chunk: [u8; CHUNK_BYTES],
}

impl Site {
    /// A place to look something up in.
    #[must_use]
    pub const fn new() -> Site {
        Site {
            vma: ProcmapQuery::new(),
            name_len: 0,
            file_len: None,
            name: [0; NAME_BYTES],
            chunk: [0; CHUNK_BYTES],
        }
    }

    /// Finds out what lies at `addr` in this process.
    ///
    /// # Errors
    ///
    /// [`Errno::FAULT`] where nothing is mapped; those of openat(2) and read(2): [`Errno::NOENT`]
    /// without `/proc`, [`Errno::MFILE`] without a descriptor left. It tells of nothing then.
    pub fn look_up(&mut self, addr: usize) -> Result<(), Errno> {
        (self.vma, self.name_len, self.file_len) = (ProcmapQuery::new(), 0, None);
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let maps = openat(CWD, c"/proc/self/maps", flags, Mode::empty())?;
        let is_found = match self.ask(&maps, addr) {
            Ok(is_found) => is_found,
            // Linux before 6.11, or a sandbox.
            Err(_) => self.read(&maps, addr)?,
        };
        if !is_found {
            (self.vma, self.name_len) = (ProcmapQuery::new(), 0);
            return Err(Errno::FAULT);
        }
        self.name[self.name_len.min(NAME_BYTES - 1)] = 0;
        self.file_len = self.ask_file_len();
        Ok(())
    }

    /// Asks for the one mapping.
    fn ask(&mut self, maps: &OwnedFd, addr: usize) -> Result<bool, Errno> {
        self.vma.query_addr = addr as u64;
        self.vma.vma_name_size = NAME_BYTES as u32 - 1;
        self.vma.vma_name_addr = self.name.as_mut_ptr().expose_provenance() as u64;
        // SAFETY: the name is the value's own, and it is borrowed here.
        let is_found = unsafe { mm::query(maps, &mut self.vma) }?;
        // The size comes back with the NUL, or as 0 where there is no name.
        self.name_len = (self.vma.vma_name_size as usize).saturating_sub(1).min(NAME_BYTES - 1);
        Ok(is_found)
    }

    /// Reads the text until the line of the mapping, where
    /// `7f0-7f1 r-xp 1000 fd:01 4711      /usr/lib/libc.so.6` means start, end, permissions,
    /// offset, device, inode and name.
    fn read(&mut self, maps: &OwnedFd, addr: usize) -> Result<bool, Errno> {
        self.vma = ProcmapQuery::new();
        let (mut field, mut name_len) = (0, 0);
        loop {
            let count = match rustix::io::read(maps, &mut self.chunk) {
                Ok(0) => return Ok(false),
                Ok(count) => count,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno),
            };
            for at in 0..count {
                match self.chunk[at] {
                    b'\n' if self.addresses().contains(&addr) => {
                        self.name_len = name_len;
                        return Ok(true);
                    }
                    b'\n' => {
                        self.vma = ProcmapQuery::new();
                        (field, name_len) = (0, 0);
                    }
                    byte if field < FIELDS => field += usize::from(self.take(field, byte)),
                    // Spaces before the name fill a column.
                    b' ' if name_len == 0 => {}
                    byte => {
                        // A name that is longer than the kernel's longest is cut.
                        if name_len < NAME_BYTES - 1 {
                            self.name[name_len] = byte;
                            name_len += 1;
                        }
                    }
                }
            }
        }
    }

    /// Takes a byte of a field of a line, and answers whether it ends the field.
    fn take(&mut self, field: usize, byte: u8) -> bool {
        if byte == b' ' || (field == START && byte == b'-') || (field == MAJOR && byte == b':') {
            return true;
        }
        let radix = if field == INODE { 10 } else { 16 };
        let digit = char::from(byte).to_digit(radix);
        let vma = &mut self.vma;
        let append = |number: &mut u64| {
            *number = number.wrapping_mul(radix.into()).wrapping_add(digit.unwrap_or(0).into());
        };
        match field {
            START => append(&mut vma.vma_start),
            END => append(&mut vma.vma_end),
            PERMISSIONS => {
                vma.vma_flags |= match byte {
                    b'r' => PROCMAP_QUERY_VMA_READABLE,
                    b'w' => PROCMAP_QUERY_VMA_WRITABLE,
                    b'x' => PROCMAP_QUERY_VMA_EXECUTABLE,
                    _ => 0,
                }
            }
            OFFSET => append(&mut vma.vma_offset),
            MAJOR => vma.dev_major = vma.dev_major << 4 | digit.unwrap_or(0),
            MINOR => vma.dev_minor = vma.dev_minor << 4 | digit.unwrap_or(0),
            _ => append(&mut vma.inode),
        }
        false
    }

    /// The length of the file that the name leads to, if it is the one that is mapped.
    fn ask_file_len(&self) -> Option<u64> {
        let path = CStr::from_bytes_until_nul(&self.name).ok().filter(|_| self.vma.inode != 0)?;
        let stat = rustix::fs::stat(path).ok()?;
        let (major, minor) = (rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev));
        let is_same = (major, minor) == (self.vma.dev_major, self.vma.dev_minor)
            && stat.st_ino == self.vma.inode;
        is_same.then_some(stat.st_size as u64)
    }

    /// The addresses of the mapping. The kernel joins neighbours that continue each other, so these
    /// may be more than one call has mapped.
    #[must_use]
    pub fn addresses(&self) -> Range<usize> {
        self.vma.vma_start as usize..self.vma.vma_end as usize
    }

    /// The path of the file, ending in ` (deleted)` where it has lost its name, or a name like
    /// `[heap]`; empty for memory without one.
    #[must_use]
    pub fn name(&self) -> &[u8] {
        &self.name[..self.name_len]
    }

    /// The length of the file now, in bytes: `None` for memory, and where its name leads to another
    /// file by now or to none.
    #[must_use]
    pub fn file_len(&self) -> Option<u64> {
        self.file_len
    }

    /// The bytes of the file that these addresses of the mapping show; `None` for memory.
    #[must_use]
    pub fn file_range(&self, addresses: Range<usize>) -> Option<Range<u64>> {
        let start = (addresses.start as u64).wrapping_sub(self.vma.vma_start);
        let start = start.wrapping_add(self.vma.vma_offset);
        let end = start.saturating_add(addresses.len() as u64);
        (self.vma.inode != 0).then_some(start..end)
    }

    /// The page that holds `addr`, of the size that the mapping has.
    #[must_use]
    pub fn page(&self, addr: usize) -> Range<usize> {
        let told = self.vma.vma_page_size as usize;
        let bytes = if told.is_power_of_two() { told } else { page_size().bytes() };
        let start = addr & !(bytes - 1);
        start..start.saturating_add(bytes)
    }

    /// Whether the mapping permits writing.
    #[must_use]
    pub fn is_writable(&self) -> bool {
        self.vma.vma_flags & PROCMAP_QUERY_VMA_WRITABLE != 0
    }

    /// Whether the mapping permits executing.
    #[must_use]
    pub fn is_executable(&self) -> bool {
        self.vma.vma_flags & PROCMAP_QUERY_VMA_EXECUTABLE != 0
    }
}

impl Default for Site {
    fn default() -> Self {
        Site::new()
    }
}

const START: usize = 0;
const END: usize = 1;
const PERMISSIONS: usize = 2;
const OFFSET: usize = 3;
const MAJOR: usize = 4;
const MINOR: usize = 5;
const INODE: usize = 6;
/// How many fields stand before the name.
const FIELDS: usize = 7;

/// Has the kernel bring the page at `addr` in, as the access that faulted would: where that works
/// the access may be tried again.
///
/// # Errors
///
/// [`Errno::FAULT`] where the page cannot be had, [`Errno::INVAL`] before Linux 5.14.
///
/// # References
///
/// [madvise(2)](https://man7.org/linux/man-pages/man2/madvise.2.html), `MADV_POPULATE_READ`,
/// `MADV_POPULATE_WRITE`: Linux 5.14.
pub fn bring_in(addr: usize, is_write: bool) -> Result<(), Errno> {
    let page = page_size().bytes();
    let start = core::ptr::without_provenance_mut(addr & !(page - 1));
    let advice = if is_write { Advice::PopulateWrite } else { Advice::PopulateRead };
    // SAFETY: populating changes no byte.
    unsafe { mm::madvise(start, page, advice) }
}

/// Puts private memory of zeros, readable and `writable` if that is asked for, in the place of the
/// pages of `range`, which begins and ends at page boundaries.
///
/// # Errors
///
/// Those of mmap(2): [`Errno::NOMEM`] where the process may have no more areas, [`Errno::INVAL`]
/// for a part of a huge page. Nothing has changed then.
///
/// # Safety
///
/// The range is mapped, belongs to the caller, and is not unmapped by another meanwhile: a
/// resolver has that promise for its own range. Whoever holds a reference to what lies there must
/// live with the change.
///
/// # References
///
/// [mmap(2)](https://man7.org/linux/man-pages/man2/mmap.2.html), `MAP_FIXED`.
pub unsafe fn put_zeros(range: Range<usize>, writable: bool) -> Result<(), Errno> {
    let start = core::ptr::without_provenance_mut(range.start);
    let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
    let protection = if writable { ProtFlags::READ | ProtFlags::WRITE } else { ProtFlags::READ };
    // SAFETY: the caller owns the pages that are replaced.
    unsafe { mm::mmap_anonymous(start, range.len(), protection, flags) }.map(drop)
}

/// Writes `text` to the standard error output, as far as that takes it.
///
/// # References
///
/// [write(2)](https://man7.org/linux/man-pages/man2/write.2.html).
pub fn say(text: &[u8]) {
    let mut rest = text;
    while !rest.is_empty() {
        // SAFETY: the kernel reads the bytes of `rest` and no other.
        let written = unsafe { libc::write(libc::STDERR_FILENO, rest.as_ptr().cast(), rest.len()) };
        match check(written as _) {
            Ok(count @ 1..) => rest = rest.get(count..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            _ => break,
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::boxed::Box;
    use std::fs::File;
    use std::string::String;

    /// Everything that is told of a mapping, by the text or by the query.
    fn told(site: &Site) -> String {
        let (vma, name) = (&site.vma, String::from_utf8_lossy(site.name()));
        let (addresses, may, inode) = (site.addresses(), vma.vma_flags & 7, vma.inode);
        let (device, range) = ((vma.dev_major, vma.dev_minor), site.file_range(addresses.clone()));
        std::format!("{addresses:x?} {range:x?} {may} {device:?} {inode} {name}")
    }

    #[test]
    fn the_text_tells_what_the_query_tells() {
        let lines = std::fs::read_to_string("/proc/self/maps").unwrap();
        let starts = lines.lines().map(|line| line.split('-').next().unwrap());
        let mut compared = 0;
        for start in starts.map(|start| usize::from_str_radix(start, 16).unwrap()) {
            let maps = || OwnedFd::from(File::open("/proc/self/maps").unwrap());
            let (mut text, mut query) = (Box::new(Site::new()), Box::new(Site::new()));
            match query.ask(&maps(), start + 1) {
                Ok(true) => text.read(&maps(), start + 1).map(drop).unwrap(),
                // The text has a line for the page of old system calls, which is no mapping.
                Ok(false) => continue,
                Err(errno) => return std::eprintln!("skipped: PROCMAP_QUERY: {errno}"),
            }
            // Other tests map and unmap meanwhile: what has a file stays.
            if query.vma.inode != 0 {
                assert_eq!(told(&text), told(&query));
                compared += 1;
            }
        }
        assert!(compared > 3, "{compared} mappings were compared in {lines}");
    }

    #[test]
    fn the_program_is_found_by_an_address_of_its_code() {
        let code = the_text_tells_what_the_query_tells as fn() as usize;
        let program = std::env::current_exe().unwrap();
        let mut site = Site::new();
        site.look_up(code).unwrap();
        assert!(site.addresses().contains(&code) && site.is_executable() && !site.is_writable());
        assert_eq!(String::from_utf8_lossy(site.name()), program.to_str().unwrap());
        assert_eq!(site.file_len(), Some(program.metadata().unwrap().len()));
        assert!(site.page(code).contains(&code));
        assert_eq!(site.look_up(4096), Err(Errno::FAULT));
        assert_eq!((site.name(), site.file_len()), (&b""[..], None));
    }
}
