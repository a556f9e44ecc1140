//! What happens at the limits of a process: addresses, locked memory, areas.

use super::{alone, areas, become_nobody, page};
use bifolio_map::{Advice, AnonMap, ErrorKind, Operation, Options, Pages};

#[test]
fn no_addresses_left_is_an_error() {
    if !alone("limits::no_addresses_left_is_an_error", "ulimit -v 1000000") {
        return;
    }
    let error = AnonMap::new(2 << 30).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoMemory);
    let mut map = AnonMap::new(page()).unwrap();
    map.fill(1);
    assert_eq!(map.resize(2 << 30).unwrap_err().kind(), ErrorKind::NoMemory);
    assert!(map.iter().all(|byte| *byte == 1));
    // What is unmapped can be had again: 10 GB in all.
    for _ in 0..100 {
        AnonMap::new(100 << 20).unwrap()[0] = 1;
    }
}

#[test]
fn locking_beyond_the_limit_is_an_error() {
    if !alone("limits::locking_beyond_the_limit_is_an_error", "ulimit -l 64") {
        return;
    }
    if !become_nobody() {
        println!("skipped: root, whom limits do not bind, cannot become another user here");
        return;
    }
    let map = AnonMap::new(1 << 20).unwrap();
    let error = map.lock(0..1 << 20).unwrap_err();
    assert_eq!((error.operation(), error.kind()), (Operation::Lock, ErrorKind::NoMemory));
    map.lock(0..page()).unwrap();
    for options in [Options::new().locked(), Options::new().locked().guard_pages(1, 1)] {
        let error = options.anon(1 << 20).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoMemory);
    }
}

/// Takes areas until the process may have no more, and gives the one that took them.
fn take_all_areas() -> AnonMap {
    let hog = Options::new().no_reserve().anon(page() << 18).unwrap();
    for at in (0..1 << 18).step_by(2) {
        if let Err(error) = hog.advise(at * page()..(at + 1) * page(), Advice::DontDump) {
            assert_eq!(error.kind(), ErrorKind::NoMemory);
            return hog;
        }
    }
    panic!("{} areas and no end", areas());
}

/// Three mappings that lie one after the other in one area of the kernel's.
fn three() -> [AnonMap; 3] {
    let (first, rest) = AnonMap::new(6 * page()).unwrap().split_at(2 * page()).unwrap();
    let (second, third) = rest.split_at(2 * page()).unwrap();
    [first, second, third]
}

#[test]
fn an_unmapping_that_fails_hands_the_mapping_back() {
    if !alone("limits::an_unmapping_that_fails_hands_the_mapping_back", "true") {
        return;
    }
    let [first, mut second, third] = three();
    second.fill(5);
    let hog = take_all_areas();
    let (second, error) = second.unmap().unwrap_err();
    assert_eq!((error.operation(), error.kind()), (Operation::Unmap, ErrorKind::NoMemory));
    assert!(second.iter().all(|byte| *byte == 5));
    drop(hog);
    second.unmap().unwrap();
    drop((first, third));
}

#[test]
fn a_change_that_fails_halfway_is_undone() {
    if !alone("limits::a_change_that_fails_halfway_is_undone", "true") {
        return;
    }
    let [first, second, third] = three();
    // The first half of the second is an area of its own and can be changed; the other half is one
    // with the third, and needs an area more.
    first.advise(page()..2 * page(), Advice::DontDump).unwrap();
    second.advise(0..page(), Advice::DontDump).unwrap();
    first.advise(page()..2 * page(), Advice::DoDump).unwrap();
    let hog = take_all_areas();
    let (mut second, error) = second.into_read_only().unwrap_err();
    assert_eq!((error.operation(), error.kind()), (Operation::Protect, ErrorKind::NoMemory));
    second.fill(6);
    let (mut second, _) = second.into_no_access().unwrap_err();
    second.fill(7);
    drop(hog);
    let second = second.into_read_only().unwrap();
    assert!(second.iter().all(|byte| *byte == 7));
    drop((first, third));
}

#[test]
fn nothing_is_left_behind() {
    if !alone("limits::nothing_is_left_behind", "true") {
        return;
    }
    let round = || {
        for options in [Options::new(), Options::new().guard_pages(1, 2)] {
            let mut map = options.anon(10 * page() + 1).unwrap();
            map.fill(1);
            map.resize(20 * page()).unwrap();
            map.resize(5 * page() - 1).unwrap();
            let (front, back) = map.split_at(2 * page()).unwrap();
            front.into_read_only().unwrap().into_mut().unwrap().into_no_access().unwrap();
            back.unmap().unwrap();
            assert!(options.at_exactly(1).anon(1).is_err());
        }
    };
    round();
    let before = areas();
    for _ in 0..500 {
        round();
    }
    assert_eq!(areas(), before);
}
