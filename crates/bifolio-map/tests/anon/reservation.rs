//! Reservations: a shadow of the state of every page, threads that disagree, carving.

use super::{Random, alone, areas, fork, page, resident, seed, smaps};
use bifolio_map::{Access, AccessMut, Advice, Discard, ErrorKind, HugePages, Operation, Options};
use bifolio_map::{Mapping, Pages, Reservation};
use std::sync::atomic::{AtomicBool, Ordering};

const _: () = {
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<Reservation>();
};

#[test]
fn a_tebibyte_is_reserved_and_used_in_places() {
    let addresses = Reservation::new(1 << 40).unwrap();
    assert_eq!(addresses.len(), 1 << 40);
    for at in [0, 1 << 39, (1 << 40) - page()] {
        assert_eq!(addresses.load::<u64>(at).unwrap_err().kind(), ErrorKind::NotAccessible);
        assert_eq!(addresses.store(&1_u64, at).unwrap_err().kind(), ErrorKind::NotAccessible);
        addresses.commit(at..at + page()).unwrap();
        assert_eq!(addresses.load::<u64>(at).unwrap(), 0);
        addresses.store(&7_u64, at).unwrap();
        assert_eq!(addresses.load::<u64>(at).unwrap(), 7);
    }
    // A write that runs out of the committed pages says how far it came.
    let error = addresses.write_all_at(&vec![1; 2 * page()], 5).unwrap_err();
    assert_eq!((error.kind(), error.done_bytes()), (ErrorKind::NotAccessible, page() - 5));
}

/// What a page of the shadow is: `None` where it is not accessible.
type Shadow = Vec<Option<u8>>;

fn assert_agrees(addresses: &Reservation, shadow: &Shadow) {
    for (number, expected) in shadow.iter().enumerate() {
        for at in [number * page(), (number + 1) * page() - 1] {
            match (addresses.load::<u8>(at), expected) {
                (Ok(byte), Some(expected)) => assert_eq!(byte, *expected, "page {number}"),
                (Err(error), None) => assert_eq!(error.kind(), ErrorKind::NotAccessible),
                (found, _) => panic!("page {number}: {found:?}, not {expected:?}"),
            }
        }
    }
}

#[test]
fn every_page_is_as_the_last_call_left_it() {
    const PAGES: usize = 24;
    let mut random = Random(seed());
    for round in 0..30 {
        let options = match round % 3 {
            0 => Options::new(),
            1 => Options::new().no_reserve(),
            _ => Options::new().huge_pages(HugePages::Transparent),
        };
        let Ok(addresses) = options.reservation(PAGES * page()) else {
            println!("skipped: no transparent huge pages");
            continue;
        };
        let mut addresses = addresses;
        let mut shadow: Shadow = vec![None; PAGES];
        for step in 0..100 {
            let start = random.below(PAGES);
            let end = start + 1 + random.below(PAGES - start);
            let range = start * page()..end * page();
            match random.below(7) {
                0 | 1 => {
                    addresses.commit(range).unwrap();
                    shadow[start..end].iter_mut().for_each(|page| *page = page.or(Some(0)));
                }
                2 => {
                    addresses.decommit(range).unwrap();
                    shadow[start..end].fill(None);
                }
                3 => {
                    addresses.guard(range).unwrap();
                    shadow[start..end].fill(None);
                }
                4 => {
                    addresses.discard(range, Discard::DontNeed).unwrap();
                    for page in &mut shadow[start..end] {
                        *page = page.map(|_| 0);
                    }
                }
                5 => {
                    let (front, back) = addresses.split_at(range.start).unwrap();
                    addresses = front.join(back).unwrap();
                }
                _ => {
                    let byte = 1 + step as u8;
                    let closed = shadow[start..end].iter().position(Option::is_none);
                    let len = closed.unwrap_or(end - start);
                    match addresses.fill(range, byte) {
                        Ok(()) => assert_eq!(closed, None),
                        Err(error) => {
                            assert_eq!(error.kind(), ErrorKind::NotAccessible);
                            assert_eq!(error.done_bytes(), len * page());
                            assert!(closed.is_some());
                        }
                    }
                    shadow[start..start + len].fill(Some(byte));
                }
            }
            assert_agrees(&addresses, &shadow);
        }
    }
}

