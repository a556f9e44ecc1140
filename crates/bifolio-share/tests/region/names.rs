//! Names: races for them, deaths on the way to them, and what lies there that is no region.
//!
//! # Safety
//!
//! A child ends itself in the middle of what it does.
#![allow(unsafe_code, reason = "_exit")]

use std::os::unix::fs::{PermissionsExt, symlink};
use std::sync::atomic::Ordering::SeqCst;

use bifolio_share::{Error, ErrorKind, Fingerprint, Region};

use crate::common::{Child, Random};
use crate::support::{Name, counter, refuse_files_without_names, with_own_shm};

fn kind(name: &str) -> ErrorKind {
    Region::open(name).unwrap_err().kind()
}

#[test]
fn bad_names_are_refused() {
    for name in ["", ".", "..", ".x", "a/b", "/a", "../shm/a", "a\0b", &"x".repeat(201)] {
        assert_eq!(kind(name), ErrorKind::BadName, "{name:?}");
        assert_eq!(Region::create(name, 1).unwrap_err().kind(), ErrorKind::BadName, "{name:?}");
    }
    let name = Name::new();
    assert_eq!(kind(&name.0), ErrorKind::NotFound);
    Region::create(&name.0, 1).unwrap();
    assert_eq!(Region::create(&name.0, 1).unwrap_err().kind(), ErrorKind::Exists);
}

/// Whatever lies there, it is told and not touched.
#[test]
fn what_is_no_region_is_refused() {
    let (name, target) = (Name::new(), Name::new());
    Region::create(&target.0, 1).unwrap();
    symlink(target.path(), name.path()).unwrap();
    assert_eq!(kind(&name.0), ErrorKind::NotRegular);
    assert_eq!(Region::open_or_create(&name.0, 1).unwrap_err().kind(), ErrorKind::NotRegular);
    std::fs::remove_file(name.path()).unwrap();
    std::fs::create_dir(name.path()).unwrap();
    assert_eq!(kind(&name.0), ErrorKind::NotRegular);
    std::fs::remove_dir(name.path()).unwrap();
    for content in [&b""[..], b"bifolio", &[7; 10_000]] {
        std::fs::write(name.path(), content).unwrap();
        std::fs::set_permissions(name.path(), PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(kind(&name.0), ErrorKind::NotARegion);
        assert_eq!(Region::open_or_create(&name.0, 1).unwrap_err().kind(), ErrorKind::NotARegion);
        assert_eq!(std::fs::read(name.path()).unwrap(), content);
    }
}

#[test]
fn damage_and_newer_formats_are_told() {
    let name = Name::new();
    drop(Region::create(&name.0, 1).unwrap());
    let good = std::fs::read(name.path()).unwrap();
    let with = |at: usize, byte: u8| {
        let mut bytes = good.clone();
        bytes[at] = byte;
        std::fs::write(name.path(), &bytes).unwrap();
        let kind = kind(&name.0);
        assert_eq!(std::fs::read(name.path()).unwrap(), bytes, "touched");
        kind
    };
    assert_eq!(with(8, 2), ErrorKind::Newer { format: 2 });
    assert_eq!(with(40, 1), ErrorKind::Damaged);
    assert_eq!(with(127, !good[127]), ErrorKind::Damaged);
    assert_eq!(with(128 + 7, 0x7f), ErrorKind::Damaged);
    std::fs::write(name.path(), &good[..4096]).unwrap();
    assert_eq!(kind(&name.0), ErrorKind::Lost);
    std::fs::write(name.path(), &good).unwrap();
    Region::open(&name.0).unwrap();
}

#[test]
fn other_applications_modes_and_owners_are_refused() {
    let name = Name::new();
    let (mine, theirs) = (Fingerprint::of("mine"), Fingerprint::of("theirs"));
    let options = Region::options().fingerprint(mine);
    let region = options.create(&name.0, 1).unwrap();
    let mode = || std::fs::metadata(name.path()).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(), 0o600);
    options.open(&name.0).unwrap();
    Region::open(&name.0).unwrap();
    let error = Region::options().fingerprint(theirs).open(&name.0).unwrap_err();
    let expected = ErrorKind::OtherFingerprint { expected: theirs, found: mine.bits() };
    assert_eq!(error.kind(), expected);
    std::fs::set_permissions(name.path(), PermissionsExt::from_mode(0o640)).unwrap();
    assert_eq!(kind(&name.0), ErrorKind::OpenToOthers { mode: 0o640 });
    Region::options().mode(0o660).open(&name.0).unwrap();
    std::fs::set_permissions(name.path(), PermissionsExt::from_mode(0o600)).unwrap();
    if let Err(error) = std::os::unix::fs::chown(name.path(), Some(12345), None) {
        return println!("skipped: another owner: {error}");
    }
    assert_eq!(kind(&name.0), ErrorKind::ForeignOwner { uid: 12345 });
    Region::options().allow_owner(12345).open(&name.0).unwrap();
    assert!(region.is_linked().unwrap());
}

