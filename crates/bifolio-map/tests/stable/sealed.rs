//! Sealed memory files: nothing is copied, and whoever has a descriptor can do nothing.

use crate::scratch::{assert_plays, child, pattern};
use bifolio_map::{
    AccessMut, ErrorKind, FileMap, MemoryFile, Options, Policy, ReadOnlySharedMap, Refusal, Rung,
    SealedFile, Seals, SharedMap,
};
use bifolio_sys::Errno;
use bifolio_sys::fs::{
    FallocateFlags, MemfdFlags, SealFlags, fallocate, fcntl_add_seals, fcntl_dupfd_cloexec, fstat,
    ftruncate, memfd_create,
};
use bifolio_sys::mm::mincore;
use bifolio_sys::page::page_size;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::process::Command;

const FILE: &str = "BIFOLIO_FILE";
const LEN: usize = (1 << 20) + 77;

fn sealed(content: &[u8]) -> SealedFile {
    let writer = MemoryFile::new("sealed", content.len() as u64).unwrap().map().unwrap();
    writer.write_all_at(content, 0).unwrap();
    writer.into_memory_file().unwrap().into_sealed().unwrap()
}

/// The path by which other processes reach a descriptor of this one.
fn path_of(file: impl AsFd) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), file.as_fd().as_raw_fd())
}

fn duplicate(file: impl AsFd) -> OwnedFd {
    fcntl_dupfd_cloexec(file, 0).unwrap()
}

fn vandals(path: &str) -> Command {
    let mut command = child("vandal");
    command.env(FILE, path);
    command
}

/// Another process of the same user that has the file open to write it.
pub(crate) fn vandal() {
    let path = std::env::var(FILE).unwrap();
    let file = File::options().read(true).write(true).open(path).unwrap();
    let refused = Errno::PERM.raw_os_error();
    assert_eq!(file.write_at(b"x", 0).unwrap_err().raw_os_error(), Some(refused));
    assert_eq!(file.set_len(0).unwrap_err().raw_os_error(), Some(refused));
    let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    assert_eq!(fallocate(&file, hole, 0, 4096), Err(Errno::PERM));
    let map = SharedMap::from_file(file);
    assert_eq!(map.unwrap_err().kind(), ErrorKind::NotPermitted);
}

#[test]
fn sealed_bytes_stay_whoever_has_the_file() {
    let content = pattern(LEN);
    let file = sealed(&content);
    let (one, other) = (file.map().unwrap(), file.map().unwrap());
    assert_eq!((one.rung(), other.rung()), (Rung::Sealed, Rung::Sealed));
    assert_ne!(one.as_ptr(), other.as_ptr());
    assert_plays(&mut vandals(&path_of(&file)));
    // What another process is sent it can check, and map as well.
    let received = SealedFile::from_fd(duplicate(&file)).unwrap();
    drop(file);
    let third = std::thread::spawn(move || received.map().unwrap()).join().unwrap();
    for stable in [one, other, third] {
        assert!(*stable == content);
    }
}

#[test]
fn every_kind_finds_the_seals() {
    let content = pattern(LEN);
    let file = sealed(&content);
    let map = FileMap::open(path_of(&file)).unwrap();
    let stable = map.stable(&Policy::new().without_copy()).unwrap();
    drop(map);
    assert!(*stable == content);
    let part = Options::new().offset(5000).len(10_000).open(path_of(&file)).unwrap();
    let stable = part.stable(&Policy::new().without_copy()).unwrap();
    assert_eq!((stable.rung(), &*stable), (Rung::Sealed, &content[5000..15_000]));
    let map = ReadOnlySharedMap::from_file(duplicate(&file)).unwrap();
    assert_eq!(map.stable(&Policy::new()).unwrap().rung(), Rung::Sealed);
    // Longer than the file: what is not there cannot be promised.
    let long = Options::new().len(2 * LEN).open(path_of(&file)).unwrap();
    let error = long.stable(&Policy::new()).unwrap_err();
    let Some(Refusal::Failed(failed)) = error.reason(Rung::Sealed) else { panic!("{error}") };
    assert_eq!(failed.kind(), ErrorKind::Truncated { len_bytes: LEN as u64 });
}

/// `F_SEAL_FUTURE_WRITE` lets the mappings that exist go on writing; without `F_SEAL_SHRINK` the
/// pages go away, and without `F_SEAL_WRITE` somebody can punch them out.
#[test]
fn seals_that_are_not_enough() {
    for seals in [Seals::LASTING, Seals::SHRINK, Seals::SHRINK | Seals::GROW, Seals::default()] {
        let writer = SharedMap::memfd("half sealed", LEN).unwrap();
        writer.fill(0..LEN, 7).unwrap();
        writer.seal(seals).unwrap();
        let map = FileMap::open(path_of(writer.fd().unwrap())).unwrap();
        let error = map.stable(&Policy::new().without_copy()).unwrap_err();
        assert_eq!(error.reason(Rung::Sealed), Some(&Refusal::NotSealed { seals }));
        let (_, error) = SealedFile::from_fd(duplicate(writer.fd().unwrap())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let stable = map.stable(&Policy::new()).unwrap();
        writer.fill(0..LEN, 8).unwrap();
        assert_eq!(stable.rung(), Rung::Copied);
        assert!(*stable == [7; LEN]);
    }
}

#[test]
fn a_file_with_a_writer_is_not_sealed_and_comes_back() {
    let file = MemoryFile::new("written", 4096).unwrap();
    let writer = file.map().unwrap();
    let (file, error) = file.into_sealed().unwrap_err();
    assert_eq!(error.errno(), Some(Errno::BUSY));
    writer.unmap().unwrap();
    let sealed = file.into_sealed().unwrap();
    // Sealed by others, and against further seals.
    let again = MemoryFile::from_fd(OwnedFd::from(sealed)).unwrap().into_sealed().unwrap();
    assert_eq!(*again.map().unwrap(), [0; 4096]);
}

/// A hole has no page yet, and where the system promises memory strictly it might not get one.
#[test]
fn holes_get_their_pages_at_once() {
    let page = page_size().bytes();
    let file = MemoryFile::new("holes", 64 * page as u64).unwrap();
    let writer = file.map().unwrap();
    writer.store(&1_u8, 5 * page).unwrap();
    drop(writer);
    let stable = file.into_sealed().unwrap().map().unwrap();
    let mut pages = [0; 64];
    mincore(stable.as_ptr().addr(), &mut pages).unwrap();
    assert_eq!(pages.map(|page| page & 1), [1; 64]);
    assert_eq!(stable.iter().map(|&byte| u32::from(byte)).sum::<u32>(), 1);
}

/// The pool of huge pages is usually empty: that is an error now, not a signal later.
#[test]
fn a_sealed_file_of_huge_pages() {
    let flags = MemfdFlags::HUGETLB | MemfdFlags::ALLOW_SEALING | MemfdFlags::CLOEXEC;
    let Ok(file) = memfd_create(c"huge", flags) else {
        return println!("skipped: this kernel has no huge pages");
    };
    let len = fstat(&file).unwrap().st_blksize as u64;
    ftruncate(&file, len).unwrap();
    fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::WRITE).unwrap();
    match SealedFile::from_fd(file).unwrap().map() {
        Ok(stable) => assert!(stable.iter().all(|&byte| byte == 0) && stable.len() as u64 == len),
        Err(error) => assert_eq!(error.kind(), ErrorKind::NoSpace, "{error}"),
    }
}