#[test]
fn ranges_are_of_whole_pages_inside() {
    let addresses = Reservation::new(3 * page() - 1).unwrap();
    let out = ErrorKind::OutOfBounds { len_bytes: 3 * page() as u64 - 1 };
    let misaligned = ErrorKind::Misaligned { align_bytes: page() };
    for (range, kind) in [
        (0..3 * page(), out),
        (usize::MAX..usize::MAX, out),
        (1..page(), misaligned),
        (0..page() + 1, misaligned),
    ] {
        let errors = [
            (Operation::Commit, addresses.commit(range.clone())),
            (Operation::Decommit, addresses.decommit(range.clone())),
            (Operation::Guard, addresses.guard(range.clone())),
            (Operation::Advise, addresses.discard(range, Discard::DontNeed)),
        ];
        for (operation, result) in errors {
            let error = result.unwrap_err();
            assert_eq!((error.operation(), error.kind()), (operation, kind));
        }
    }
    addresses.commit(2 * page()..3 * page() - 1).unwrap();
    addresses.store(&5_u8, 3 * page() - 2).unwrap();
}

#[test]
fn decommitting_gives_memory_back() {
    let addresses = Reservation::new(64 * page()).unwrap();
    for give_back in [Reservation::decommit, Reservation::guard] {
        addresses.commit(0..64 * page()).unwrap();
        addresses.fill(0..64 * page(), 1).unwrap();
        assert_eq!(resident(&addresses), 64);
        give_back(&addresses, 16 * page()..48 * page()).unwrap();
        assert_eq!(resident(&addresses), 32);
    }
}

#[test]
fn locked_pages_can_be_guarded_and_given_back() {
    let addresses = Reservation::new(4 * page()).unwrap();
    addresses.commit(0..4 * page()).unwrap();
    addresses.lock(0..4 * page()).unwrap();
    addresses.guard(page()..2 * page()).unwrap();
    addresses.decommit(2 * page()..3 * page()).unwrap();
    assert_agrees(&addresses, &vec![Some(0), None, None, Some(0)]);
}