/// Of many who want one region, one makes it, and all get that one, whole.
#[test]
fn a_hundred_race_and_one_creates() {
    for without in [false, true] {
        let (name, arena) = (Name::new(), Region::anonymous(1 << 16).unwrap());
        let board = arena.objects().find_or_construct("board", || [const { u(0) }; 4]).unwrap();
        let [go, created, wrong, done] = &*board;
        let children: Vec<Child> = (0..100)
            .map(|_| {
                Child::run(|| {
                    if without {
                        refuse_files_without_names();
                    }
                    while go.load(SeqCst) == 0 {
                        std::thread::yield_now();
                    }
                    let pid = u64::from(std::process::id());
                    let region = Region::options().open_or_create_with(&name.0, 1, |region| {
                        counter(region).store(pid, SeqCst);
                        Ok::<(), Error>(())
                    });
                    let region = region.unwrap();
                    let maker = counter(&region).load(SeqCst);
                    created.fetch_add(u64::from(region.is_created()), SeqCst);
                    let is_mine = region.is_created() == (maker == pid);
                    wrong.fetch_add(u64::from(maker == 0 || !is_mine), SeqCst);
                    done.fetch_add(1, SeqCst);
                })
            })
            .collect();
        go.store(1, SeqCst);
        assert!(children.into_iter().all(Child::join));
        let board = [created, wrong, done].map(|word| word.load(SeqCst));
        assert_eq!(board, [1, 0, 100], "without O_TMPFILE: {without}");
        // Attached is not owner: they are all gone, and it is not.
        Region::open(&name.0).unwrap().unlink().unwrap();
    }
}

const fn u(value: u64) -> std::sync::atomic::AtomicU64 {
    std::sync::atomic::AtomicU64::new(value)
}

/// A creator that is killed anywhere leaves no name, or a whole region.
#[test]
fn a_killed_creator_is_no_obstacle() {
    with_own_shm(64 << 20, || {
        for without in [false, true] {
            let random = &mut Random::new();
            let (mut before, mut after) = (0, 0);
            for _ in 0..150 {
                let child = Child::run(|| {
                    if without {
                        refuse_files_without_names();
                    }
                    let region = Region::options().create_with("r", 1 << 16, |region| {
                        counter(region).store(1, SeqCst);
                        counter(region).store(2, SeqCst);
                        Ok::<(), Error>(())
                    });
                    region.unwrap();
                    loop {
                        std::thread::yield_now();
                    }
                });
                // Not an event to wait for, but a place to strike at.
                for _ in 0..random.below(60_000) {
                    std::hint::spin_loop();
                }
                child.kill();
                match Region::open("r") {
                    Ok(region) => {
                        assert_eq!(counter(&region).load(SeqCst), 2);
                        after += 1;
                    }
                    Err(error) => {
                        assert_eq!(error.kind(), ErrorKind::NotFound, "{error}");
                        before += 1;
                    }
                }
                let region = Region::open_or_create("r", 1 << 16).unwrap();
                region.unlink().unwrap();
                drop(region);
                let left = || std::fs::read_dir("/dev/shm").unwrap().count();
                assert!(without || left() == 0, "something was left");
                Region::clean().unwrap();
                assert_eq!(left(), 0, "something was left after cleaning");
            }
            println!("killed before the name: {before}, after: {after}");
        }
    });
}

