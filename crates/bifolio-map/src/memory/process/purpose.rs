//! What a mapping is for: as far as the kernel's words about it are evidence.
//!
//! A name can lie in one way: a file may be called what the kernel calls something else. So names
//! of what lies on the kernel's own file system of memory count only with the number of that
//! device, which a memory file of our own tells.

use super::files::Files;
use super::folder::Folder;
use super::maps::Region;
use super::stacks;
use bifolio_sys::Errno;
use bifolio_sys::fs::fd::OwnedFd;
use bifolio_sys::fs::{MemfdFlags, fstat, major, memfd_create, minor};
use bifolio_sys::mm::memfd_secret;
use bifolio_sys::page::page_size;
use core::fmt;
use std::collections::BTreeSet;
use std::os::unix::ffi::OsStringExt;
use std::vec::Vec;

/// What a mapping is for.
///
/// The kernel calls most memory anonymous, whatever the program does with it: a large allocation,
/// a runtime's heap, the stack of a thread that runs just now. So does this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Purpose {
    /// Part of the program: the file that /proc/PID/exe names is mapped there, or, for
    /// [`Segment::Zeroed`], memory begins right where its data ends.
    Program(Segment),
    /// Part of another file of which some pages may be executed: a shared library, the loader.
    Library(Segment),
    /// A file that is data.
    File,
    /// The memory that brk(2) moves the end of, named `[heap]`.
    Heap,
    /// The stack of the first thread, named `[stack]`.
    MainStack,
    /// Private memory into which the stack pointer of the thread with this number points, while
    /// that waits in a system call.
    ThreadStack(u32),
    /// Private memory without a file.
    Anonymous,
    /// Memory without a file that children share.
    SharedAnonymous,
    /// A file of /dev/shm: shared memory with a name (shm_open(3)).
    SharedMemory,
    /// A memory file (memfd_create(2)).
    MemoryFile,
    /// A segment of shmget(2).
    SystemV,
    /// Memory that the kernel does not map (memfd_secret(2)).
    Secret,
    /// Anonymous memory of the pool of huge pages (`MAP_HUGETLB`).
    HugePages,
    /// A file of /dev, or an object that only a descriptor names (`anon_inode:`).
    Device,
    /// Pages that the kernel puts into every process: `[vdso]`, `[vvar]`.
    Kernel,
    /// Addresses without a file that permit nothing now: reserved, or there to fault.
    Reserved,
    /// The kernel's words do not tell.
    Unknown,
}

/// A part of a program or a library, by what its pages permit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Segment {
    /// It can be executed.
    Code,
    /// It can be read only.
    Constants,
    /// It can be written.
    Data,
    /// Memory right behind the data, which starts as zeros: `.bss`.
    Zeroed,
    /// It permits nothing: the loader's room between the others.
    Gap,
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Purpose::Program(segment) => return write!(f, "program {segment}"),
            Purpose::Library(segment) => return write!(f, "library {segment}"),
            Purpose::File => "file",
            Purpose::Heap => "heap",
            Purpose::MainStack => "main stack",
            Purpose::ThreadStack(id) => return write!(f, "stack of thread {id}"),
            Purpose::Anonymous => "anonymous",
            Purpose::SharedAnonymous => "shared anonymous",
            Purpose::SharedMemory => "shared memory",
            Purpose::MemoryFile => "memory file",
            Purpose::SystemV => "System V memory",
            Purpose::Secret => "secret memory",
            Purpose::HugePages => "huge pages",
            Purpose::Device => "device",
            Purpose::Kernel => "kernel",
            Purpose::Reserved => "reserved",
            Purpose::Unknown => "unknown",
        })
    }
}

impl fmt::Display for Segment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Segment::Code => "code",
            Segment::Constants => "constants",
            Segment::Data => "data",
            Segment::Zeroed => "zeroed",
            Segment::Gap => "gap",
        })
    }
}

/// What the names of mappings are judged by.
struct Evidence<'a> {
    /// What /proc/PID/exe names, where that can be read.
    program: Option<Vec<u8>>,
    /// The files of which some pages may be executed.
    executable: BTreeSet<File<'a>>,
    /// The devices of memory without a named file, and of secret memory.
    memory_device: Option<(u32, u32)>,
    secret_device: Option<(u32, u32)>,
}

