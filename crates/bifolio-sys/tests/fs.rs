//! The calls on files do what their names say.
//!
//! # Safety
//!
//! Memory handed to raw reads and writes is mapped by the test that hands it over.
#![allow(unsafe_code, reason = "the calls under test are unsafe")]

mod common;

use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use bifolio_sys::Errno;
use bifolio_sys::features::Feature;
use bifolio_sys::fs::{
    AtFlags, CWD, CacheStat, DescriptorPath, FallocateFlags, FileSystem, MemfdFlags, Mode, OFlags,
    SealFlags, SyncRange, block_device_len, cachestat, fallocate, fcntl_add_seals, file_system,
    fstat, ftruncate, linkat, memfd_create, openat, pread, pread_raw, pwrite, pwrite_raw,
    seek_data, seek_hole, sync_file_range,
};
use bifolio_sys::mm::{MprotectFlags, mprotect};
use bifolio_sys::page::page_size;

use common::{Pages, is_missing};

fn memory_file() -> OwnedFd {
    memfd_create(c"test", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).unwrap()
}

/// A directory on a real file system: that of the build.
fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

#[test]
fn cached_pages_are_counted() {
    if is_missing(Feature::Cachestat) {
        return;
    }
    let file = memory_file();
    let page = page_size().bytes() as u64;
    ftruncate(&file, 8 * page).unwrap();
    pwrite(&file, &[1], 0).unwrap();
    pwrite(&file, &[1], 5 * page).unwrap();
    let cached =
        |offset, len| cachestat(&file, offset, NonZeroU64::new(len)).map(|stat| stat.cached);
    assert_eq!(cached(0, page), Ok(1));
    assert_eq!(cached(page, 4 * page), Ok(0));
    // A length of 0 is the rest of the file.
    assert_eq!(cached(page, 0), Ok(1));
    assert_eq!(cachestat(&file, 8 * page, None), Ok(CacheStat::default()));
}

#[test]
fn a_block_device_tells_its_length() {
    assert_eq!(block_device_len(memory_file()), Err(Errno::NOTTY));
    let devices = std::fs::read_dir("/sys/class/block").into_iter().flatten().flatten();
    let Some((device, sectors)) = devices.into_iter().find_map(|entry| {
        let device = std::fs::File::open(PathBuf::from("/dev").join(entry.file_name())).ok()?;
        let sectors = std::fs::read_to_string(entry.path().join("size")).ok()?;
        Some((device, sectors.trim().parse::<u64>().ok()?))
    }) else {
        return println!("skipped: no block device can be opened here");
    };
    assert_eq!(block_device_len(device), Ok(sectors * 512));
}

#[test]
fn data_and_holes_are_told_apart() {
    let file = memory_file();
    let page = page_size().bytes() as u64;
    ftruncate(&file, 4 * page).unwrap();
    pwrite(&file, &[1], 2 * page).unwrap();
    assert_eq!(seek_data(&file, 0), Ok(Some(2 * page)));
    assert_eq!(seek_hole(&file, 2 * page), Ok(Some(3 * page)));
    assert_eq!(seek_hole(&file, 3 * page), Ok(Some(3 * page)));
    assert_eq!(seek_data(&file, 3 * page), Ok(None));
    assert_eq!(seek_hole(&file, 4 * page), Ok(None));
    fallocate(&file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 2 * page, page)
        .unwrap();
    assert_eq!(seek_data(&file, 0), Ok(None));
    let (reader, _writer) = std::io::pipe().unwrap();
    assert_eq!(seek_data(&reader, 0), Err(Errno::SPIPE));
}

#[test]
fn files_tell_their_file_system() {
    assert_eq!(file_system(memory_file()), Ok(FileSystem::Tmpfs));
    let status = std::fs::File::open("/proc/self/status").unwrap();
    assert_eq!(file_system(&status), Ok(FileSystem::Proc));
    if let Ok(sys) = std::fs::File::open("/sys/kernel") {
        assert_eq!(file_system(&sys), Ok(FileSystem::Sysfs));
    }
    assert!(FileSystem::Nfs.is_remote() && !FileSystem::Ext.is_remote());
}

