//! What this binary does as a child of its own tests: the scenario that `BIFOLIO_CHILD` names.

use crate::attack;
use bifolio_map::{
    Access, AccessMut, ErrorKind, Operation, Options, PrivateMap, SecretMap, SharedMap,
};
use std::fs;
use std::path::{Path, PathBuf};

/// Where the children start; without a scenario it is a test that does nothing.
#[test]
fn start() {
    let Ok(scenario) = std::env::var("BIFOLIO_CHILD") else { return };
    let path = PathBuf::from(std::env::var_os("BIFOLIO_CHILD_PATH").unwrap());
    match scenario.as_str() {
        "open a file that may not be written" => not_permitted(&path),
        "grow" => grow(&path),
        "grow beyond the limit" => grow_beyond_limit(&path),
        "attack" => attack::attack(&path),
        "answer every odd number" => attack::answer(&path),
        "write whole words" => attack::write_words(&path),
        "commit beyond the limit" => commit_beyond_limit(&path),
        "commit once" => commit_once(&path),
        "commit for ever" => commit_for_ever(&path),
        other => panic!("no scenario {other}"),
    }
}

fn not_permitted(path: &Path) {
    let error = SharedMap::open(path).unwrap_err();
    assert_eq!((error.operation(), error.kind()), (Operation::Open, ErrorKind::NotPermitted));
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
}

/// Grows a file step by step, marking the bytes that it grew by in a race with others.
fn grow(path: &Path) {
    let map = Options::new().reserve(1 << 30).open_shared(path).unwrap();
    for step in 1..=200_usize {
        map.grow(step * 10_000).unwrap();
        assert!(map.len() >= step * 10_000);
        map.write_all_at(&[0xaa; 8], step * 10_000 - 8).unwrap();
    }
}

/// Runs under `RLIMIT_FSIZE`, as the shell that started it has set it.
fn grow_beyond_limit(path: &Path) {
    let map = Options::new().reserve(1 << 30).open_shared(path).unwrap();
    let error = map.grow(1 << 20).unwrap_err();
    assert_eq!((error.operation(), error.kind()), (Operation::Grow, ErrorKind::TooLarge));
    assert_eq!(error.errno(), Some(bifolio_sys::Errno::FBIG));
    assert_eq!((map.len(), fs::metadata(path).unwrap().len()), (4096, 4096));
    let error = SharedMap::memfd("too large", 1 << 20).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    match SecretMap::new(1 << 20) {
        Ok(_) => panic!("it is larger than files may be"),
        Err(error) => assert!(
            [ErrorKind::TooLarge, ErrorKind::Unsupported].contains(&error.kind()),
            "{error}"
        ),
    }
    map.grow(8192).unwrap();
    map.write_all_at(&[1; 4096], 4096).unwrap();
}

/// Runs under `RLIMIT_FSIZE`, as the shell that started it has set it.
fn commit_beyond_limit(path: &Path) {
    let map = PrivateMap::open(path).unwrap();
    map.fill(0..8192, 2).unwrap();
    let error = map.commit_to(path).unwrap_err();
    assert_eq!((error.operation(), error.kind()), (Operation::Save, ErrorKind::TooLarge));
}

/// Replaces the file by one that holds one byte more everywhere, again and again, until it is
/// killed (or nobody is left to do so).
fn commit_for_ever(path: &Path) {
    for _ in 0..20_000 {
        let map = PrivateMap::open(path).unwrap();
        let next = map.load::<u8>(0).unwrap().wrapping_add(1);
        map.fill(0..map.len(), next).unwrap();
        map.commit_to(path).unwrap();
    }
}

/// Replaces a file of ones by one of twos.
fn commit_once(path: &Path) {
    let map = PrivateMap::open(path).unwrap();
    map.fill(0..map.len(), 2).unwrap();
    map.commit_to(path).unwrap();
}
