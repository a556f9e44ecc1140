//! Files of every kind, opened and read by every backend.

mod scratch;

use bifolio_map::{
    Access, Backend, ErrorKind, FileKind, FileMap, FileSystem, Mapping, Operation, Options, Pages,
    Protection, ReadReason, Route, Sharing,
};
use bifolio_sys::Errno;
use bifolio_sys::fs::{MemfdFlags, OFlags, fstat, ftruncate, memfd_create};
use bifolio_sys::page::page_size;
use scratch::{Scratch, assert_plays, pattern, scenario, staged_child};
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{FileExt, FileTypeExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::Command;

fn page() -> usize {
    page_size().bytes()
}

fn open_by(backend: Backend, path: &Path) -> FileMap {
    Options::new().backend(backend).open(path).unwrap()
}

/// The error of opening what cannot be mapped.
fn refusal(path: impl AsRef<Path>) -> ErrorKind {
    let error = FileMap::open(path.as_ref()).unwrap_err();
    assert!(error.to_string().contains(&path.as_ref().display().to_string()), "{error}");
    error.kind()
}

#[test]
fn every_backend_reads_the_same_bytes() {
    let scratch = Scratch::new();
    let content = pattern(5 * page() + 123);
    let path = scratch.file("file", &content);
    for backend in [Backend::Auto, Backend::Map, Backend::Read] {
        for offset in [0, 1, page() - 1, page(), page() + 17, content.len() - 1, content.len()] {
            let options = Options::new().backend(backend).offset(offset as u64);
            let map = options.open(&path).unwrap();
            let rest = &content[offset..];
            assert_eq!(map.len(), rest.len());
            let mut bytes = vec![0; rest.len()];
            map.read_exact_at(&mut bytes, 0).unwrap();
            assert!(bytes == rest, "{backend:?} at {offset}");
            let middle = rest.len() / 2;
            assert_eq!(map.read_at(&mut bytes, middle).unwrap(), rest.len() - middle);
            assert!(bytes[..rest.len() - middle] == rest[middle..]);
            assert_eq!(map.read_at(&mut bytes, rest.len()).unwrap(), 0);
            if let Some(last) = rest.len().checked_sub(8) {
                let word = u64::from_ne_bytes(rest[last..].try_into().unwrap());
                assert_eq!(map.load::<u64>(last).unwrap(), word);
            }
            let error = map.read_exact_at(&mut [0; 2], rest.len()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::OutOfBounds { len_bytes: rest.len() as u64 });
            let end = content.len() as u64;
            assert_eq!(error.range(), Some(end..end + 2));
            assert_eq!(map.view().find_byte(content[0], 0).unwrap(), {
                rest.iter().position(|&byte| byte == content[0])
            });
        }
    }
}

#[test]
fn a_map_tells_how_it_is_reached() {
    let scratch = Scratch::new();
    let path = scratch.file("file", b"folio");
    assert_eq!(FileMap::open(&path).unwrap().backend(), Route::Mapped);
    assert_eq!(open_by(Backend::Map, &path).backend(), Route::Mapped);
    let read = open_by(Backend::Read, &path);
    assert_eq!(read.backend(), Route::Read(ReadReason::Asked));
    assert!(read.mapping().is_none());
    assert!(format!("{read:?}").contains("Asked"), "{read:?}");

    let map = FileMap::open(&path).unwrap();
    let mapping = map.mapping().unwrap();
    assert_eq!(mapping.sharing(), Sharing::File);
    assert_eq!(mapping.protection(), Protection::Read);
    assert_eq!(mapping.view().len(), 5);
    assert_ne!(mapping.as_ptr().addr(), 0);
}

#[test]
fn an_address_or_a_lock_cannot_be_had_without_a_mapping() {
    let scratch = Scratch::new();
    let path = scratch.file("file", b"folio");
    for options in [Options::new().at_exactly(page() << 20), Options::new().locked()] {
        let error = options.backend(Backend::Read).open(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
    // What cannot be mapped is not read instead, since the address was asked for.
    let error = Options::new().at_exactly(page() << 20).open("/proc/version").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn an_address_asked_for_is_that_of_the_page_of_the_first_byte() {
    let scratch = Scratch::new();
    let content = pattern(3 * page());
    let path = scratch.file("file", &content);
    let free = FileMap::open(&path).unwrap();
    let addr = free.mapping().unwrap().as_ptr().addr();
    let error = Options::new().at_exactly(addr).open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Occupied);
    assert_eq!(free.load::<u8>(1).unwrap(), content[1]);
    free.unmap().unwrap();

    let offset = page() + 5;
    let map = Options::new().offset(offset as u64).at_exactly(addr).open(&path).unwrap();
    assert_eq!(map.mapping().unwrap().as_ptr().addr(), addr + 5);
    assert_eq!(map.load::<u8>(0).unwrap(), content[offset]);
    drop(map);

    let hinted = Options::new().offset(offset as u64).addr_hint(addr + 1).open(&path).unwrap();
    assert_eq!(hinted.load::<u8>(0).unwrap(), content[offset]);
    let error = Options::new().at_exactly(addr + 1).open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misaligned { align_bytes: page() });
}

#[test]
fn an_empty_file_is_an_empty_map_until_it_grows() {
    let scratch = Scratch::new();
    let path = scratch.file("file", b"");
    for backend in [Backend::Auto, Backend::Map, Backend::Read] {
        File::create(&path).unwrap();
        let empty = open_by(backend, &path);
        assert!(empty.is_empty());
        assert_eq!(empty.read_at(&mut [0], 0).unwrap(), 0);
        assert!(empty.read_exact_at(&mut [0], 0).is_err());
        assert_eq!(empty.current_len().unwrap(), 0);

        // A length beyond the end waits for the file to grow.
        let map = Options::new().backend(backend).len(2 * page()).open(&path).unwrap();
        assert_eq!(map.len(), 2 * page());
        let error = map.load::<u8>(page()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated { len_bytes: 0 });
        fs::write(&path, vec![7; 2 * page()]).unwrap();
        assert_eq!(map.load::<u8>(page()).unwrap(), 7);
        assert_eq!(map.current_len().unwrap(), 2 * page() as u64);
        assert!(empty.is_empty());
    }
}

#[test]
fn what_is_gone_is_an_error_with_its_range_in_the_file() {
    let scratch = Scratch::new();
    let path = scratch.file("file", &pattern(4 * page()));
    for backend in [Backend::Map, Backend::Read] {
        fs::write(&path, pattern(4 * page())).unwrap();
        let offset = 10;
        let map = Options::new().backend(backend).offset(offset).open(&path).unwrap();
        let file = OpenOptions::new().write(true).open(&path).unwrap();
        file.set_len(2 * page() as u64).unwrap();
        let mut bytes = vec![0; 3 * page()];
        let error = map.read_exact_at(&mut bytes, 0).unwrap_err();
        assert_eq!(error.operation(), Operation::Read);
        assert_eq!(error.kind(), ErrorKind::Truncated { len_bytes: 2 * page() as u64 });
        assert_eq!(error.range(), Some(offset..offset + 3 * page() as u64), "{backend:?}");
        assert_eq!(error.done_bytes(), 2 * page() - 10);
        assert!(bytes[..error.done_bytes()] == pattern(2 * page())[10..]);
        let path = path.display();
        let range = format!("{path} [10..{})", 3 * page() + 10);
        assert!(error.to_string().starts_with(&format!("read {range}: ")), "{error}");
        assert_eq!(map.current_len().unwrap(), 2 * page() as u64);
    }
}

#[test]
fn files_that_tell_no_length_are_loaded() {
    let map = FileMap::open("/proc/self/smaps").unwrap();
    assert_eq!(map.backend(), Route::Loaded);
    assert!(map.mapping().is_none());
    let mut text = vec![0; map.len()];
    map.read_exact_at(&mut text, 0).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert!(text.ends_with('\n') && text.contains("[stack]"), "{text}");
    // It takes more than one read.
    assert!(text.len() > 16384, "{}", text.len());

    let whole = FileMap::open("/proc/version").unwrap();
    let part = Options::new().offset(3).len(4).open("/proc/version").unwrap();
    let mut bytes = [0; 4];
    part.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(part.len(), 4);
    assert_eq!(&bytes, b"ux v");
    assert!(Options::new().offset(1 << 40).open("/proc/version").unwrap().is_empty());
    assert_eq!(part.view().by_syscall().load::<u8>(0).unwrap(), b'u');
    assert!(whole.view().slice(3..whole.len()).unwrap().compare(&part.view()).unwrap().is_none());

    // It has no bytes, and says so truly.
    let error = open_error(Backend::Map, "/proc/version");
    assert_eq!((error.kind(), error.errno()), (ErrorKind::Unsupported, Some(Errno::NODEV)));
}

fn open_error(backend: Backend, path: &str) -> bifolio_map::Error {
    Options::new().backend(backend).open(path).unwrap_err()
}

#[test]
fn files_that_tell_a_wrong_length_are_loaded() {
    let path = "/sys/kernel/mm/transparent_hugepage/enabled";
    let Ok(content) = fs::read(path) else {
        return println!("skipped: this kernel has no {path}");
    };
    assert_ne!(fs::metadata(path).unwrap().len(), content.len() as u64);
    let map = FileMap::open(path).unwrap();
    assert_eq!(map.backend(), Route::Loaded);
    let mut bytes = vec![0; map.len()];
    map.read_exact_at(&mut bytes, 0).unwrap();
    assert_eq!(bytes, content);
    assert_eq!(open_error(Backend::Map, path).kind(), ErrorKind::Unsupported);
}

#[test]
fn what_is_no_run_of_bytes_is_told_by_its_kind_at_once() {
    let scratch = Scratch::new();
    assert_eq!(refusal(scratch.join("")), ErrorKind::NotMappable(FileKind::Directory));
    let fifo = scratch.join("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    // Nobody writes to it: opening it plainly would wait for ever.
    assert_eq!(refusal(&fifo), ErrorKind::NotMappable(FileKind::Pipe));
    let socket = scratch.join("socket");
    let _listener = UnixListener::bind(&socket).unwrap();
    assert_eq!(refusal(&socket), ErrorKind::NotMappable(FileKind::Socket));
    assert_eq!(refusal("/dev/null"), ErrorKind::NotMappable(FileKind::Device));
    let error = Options::new().len(page()).open("/dev/null").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotMappable(FileKind::Device), "{error}");
    assert_eq!(refusal(scratch.join("nothing")), ErrorKind::Kernel);
    assert_eq!(open_error(Backend::Auto, "/nothing").errno(), Some(Errno::NOENT));
    let error: std::io::Error = open_error(Backend::Auto, "/nothing").into();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn a_character_device_that_can_be_mapped_is_shown_for_the_length_given() {
    let map = Options::new().len(2 * page()).open("/dev/zero").unwrap();
    assert_eq!(map.backend(), Route::Mapped);
    assert_eq!(map.load::<u64>(page()).unwrap(), 0);
    assert_eq!(map.current_len().unwrap(), 0);
}

#[test]
fn a_block_device_is_shown_whole() {
    let devices = fs::read_dir("/dev")
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_block_device()));
    let map = devices
        .into_iter()
        .find_map(|entry| FileMap::open(entry.path()).ok().filter(|map| !map.is_empty()));
    let Some(map) = map else {
        return println!("skipped: no block device can be opened here");
    };
    assert_eq!(map.backend(), Route::Mapped);
    assert_eq!(map.current_len().unwrap(), map.len() as u64);
    let mut bytes = [0; 512];
    map.read_exact_at(&mut bytes, map.len() - 512).unwrap();
}

#[test]
fn a_file_larger_than_the_address_space_is_read() {
    let Some(scratch) = Scratch::in_memory() else {
        return println!("skipped: no tmpfs");
    };
    let path = scratch.join("vast");
    let file = File::create_new(&path).unwrap();
    file.set_len(1 << 62).unwrap();
    file.write_at(b"folio", (1 << 61) + 1).unwrap();
    let map = FileMap::open(&path).unwrap();
    assert_eq!(map.backend(), Route::Read(ReadReason::TooLarge));
    assert_eq!(map.len(), 1 << 62);
    let mut bytes = [0; 5];
    map.read_exact_at(&mut bytes, (1 << 61) + 1).unwrap();
    assert_eq!(&bytes, b"folio");

    let error = Options::new().backend(Backend::Map).open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    assert_eq!(error.range(), Some(0..1 << 62));
    // A part of it can be mapped.
    let part = Options::new().offset(1 << 61).len(page()).open(&path).unwrap();
    assert_eq!(part.backend(), Route::Mapped);
    assert_eq!(part.load::<u8>(1).unwrap(), b'f');
    // A length that nobody has.
    let path = scratch.file("small", b"folio");
    let error = Options::new().backend(Backend::Map).len(usize::MAX).open(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    let map = Options::new().len(usize::MAX).open(&path).unwrap();
    assert_eq!(map.load::<u8>(4).unwrap(), b'o');
    assert!(map.load::<u8>(5).is_err());
}

#[test]
fn without_addresses_left_a_file_is_read() {
    // A limit of a few hundred MiB leaves room for the test, and none for a GiB.
    assert_plays(&mut staged_child("ulimit -v 700000", "few addresses"));
}

fn few_addresses() {
    let scratch = Scratch::new();
    let path = scratch.file("large", b"folio");
    OpenOptions::new().write(true).open(&path).unwrap().set_len(1 << 30).unwrap();
    let map = FileMap::open(&path).unwrap();
    assert_eq!(map.backend(), Route::Read(ReadReason::Refused(Errno::NOMEM)));
    assert_eq!(map.load::<u8>(0).unwrap(), b'f');
    let error = Options::new().backend(Backend::Map).open(&path).unwrap_err();
    assert_eq!((error.kind(), error.errno()), (ErrorKind::NoMemory, Some(Errno::NOMEM)));
}

#[test]
fn a_file_handed_over_comes_back_where_it_fails() {
    let scratch = Scratch::new();
    let path = scratch.file("file", b"folio");
    let map = FileMap::from_file(File::open(&path).unwrap()).unwrap();
    assert_eq!(map.load::<u8>(4).unwrap(), b'o');
    assert!(map.read_exact_at(&mut [0; 9], 0).unwrap_err().to_string().contains("open file"));

    let (file, error) = FileMap::from_file(File::open("/dev/null").unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotMappable(FileKind::Device));
    assert!(file.metadata().unwrap().file_type().is_char_device());
    // It cannot be read, so reading it instead would not help.
    let write_only = OpenOptions::new().write(true).open(&path).unwrap();
    let (file, error) = FileMap::from_file(write_only).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotPermitted);
    file.write_at(b"F", 0).unwrap();
}

#[test]
fn a_map_is_cut_at_a_page() {
    let scratch = Scratch::new();
    let content = pattern(4 * page());
    let path = scratch.file("file", &content);
    let offset = 100;
    for backend in [Backend::Map, Backend::Read] {
        let map = Options::new().backend(backend).offset(offset).open(&path).unwrap();
        let cut = 2 * page() - 100;
        let map = if backend == Backend::Map {
            let (map, error) = map.split_at(cut + 1).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Misaligned { align_bytes: page() });
            map
        } else {
            map
        };
        let (map, error) = map.split_at(4 * page()).unwrap_err();
        let len_bytes = 4 * page() as u64 - offset;
        assert_eq!(error.kind(), ErrorKind::OutOfBounds { len_bytes });
        let (front, back) = map.split_at(cut).unwrap();
        assert_eq!((front.len(), back.len()), (cut, 2 * page()));
        let (back, front, error) = back.join(front).unwrap_err();
        assert_eq!((error.operation(), error.kind()), (Operation::Join, ErrorKind::Invalid));
        let whole = front.join(back).unwrap();
        assert!(whole.read_to_vec(0..whole.len()).unwrap() == content[100..]);
        let (front, back) = whole.split_at(cut).unwrap();
        front.unmap().unwrap();
        assert_eq!(back.load::<u8>(7).unwrap(), content[2 * page() + 7]);
        let error = back.load::<u16>(2 * page() - 1).unwrap_err();
        let end = 4 * page() as u64;
        assert_eq!(error.range(), Some(end - 1..end + 1));
        let (whole, none) = back.split_at(2 * page()).unwrap();
        assert!(none.is_empty());
        let (none, whole) = whole.split_at(0).unwrap();
        assert!(none.is_empty());
        assert_eq!(whole.load::<u8>(0).unwrap(), content[2 * page()]);
    }
}