/// Threads that commit, decommit, guard, read and write the same pages get errors, never a signal.
#[test]
fn threads_that_disagree_get_errors() {
    let addresses = Reservation::new(8 * page()).unwrap();
    let done = AtomicBool::new(false);
    let seed = seed();
    std::thread::scope(|scope| {
        for reader in 0..2 {
            let (addresses, done) = (&addresses, &done);
            scope.spawn(move || {
                let mut random = Random(seed ^ reader);
                // relaxed: it only ends the loop.
                while !done.load(Ordering::Relaxed) {
                    let at = random.below(7 * page());
                    for result in [
                        addresses.read_exact_at(&mut [0; 300], at),
                        addresses.write_all_at(&[reader as u8; 300], at),
                    ] {
                        if let Err(error) = result {
                            assert_eq!(error.kind(), ErrorKind::NotAccessible);
                        }
                    }
                }
            });
        }
        let mut random = Random(seed);
        for _ in 0..5000 {
            let start = random.below(8);
            let range = start * page()..(start + 1 + random.below(8 - start)) * page();
            match random.below(4) {
                0 => addresses.decommit(range).unwrap(),
                1 => addresses.guard(range).unwrap(),
                2 => addresses.discard(range, Discard::Free).unwrap(),
                _ => addresses.commit(range).unwrap(),
            }
        }
        // relaxed: it only ends the loops.
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_part_is_carved_out_as_a_slice() {
    let addresses = Reservation::new(8 * page()).unwrap();
    addresses.commit(2 * page()..4 * page()).unwrap();
    addresses.fill(2 * page()..4 * page(), 9).unwrap();
    addresses.guard(4 * page()..5 * page()).unwrap();
    addresses.discard(3 * page()..4 * page(), Discard::Free).unwrap();
    let (_front, rest) = addresses.split_at(2 * page()).unwrap();
    let (part, back) = rest.split_at(3 * page()).unwrap();
    let mut map = part.into_anon().unwrap();
    // What was freed lazily is one or the other, and stays so.
    let freed = map[page()..2 * page()].to_vec();
    assert!(map[..page()].iter().all(|byte| *byte == 9));
    assert!(freed.iter().all(|byte| *byte == 0 || *byte == 9));
    assert!(map[2 * page()..].iter().all(|byte| *byte == 0));
    assert_eq!(map[page()..2 * page()], freed);
    map.fill(1);
    assert_eq!(back.load::<u8>(0).unwrap_err().kind(), ErrorKind::NotAccessible);
}

#[test]
fn pages_freed_lazily_are_firm_before_a_slice_is_made() {
    let freed = || {
        let addresses = Reservation::new(16 * page()).unwrap();
        addresses.commit(0..16 * page()).unwrap();
        addresses.fill(0..16 * page(), 9).unwrap();
        addresses.discard(0..16 * page(), Discard::Free).unwrap();
        addresses
    };
    // Reclaiming takes pages away that were freed lazily, and only those where there is no swap.
    let control = freed();
    control.advise(0..16 * page(), Advice::PageOut).unwrap();
    if control.load::<u8>(0).unwrap() == 9 {
        println!("skipped: the kernel did not take the pages that it may take");
    }
    let (front, back) = freed().split_at(page()).unwrap();
    for part in [front, back] {
        let map = part.into_anon().unwrap();
        let before = map.to_vec();
        map.advise(0..map.len(), Advice::PageOut).unwrap();
        assert_eq!(map[..], before[..]);
    }
}

#[test]
fn a_child_has_its_own_state() {
    let addresses = Reservation::new(4 * page()).unwrap();
    addresses.commit(0..2 * page()).unwrap();
    addresses.store(&7_u8, 0).unwrap();
    assert!(fork(|| {
        let inherited =
            addresses.load::<u8>(0) == Ok(7) && addresses.load::<u8>(3 * page()).is_err();
        inherited && addresses.decommit(0..page()).is_ok() && addresses.load::<u8>(0).is_err()
    }));
    assert_eq!(addresses.load::<u8>(0).unwrap(), 7);
}

#[test]
fn what_it_cannot_be_is_refused() {
    let pool = Options::new().huge_pages(HugePages::Pool(None)).reservation(1 << 21).unwrap_err();
    let guarded = Options::new().guard_pages(1, 0).reservation(page()).unwrap_err();
    assert_eq!((pool.kind(), guarded.kind()), (ErrorKind::Invalid, ErrorKind::Invalid));
    let empty = Reservation::new(0).unwrap();
    empty.commit(0..0).unwrap();
    assert_eq!(empty.into_anon().unwrap().len(), 0);
    let taken = Reservation::new(page()).unwrap();
    let addr = Mapping::as_ptr(&taken).addr();
    let error = Options::new().at_exactly(addr).reservation(page()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Occupied);
}

#[test]
fn nothing_is_left_of_reservations() {
    if !alone("reservation::nothing_is_left_of_reservations", "true") {
        return;
    }
    let round = || {
        let addresses = Reservation::new(1 << 30).unwrap();
        for at in (0..16).map(|number| number * 2 * page()) {
            addresses.commit(at..at + page()).unwrap();
        }
        addresses.guard(page()..4 * page()).unwrap();
        addresses.decommit(5 * page()..8 * page()).unwrap();
        let (front, back) = addresses.split_at(page()).unwrap();
        front.into_anon().unwrap().fill(1);
        back.unmap().unwrap();
    };
    round();
    let before = areas();
    for _ in 0..500 {
        round();
    }
    assert_eq!(areas(), before);
}

#[test]
fn one_without_addresses_joins_without_a_trace() {
    let addresses = Options::new().no_reserve().reservation(2 * page()).unwrap();
    let addresses = Reservation::new(0).unwrap().join(addresses).unwrap();
    addresses.decommit(0..2 * page()).unwrap();
    // It is still not counted as memory that was promised.
    let flags = smaps(addresses.as_ptr().addr(), "VmFlags");
    assert!(flags.contains(" nr"), "{flags}");
}