/// A file as a mapping tells it: one path may mean several, and one file have several.
type File<'a> = ((u32, u32), u64, &'a [u8]);

fn file_of(region: &Region) -> File<'_> {
    (region.device, region.inode, &region.name)
}

/// Finds out the purpose of each region, and what follows from that.
pub(super) fn assign(folder: &Folder, regions: &mut [Region]) {
    let executable = regions.iter().filter(|region| {
        region.permissions.execute && region.inode != 0 && region.name.starts_with(b"/")
    });
    let evidence = Evidence {
        program: std::fs::read_link(folder.path("exe"))
            .ok()
            .map(|path| path.into_os_string().into_vec()),
        executable: executable.map(file_of).collect(),
        memory_device: device(memfd_create("bifolio-device", MemfdFlags::CLOEXEC)),
        secret_device: device(memfd_secret()),
    };
    let mut purposes: Vec<Purpose> =
        regions.iter().map(|region| evidence.purpose(region)).collect();
    for at in 1..regions.len() {
        let touches = regions[at - 1].range.end == regions[at].range.start;
        if purposes[at] == Purpose::Anonymous
            && purposes[at - 1] == Purpose::Program(Segment::Data)
            && touches
        {
            purposes[at] = Purpose::Program(Segment::Zeroed);
        }
    }
    for (thread, pointer) in stacks::pointers(folder) {
        let at = regions.partition_point(|region| region.range.end <= pointer);
        if regions.get(at).is_some_and(|region| region.range.contains(&pointer))
            && purposes[at] == Purpose::Anonymous
        {
            purposes[at] = Purpose::ThreadStack(thread);
        }
    }
    let files = Files::of(folder);
    for (region, purpose) in regions.iter_mut().zip(purposes) {
        region.purpose = purpose;
        region.backing = files.backing(region);
        region.is_deleted = files.is_deleted(region);
    }
}

/// The number of a file's device, which all files of its kind have.
fn device(file: Result<OwnedFd, Errno>) -> Option<(u32, u32)> {
    let device = fstat(file.ok()?).ok()?.st_dev;
    Some((major(device), minor(device)))
}

impl Evidence<'_> {
    fn purpose(&self, region: &Region) -> Purpose {
        let permits = region.permissions;
        let permits_nothing = !(permits.read || permits.write || permits.execute);
        match &region.name[..] {
            b"[heap]" => Purpose::Heap,
            b"[stack]" => Purpose::MainStack,
            b"[vdso]" | b"[vvar]" | b"[vvar_vclock]" | b"[uprobes]" | b"[sigpage]"
            | b"[vectors]" => Purpose::Kernel,
            name if name.starts_with(b"[anon_shmem:") => Purpose::SharedAnonymous,
            name if name.is_empty() || name.starts_with(b"[anon:") => match region.is_shared {
                _ if permits_nothing => Purpose::Reserved,
                false => Purpose::Anonymous,
                true => Purpose::Unknown,
            },
            name if name.starts_with(b"anon_inode:") => Purpose::Device,
            name if name.starts_with(b"/") => self.purpose_of_file(region),
            _ => Purpose::Unknown,
        }
    }

    fn purpose_of_file(&self, region: &Region) -> Purpose {
        let name = &region.name[..];
        if self.memory_device == Some(region.device)
            && let Some(purpose) = purpose_of_memory(name)
        {
            return purpose;
        }
        if self.secret_device == Some(region.device) {
            return Purpose::Secret;
        }
        let has_huge_pages =
            region.page_size_bytes.is_some_and(|size| size > page_size().bytes() as u64);
        let segment = match region.permissions {
            permits if permits.execute => Segment::Code,
            permits if permits.write => Segment::Data,
            permits if permits.read => Segment::Constants,
            _ => Segment::Gap,
        };
        match name {
            b"/anon_hugepage (deleted)" if has_huge_pages => Purpose::HugePages,
            // A file may be called so.
            b"/anon_hugepage (deleted)" if region.page_size_bytes.is_none() => Purpose::Unknown,
            _ if has_huge_pages && name.starts_with(b"/memfd:") => Purpose::MemoryFile,
            _ if has_huge_pages && is_system_v(name) => Purpose::SystemV,
            // Its private pages are plain memory (mem(4)).
            b"/dev/zero" if !region.is_shared => Purpose::Anonymous,
            _ if name.starts_with(b"/dev/shm/") => Purpose::SharedMemory,
            _ if name.starts_with(b"/dev/hugepages/") => Purpose::File,
            _ if name.starts_with(b"/dev/") => Purpose::Device,
            _ if self.program.as_deref() == Some(name) => Purpose::Program(segment),
            _ if !self.executable.contains(&file_of(region)) => Purpose::File,
            _ if self.program.is_none() => Purpose::Unknown,
            _ => Purpose::Library(segment),
        }
    }
}

