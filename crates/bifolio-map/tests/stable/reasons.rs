//! What each kind of mapping gives, and why a rung does not hold.

use crate::scratch::filter::under;
use crate::scratch::{Scratch, pattern};
use bifolio_map::{
    AccessMut, Constancy, Errno, Error, ErrorKind, FileMap, Options, Policy, PrivateMap, Refusal,
    Rung, SharedMap, Stable,
};
use std::fs::File;
use std::os::unix::fs::FileExt;

const NOTHING: Policy = Policy::new().without_copy();

#[test]
fn every_rung_says_why() {
    let scratch = Scratch::new();
    let path = scratch.file("file", &pattern(10_000));
    let map = FileMap::open(&path).unwrap();
    let error = map.stable(&NOTHING).unwrap_err();
    let rungs: Vec<_> = error.reasons().map(|(rung, _)| rung).collect();
    assert!(rungs.starts_with(&[Rung::Sealed, Rung::Verity]) && rungs.ends_with(&[Rung::Copied]));
    assert_eq!(error.reason(Rung::Sealed), Some(&Refusal::NotMemoryFile));
    let verity = error.reason(Rung::Verity);
    assert!(matches!(verity, Some(Refusal::NotVerity | Refusal::NotVouched(_))), "{error}");
    assert_eq!(error.reason(Rung::Reflink), Some(&Refusal::NotAsked));
    assert_eq!(error.reason(Rung::Copied), Some(&Refusal::NotAsked));
    assert!(error.to_string().ends_with("copied: the policy does not permit it"), "{error}");
    assert_eq!(Error::from(error.clone()).kind(), ErrorKind::Revocable);
    let told = std::io::Error::from(error.clone()).to_string();
    assert_eq!(told, error.to_string());

    let error = map.stable(&Policy::new().copied_bytes_max(9999)).unwrap_err();
    let too_large = Refusal::TooLarge { len_bytes: 10_000, max_bytes: 9999 };
    assert_eq!(error.reason(Rung::Copied), Some(&too_large));
    assert_eq!(map.stable(&Policy::new().copied_bytes_max(10_000)).unwrap().len(), 10_000);
}

/// What a sandbox does not let one ask proves nothing, and is no reason to fail.
#[test]
fn where_nobody_may_ask_a_copy_is_made() {
    let scratch = Scratch::new();
    let content = pattern(10_000);
    let path = scratch.file("file", &content);
    for call in [libc::SYS_statx, libc::SYS_fcntl] {
        for errno in [libc::ENOSYS, libc::EPERM] {
            let map = FileMap::open(&path).unwrap();
            under(call, None, errno, || {
                assert_eq!(Constancy::of(File::open(&path).unwrap()), Ok(Constancy::Changeable));
                let error = map.stable(&NOTHING).unwrap_err();
                assert_eq!(error.reason(Rung::Sealed), Some(&Refusal::NotMemoryFile));
                let verity = error.reason(Rung::Verity);
                let is_no = matches!(verity, Some(Refusal::NotVerity | Refusal::NotVouched(_)));
                assert!(is_no, "{error}");
                assert!(*map.stable(&Policy::new()).unwrap() == content);
            });
        }
    }
}

#[test]
fn a_file_that_was_cut_cannot_be_had() {
    let scratch = Scratch::new();
    let path = scratch.file("file", &pattern(10_000));
    let map = FileMap::open(&path).unwrap();
    File::options().write(true).open(&path).unwrap().set_len(9999).unwrap();
    let error = map.stable(&Policy::new().pages_on_demand()).unwrap_err();
    assert_eq!(Error::from(error).kind(), ErrorKind::Truncated { len_bytes: 9999 });
}

#[test]
fn a_file_system_without_clones_keeps_its_errno() {
    let Some(scratch) = Scratch::in_memory() else { return println!("skipped: there is no tmpfs") };
    let path = scratch.file("file", &pattern(10_000));
    let map = FileMap::open(&path).unwrap();
    let error = map.stable(&NOTHING.pages_on_demand()).unwrap_err();
    let errno = std::io::Error::from(error).raw_os_error();
    assert_eq!(errno, Some(Errno::OPNOTSUPP.raw_os_error()));
}

#[test]
fn every_kind_of_mapping_gives_stable_bytes() {
    let scratch = Scratch::new();
    let content = pattern(100_000);
    let path = scratch.file("file", &content);
    let part = Options::new().offset(1234).len(50_000).open(&path).unwrap();
    assert!(*part.stable(&Policy::new()).unwrap() == content[1234..51_234]);

    let shared = SharedMap::open(&path).unwrap();
    let before = shared.stable(&Policy::new()).unwrap();
    shared.fill(0..1000, 0).unwrap();
    let after = shared.stable(&Policy::new()).unwrap();
    assert!(*before == content && after[..1000] == [0; 1000] && after[1000..] == content[1000..]);

    let private = PrivateMap::open(&path).unwrap();
    private.fill(0..1000, 9).unwrap();
    assert_eq!(
        private.stable(&Policy::new()).unwrap()[..1001],
        [&[9; 1000], &content[1000..1001]].concat()
    );

    let memory = SharedMap::anon(5000).unwrap();
    memory.fill(0..5000, 3).unwrap();
    assert_eq!(*memory.stable(&Policy::new()).unwrap(), [3; 5000]);
    let error = memory.stable(&NOTHING).unwrap_err();
    assert_eq!(error.reason(Rung::Sealed), Some(&Refusal::NoFile));

    let loaded = FileMap::open("/proc/version").unwrap().stable(&Policy::new()).unwrap();
    assert!(loaded.starts_with(b"Linux"));
}

#[test]
fn nothing_is_always_stable() {
    let scratch = Scratch::new();
    let map = FileMap::open(scratch.file("empty", b"")).unwrap();
    assert_eq!(*map.stable(&NOTHING).unwrap(), []);
}

/// It outlives the map, the file and the thread that made it.
#[test]
fn stable_bytes_are_owned() {
    fn make() -> Stable {
        let scratch = Scratch::new();
        let path = scratch.file("file", &pattern(5000));
        FileMap::open(path).unwrap().stable(&Policy::new()).unwrap()
    }
    let stable = std::thread::spawn(make).join().unwrap();
    let kept: &'static [u8] = Box::leak(Box::new(stable));
    assert_eq!(kept, pattern(5000));
}

/// A copy of a sparse file takes the time and the memory of its data.
#[test]
fn holes_are_not_copied() {
    let scratch = Scratch::new();
    let path = scratch.file("sparse", b"start");
    let file = File::options().write(true).open(&path).unwrap();
    let len = 64_u64 << 30;
    file.write_all_at(b"end", len - 3).unwrap();
    let map = FileMap::open(&path).unwrap();
    let stable = map.stable(&Policy::new()).unwrap();
    assert_eq!(stable.len() as u64, len);
    assert!(stable.starts_with(b"start\0") && stable.ends_with(b"\0end"));
    let pages = std::fs::read_to_string("/proc/self/smaps").unwrap();
    let start = format!("{:x}-", stable.as_ptr().addr());
    let mine = pages.split_once(&start).expect("its mapping").1;
    let resident = mine.lines().find_map(|line| line.strip_prefix("Rss:")).unwrap().trim();
    let resident: u64 = resident.trim_end_matches(" kB").parse().unwrap();
    assert!(resident < 64 << 10, "{resident} kB are resident");
}