#[test]
fn advice_and_locks_are_the_same_calls_without_a_mapping() {
    use bifolio_map::{Advice, Pattern};
    let scratch = Scratch::new();
    let path = scratch.file("file", &pattern(3 * page()));
    for backend in [Backend::Map, Backend::Read] {
        let map = open_by(backend, &path);
        for pattern in [Pattern::Sequential, Pattern::Random, Pattern::Normal] {
            map.access(1..2 * page(), pattern).unwrap();
        }
        map.advise(1..2 * page(), Advice::WillNeed).unwrap();
        assert!(map.access(0..3 * page() + 1, Pattern::Normal).is_err());
        let locked = map.lock(0..page());
        match backend {
            Backend::Map => {
                locked.unwrap();
                map.unlock(0..page()).unwrap();
            }
            // Nothing is mapped that could be locked, and saying otherwise would be a lie.
            _ => assert_eq!(locked.unwrap_err().kind(), ErrorKind::Unsupported),
        }
    }
}

#[test]
fn every_network_and_fuse_file_system_is_remote() {
    let magics = [0x6969, 0x517B, 0xFF53_4D42, 0xFE53_4D42, 0x5346_414F, 0x00C3_6400, 0x0102_1997];
    for magic in magics.into_iter().chain([0x6573_5546]) {
        assert!(FileSystem::from_magic(magic).is_remote(), "{magic:#x}");
    }
    for magic in [0xEF53, 0x5846_5342, 0x9123_683E, 0x0102_1994, 0x794C_7630, 0x9FA0] {
        assert!(!FileSystem::from_magic(magic).is_remote(), "{magic:#x}");
    }
}

