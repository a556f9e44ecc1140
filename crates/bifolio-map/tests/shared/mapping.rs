//! Shared mappings as a user has them: of files, of open descriptors, of no file.

use crate::support::{Directory, FileSystem, child};
use bifolio_map::{Access, AccessMut, Error, ErrorKind, FileKind, Mapping, Operation, Options};
use bifolio_map::{Backend, HugePages, Protection, ReadOnlySharedMap, SharedMap, Sharing};
use std::fs::{self, File};
use std::process::Command;

#[test]
fn a_write_is_in_the_file_and_in_other_mappings_at_once() {
    let directory = Directory::new("at-once");
    let path = directory.file(&[b'.'; 10_000]);
    let (one, other) = (SharedMap::open(&path).unwrap(), SharedMap::open(&path).unwrap());
    assert_eq!((one.len(), other.len()), (10_000, 10_000));
    one.write_all_at(b"folio", 4094).unwrap();
    let mut seen = [0; 5];
    other.read_exact_at(&mut seen, 4094).unwrap();
    assert_eq!(&seen, b"folio");
    assert_eq!(&fs::read(&path).unwrap()[4094..4099], b"folio");
    fs::write(&path, [b'!'; 10_000]).unwrap();
    one.read_exact_at(&mut seen, 0).unwrap();
    assert_eq!(&seen, b"!!!!!");
}

#[test]
fn an_offset_need_not_be_on_a_page() {
    let directory = Directory::new("offset");
    let bytes: Vec<u8> = (0..20_000_u32).map(|i| (i % 251) as u8).collect();
    let path = directory.file(&bytes);
    let map = Options::new().offset(5001).len(9000).open_shared(&path).unwrap();
    let mut seen = vec![0; 9000];
    map.read_exact_at(&mut seen, 0).unwrap();
    assert_eq!(seen, bytes[5001..14_001]);
    map.write_all_at(b"x", 8999).unwrap();
    map.flush(8999..9000).unwrap();
    map.flush_async(0..9000).unwrap();
    assert_eq!(fs::read(&path).unwrap()[14_000], b'x');
    let error = map.write_all_at(b"xy", 8999).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfBounds { len_bytes: 9000 });
    assert_eq!(error.range(), Some(14_000..14_002));
}

#[test]
fn what_lies_beyond_the_file_is_an_error_until_the_file_has_grown() {
    let directory = Directory::new("short");
    let path = directory.file(&[7; 100]);
    let map = Options::new().len(3 * 65_536).open_shared(&path).unwrap();
    assert_eq!(map.len(), 3 * 65_536);
    assert_eq!(map.load::<u8>(99).unwrap(), 7);
    let error = map.load::<u8>(65_536).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated { len_bytes: 100 });
    let error = map.write_all_at(&[1; 8], 65_536).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated { len_bytes: 100 });
    assert_eq!((error.range(), error.done_bytes()), (Some(65_536..65_544), 0));
    File::options().write(true).open(&path).unwrap().set_len(3 * 65_536).unwrap();
    map.write_all_at(&[1; 8], 65_536).unwrap();
    assert_eq!(map.load::<u8>(65_543).unwrap(), 1);
}

#[test]
fn an_empty_file_is_an_empty_mapping() {
    let directory = Directory::new("empty");
    let map = SharedMap::open(directory.file(b"")).unwrap();
    assert!(map.is_empty());
    assert_eq!(map.read_at(&mut [0; 4], 0).unwrap(), 0);
    map.flush(0..0).unwrap();
    map.flush_async(0..0).unwrap();
    map.sync_all().unwrap();
    map.unmap().unwrap();
}

#[test]
fn flush_knows_the_bounds() {
    let directory = Directory::new("flush");
    let map = SharedMap::open(directory.file(&[0; 9000])).unwrap();
    map.fill(0..9000, 3).unwrap();
    map.flush(100..9000).unwrap();
    map.flush_async(0..9000).unwrap();
    map.sync_all().unwrap();
    for error in [map.flush(0..9001).unwrap_err(), map.flush_async(8999..9001).unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::OutOfBounds { len_bytes: 9000 });
        assert_eq!(error.operation(), Operation::Flush);
    }
}