/// What a name means on the kernel's own file system of memory.
fn purpose_of_memory(name: &[u8]) -> Option<Purpose> {
    match name {
        b"/dev/zero (deleted)" => Some(Purpose::SharedAnonymous),
        _ if name.starts_with(b"/memfd:") => Some(Purpose::MemoryFile),
        _ if is_system_v(name) => Some(Purpose::SystemV),
        _ => None,
    }
}

/// `/SYSV` and the key.
fn is_system_v(name: &[u8]) -> bool {
    name.strip_prefix(b"/SYSV").is_some_and(|rest| {
        rest.strip_suffix(b" (deleted)").unwrap_or(rest).iter().all(u8::is_ascii_hexdigit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::process::layout::parse;

    const MEMORY: (u32, u32) = (0, 1);

    /// What a line of /proc/PID/maps is judged to be, of a process whose program may be known.
    fn judged(line: &str, program: Option<&str>) -> Purpose {
        let region = parse(line.as_bytes()).unwrap();
        let evidence = Evidence {
            program: program.map(|name| name.as_bytes().to_vec()),
            executable: BTreeSet::from([((8, 1), 70, &b"/lib/x.so"[..])]),
            memory_device: Some(MEMORY),
            secret_device: None,
        };
        evidence.purpose(&region)
    }

    #[test]
    fn a_name_counts_only_where_the_kernel_gave_it() {
        for (line, purpose) in [
            ("1000-2000 rw-s 0 00:01 7 /memfd:a (deleted)", Purpose::MemoryFile),
            ("1000-2000 rw-s 0 08:01 7 /memfd:a (deleted)", Purpose::File),
            ("1000-2000 rw-s 0 00:01 7 /dev/zero (deleted)", Purpose::SharedAnonymous),
            ("1000-2000 rw-s 0 00:01 0 /SYSV00000000 (deleted)", Purpose::SystemV),
            ("1000-2000 rw-s 0 08:01 9 /SYSV00000000 (deleted)", Purpose::File),
            ("1000-2000 rw-s 0 00:01 9 /SYSVinit (deleted)", Purpose::File),
            ("1000-2000 rw-p 0 00:06 4 /dev/zero", Purpose::Anonymous),
            ("1000-2000 rw-s 0 00:06 4 /dev/dri/card0", Purpose::Device),
            ("1000-2000 rw-s 0 00:0e 4 anon_inode:[perf_event]", Purpose::Device),
            ("1000-2000 rw-p 0 00:00 0 [anon:malloc]", Purpose::Anonymous),
            ("1000-2000 ---p 0 00:00 0 ", Purpose::Reserved),
            ("1000-2000 rw-p 0 00:00 0 [news]", Purpose::Unknown),
            ("1000-2000 r--p 0 08:01 70 /lib/x.so", Purpose::Library(Segment::Constants)),
            // Replaced by another file of that name, of which nothing is executed.
            ("1000-2000 r--p 0 08:01 71 /lib/x.so", Purpose::File),
            ("1000-2000 ---p 0 08:01 70 /lib/x.so", Purpose::Library(Segment::Gap)),
            ("1000-2000 r-xp 0 08:01 60 /bin/x", Purpose::Program(Segment::Code)),
        ] {
            assert_eq!(judged(line, Some("/bin/x")), purpose, "{line}");
        }
    }

    #[test]
    fn without_the_programs_name_code_may_be_its_or_a_librarys() {
        let line = "1000-2000 r-xp 0 08:01 70 /lib/x.so";
        assert_eq!(judged(line, None), Purpose::Unknown);
        assert_eq!(judged("1000-2000 r--p 0 08:01 5 /data", None), Purpose::File);
    }
}