#[test]
fn a_file_system_served_by_a_program_is_read_and_its_failures_are_told() {
    if scratch::can_mount() {
        assert_plays(&mut scratch::mounting_child("served"));
    }
}

/// A FUSE server whose file cannot be read from the middle on.
fn served() {
    let scratch = Scratch::new();
    let content = pattern(64 * page());
    if !scratch::fuse::serve(scratch::fuse::Content(content.clone()), &scratch.join("")) {
        return println!("skipped: FUSE cannot be mounted");
    }
    let path = scratch.join("file");
    let broken = 32 * page();
    let auto = FileMap::open(&path).unwrap();
    assert_eq!(auto.backend(), Route::Read(ReadReason::Remote(FileSystem::Fuse)));
    assert_eq!(auto.len(), content.len());
    assert!(!waits_never(&path), "O_NONBLOCK is left on a file that a server reads");
    // A lock needs a mapping.
    let locked = Options::new().len(page()).locked().open(&path).unwrap();
    assert_eq!(locked.backend(), Route::Mapped);
    for backend in [Backend::Auto, Backend::Map, Backend::Read] {
        let map = open_by(backend, &path);
        assert_eq!(map.backend() == Route::Mapped, backend == Backend::Map);
        let mut bytes = vec![0; broken];
        map.read_exact_at(&mut bytes, 0).unwrap();
        assert!(bytes == content[..broken]);
        // A signal without a reason for the mapping; the system call knows it.
        let error = map.read_exact_at(&mut bytes[..20], broken - 10).unwrap_err();
        assert_eq!((error.kind(), error.errno()), (ErrorKind::Media, Some(Errno::IO)), "{error}");
        let start = broken as u64 - 10;
        assert_eq!(error.range(), Some(start..start + 20));
        assert_eq!(map.load::<u64>(broken).unwrap_err().kind(), ErrorKind::Media);
        let error = map.populate(0..map.len()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Media, "{error}");
        let start = broken as u64;
        assert_eq!(error.range(), Some(start..start + page() as u64), "{backend:?}");
    }
    // So that the directory can be removed.
    let _ = Command::new("umount").arg("--lazy").arg(scratch.join("")).status();
}

