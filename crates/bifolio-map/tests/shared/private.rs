//! Copy-on-write, what of it was copied, and the way back into a file in one step.

use crate::support::{Attacker, Directory, FileSystem, Random, child, rounds};
use bifolio_map::{Access, AccessMut, ErrorKind, Mapping, Operation, Options, PrivateMap};
use bifolio_map::{Protection, Sharing};
use bifolio_sys::page::page_size;
use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};

fn page() -> usize {
    page_size().bytes()
}

/// The names in a directory that commits leave while they work.
fn leftovers(directory: &Path) -> usize {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_str().unwrap().starts_with(".bifolio-")).count()
}

#[test]
fn writes_stay_here() {
    let directory = Directory::new("private");
    let path = directory.file(&vec![1; 4 * page()]);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
    let (map, other) = (PrivateMap::open(&path).unwrap(), PrivateMap::open(&path).unwrap());
    assert_eq!((map.sharing(), map.protection()), (Sharing::Private, Protection::ReadWrite));
    map.fill(10..20, 2).unwrap();
    assert_eq!(map.load::<[u8; 10]>(10).unwrap(), [2; 10]);
    assert_eq!(other.load::<[u8; 10]>(10).unwrap(), [1; 10]);
    assert_eq!(fs::read(&path).unwrap(), vec![1; 4 * page()]);
    fn check<T: Send + Sync + std::fmt::Debug>(_: &T) {}
    check(&map);
    map.unmap().unwrap();
}

#[test]
fn pages_that_were_not_copied_show_the_file() {
    let directory = Directory::new("private-shows");
    let path = directory.file(&vec![1; 2 * page()]);
    let map = PrivateMap::open(&path).unwrap();
    map.store(&7_u8, 0).unwrap();
    // Without shortening it, which would take the copy away.
    File::options().write(true).open(&path).unwrap().write_all_at(&vec![3; 2 * page()], 0).unwrap();
    assert_eq!((map.load::<u8>(0).unwrap(), map.load::<u8>(1).unwrap()), (7, 1));
    assert_eq!(map.load::<u8>(page()).unwrap(), 3);
}

#[test]
fn a_copied_page_is_lost_with_the_file_s_end_and_that_is_an_error() {
    let directory = Directory::new("private-cut");
    let path = directory.file(&vec![1; 4 * page()]);
    let map = PrivateMap::open(&path).unwrap();
    map.fill(0..4 * page(), 2).unwrap();
    File::options().write(true).open(&path).unwrap().set_len(page() as u64).unwrap();
    assert_eq!(map.load::<u8>(0).unwrap(), 2);
    let len_bytes = page() as u64;
    for result in [map.load::<u8>(2 * page()).map(drop), map.store(&9_u8, 2 * page())] {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Truncated { len_bytes });
        assert_eq!(error.range(), Some(2 * len_bytes..2 * len_bytes + 1));
    }
    // It cannot be saved, and what stands at the path is kept.
    let error = map.commit_to(&path).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Truncated { len_bytes });
    assert_eq!(fs::read(&path).unwrap(), vec![1; page()]);
}

#[test]
fn copied_ranges_are_the_pages_that_were_written() {
    let directory = Directory::new("copied");
    let page = page();
    let path = directory.file(&vec![1; 8 * page + 100]);
    let map = PrivateMap::open(&path).unwrap();
    let mut all = vec![0; map.len()];
    map.read_exact_at(&mut all, 0).unwrap();
    assert_eq!(map.copied_ranges().unwrap(), []);
    map.store(&1_u8, page + 1).unwrap();
    map.fill(2 * page - 1..2 * page + 1, 1).unwrap();
    map.view_mut().by_syscall().write_all_at(&[1], 5 * page).unwrap();
    map.store(&1_u8, 8 * page + 99).unwrap();
    let expected = [page..3 * page, 5 * page..6 * page, 8 * page..8 * page + 100];
    assert_eq!(map.copied_ranges().unwrap(), expected);
    // With the mapping's start off the page.
    let map = Options::new().offset(page as u64 + 10).open_private(&path).unwrap();
    map.store(&1_u8, 0).unwrap();
    map.store(&1_u8, 3 * page).unwrap();
    let expected = [0..page - 10, 3 * page - 10..4 * page - 10];
    assert_eq!(map.copied_ranges().unwrap(), expected);
    let empty = PrivateMap::open(directory.file(b"")).unwrap();
    assert_eq!(empty.copied_ranges().unwrap(), []);
}

