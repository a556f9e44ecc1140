//! The kinds whose bytes may vanish or change: droppable, secret, growing downwards, of the pool
//! without reservation.

use super::{Pool, alone, areas, become_nobody, fork, is_readable, page};
use bifolio_map::{Access, AccessMut, Advice, AnonMap, Discard, DroppableMap, Error, ErrorKind};
use bifolio_map::{
    GrowsDownMap, HugeMap, HugePages, Mapping, Operation, Options, Pages, SecretMap,
};

const _: () = {
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<DroppableMap>();
    is_send_and_sync::<SecretMap>();
    is_send_and_sync::<GrowsDownMap>();
    is_send_and_sync::<HugeMap>();
};

/// The mapping, or `None` with the reason printed where the system has no such thing.
fn supported<T>(result: Result<T, Error>) -> Option<T> {
    match result {
        Ok(map) => Some(map),
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
            println!("skipped: {error}");
            None
        }
    }
}

fn assert_holds_bytes<M: AccessMut>(map: &M, len: usize) {
    assert_eq!(map.len(), len);
    let mut bytes = vec![1; len];
    map.read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 0));
    map.fill(0..len, 5).unwrap();
    map.read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes.iter().all(|byte| *byte == 5));
    let out = map.load::<u8>(len).unwrap_err();
    assert_eq!(out.kind(), ErrorKind::OutOfBounds { len_bytes: len as u64 });
}

#[test]
fn droppable_memory_holds_bytes_until_it_does_not() {
    let Some(map) = supported(DroppableMap::new(3 * page() - 1)) else { return };
    assert_holds_bytes(&map, 3 * page() - 1);
    map.advise(0..2 * page(), Advice::PageOut).unwrap();
    let mut bytes = vec![1; map.len()];
    map.read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes.iter().all(|byte| [0, 5].contains(byte)));
    assert!(fork(|| map.load::<u64>(0) == Ok(0)), "children see zeros");
    map.unmap().unwrap();
    assert_eq!(DroppableMap::new(0).unwrap().len(), 0);
}

#[test]
fn secret_memory_holds_bytes_and_hides_them() {
    let Some(map) = supported(SecretMap::new(page() + 5)) else { return };
    assert_holds_bytes(&map, page() + 5);
    let address = Mapping::as_ptr(&map).addr();
    assert!(!is_readable(address), "a debugger could read it");
    assert!(map.view().by_syscall().load::<u8>(0).is_err());
    assert!(super::smaps(address, "VmFlags").contains(" lo"), "it is locked");
    map.unmap().unwrap();
    assert_eq!(SecretMap::new(0).unwrap().len(), 0);
    assert_eq!(SecretMap::new(usize::MAX).unwrap_err().kind(), ErrorKind::TooLarge);
}

#[test]
fn secrets_are_not_inherited_and_a_child_loses_nothing_by_them() {
    let Some(map) = supported(SecretMap::new(page())) else { return };
    map.fill(0..page(), 5).unwrap();
    let address = Mapping::as_ptr(&map).addr();
    let ok = fork(move || {
        let gone = map.is_empty() && map.load::<u8>(0).is_err() && !is_readable(address);
        // Somebody else's memory comes to lie at its addresses, and survives what the child does to
        // the secret.
        let Ok(mut other) = Options::new().at_exactly(address).anon(page()) else { return false };
        other.fill(7);
        let refused = map.fill(0..page(), 5).is_err() && map.lock(0..1).is_err();
        drop(map);
        gone && refused && is_readable(address) && other.iter().all(|byte| *byte == 7)
    });
    assert!(ok);
}

#[test]
fn secrets_beyond_the_limit_are_an_error() {
    if !alone("guarded::secrets_beyond_the_limit_are_an_error", "ulimit -l 64") {
        return;
    }
    if !become_nobody() {
        println!("skipped: root, whom limits do not bind, cannot become another user here");
        return;
    }
    let Some(map) = supported(SecretMap::new(page())) else { return };
    map.fill(0..page(), 5).unwrap();
    let error = SecretMap::new(1 << 20).unwrap_err();
    assert_eq!((error.operation(), error.kind()), (Operation::Map, ErrorKind::NoMemory));
}

#[test]
fn memory_that_grows_down_holds_what_was_mapped() {
    let map = Options::new().stack().grows_down(4 * page()).unwrap();
    assert_holds_bytes(&map, 4 * page());
    assert!(super::smaps(Mapping::as_ptr(&map).addr(), "VmFlags").contains(" gd"));
    map.unmap().unwrap();
}