#[test]
fn a_file_of_huge_pages_is_mapped_and_unmapped_by_them() {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::HUGETLB;
    let Ok(file) = memfd_create(c"huge", flags) else {
        return println!("skipped: this kernel has no huge pages");
    };
    let huge = fstat(&file).unwrap().st_blksize as usize;
    ftruncate(&file, 2 * huge as u64).unwrap();
    let options = Options::new().offset(5).len(huge);
    let map = options.map_file(File::from(file)).unwrap();
    assert_eq!(map.load::<u64>(huge - 8).unwrap(), 0);
    if map.backend() == Route::Read(ReadReason::Refused(Errno::NOMEM)) {
        return println!("skipped: the pool of huge pages is empty");
    }
    assert_eq!(map.backend(), Route::Mapped);
    let start = map.mapping().unwrap().as_ptr().addr();
    assert_eq!(start % huge, 5);
    map.populate(0..map.len()).unwrap();
    let (map, error) = map.split_at(page() - 5).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misaligned { align_bytes: huge });
    let (front, back) = map.split_at(huge - 5).unwrap();
    assert_eq!((front.len(), back.len()), (huge - 5, 5));
    // Both succeed only with lengths of whole huge pages.
    front.unmap().unwrap();
    back.unmap().unwrap();
}

/// Whether a descriptor of this process for `path` has O_NONBLOCK.
fn waits_never(path: &Path) -> bool {
    let descriptors = fs::read_dir("/proc/self/fd").unwrap().flatten();
    let descriptor = descriptors
        .into_iter()
        .find(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == path))
        .expect("the file is open");
    let info = Path::new("/proc/self/fdinfo").join(descriptor.file_name());
    let info = fs::read_to_string(info).unwrap();
    let flags = info.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
    let flags = u32::from_str_radix(flags.trim(), 8).unwrap();
    flags & OFlags::NONBLOCK.bits() != 0
}

/// Where the children start.
#[test]
fn scenarios() {
    match scenario().as_deref() {
        None => {}
        Some("served") => served(),
        Some("few addresses") => few_addresses(),
        Some(other) => panic!("no scenario is called {other}"),
    }
}