#[test]
fn discarding_undoes_to_the_byte() {
    let mut random = Random::new("discarding_undoes_to_the_byte");
    let directory = Directory::new("discard");
    let len = 6 * page() + 123;
    let bytes: Vec<u8> = (0..len).map(|i| (i % 251) as u8).collect();
    let path = directory.file(&bytes);
    for offset in [0, 77] {
        for _ in 0..rounds(200) {
            let map = Options::new().offset(offset as u64).open_private(&path).unwrap();
            let len = map.len();
            map.fill(0..len, 255).unwrap();
            let start = random.below(len + 1);
            let end = start + random.below(len + 1 - start);
            map.discard(start..end).unwrap();
            let mut seen = vec![0; len];
            map.read_exact_at(&mut seen, 0).unwrap();
            for (at, &byte) in seen.iter().enumerate() {
                let undone = (start..end).contains(&at);
                assert_eq!(byte, if undone { bytes[offset + at] } else { 255 }, "{start}..{end}");
            }
        }
    }
    let map = PrivateMap::open(&path).unwrap();
    map.fill(0..len, 255).unwrap();
    map.discard(0..len).unwrap();
    assert_eq!(map.copied_ranges().unwrap(), []);
    let error = map.discard(0..len + 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfBounds { len_bytes: len as u64 });
}

#[test]
fn a_commit_saves_the_file_with_the_changes() {
    let directory = Directory::new("commit");
    let page = page();
    let bytes: Vec<u8> = (0..9 * page + 5).map(|i| (i % 253) as u8).collect();
    let path = directory.file(&bytes);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    // Only the middle of the file is mapped, off the page: the rest is saved too.
    let map = Options::new().offset(page as u64 + 7).len(4 * page).open_private(&path).unwrap();
    map.write_all_at(b"changed", 2 * page - 9).unwrap();
    let mut expected = bytes.clone();
    expected[3 * page - 2..3 * page + 5].copy_from_slice(b"changed");
    let copy = directory.path().join("copy");
    map.commit_to(&copy).unwrap();
    assert!(fs::read(&copy).unwrap() == expected);
    assert_eq!(fs::metadata(&copy).unwrap().mode() & 0o7777, 0o640);
    assert!(fs::read(&path).unwrap() == bytes);
    // Over itself and over another file, whose mode is kept; the mapping keeps the old one.
    fs::set_permissions(&copy, fs::Permissions::from_mode(0o606)).unwrap();
    fs::write(&copy, b"old").unwrap();
    let reader = File::open(&copy).unwrap();
    map.commit_to(&copy).unwrap();
    map.commit_to(&path).unwrap();
    assert!(fs::read(&copy).unwrap() == expected && fs::read(&path).unwrap() == expected);
    assert_eq!(fs::metadata(&copy).unwrap().mode() & 0o7777, 0o606);
    assert_eq!(std::io::read_to_string(reader).unwrap(), "old");
    assert_eq!(map.load::<[u8; 7]>(2 * page - 9).unwrap(), *b"changed");
    assert_eq!(leftovers(directory.path()), 0);
}

#[test]
fn a_commit_follows_links_and_spares_what_is_no_file() {
    let directory = Directory::new("commit-kinds");
    let path = directory.file(b"content");
    let map = PrivateMap::open(&path).unwrap();
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    map.store(b"C", 0).unwrap();
    map.commit_to(&link).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert_eq!(fs::read(&path).unwrap(), b"Content");
    for special in [Path::new("/dev/null"), directory.path()] {
        let error = map.commit_to(special).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::NotMappable(_)), "{error}");
    }
    let error = map.commit_to(directory.path().join("absent/file")).unwrap_err();
    assert_eq!(
        (error.operation(), error.errno()),
        (Operation::Save, Some(bifolio_sys::Errno::NOENT))
    );
    assert!(error.to_string().contains("absent/file"), "{error}");
}

#[test]
fn holes_stay_holes() {
    let directory = Directory::new("commit-sparse");
    let path = directory.path().join("sparse");
    File::create(&path).unwrap().set_len(64 << 20).unwrap();
    let map = PrivateMap::open(&path).unwrap();
    map.write_all_at(b"data", 32 << 20).unwrap();
    map.commit_to(&path).unwrap();
    let metadata = fs::metadata(&path).unwrap();
    assert_eq!(metadata.len(), 64 << 20);
    assert!(metadata.blocks() * 512 < 4 << 20, "{} blocks", metadata.blocks());
    assert_eq!(PrivateMap::open(&path).unwrap().load::<[u8; 4]>(32 << 20).unwrap(), *b"data");
}

#[test]
fn a_commit_to_a_full_disk_loses_nothing() {
    let all = [
        FileSystem::tmpfs("commit-tmpfs"),
        FileSystem::image("commit-ext4", "mkfs.ext4"),
        // No files without names there.
        FileSystem::image("commit-minix", "mkfs.minix"),
        FileSystem::image("commit-vfat", "mkfs.vfat"),
    ];
    for file_system in all.into_iter().flatten() {
        let path = file_system.join("data");
        fs::write(&path, vec![1; 50_000]).unwrap();
        let map = PrivateMap::open(&path).unwrap();
        map.fill(0..50_000, 2).unwrap();
        map.commit_to(&path).unwrap();
        assert!(fs::read(&path).unwrap() == vec![2; 50_000]);
        let map = PrivateMap::open(&path).unwrap();
        map.fill(0..50_000, 3).unwrap();
        file_system.fill();
        let error = map.commit_to(&path).unwrap_err();
        assert_eq!((error.operation(), error.kind()), (Operation::Save, ErrorKind::NoSpace));
        assert!(fs::read(&path).unwrap() == vec![2; 50_000]);
        assert_eq!(leftovers(path.parent().unwrap()), 0);
    }
}