#[test]
fn flush_leaves_nothing_dirty_in_its_range() {
    use bifolio_sys::fs::{FileSystem, cachestat, file_system};
    // The target directory lies on a disk more often than the temporary one.
    let (directory, zeros) = (Directory::new("flush"), vec![0; 1 << 20]);
    let path = format!("{}/flush-{}", env!("CARGO_TARGET_TMPDIR"), std::process::id());
    let path = match fs::write(&path, &zeros) {
        Ok(()) => path.into(),
        Err(_) => directory.file(&zeros),
    };
    let map = SharedMap::open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let fd = map.fd().unwrap();
    let unwritten = |offset: u64, len: u64| {
        let stat = cachestat(fd, offset, std::num::NonZeroU64::new(len)).unwrap();
        stat.dirty + stat.writeback
    };
    if cachestat(fd, 0, None).is_err() || file_system(fd) == Ok(FileSystem::Tmpfs) {
        println!("skipped: no cachestat here, or no disk");
        return;
    }
    map.sync_all().unwrap();
    assert_eq!(unwritten(0, 1 << 20), 0);
    // The kernel may write back at any moment, though hardly between two lines ten times over.
    let is_dirty = (0..10).any(|byte| {
        map.fill(0..1 << 20, byte).unwrap();
        unwritten(0, 1 << 19) > 0
    });
    assert!(is_dirty);
    map.flush(0..1 << 19).unwrap();
    assert_eq!(unwritten(0, 1 << 19), 0);
    // What was not asked for is as it was, and its writing begins at once.
    map.flush_async(1 << 19..1 << 20).unwrap();
    let stat = cachestat(fd, 1 << 19, std::num::NonZeroU64::new(1 << 19)).unwrap();
    assert!(stat.dirty < 1 << 7, "{stat:?}");
}

#[test]
fn what_cannot_be_mapped_says_why() {
    let kind = |result: Result<SharedMap, Error>| result.unwrap_err().kind();
    let (pipe, _writer) = std::io::pipe().unwrap();
    assert_eq!(kind(SharedMap::from_file(pipe)), ErrorKind::NotMappable(FileKind::Pipe));
    let (socket, _peer) = std::os::unix::net::UnixStream::pair().unwrap();
    assert_eq!(kind(SharedMap::from_file(socket)), ErrorKind::NotMappable(FileKind::Socket));
    let device = File::options().read(true).write(true).open("/dev/null").unwrap();
    assert_eq!(kind(SharedMap::from_file(device)), ErrorKind::NotMappable(FileKind::Device));
    let directory = Directory::new("kinds");
    let opened = File::open(directory.path()).unwrap();
    assert_eq!(kind(SharedMap::from_file(opened)), ErrorKind::NotMappable(FileKind::Directory));
    let error = SharedMap::open(directory.path().join("absent")).unwrap_err();
    assert_eq!(error.operation(), Operation::Open);
    assert!(error.to_string().contains("absent"), "{error}");
}

#[test]
fn a_file_open_for_reading_only_is_not_permitted() {
    let directory = Directory::new("read-only");
    let error = SharedMap::from_file(File::open(directory.file(&[0; 10])).unwrap()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotPermitted);
    assert_eq!(error.to_string().split(" [").next(), Some("map open file"));
}

#[test]
fn memory_without_a_file_is_zeroed_and_has_no_descriptor() {
    let map = SharedMap::anon(10_000).unwrap();
    assert_eq!((map.len(), map.sharing()), (10_000, Sharing::Shared));
    assert_eq!(map.protection(), Protection::ReadWrite);
    assert!(map.fd().is_none());
    assert_eq!(map.load::<[u8; 16]>(9_984).unwrap(), [0; 16]);
    map.store(&0x0123_4567_89ab_cdef_u64, 8).unwrap();
    assert_eq!(map.load::<u64>(8).unwrap(), 0x0123_4567_89ab_cdef);
    map.flush(0..10_000).unwrap();
    map.flush_async(0..10_000).unwrap();
}