#[test]
fn none_of_them_has_guard_pages_around_it() {
    let options = Options::new().guard_pages(1, 1);
    for error in [
        options.droppable(page()).unwrap_err(),
        options.secret(page()).unwrap_err(),
        options.grows_down(page()).unwrap_err(),
        options.huge(page()).unwrap_err(),
        options.huge_pages(HugePages::Pool(None)).anon(page()).unwrap_err(),
    ] {
        assert_eq!((error.operation(), error.kind()), (Operation::Map, ErrorKind::Invalid));
    }
}

#[test]
fn occupied_addresses_stay_what_they_are() {
    let mut there = AnonMap::new(page()).unwrap();
    there.fill(3);
    let options = Options::new().at_exactly(there.as_ptr().addr());
    for error in [
        options.droppable(page()).map(drop),
        options.secret(page()).map(drop),
        options.grows_down(page()).map(drop),
    ] {
        let kind = error.unwrap_err().kind();
        assert!([ErrorKind::Occupied, ErrorKind::Unsupported].contains(&kind), "{kind:?}");
    }
    assert!(there.iter().all(|byte| *byte == 3));
}

#[test]
fn a_pool_that_is_too_small_is_an_error_at_once() {
    let Some(pool) = Pool::with_pages(2) else { return };
    let page = pool.page_bytes;
    let error = Options::new().huge_pages(HugePages::Pool(None)).anon(3 * page).unwrap_err();
    assert_eq!((error.operation(), error.kind()), (Operation::Map, ErrorKind::NoSpace), "{error}");
    let mut map = Options::new().huge_pages(HugePages::Pool(None)).anon(page + 1).unwrap();
    assert_eq!((map.len(), map.as_ptr().addr() % page), (page + 1, 0));
    // All its pages are taken now, not promised: the fault that takes one may still be refused.
    assert_eq!((pool.free(), map[0]), (0, 0));
    map.fill(1);
    let error = Options::new().huge_pages(HugePages::Pool(None)).anon(1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NoSpace);
    // Without reservation the map can be had, and the access is what fails: no signal.
    let lazy = HugeMap::new(page).unwrap();
    let error = lazy.store(&1_u8, 5).unwrap_err();
    assert_eq!((error.operation(), error.kind()), (Operation::Write, ErrorKind::NoMemory));
    map.discard(1..page + 1).unwrap();
    assert!(map[0] == 1 && map[1..].iter().all(|byte| *byte == 0));
    let len = map.len();
    let (front, back) = map.split_at(page).unwrap();
    assert_eq!((front.len(), back.len()), (page, len - page));
    let (front, error) = front.split_at(super::page()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misaligned { align_bytes: page });
    let mut map = front.join(back).unwrap();
    map.resize(page).unwrap();
    assert_eq!(map[0], 1);
    lazy.store(&1_u8, 5).unwrap();
    let map = map.into_read_only().unwrap();
    assert_eq!(map[0], 1);
    map.unmap().unwrap();
    lazy.discard(0..page, Discard::DontNeed).unwrap();
    assert_eq!(lazy.load::<u8>(5).unwrap(), 0);
    lazy.unmap().unwrap();
}

#[test]
fn pages_of_a_size_that_does_not_exist_are_unsupported() {
    let size = bifolio_map::page::PageSize::new(1 << 40);
    for options in [Options::new(), Options::new().no_reserve()] {
        let options = options.huge_pages(HugePages::Pool(size));
        let error = options.huge(1).unwrap_err();
        assert_eq!((error.operation(), error.kind()), (Operation::Map, ErrorKind::Unsupported));
    }
    let options = Options::new().huge_pages(HugePages::Pool(None)).no_reserve();
    assert_eq!(options.anon(1).unwrap_err().kind(), ErrorKind::Invalid);
}

#[test]
fn nothing_is_left_of_guarded_kinds() {
    if !alone("guarded::nothing_is_left_of_guarded_kinds", "true") {
        return;
    }
    let round = || {
        let _ = DroppableMap::new(page());
        if let Ok(map) = SecretMap::new(page()) {
            map.fill(0..page(), 1).unwrap();
        }
        let _ = SecretMap::new(page()).map(SecretMap::unmap);
        Options::new().grows_down(page()).unwrap().store(&1_u8, 0).unwrap();
        let _ = HugeMap::new(1);
        AnonMap::new(page()).unwrap().into_exec().unwrap();
    };
    round();
    let before = (areas(), open_files());
    for _ in 0..300 {
        round();
    }
    assert_eq!((areas(), open_files()), before);
}

fn open_files() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
