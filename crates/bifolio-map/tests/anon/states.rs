//! Changes of protection, by value.

use super::{fork, page, write_raw};
use bifolio_map::{Access, AnonMap, ErrorKind, Mapping, NoAccessMap, Options, Protection};
use bifolio_map::{ReadOnlyMap, Sharing};

const _: () = {
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<ReadOnlyMap>();
    is_send_and_sync::<NoAccessMap>();
};

#[test]
fn read_only_memory_cannot_be_written_and_can_be_again() {
    let mut map = Options::new().guard_pages(1, 1).anon(9000).unwrap();
    map.fill(3);
    let map = map.into_read_only().unwrap();
    assert_eq!((map.protection(), map.sharing()), (Protection::Read, Sharing::Exclusive));
    assert!(map.iter().all(|byte| *byte == 3));
    // A stray write ends a child by SIGSEGV.
    let address = Mapping::as_ptr(&map);
    assert!(!fork(|| {
        write_raw(address.addr());
        true
    }));
    let mut map = map.into_mut().unwrap();
    assert!(map.iter().all(|byte| *byte == 3));
    map.fill(4);
}

#[test]
fn closed_memory_keeps_its_bytes_and_answers_with_an_error() {
    let mut map = AnonMap::new(9000).unwrap();
    map.fill(3);
    let map = map.into_no_access().unwrap();
    assert_eq!(map.protection(), Protection::None);
    let error = map.read_exact_at(&mut [0; 9], 4090).unwrap_err();
    assert_eq!((error.kind(), error.range()), (ErrorKind::NotAccessible, Some(4090..4099)));
    let error = map.view().by_syscall().read_exact_at(&mut [0; 9], 0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotAccessible);
    assert!(map.into_mut().unwrap().iter().all(|byte| *byte == 3));
}

#[test]
fn memory_without_bytes_changes_too() {
    let map = AnonMap::new(0).unwrap().into_read_only().unwrap();
    assert_eq!(&map[..], b"");
    let map = map.into_mut().unwrap().into_no_access().unwrap();
    assert!(map.is_empty());
    map.unmap().unwrap();
}

#[test]
fn every_state_is_cut_and_joined() {
    let filled = || {
        let mut map = AnonMap::new(2 * page()).unwrap();
        map[page()] = 7;
        map
    };
    let (front, back) = filled().into_read_only().unwrap().split_at(page()).unwrap();
    assert_eq!((front.len(), back[0]), (page(), 7));
    let (back, front, error) = back.join(front).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let map = front.join(back).unwrap().into_mut().unwrap();

    let (front, back) = map.into_no_access().unwrap().split_at(page()).unwrap();
    let map = back.into_mut().unwrap();
    assert_eq!(map[0], 7);
    let error = front.load::<u8>(0).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotAccessible);

    let (front, back) = filled().into_exec().unwrap().split_at(page()).unwrap();
    let map = front.join(back).unwrap();
    assert_eq!(map[page()], 7);
}