/// Without files that have no name, one that is not finished is recognised by its name, and by its
/// mark as long as its maker lives.
#[test]
fn what_was_not_finished_is_removed_once_its_maker_is_dead() {
    with_own_shm(64 << 20, || {
        let unfinished = || std::fs::read_dir("/dev/shm").unwrap().count();
        let child = Child::run(|| {
            refuse_files_without_names();
            let region = Region::options().create_with("r", 1, |_| {
                assert_eq!(unfinished(), 1);
                assert_eq!(Region::clean().unwrap().unfinished, 0);
                assert!(Region::list().unwrap().is_empty() && kind("r") == ErrorKind::NotFound);
                Ok::<(), Error>(())
            });
            assert_eq!(unfinished(), 1, "it has its name, and no other");
            region.unwrap().unlink().unwrap();
            let _ = Region::options().create_with("r", 1, |_| -> Result<(), Error> {
                // SAFETY: ends the process, as a kill does.
                unsafe { libc::_exit(0) }
            });
        });
        assert!(child.join());
        assert_eq!(unfinished(), 1);
        let cleaned = Region::clean().unwrap();
        assert_eq!((cleaned.unfinished, cleaned.regions.len(), unfinished()), (1, 0, 0));
    });
}

/// What systemd does to a user's files when the last session ends.
#[test]
fn a_name_that_is_gone_is_told() {
    let name = Name::new();
    let region = Region::create(&name.0, 1 << 16).unwrap();
    std::fs::remove_file(name.path()).unwrap();
    assert!(!region.is_linked().unwrap());
    counter(&region).fetch_add(1, SeqCst);
    region.check().unwrap();
    let next = Region::open_or_create(&name.0, 1 << 16).unwrap();
    assert!(next.is_created() && next.is_linked().unwrap() && !region.is_linked().unwrap());
    // The name is another's now, and stays.
    assert!(!region.unlink().unwrap());
    assert!(next.is_linked().unwrap());
}

#[test]
fn the_list_tells_who_is_left_and_cleaning_takes_only_that() {
    with_own_shm(64 << 20, || {
        std::fs::write("/dev/shm/alien", b"no region").unwrap();
        let used = Region::create("used", 1 << 16).unwrap();
        drop(Region::options().keep().create("kept", 1).unwrap());
        Child::run(|| {
            let region = Region::create("left", 1 << 16).unwrap();
            counter(&region).store(1, SeqCst);
            std::mem::forget(region);
        })
        .join();
        let mut list = Region::list().unwrap();
        list.sort_by_key(|listed| listed.place.to_string());
        let told: Vec<_> = list
            .iter()
            .map(|listed| (listed.place.to_string(), listed.is_attached, listed.is_kept))
            .collect();
        let expected = [("kept", false, true), ("left", false, false), ("used", true, false)];
        let expected =
            expected.map(|(name, attached, kept)| (format!("region {name}"), attached, kept));
        assert_eq!(told, expected);
        assert_eq!(list[2].len.clone().unwrap().0, used.len());
        let cleaned = Region::clean().unwrap();
        let names: Vec<_> = cleaned.regions.iter().map(ToString::to_string).collect();
        assert_eq!((names, cleaned.unfinished), (vec!["region left".to_owned()], 0));
        assert!(used.is_linked().unwrap());
        Region::open("kept").unwrap();
        assert!(std::path::Path::new("/dev/shm/alien").exists());
    });
}

/// Who opens a region while another removes what nobody uses has it with its name, or a new one.
#[test]
fn cleaning_never_takes_what_is_being_opened() {
    with_own_shm(64 << 20, || {
        let cleaner = Child::run(|| {
            loop {
                Region::clean().unwrap();
            }
        });
        let (mut opened, mut created) = (0, 0);
        // Until some were cleaned: on a busy machine the other does not get to run for long.
        while (opened < 2000 || created < 10) && opened < 2_000_000 {
            let region = Region::open_or_create("r", 1).unwrap();
            assert!(region.is_linked().unwrap());
            opened += 1;
            created += u32::from(region.is_created());
            drop(region);
            std::thread::yield_now();
        }
        cleaner.kill();
        println!("{opened} opened, {created} of them made anew");
        assert!(created > 1, "nothing was ever cleaned");
    });
}