#[test]
fn raw_reads_and_writes_stop_at_a_page_that_is_not_there() {
    let (file, pages) = (memory_file(), Pages::new(2));
    let page = page_size().bytes();
    ftruncate(&file, 2 * page as u64).unwrap();
    pwrite(&file, &[7], 0).unwrap();
    // SAFETY: nothing refers to the second page.
    unsafe { mprotect(pages.page(1), page, MprotectFlags::empty()) }.unwrap();
    let base = pages.base.cast::<u8>();

    // SAFETY: the pages are the test's own, and nothing refers to them.
    assert_eq!(unsafe { pread_raw(&file, base, 2 * page, 0) }, Ok(page));
    assert_eq!(pages.peek(0), 7);
    // SAFETY: as above.
    assert_eq!(unsafe { pread_raw(&file, base.wrapping_add(page), 1, 0) }, Err(Errno::FAULT));

    pages.touch(0, 8);
    // SAFETY: the file is mapped nowhere.
    assert_eq!(unsafe { pwrite_raw(&file, base, 2 * page, 0) }, Ok(page));
    let mut byte = [0];
    assert_eq!(pread(&file, &mut byte, 0), Ok(1));
    assert_eq!(byte, [8]);
    // SAFETY: as above.
    assert_eq!(unsafe { pwrite_raw(&file, base.wrapping_add(page), 1, 0) }, Err(Errno::FAULT));
    // SAFETY: as above; the offset is refused before the memory is looked at.
    assert_eq!(unsafe { pread_raw(&file, base, 1, u64::MAX) }, Err(Errno::INVAL));
}

#[test]
fn sealed_files_keep_their_size() {
    let file = memory_file();
    ftruncate(&file, 100).unwrap();
    fcntl_add_seals(&file, SealFlags::SHRINK).unwrap();
    assert_eq!(ftruncate(&file, 99), Err(Errno::PERM));
    assert_eq!(fstat(&file).unwrap().st_size, 100);
}

#[test]
fn write_back_of_a_range_succeeds_on_a_file_and_not_on_a_pipe() {
    let path = directory().join(format!("sync-{}", std::process::id()));
    std::fs::write(&path, [1; 10_000]).unwrap();
    let file = std::fs::File::open(&path).unwrap();
    for what in [SyncRange::Start, SyncRange::StartAll, SyncRange::Wait, SyncRange::StartAllAndWait]
    {
        assert_eq!(sync_file_range(&file, 0, None, what), Ok(()));
        assert_eq!(sync_file_range(&file, 0, NonZeroU64::new(4096), what), Ok(()));
    }
    if !is_missing(Feature::Cachestat) {
        assert_eq!(cachestat(&file, 0, None).unwrap().dirty, 0);
    }
    std::fs::remove_file(&path).unwrap();
    let (reader, _writer) = std::io::pipe().unwrap();
    assert_eq!(sync_file_range(&reader, 0, None, SyncRange::Start), Err(Errno::SPIPE));
    assert_eq!(sync_file_range(&file, u64::MAX, None, SyncRange::Start), Err(Errno::INVAL));
}

/// A file without a name gets one, and replaces another by it.
#[test]
fn a_file_without_a_name_gets_one() {
    let directory = directory();
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    let file = match openat(CWD, &directory, flags, Mode::RUSR | Mode::WUSR) {
        Err(Errno::OPNOTSUPP) => return println!("skipped: the file system has no O_TMPFILE"),
        file => file.unwrap(),
    };
    pwrite(&file, b"whole", 0).unwrap();
    let folder = std::fs::File::open(&directory).unwrap();
    let [new, old] = ["new", "old"].map(|name| format!("{name}-{}", std::process::id()));
    std::fs::write(directory.join(&old), b"before").unwrap();
    let source = DescriptorPath::of(&file);
    linkat(CWD, source.as_c_str(), &folder, &new, AtFlags::SYMLINK_FOLLOW).unwrap();
    std::fs::rename(directory.join(&new), directory.join(&old)).unwrap();
    assert_eq!(std::fs::read(directory.join(&old)).unwrap(), b"whole");
    std::fs::remove_file(directory.join(&old)).unwrap();
    assert!(!directory.join(&new).exists());
}
