//! Memory files, their seals, and the plain atomics that rest on them.

use bifolio_map::{Access, AccessMut, ErrorKind, MemoryFile, Operation, Options, SharedMap};
use bifolio_map::{HugePages, ReadOnlySharedMap, Seals};
use bifolio_sys::Errno;
use bifolio_sys::fs::{FallocateFlags, MemfdFlags};
use bifolio_sys::fs::{fallocate, fcntl_dupfd_cloexec, fstat, ftruncate, memfd_create};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

fn duplicate(file: impl AsFd) -> OwnedFd {
    fcntl_dupfd_cloexec(file, 0).unwrap()
}

#[test]
fn a_descriptor_is_enough_for_another_mapping() {
    let one = SharedMap::memfd("passed", 10_000).unwrap();
    let other = SharedMap::from_file(duplicate(one.fd().unwrap())).unwrap();
    let reader = ReadOnlySharedMap::from_file(duplicate(one.fd().unwrap())).unwrap();
    one.write_all_at(b"passed on", 5000).unwrap();
    assert_eq!(other.load::<[u8; 9]>(5000).unwrap(), *b"passed on");
    assert_eq!(reader.load::<[u8; 9]>(5000).unwrap(), *b"passed on");
}

#[test]
fn writing_is_sealed_when_nobody_has_a_mapping_to_write() {
    let map = SharedMap::memfd("constant", 4096).unwrap();
    map.write_all_at(b"for ever", 0).unwrap();
    let error = map.seal(Seals::WRITE).unwrap_err();
    assert_eq!((error.operation(), error.errno()), (Operation::Seal, Some(Errno::BUSY)));
    let file = map.into_memory_file().unwrap();
    file.seal(Seals::CONSTANT | Seals::SEAL).unwrap();
    assert!(file.seals().unwrap().contains(Seals::CONSTANT));
    assert_eq!(file.map().unwrap_err().kind(), ErrorKind::NotPermitted);
    let map = file.map_read_only().unwrap();
    assert_eq!(map.load::<[u8; 8]>(0).unwrap(), *b"for ever");
    // It must not become writable, not even as a private copy.
    let (map, error) = map.into_writable().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotPermitted);
    assert_eq!(map.load::<[u8; 8]>(0).unwrap(), *b"for ever");
    assert_eq!(ftruncate(&file, 0), Err(Errno::PERM));
    assert_eq!(file.seal(Seals::FUTURE_WRITE).unwrap_err().kind(), ErrorKind::NotPermitted);
}

#[test]
fn what_is_no_memory_file_comes_back() {
    let (file, error) = MemoryFile::from_fd(std::io::pipe().unwrap().0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    drop(file);
    let (map, error) = SharedMap::anon(10).unwrap().into_memory_file().unwrap_err();
    assert_eq!((error.kind(), map.len()), (ErrorKind::Invalid, 10));
    assert_eq!(map.seal(Seals::SHRINK).unwrap_err().errno(), Some(Errno::INVAL));
}

#[test]
fn growing_can_be_sealed() {
    let map = Options::new().reserve(1 << 20).memfd("fixed", 4096).unwrap();
    map.seal(Seals::GROW).unwrap();
    assert_eq!(map.grow(8192).unwrap_err().kind(), ErrorKind::NotPermitted);
}

#[test]
fn a_plain_atomic_only_where_the_page_stays() {
    let anon = SharedMap::anon(8192).unwrap();
    anon.atomic_ref::<AtomicU64>(8184).unwrap().store(7, Ordering::SeqCst);
    assert_eq!(anon.load::<u64>(8184).unwrap(), 7);
    let error = anon.atomic_ref::<AtomicU64>(8185).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfBounds { len_bytes: 8192 });
    let error = anon.atomic_ref::<AtomicU64>(4).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misaligned { align_bytes: 8 });

    let lazy = Options::new().no_reserve().shared(4096).unwrap();
    assert_eq!(lazy.atomic_ref::<AtomicU8>(0).unwrap_err().kind(), ErrorKind::Revocable);

    let map = Options::new().reserve(1 << 20).memfd("counters", 8192).unwrap();
    let revocable = |seals: Option<Seals>| {
        if let Some(seals) = seals {
            map.seal(seals).unwrap();
        }
        map.atomic_ref::<AtomicU64>(4096).unwrap_err().kind() == ErrorKind::Revocable
    };
    assert!(revocable(None));
    // Somebody could still punch a hole.
    assert!(revocable(Some(Seals::SHRINK)));
    map.seal(Seals::FUTURE_WRITE).unwrap();
    let atomic = map.atomic_ref::<AtomicU64>(4096).unwrap();
    atomic.store(9, Ordering::SeqCst);
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    assert_eq!(fallocate(map.fd().unwrap(), punch, 0, 8192), Err(Errno::PERM));
    assert_eq!(ftruncate(map.fd().unwrap(), 0), Err(Errno::PERM));
    assert_eq!(atomic.load(Ordering::SeqCst), 9);
    // It still grows, and the new bytes stay as well.
    map.grow(100_000).unwrap();
    map.atomic_ref::<AtomicU64>(99_992).unwrap().fetch_add(1, Ordering::SeqCst);
}

#[test]
fn an_atomic_beyond_the_file_s_end_is_refused() {
    let file = MemoryFile::new("short", 4096).unwrap();
    let map = Options::new().len(65_536).shared_file(duplicate(&file)).unwrap();
    map.seal(Seals::LASTING).unwrap();
    let error = map.atomic_ref::<AtomicU64>(32_768).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated { len_bytes: 4096 });
}

#[test]
fn an_ordinary_file_gives_no_plain_atomics() {
    let directory = crate::support::Directory::new("plain-atomic");
    let map = SharedMap::open(directory.file(&[0; 4096])).unwrap();
    assert_eq!(map.atomic_ref::<AtomicU64>(0).unwrap_err().kind(), ErrorKind::Revocable);
}

#[test]
fn a_memory_file_of_huge_pages() {
    let options = Options::new().huge_pages(HugePages::Pool(None));
    let len = 64 << 20;
    let map = match options.memfd("huge", len) {
        Ok(map) => map,
        Err(error) => {
            // Not a page of the pool is to be had, which must not be found out by a signal later.
            assert!(
                matches!(error.kind(), ErrorKind::NoMemory | ErrorKind::Unsupported),
                "{error}"
            );
            println!("skipped: the pool of huge pages has too few: {error}");
            return;
        }
    };
    map.write_all_at(b"huge", len - 4).unwrap();
    assert_eq!(map.load::<[u8; 4]>(len - 4).unwrap(), *b"huge");
    map.seal(Seals::LASTING).unwrap();
    map.atomic_ref::<AtomicU64>(4096).unwrap().store(1, Ordering::SeqCst);
    map.unmap().unwrap();
}

#[test]
fn a_file_of_huge_pages_handed_over_is_mapped_by_them() {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::HUGETLB;
    let Ok(file) = memfd_create(c"huge", flags) else {
        return println!("skipped: this kernel has no huge pages");
    };
    let huge = fstat(&file).unwrap().st_blksize as usize;
    // No page of the pool is promised or touched, so an empty one will do.
    let options = Options::new().no_reserve().len(huge / 2);
    ftruncate(&file, 2 * huge as u64).unwrap();
    let (map, error) = options.shared_file(duplicate(&file)).unwrap().split_at(4096).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misaligned { align_bytes: huge });
    // It succeeds only with a length of whole huge pages.
    map.unmap().unwrap();
    options.private_file(duplicate(&file)).unwrap().unmap().unwrap();
    options.shared_file_read_only(file).unwrap().unmap().unwrap();
}