#[test]
fn a_file_that_may_not_be_written_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let directory = Directory::new("not-permitted");
    let path = directory.file(&[0; 10]);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    // Root may write everything: a child without its rights tries.
    let status = without_rights(child("open a file that may not be written", &path)).status();
    assert!(status.unwrap().success());
}

/// As nobody where this is root; as ever where it is not.
fn without_rights(mut command: Command) -> Command {
    use std::os::unix::fs::MetadataExt;
    use std::os::unix::process::CommandExt;
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        command.uid(65_534).gid(65_534);
    }
    command
}

#[test]
fn a_write_into_a_hole_of_a_full_disk_is_an_error() {
    let all = [FileSystem::tmpfs("full-tmpfs"), FileSystem::image("full-ext4", "mkfs.ext4")];
    for file_system in all.into_iter().flatten() {
        let path = file_system.join("sparse");
        File::create(&path).unwrap().set_len(64 << 20).unwrap();
        file_system.fill();
        let map = SharedMap::open(&path).unwrap();
        let mut failed = 0;
        for at in (0..map.len()).step_by(1 << 20) {
            let Err(error) = map.write_all_at(&[1; 3 * 4096], at + 5000) else { continue };
            assert_eq!(error.kind(), ErrorKind::NoSpace);
            assert_eq!(error.errno(), Some(bifolio_sys::Errno::NOSPC));
            let start = (at + 5000) as u64;
            assert_eq!(error.range(), Some(start..start + 3 * 4096));
            assert!(error.done_bytes() < 3 * 4096);
            assert!(error.to_string().contains("no space left"), "{error}");
            // What was done before is there.
            let mut seen = vec![0; error.done_bytes()];
            map.read_exact_at(&mut seen, at + 5000).unwrap();
            assert!(seen.iter().all(|&byte| byte == 1));
            assert!(map.fill(at + 5000..at + 20_000, 1).is_err());
            failed += 1;
        }
        assert!(failed > 50, "{failed} of 64 writes failed on a full disk");
        // tmpfs wants a page to show a hole by; the file itself can still be read.
        assert_eq!(map.view().by_syscall().load::<u64>(63 << 20).unwrap(), 0);
        assert_eq!(map.load::<u64>(63 << 20).unwrap_or(0), 0);
    }
}

#[test]
fn what_is_created_has_its_space_and_what_exists_is_kept() {
    let directory = Directory::new("create");
    let path = directory.path().join("new");
    let map = SharedMap::create(&path, 10_000).unwrap();
    assert_eq!((map.len(), fs::metadata(&path).unwrap().len()), (10_000, 10_000));
    assert!(std::os::unix::fs::MetadataExt::blocks(&fs::metadata(&path).unwrap()) * 512 >= 10_000);
    map.write_all_at(b"kept", 9_996).unwrap();
    let map = SharedMap::create(&path, 100).unwrap();
    assert_eq!((map.len(), fs::metadata(&path).unwrap().len()), (100, 10_000));
    let map = SharedMap::create(&path, 20_000).unwrap();
    assert_eq!(map.load::<[u8; 4]>(9_996).unwrap(), *b"kept");
    let Some(file_system) = FileSystem::tmpfs("create-full") else { return };
    let error = SharedMap::create(file_system.join("new"), 2 << 20).unwrap_err();
    assert_eq!((error.operation(), error.kind()), (Operation::Grow, ErrorKind::NoSpace));
}

#[test]
fn protection_changes_by_value() {
    let directory = Directory::new("protect");
    let path = directory.file(&[1; 5000]);
    let map = Options::new().reserve(1 << 20).open_shared(&path).unwrap();
    let map = map.into_read_only().unwrap();
    assert_eq!((map.len(), map.protection()), (5000, Protection::Read));
    fs::write(&path, [2; 5000]).unwrap();
    assert_eq!(map.load::<u8>(4999).unwrap(), 2);
    let map = map.into_writable().unwrap();
    assert_eq!(map.capacity(), 1 << 20);
    map.fill(0..5000, 3).unwrap();
    assert_eq!(fs::read(&path).unwrap(), [3; 5000]);

    let read_only = ReadOnlySharedMap::from_file(File::open(&path).unwrap()).unwrap();
    let (read_only, error) = read_only.into_writable().unwrap_err();
    assert_eq!((error.operation(), error.kind()), (Operation::Protect, ErrorKind::NotPermitted));
    assert_eq!(read_only.load::<u8>(0).unwrap(), 3);
    read_only.unmap().unwrap();
}