#[test]
fn a_commit_beyond_the_limit_on_file_sizes_is_an_error_and_no_signal() {
    let directory = Directory::new("commit-limit");
    let path = directory.file(&[1; 8192]);
    let inner = child("commit beyond the limit", &path);
    let mut shell = Command::new("sh");
    // In blocks of 512 bytes.
    shell.args(["-c", "ulimit -f 8; exec \"$@\"", "sh"]).arg(inner.get_program());
    shell.args(inner.get_args()).stdout(Stdio::null());
    shell.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let status = shell.status().unwrap();
    assert!(status.success(), "{status}");
    assert_eq!(fs::read(&path).unwrap(), [1; 8192]);
}

#[test]
fn a_kill_leaves_the_old_file_or_the_new_one() {
    let mut random = Random::new("a_kill_leaves_the_old_file_or_the_new_one");
    let directory = Directory::new("commit-kill");
    let path = directory.file(&[0; COMMIT_LEN]);
    let (mut seen, mut stray) = (std::collections::BTreeSet::new(), 0);
    for _ in 0..rounds(60) {
        let before = fs::metadata(&path).unwrap().ino();
        let mut committer = Attacker::start("commit for ever", &path);
        // The first commit tells that it is at work; then any moment will do.
        committer.wait_until(|| fs::metadata(&path).unwrap().ino() != before);
        for _ in 0..random.below(200_000) {
            std::hint::spin_loop();
        }
        drop(committer);
        let bytes = fs::read(&path).unwrap();
        assert_eq!(bytes.len(), COMMIT_LEN);
        assert!(bytes.iter().all(|&byte| byte == bytes[0]), "a mixture");
        seen.insert(bytes[0]);
        stray += leftovers(directory.path());
    }
    assert!(seen.len() > 1, "no commit was seen");
    println!("{} contents seen, {stray} names left behind", seen.len());
}

#[test]
fn a_kill_at_each_system_call_leaves_the_old_file_or_the_new_one() {
    let directory = Directory::new("commit-calls");
    let path = directory.path().join("data");
    let commit = |arguments: &[&str]| {
        fs::write(&path, [1; COMMIT_LEN]).unwrap();
        let inner = child("commit once", &path);
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qqq", "-o", "/dev/null"]).args(arguments).arg(inner.get_program());
        strace.args(inner.get_args()).stdout(Stdio::null()).stderr(Stdio::null());
        strace.envs(inner.get_envs().filter_map(|(name, value)| Some((name, value?))));
        strace.status().is_ok_and(|status| status.success())
    };
    if !commit(&["-e", "trace=fsync"]) {
        println!("skipped: strace is absent or not permitted");
        return;
    }
    let mut kills = 0;
    let calls = ["ftruncate", "lseek", "copy_file_range", "pwrite64", "fchmod", "fsync", "linkat"];
    for call in calls.into_iter().chain(["/^rename"]) {
        for nth in 1..100 {
            let trace = format!("trace={call}");
            let inject = format!("inject={call}:signal=KILL:when={nth}");
            let is_done = commit(&["-e", &trace, "-e", &inject]);
            let bytes = fs::read(&path).unwrap();
            assert_eq!(bytes.len(), COMMIT_LEN, "{call} {nth}");
            let is_whole = bytes.iter().all(|&byte| byte == bytes[0]);
            assert!(is_whole && (bytes[0] == 2 || !is_done), "a mixture: {call} {nth}");
            if is_done {
                break;
            }
            kills += 1;
        }
    }
    assert!(kills >= calls.len(), "{kills} kills");
    println!("{kills} kills, {} names left behind", leftovers(directory.path()));
}

/// The length of the file that `commit for ever` writes.
pub(crate) const COMMIT_LEN: usize = 100_000;

#[test]
fn the_halves_keep_their_copies() {
    let directory = Directory::new("halves");
    let page = bifolio_sys::page::page_size().bytes();
    let path = directory.file(&vec![1; 3 * page]);
    let map = PrivateMap::open(&path).unwrap();
    map.store(&2_u8, 2 * page).unwrap();
    let (front, back) = map.split_at(page).unwrap();
    assert_eq!((front.copied_ranges().unwrap(), back.len()), (vec![], 2 * page));
    assert_eq!(back.copied_ranges().unwrap().first(), Some(&(page..2 * page)));
    // What follows in memory must follow in the file too.
    let other = PrivateMap::open(&path).unwrap();
    let (front, other, _) = front.join(other).unwrap_err();
    drop(other);
    let map = front.join(back).unwrap();
    assert_eq!((map.load::<u8>(page).unwrap(), map.load::<u8>(2 * page).unwrap()), (1, 2));
}