#[test]
fn every_kind_may_be_sent_and_shared() {
    fn check<T: Send + Sync + std::fmt::Debug>() {}
    check::<SharedMap>();
    check::<ReadOnlySharedMap>();
    check::<bifolio_map::MemoryFile>();
}

#[test]
fn a_mapping_is_cut_at_a_page_and_joined_again() {
    let directory = Directory::new("cut");
    let page = bifolio_sys::page::page_size().bytes();
    let path = directory.file(&vec![1; 4 * page]);
    let map = Options::new().offset(100).reserve(1 << 20).open_shared(&path).unwrap();
    let whole = map.len();
    let (map, error) = map.split_at(page).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misaligned { align_bytes: page });
    let (map, error) = map.split_at(whole + 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfBounds { len_bytes: whole as u64 });
    let (map, rest) = map.split_at(whole).unwrap();
    assert_eq!((map.capacity(), rest.len(), rest.capacity()), (whole, 0, (1 << 20) - whole));
    let (none, map) = map.join(rest).unwrap().split_at(0).unwrap();
    assert_eq!((none.len(), none.capacity(), map.len()), (0, 0, whole));
    let map = none.join(map).unwrap();
    let (front, back) = map.split_at(2 * page - 100).unwrap();
    assert_eq!((front.len(), front.capacity()), (2 * page - 100, 2 * page - 100));
    assert_eq!((back.len(), back.capacity()), (2 * page, (1 << 20) - (2 * page - 100)));
    back.write_all_at(b"back", 0).unwrap();
    assert_eq!(fs::read(&path).unwrap()[2 * page..2 * page + 4], *b"back");
    back.grow(3 * page).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 5 * page as u64);
    let beyond = (5 * page) as u64;
    let error = back.load::<u64>(3 * page).unwrap_err();
    assert_eq!(error.range(), Some(beyond..beyond + 8));
    // Only in order, and only of the same file.
    let (back, front, error) = back.join(front).unwrap_err();
    assert_eq!((error.operation(), error.kind()), (Operation::Join, ErrorKind::Invalid));
    let map = front.join(back).unwrap();
    assert_eq!((map.len(), map.capacity()), (5 * page - 100, 1 << 20));
    assert_eq!(map.load::<[u8; 4]>(2 * page - 100).unwrap(), *b"back");
    map.grow(1 << 20).unwrap();

    let (front, back) = SharedMap::anon(2 * page).unwrap().split_at(page).unwrap();
    drop(front);
    // Memory without a file is counted from the start of each.
    assert_eq!(back.load::<u8>(page).unwrap_err().range(), Some(page as u64..page as u64 + 1));
    back.fill(0..page, 3).unwrap();
    let (other, back, _) = SharedMap::open(&path).unwrap().join(back).unwrap_err();
    drop(other);
    back.atomic_ref::<std::sync::atomic::AtomicU8>(0).unwrap();
    back.unmap().unwrap();
}

#[test]
fn a_file_that_is_not_on_persistent_memory_cannot_be_synchronous() {
    let directory = Directory::new("synchronous");
    let path = directory.file(&[1; 4096]);
    let error = Options::new().synchronous().open_shared(&path).unwrap_err();
    assert_eq!((error.operation(), error.kind()), (Operation::Map, ErrorKind::Unsupported));
    assert_eq!(error.errno(), Some(bifolio_sys::Errno::OPNOTSUPP));
}

#[test]
fn no_option_is_passed_over() {
    let directory = Directory::new("options");
    let path = directory.file(&[1; 4096]);
    let open = || File::options().read(true).write(true).open(&path).unwrap();
    let new = Options::new;
    let asked = [
        ("offset", new().offset(4096)),
        ("len", new().len(4096)),
        ("resident", new().populate()),
        ("resident", new().locked()),
        ("transparent", new().huge_pages(HugePages::Transparent)),
        ("pool", new().huge_pages(HugePages::Pool(None))),
        ("guards", new().guard_pages(1, 0)),
        ("guards", new().guard_pages(0, 1)),
        ("reserve", new().reserve(1 << 20)),
        ("synchronous", new().synchronous()),
        ("read", new().backend(Backend::Read)),
    ];
    for (option, options) in asked {
        let kinds = [
            ("resident transparent pool guards", options.anon(4096).err()),
            ("resident pool", options.huge(4096).err()),
            ("resident", options.droppable(4096).err()),
            ("resident", options.secret(4096).err()),
            ("resident", options.grows_down(4096).err()),
            ("transparent", options.reservation(4096).err()),
            ("resident pool reserve", options.shared(4096).err()),
            ("resident pool reserve", options.memfd("options", 4096).err()),
            ("offset len resident reserve synchronous", options.shared_file(open()).err()),
            ("offset len resident reserve synchronous", options.open_shared(&path).err()),
            ("offset resident reserve synchronous", options.create_shared(&path, 4096).err()),
            ("offset len resident", options.shared_file_read_only(open()).err()),
            ("offset len resident", options.private_file(open()).err()),
            ("offset len resident", options.open_private(&path).err()),
            ("offset len resident read", options.map_file(open()).map_err(|(_, e)| e).err()),
            ("offset len resident read", options.open(&path).err()),
        ];
        for (index, (can, error)) in kinds.into_iter().enumerate() {
            let is_refused = error.is_some_and(|error| error.kind() == ErrorKind::Invalid);
            let is_offered = can.split(' ').any(|offered| offered == option);
            assert_eq!(is_refused, !is_offered, "{option} of kind {index}");
        }
    }
}

#[test]
fn a_discarded_range_is_zero_to_the_byte_and_costs_nothing() {
    use bifolio_map::{Pages, Residency};
    use std::os::unix::fs::MetadataExt;
    let directory = Directory::new("discarded");
    let (page, len) = (bifolio_sys::page::page_size().bytes(), 64 << 10);
    let path = directory.file(&vec![1; len + 200]);
    let file = Options::new().offset(100).len(len).open_shared(&path).unwrap();
    let memory = SharedMap::anon(len).unwrap();
    let locked = Options::new().locked().shared(len).ok();
    let memfd = SharedMap::memfd("discarded", len).unwrap();
    for range in [0..len, 1..len, page..2 * page, 5..7, page - 1..4 * page + 1, 9..9] {
        for map in [Some(&file), Some(&memory), Some(&memfd), locked.as_ref()].into_iter().flatten()
        {
            map.fill(0..len, 1).unwrap();
            match map.discard(range.clone()) {
                Err(error) if error.kind() == ErrorKind::Unsupported => {
                    println!("skipped: {error}");
                    continue;
                }
                answer => answer.unwrap(),
            }
            let mut expected = vec![1; len];
            expected[range.clone()].fill(0);
            assert!(map.read_to_vec(0..len).unwrap() == expected, "{map:?} {range:?}");
        }
    }
    // What lies in the same pages of the file outside of the mapping is not touched.
    let bytes = fs::read(&path).unwrap();
    assert!(bytes.len() == len + 200 && bytes[..100] == [1; 100] && bytes[len + 100..] == [1; 100]);
    for map in [&memory, &memfd] {
        map.fill(0..len, 1).unwrap();
        map.discard(page..len).unwrap();
        match map.residency(0..len).unwrap() {
            Residency::Known(resident) => assert_eq!(resident.resident_pages, 1, "{map:?}"),
            unknown => println!("skipped: {unknown:?}"),
        }
    }
    let file = File::from(memfd.fd().unwrap().try_clone_to_owned().unwrap());
    assert_eq!(file.metadata().unwrap().blocks(), page as u64 / 512);
    let error = memory.discard(1..len + 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfBounds { len_bytes: len as u64 });
    assert_eq!(error.operation(), Operation::Advise);
    memfd.seal(bifolio_map::Seals::LASTING).unwrap();
    assert_eq!(memfd.discard(0..len).unwrap_err().kind(), ErrorKind::NotPermitted);
}
